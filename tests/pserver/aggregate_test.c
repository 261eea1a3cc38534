#include "pserver/aggregate.h"

#include "common/base/lane_tree.h"
#include "common/base/random.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

#define UNIVERSE 60u /* ids 0, 7, 14, ... */
#define DIM	 5u
#define STEPS	 4u
#define LANES	 8u
#define SEGMENTS (LANES * 2)

static struct store *new_store(uint32_t tables)
{
	struct error err;
	struct store *store;
	struct store_options options = {.seed = 3};
	assert_ok(store_new(&store, &options, &err), &err);
	for (uint32_t t = 0; t < tables; t++) {
		struct table_spec spec = {.name = "a",
			.dim = DIM,
			.init_limit = 0.5f,
			.optimizer = optimizer_defaults(OPTIMIZER_ADAGRAD)};
		spec.name[0] = (char)('a' + t);
		uint32_t table;
		assert_ok(store_create_table(store, &spec, &table, &err), &err);
		ck_assert_uint_eq(table, t);
	}
	return store;
}

/* A step's gradients, lane by lane: a lane has some of the ids. */
struct step {
	bool has[LANES][UNIVERSE];
	float gradients[LANES][UNIVERSE][DIM];
};

/* Magnitudes far apart, so that another order of the additions would round differently. */
static void draw(struct step *step, uint32_t table, uint64_t number)
{
	struct random_sequence random;
	random_sequence_init(&random, number, table);
	for (uint32_t lane = 0; lane < LANES; lane++)
		for (uint32_t u = 0; u < UNIVERSE; u++) {
			step->has[lane][u] = random_below(&random, 3) == 0;
			for (uint32_t j = 0; j < DIM; j++) {
				double scale = random_below(&random, 2) ? 1e-4 : 1e3;
				step->gradients[lane][u][j] =
					(float)(scale * random_normal(&random));
			}
		}
}

static enum status add(struct aggregate *aggregate, uint32_t table, uint32_t slot, const void *ids,
	size_t n, const float *gradients, struct error *err)
{
	const struct aggregate_segment segment = {
		.table = table, .slot = slot, .n = n, .ids = ids, .gradients = gradients};
	return aggregate_add(aggregate, &segment, err);
}

/* A worker's message: unaligned ids, gradients behind them. */
struct segment {
	uint32_t slot;
	size_t n;
	unsigned char ids[UNIVERSE * 8 + 4];
	float gradients[UNIVERSE * DIM];
};

/* What a worker sends for one span: each id's sum over the span's lanes. */
static void fill(struct segment *segment, const struct step *step, struct lane_span span)
{
	segment->slot = span.first;
	segment->n = 0;
	for (uint32_t u = 0; u < UNIVERSE; u++) {
		const float *slots[LANES] = {NULL};
		bool any = false;
		for (uint32_t lane = span.first; lane < span.first + span.count; lane++) {
			if (!step->has[lane][u])
				continue;
			slots[lane] = step->gradients[lane][u];
			any = true;
		}
		if (!any)
			continue;
		const uint64_t id = (uint64_t)u * 7;
		memcpy(segment->ids + 4 + segment->n * 8, &id, sizeof(id));
		lane_tree_sum(segment->gradients + segment->n * DIM, slots, LANES, DIM);
		segment->n++;
	}
}

/* A job of `workers` workers over two tables; the segments of a step come in a random order. */
static void train(struct store *store, uint32_t workers, uint64_t order_seed)
{
	struct error err;
	struct aggregate *aggregate;
	struct random_sequence random;
	random_sequence_init(&random, order_seed, 1);
	static struct segment segments[2 * SEGMENTS];
	assert_ok(aggregate_new(&aggregate, store, &err), &err);
	for (uint64_t number = 1; number <= STEPS; number++) {
		uint32_t total = 0, tables[2 * SEGMENTS], order[2 * SEGMENTS];
		for (uint32_t table = 0; table < 2; table++) {
			static struct step step;
			draw(&step, table, number);
			for (uint32_t worker = 0; worker < workers; worker++) {
				struct lane_span spans[LANES];
				uint32_t n = lane_spans(
					LANES, lane_block(LANES, worker, workers), spans);
				for (uint32_t s = 0; s < n; s++) {
					tables[total] = table;
					order[total] = total;
					fill(&segments[total++], &step, spans[s]);
				}
			}
		}
		random_shuffle(&random, order, total);
		for (uint32_t i = 0; i < total; i++) {
			const struct segment *segment = &segments[order[i]];
			assert_ok(add(aggregate, tables[order[i]], segment->slot, segment->ids + 4,
					  segment->n, segment->gradients, &err),
				&err);
		}
		ck_assert_uint_eq(aggregate_count(aggregate), total);
		assert_ok(aggregate_apply(aggregate, number, &err), &err);
		ck_assert_uint_eq(aggregate_count(aggregate), 0);
	}
	aggregate_free(aggregate);
}

