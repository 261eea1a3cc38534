/* Exact search against a loop that scores everything and sorts it. */
#include "inference/search.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/nn/fc.h"
#include "common/nn/kernels.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct world {
	float *vectors, *factors, *queries;
	uint32_t items;
	size_t dim, queries_count;
	uint8_t *hidden;
};

/* levels 0: any numbers; else few distinct ones, so that there are many ties. */
static void world_init(
	struct world *world, uint32_t items, size_t dim, size_t queries, uint32_t levels)
{
	struct error err;
	struct random_sequence random;
	nn_init();
	random_sequence_init(&random, items, dim + queries);
	*world = (struct world){.items = items, .dim = dim, .queries_count = queries};
	assert_ok(memory_alloc(&world->vectors, items * dim, sizeof(float), "v", &err), &err);
	assert_ok(memory_alloc(&world->factors, items, sizeof(float), "f", &err), &err);
	assert_ok(memory_alloc(&world->queries, queries * dim, sizeof(float), "q", &err), &err);
	assert_ok(memory_zalloc(&world->hidden, items, 1, "h", &err), &err);
	for (size_t i = 0; i < items * dim; i++)
		world->vectors[i] = levels ? (float)random_below(&random, levels) - 1
					   : (float)random_normal(&random);
	for (size_t i = 0; i < queries * dim; i++)
		world->queries[i] = (float)random_normal(&random);
	for (uint32_t i = 0; i < items; i++)
		world->factors[i] = levels ? 1 : 0.5f + (float)random_double(&random);
}

static void world_fini(struct world *world)
{
	free(world->vectors);
	free(world->factors);
	free(world->queries);
	free(world->hidden);
}

static bool visible(const void *context, size_t query, uint32_t item)
{
	const struct world *world = context;
	(void)query;
	return !world->hidden[item];
}

static float plain_score(const void *context, size_t query, uint32_t item)
{
	const struct world *world = context;
	return nn_kernels()->dot(world->queries + query * world->dim,
		       world->vectors + item * world->dim, world->dim) *
	       world->factors[item];
}

/* As good a score as plain_score, rounded in another way. */
static float wide_score(const void *context, size_t query, uint32_t item)
{
	const struct world *world = context;
	double sum = 0;
	for (size_t d = 0; d < world->dim; d++)
		sum += (double)world->queries[query * world->dim + d] *
		       (double)world->vectors[item * world->dim + d];
	return (float)(sum * (double)world->factors[item]);
}

static int compare(const void *a, const void *b)
{
	const struct scored *left = a, *right = b;
	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return left->item < right->item ? -1 : left->item > right->item;
}

/* What a search must find: the rule's scores of all items it allows, sorted. */
static size_t find_plainly(
	const struct world *world, const struct search_rule *rule, size_t query, struct scored *all)
{
	size_t count = 0;
	for (uint32_t i = 0; i < world->items; i++)
		if (!rule->allowed || rule->allowed(world, query, i))
			all[count++] =
				(struct scored){.score = rule->score ? rule->score(world, query, i)
								     : plain_score(world, query, i),
					.item = i};
	qsort(all, count, sizeof(*all), compare);
	return count;
}

static void check(const struct world *world, struct search_rule rule, size_t k, uint32_t threads)
{
	struct error err;
	struct search_items items;
	struct top_k *tops;
	struct scored *all;
	rule.context = world;
	search_items_init(&items, world->vectors, world->factors, world->items, world->dim);
	assert_ok(memory_zalloc(&tops, world->queries_count, sizeof(*tops), "tops", &err), &err);
	assert_ok(memory_alloc(&all, world->items, sizeof(*all), "all", &err), &err);
	for (size_t q = 0; q < world->queries_count; q++)
		assert_ok(top_k_init(&tops[q], k, &err), &err);
	assert_ok(search_exact(
			  &items, world->queries, world->queries_count, &rule, threads, tops, &err),
		&err);
	for (size_t q = 0; q < world->queries_count; q++) {
		const size_t count = find_plainly(world, &rule, q, all);
		ck_assert_uint_eq(tops[q].count, count < k ? count : k);
		for (size_t i = 0; i < tops[q].count; i++) {
			ck_assert_uint_eq(tops[q].entries[i].item, all[i].item);
			ck_assert(tops[q].entries[i].score == all[i].score);
		}
		top_k_fini(&tops[q]);
	}
	free(all);
	free(tops);
}

START_TEST(the_best_are_those_of_a_plain_loop_bit_for_bit)
{
	static const size_t queries[] = {1, 7, 33, 260};
	static const uint32_t items[] = {0, 1, 65, 1030};
	for (size_t q = 0; q < sizeof(queries) / sizeof(queries[0]); q++)
		for (size_t n = 0; n < sizeof(items) / sizeof(items[0]); n++)
			for (size_t dim = 1; dim <= 200; dim += 199) {
				struct world world;
				world_init(&world, items[n], dim, queries[q], 0);
				check(&world, (struct search_rule){0}, 10, 1);
				check(&world, (struct search_rule){.score = wide_score}, 3, 1);
				world_fini(&world);
			}
}
END_TEST

START_TEST(k_may_be_none_or_more_than_there_are)
{
	struct world world;
	world_init(&world, 700, 24, 3, 0);
	check(&world, (struct search_rule){0}, 0, 1);
	check(&world, (struct search_rule){0}, 699, 1);
	check(&world, (struct search_rule){0}, 1000, 1);
	world_fini(&world);
}
END_TEST

/* Equal vectors at different places of a block get different products; the score decides. */
START_TEST(ties_go_to_the_smaller_item_wherever_it_lies)
{
	struct world world;
	world_init(&world, 3000, 3, 40, 3);
	check(&world, (struct search_rule){0}, 50, 1);
	check(&world, (struct search_rule){.score = wide_score}, 50, 1);
	world_fini(&world);
	world_init(&world, 2000, 200, 5, 0);
	for (uint32_t i = 0; i < world.items; i++) {
		memcpy(world.vectors + i * world.dim, world.vectors, world.dim * sizeof(float));
		world.factors[i] = 1;
	}
	check(&world, (struct search_rule){0}, 20, 1);
	world_fini(&world);
}
END_TEST

START_TEST(filters_apply_before_the_cut)
{
	struct world world;
	world_init(&world, 2000, 16, 5, 0);
	for (uint32_t i = 0; i < world.items; i++)
		world.hidden[i] = i % 97 != 5;
	check(&world, (struct search_rule){.allowed = visible}, 10, 1);
	check(&world, (struct search_rule){.allowed = visible, .score = wide_score}, 30, 1);
	memset(world.hidden, 1, world.items);
	check(&world, (struct search_rule){.allowed = visible}, 10, 1);
	world_fini(&world);
}
END_TEST

START_TEST(threads_change_nothing)
{
	struct world world;
	world_init(&world, 3000, 80, 80, 0);
	for (uint32_t threads = 0; threads <= 5; threads += 2)
		check(&world, (struct search_rule){.score = wide_score}, 10, threads);
	check(&world, (struct search_rule){0}, 10, 1000);
	world_fini(&world);
	world_init(&world, 3000, 50, 100, 3);
	for (uint32_t threads = 1; threads <= 3; threads += 2)
		check(&world, (struct search_rule){0}, 25, threads);
	world_fini(&world);
}
END_TEST

static enum status search_one(const struct world *world, struct search_rule rule, struct error *err)
{
	struct search_items items;
	struct top_k top;
	rule.context = world;
	search_items_init(&items, world->vectors, world->factors, world->items, world->dim);
	assert_ok(top_k_init(&top, 5, err), err);
	enum status status = search_exact(&items, world->queries, 1, &rule, 2, &top, err);
	top_k_fini(&top);
	return status;
}

START_TEST(what_is_not_a_number_is_an_error_unless_it_is_filtered_out)
{
	struct error err;
	struct world world;
	static const float values[] = {NAN, INFINITY, -INFINITY};
	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		world_init(&world, 5000, 8, 1, 0);
		world.vectors[4321 * world.dim] = values[v];
		world.queries[0] = 1;
		assert_fails(search_one(&world, (struct search_rule){0}, &err),
			STATUS_FAILED_PRECONDITION, &err, "item 4321 is not a number");
		world.hidden[4321] = 1;
		assert_ok(search_one(&world, (struct search_rule){.allowed = visible}, &err), &err);
		check(&world, (struct search_rule){.allowed = visible}, 10, 1);
		world.queries[0] = NAN;
		assert_fails(search_one(&world, (struct search_rule){0}, &err),
			STATUS_FAILED_PRECONDITION, &err, "is not a number");
		world_fini(&world);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_best_are_those_of_a_plain_loop_bit_for_bit,
		k_may_be_none_or_more_than_there_are, ties_go_to_the_smaller_item_wherever_it_lies,
		filters_apply_before_the_cut, threads_change_nothing,
		what_is_not_a_number_is_an_error_unless_it_is_filtered_out, NULL};
	return run_cases("search", cases);
}