/* The same job without an aggregate: every id's tree over all lanes, in the book's form. */
static void train_plainly(struct store *store)
{
	struct error err;
	for (uint64_t number = 1; number <= STEPS; number++)
		for (uint32_t table = 0; table < 2; table++) {
			static struct step step;
			draw(&step, table, number);
			for (uint32_t u = 0; u < UNIVERSE; u++) {
				const uint64_t id = (uint64_t)u * 7;
				const float *slots[LANES] = {NULL};
				float sum[DIM];
				bool any = false;
				for (uint32_t lane = 0; lane < LANES; lane++) {
					slots[lane] =
						step.has[lane][u] ? step.gradients[lane][u] : NULL;
					any |= step.has[lane][u];
				}
				if (!any)
					continue;
				lane_tree_sum(sum, slots, LANES, DIM);
				assert_ok(
					store_apply(store, table, &id, 1, sum, number, &err), &err);
			}
		}
}

START_TEST(any_number_of_workers_in_any_order_gives_the_bits_of_one_worker)
{
	struct store *plain = new_store(2);
	struct digest expected = {0};
	train_plainly(plain);
	store_digest(plain, &expected);
	const uint32_t workers[] = {1, 2, 3, 4, 5, 8};
	for (size_t w = 0; w < 6; w++)
		for (uint64_t seed = 1; seed <= 8; seed++) {
			struct store *store = new_store(2);
			struct digest digest = {0};
			train(store, workers[w], seed);
			store_digest(store, &digest);
			ck_assert_msg(memcmp(&digest, &expected, sizeof(digest)) == 0,
				"%u workers, order %llu: other bits", workers[w],
				(unsigned long long)seed);
			store_free(store);
		}
	store_free(plain);
}
END_TEST

START_TEST(rows_are_created_in_one_order_whatever_the_order_of_arrival)
{
	enum { MAX = UNIVERSE };
	static uint64_t ids[2][MAX];
	static float records[2][MAX * DIM * 2];
	struct error err;
	for (uint64_t run = 0; run < 2; run++) {
		struct store *store = new_store(2);
		struct store_cursor cursor = {0};
		size_t n;
		train(store, 5, 10 + run);
		assert_ok(store_snapshot(store, 0, &cursor, MAX, ids[run], records[run], &n, &err),
			&err);
		ck_assert_uint_eq(n, UNIVERSE);
		store_free(store);
	}
	ck_assert_mem_eq(ids[0], ids[1], sizeof(ids[0]));
	ck_assert_mem_eq(records[0], records[1], sizeof(records[0]));
}
END_TEST

START_TEST(more_ids_than_a_part_of_the_sums_are_all_applied)
{
	enum { COUNT = 60000 };
	struct error err;
	struct store *store = new_store(1);
	struct aggregate *aggregate;
	uint64_t *ids = malloc(COUNT * sizeof(*ids));
	float *gradients = calloc(COUNT * DIM, sizeof(*gradients));
	for (uint32_t i = 0; i < COUNT; i++)
		ids[i] = i;
	assert_ok(aggregate_new(&aggregate, store, &err), &err);
	assert_ok(add(aggregate, 0, 4, ids, COUNT, gradients, &err), &err);
	assert_ok(add(aggregate, 0, 0, ids + 10, COUNT - 10, gradients, &err), &err);
	assert_ok(add(aggregate, 0, 6, ids, 0, NULL, &err), &err);
	assert_ok(aggregate_apply(aggregate, 1, &err), &err);
	ck_assert_uint_eq(store_count(store, 0), COUNT);
	/* Nothing came: a step of its own. */
	assert_ok(aggregate_apply(aggregate, 2, &err), &err);
	aggregate_free(aggregate);
	store_free(store);
	free(ids);
	free(gradients);
}
END_TEST

START_TEST(an_id_twice_in_a_segment_is_refused_before_anything_is_applied)
{
	struct error err;
	struct store *store = new_store(2);
	struct aggregate *aggregate;
	const uint64_t distinct[3] = {1, 2, 3}, twice[3] = {4, 2, 4};
	const float gradients[3 * DIM] = {0};
	assert_ok(aggregate_new(&aggregate, store, &err), &err);
	for (uint32_t slot = 0; slot < 2; slot++)
		assert_ok(add(aggregate, 0, slot, distinct, 3, gradients, &err), &err);
	assert_ok(add(aggregate, 1, 3, twice, 3, gradients, &err), &err);
	assert_ok(add(aggregate, 1, 0, distinct, 3, gradients, &err), &err);
	assert_fails(aggregate_apply(aggregate, 9, &err), STATUS_INVALID_ARGUMENT, &err,
		"step 9: segment of table 1, slot 3: id 4 comes twice");
	ck_assert_uint_eq(store_count(store, 0), 0);
	ck_assert_uint_eq(store_count(store, 1), 0);
	ck_assert_uint_eq(aggregate_count(aggregate), 0);
	aggregate_free(aggregate);
	store_free(store);
}
END_TEST

/* Segments without ids count too; what is cut back or refused does not. */
START_TEST(a_table_counts_the_examples_of_what_was_applied)
{
	struct store *store = new_store(2);
	struct aggregate *aggregate;
	struct error err;
	const uint64_t ids[] = {4, 4};
	const float gradients[2 * DIM] = {0};
	struct aggregate_segment segment = {
		.slot = 1, .examples = 30, .n = 1, .ids = ids, .gradients = gradients};
	assert_ok(aggregate_new(&aggregate, store, &err), &err);
	assert_ok(aggregate_add(aggregate, &segment, &err), &err);
	segment.slot = 2;
	segment.examples = 12;
	segment.n = 0;
	assert_ok(aggregate_add(aggregate, &segment, &err), &err);
	segment.slot = 3;
	assert_ok(aggregate_add(aggregate, &segment, &err), &err);
	aggregate_cut(aggregate, 2);
	ck_assert_uint_eq(store_examples(store, 0), 0);
	assert_ok(aggregate_apply(aggregate, 1, &err), &err);
	ck_assert_uint_eq(store_examples(store, 0), 42);
	ck_assert_uint_eq(store_examples(store, 1), 0);
	segment.n = 2;
	for (segment.slot = 0; segment.slot < 2; segment.slot++)
		assert_ok(aggregate_add(aggregate, &segment, &err), &err);
	ck_assert_int_eq(aggregate_apply(aggregate, 2, &err), STATUS_INVALID_ARGUMENT);
	ck_assert_uint_eq(store_examples(store, 0), 42);
	store_set_examples(store, 1, 7);
	store_count_examples(store, 1, 1);
	ck_assert_uint_eq(store_examples(store, 1), 8);
	aggregate_free(aggregate);
	store_free(store);
}
END_TEST

START_TEST(a_bad_segment_is_refused_and_leaves_the_others)
{
	struct error err;
	struct store *store;
	struct store_options options = {.seed = 3, .shard_index = 0, .shard_count = 2};
	assert_ok(store_new(&store, &options, &err), &err);
	struct table_spec spec = {
		.name = "a", .dim = 1, .optimizer = optimizer_defaults(OPTIMIZER_SGD)};
	uint32_t table;
	assert_ok(store_create_table(store, &spec, &table, &err), &err);
	struct aggregate *aggregate;
	assert_ok(aggregate_new(&aggregate, store, &err), &err);
	uint64_t own = 0, foreign = 0;
	while (shard_of(virtual_shard_of(own), 2) != 0)
		own++;
	while (shard_of(virtual_shard_of(foreign), 2) != 1)
		foreign++;
	const float gradient = 1.0f;
	assert_ok(add(aggregate, table, 0, &own, 1, &gradient, &err), &err);
	assert_fails(add(aggregate, table, 0, &own, 1, &gradient, &err), STATUS_INVALID_ARGUMENT,
		&err, "slot 0 has one already");
	assert_fails(add(aggregate, table, LANES_MAX, &own, 1, &gradient, &err),
		STATUS_INVALID_ARGUMENT, &err, "slot 256 is no lane");
	assert_fails(add(aggregate, table, 1, &foreign, 1, &gradient, &err),
		STATUS_INVALID_ARGUMENT, &err, "segment of slot 1: table a: id");
	assert_fails(add(aggregate, 5, 1, &own, 1, &gradient, &err), STATUS_NOT_FOUND, &err,
		"no table 5");
	assert_fails(add(aggregate, table, 1, &own, SIZE_MAX, &gradient, &err),
		STATUS_INVALID_ARGUMENT, &err, "ids, at most");
	ck_assert_uint_eq(aggregate_count(aggregate), 1);
	/* Cut back, as when a later segment of a push is refused. */
	assert_ok(add(aggregate, table, 7, &own, 1, &gradient, &err), &err);
	aggregate_cut(aggregate, 1);
	aggregate_cut(aggregate, 5);
	ck_assert_uint_eq(aggregate_count(aggregate), 1);
	assert_ok(aggregate_apply(aggregate, 1, &err), &err);
	float row;
	assert_ok(store_pull(store, table, &own, 1, &row, &err), &err);
	ck_assert(row == -spec.optimizer.learning_rate);
	aggregate_free(aggregate);
	aggregate_free(NULL);
	store_free(store);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		any_number_of_workers_in_any_order_gives_the_bits_of_one_worker,
		rows_are_created_in_one_order_whatever_the_order_of_arrival,
		more_ids_than_a_part_of_the_sums_are_all_applied,
		an_id_twice_in_a_segment_is_refused_before_anything_is_applied,
		a_bad_segment_is_refused_and_leaves_the_others,
		a_table_counts_the_examples_of_what_was_applied, NULL};
	return run_cases("aggregate", cases);
}
