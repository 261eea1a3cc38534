/* Batches through the model: what is planned, scored and learnt, and with which bits. */
#include "common/model/model.h"

#include "tests/common/model/fusion_reference.h"
#include "tests/support/suite.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ODD                                                                                        \
	"{\"user_dim\": 5, \"movie_dim\": 7, \"word_dim\": 9, \"filters\": 11, \"hidden\": 37,"    \
	"\"user_fc\": 13, \"genre_dim\": 6}"

START_TEST(planned_ids_are_distinct_and_in_order_of_first_use)
{
	struct fixture f;
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 1});
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
		uint32_t count;
		const uint64_t *ids = model_plan_ids(f.workspace, t, &count);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t j = 0; j < i; j++)
				ck_assert_msg(ids[i] != ids[j], "id twice in table %u", t);
	}
	/* Users 0 1 2 ? 4 5 6 ? 8 with ? the unknown row. */
	const uint64_t users[] = {0, 1, 2, UNKNOWN_ID, 4, 5, 6, 8};
	uint32_t count;
	const uint64_t *ids = model_plan_ids(f.workspace, 0, &count);
	ck_assert_uint_eq(count, 8);
	ck_assert_mem_eq(ids, users, sizeof(users));
	fixture_fini(&f);
}
END_TEST

START_TEST(scores_match_the_double_precision_reference)
{
	struct fixture f;
	struct error err;
	float scores[60];
	fixture_init(&f, &(struct fixture_options){"{}", 12, 20, 60, 2});
	assert_ok(model_score(f.workspace, &f.weights, f.rows, scores, &err), &err);
	for (uint32_t e = 0; e < 60; e++)
		ck_assert_double_eq_tol((double)scores[e],
			reference_score(&f.reference, &f.batch.users[f.batch.example_user[e]],
				&f.batch.movies[f.batch.example_movie[e]]),
			1e-5);
	fixture_fini(&f);
}
END_TEST

/* Everything model_train leaves, for comparisons bit by bit. */
static size_t collect(const struct fixture *f, float *out)
{
	size_t n = model_dense_size(f->model);
	memcpy(out, model_dense_gradient(f->workspace), n * sizeof(float));
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
		uint32_t count;
		(void)model_plan_ids(f->workspace, t, &count);
		size_t size = (size_t)count * model_table(f->model, t)->dim;
		memcpy(out + n, model_table_gradient(f->workspace, t), size * sizeof(float));
		n += size;
	}
	return n;
}

enum { COLLECTED = 1 << 17 };

static float *floats(size_t n)
{
	float *values = calloc(n, sizeof(*values));
	ck_assert_ptr_nonnull(values);
	return values;
}

START_TEST(weights_packed_in_parts_are_those_packed_at_once)
{
	struct fixture f;
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 11});
	size_t n = model_dense_size(f.model), packed = model_packed_size(f.model);
	for (size_t step = 1; step < 2 * n; step = step * 3 + 1) {
		float *parts = floats(packed);
		for (size_t begin = 0; begin < n; begin += step)
			model_pack(f.model, parts, f.dense, begin,
				begin + step < n ? begin + step : n);
		ck_assert_mem_eq(parts, f.weights.packed, packed * sizeof(float));
		free(parts);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(a_second_workspace_and_moved_parameters_give_the_same_bits)
{
	struct fixture f;
	struct error err;
	fixture_init(&f, &(struct fixture_options){"{}", 30, 30, 64, 3});
	float *first = floats(COLLECTED), *second = floats(COLLECTED);
	size_t dense_size = model_dense_size(f.model);
	size_t packed_size = model_packed_size(f.model);
	float *moved = floats(dense_size + 16), *moved_packed = floats(packed_size + 16);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	double cost = model_cost(f.workspace);
	size_t n = collect(&f, first);
	ck_assert_uint_lt(n, COLLECTED);

	for (size_t shift = 1; shift < 16; shift += 5) {
		/* A new workspace, dense parameters off their alignment, rows packed and off. */
		float *packed[FIXTURE_TABLES];
		struct model_rows rows[FIXTURE_TABLES];
		model_workspace_free(f.workspace);
		assert_ok(model_workspace_new(&f.workspace, f.model, NULL, &err), &err);
		fixture_plan(&f);
		memcpy(moved + shift, f.dense, dense_size * sizeof(float));
		memcpy(moved_packed + shift, f.weights.packed, packed_size * sizeof(float));
		const struct model_weights weights = {moved + shift, moved_packed + shift};
		for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
			uint32_t count, dim = model_table(f.model, t)->dim;
			(void)model_plan_ids(f.workspace, t, &count);
			packed[t] = floats((size_t)count * dim + shift);
			for (uint32_t j = 0; j < count; j++)
				memcpy(packed[t] + shift + (size_t)j * dim,
					f.rows[t].base + (size_t)f.rows[t].index[j] * dim,
					dim * sizeof(float));
			rows[t] = (struct model_rows){packed[t] + shift, NULL};
		}
		assert_ok(model_train(f.workspace, &weights, rows, &err), &err);
		ck_assert(model_cost(f.workspace) == cost);
		ck_assert_uint_eq(collect(&f, second), n);
		ck_assert_mem_eq(first, second, n * sizeof(float));
		for (uint32_t t = 0; t < FIXTURE_TABLES; t++)
			free(packed[t]);
	}
	free(moved);
	free(moved_packed);
	free(first);
	free(second);
	fixture_fini(&f);
}
END_TEST

START_TEST(a_workspace_carries_nothing_over_from_other_batches)
{
	struct fixture f;
	struct error err;
	fixture_init(&f, &(struct fixture_options){ODD, 20, 30, 64, 4});
	float *first = floats(COLLECTED), *second = floats(COLLECTED);
	const struct model_batch whole = f.batch;
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	size_t n = collect(&f, first);
	/* A smaller batch, one without titles, one without anything. */
	f.batch.example_count = 0;
	f.batch.user_count = 3;
	f.batch.movie_count = 1;
	for (int round = 0; round < 2; round++) {
		fixture_plan(&f);
		assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
		ck_assert(model_cost(f.workspace) == 0);
		const float *gradient = model_dense_gradient(f.workspace);
		for (size_t i = 0; i < model_dense_size(f.model); i++)
			if (gradient[i] != 0)
				ck_abort_msg("gradient %zu is %g", i, (double)gradient[i]);
		f.batch.user_count = f.batch.movie_count = 0;
	}
	f.batch = whole;
	fixture_plan(&f);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	ck_assert_uint_eq(collect(&f, second), n);
	ck_assert_mem_eq(first, second, n * sizeof(float));
	free(first);
	free(second);
	fixture_fini(&f);
}
END_TEST

START_TEST(padding_between_tensors_has_no_gradient)
{
	struct fixture f;
	struct error err;
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 5});
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	const float *gradient = model_dense_gradient(f.workspace);
	size_t at = 0;
	for (uint32_t i = 0; i <= model_tensor_count(f.model); i++) {
		bool end = i == model_tensor_count(f.model);
		const struct model_tensor *tensor = end ? NULL : model_tensor(f.model, i);
		for (; at < (end ? model_dense_size(f.model) : tensor->offset); at++)
			ck_assert_msg(gradient[at] == 0, "padding at %zu", at);
		if (!end)
			at += (size_t)tensor->rows * tensor->cols;
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(repeating_every_example_doubles_the_gradient)
{
	struct fixture f;
	struct error err;
	uint32_t user[80], movie[80];
	float labels[80];
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 6});
	float *once = floats(COLLECTED), *twice = floats(COLLECTED);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	size_t n = collect(&f, once);
	for (uint32_t e = 0; e < 80; e++) {
		user[e] = f.batch.example_user[e % 40];
		movie[e] = f.batch.example_movie[e % 40];
		labels[e] = f.batch.labels[e % 40];
	}
	f.batch.example_count = 80;
	f.batch.example_user = user;
	f.batch.example_movie = movie;
	f.batch.labels = labels;
	fixture_plan(&f);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	ck_assert_uint_eq(collect(&f, twice), n);
	for (size_t i = 0; i < n; i++)
		if (fabsf(twice[i] - 2 * once[i]) > 1e-5f * (1 + fabsf(once[i])))
			ck_abort_msg("%zu: %g, twice %g", i, (double)twice[i], (double)once[i]);
	free(once);
	free(twice);
	fixture_fini(&f);
}
END_TEST

START_TEST(the_order_of_examples_does_not_matter)
{
	struct fixture f;
	struct error err;
	uint32_t user[40], movie[40];
	float labels[40], scores[40], reversed[40];
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 7});
	float *first = floats(COLLECTED), *second = floats(COLLECTED);
	assert_ok(model_score(f.workspace, &f.weights, f.rows, scores, &err), &err);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	size_t n = collect(&f, first);
	for (uint32_t e = 0; e < 40; e++) {
		user[e] = f.batch.example_user[39 - e];
		movie[e] = f.batch.example_movie[39 - e];
		labels[e] = f.batch.labels[39 - e];
	}
	f.batch.example_user = user;
	f.batch.example_movie = movie;
	f.batch.labels = labels;
	fixture_plan(&f);
	assert_ok(model_score(f.workspace, &f.weights, f.rows, reversed, &err), &err);
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	for (uint32_t e = 0; e < 40; e++)
		ck_assert(scores[e] == reversed[39 - e]);
	ck_assert_uint_eq(collect(&f, second), n);
	for (size_t i = 0; i < n; i++)
		if (fabsf(first[i] - second[i]) > 1e-5f * (1 + fabsf(first[i])))
			ck_abort_msg("%zu: %g, %g", i, (double)first[i], (double)second[i]);
	free(first);
	free(second);
	fixture_fini(&f);
}
END_TEST

START_TEST(vectors_of_each_tower_give_the_scores_of_pairs)
{
	struct fixture f;
	struct error err;
	float scores[40];
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 8});
	const struct model_batch whole = f.batch;
	size_t dim = model_vector_dim(f.model);
	float *users = floats(9 * dim), *movies = floats(16 * dim);
	assert_ok(model_score(f.workspace, &f.weights, f.rows, scores, &err), &err);
	f.batch = (struct model_batch){.user_count = 9, .users = whole.users};
	fixture_plan(&f);
	assert_ok(model_user_vectors(f.workspace, &f.weights, f.rows, users, &err), &err);
	f.batch = (struct model_batch){.movie_count = 16, .movies = whole.movies};
	fixture_plan(&f);
	assert_ok(model_movie_vectors(f.workspace, &f.weights, f.rows, movies, &err), &err);
	for (uint32_t e = 0; e < 40; e++)
		ck_assert(
			scores[e] == model_pair_score(f.model, users + whole.example_user[e] * dim,
					     movies + whole.example_movie[e] * dim));
	for (uint32_t e = 0; e < 40; e++) {
		const float *user = users + whole.example_user[e] * dim,
			    *movie = movies + whole.example_movie[e] * dim;
		double product = 0;
		for (size_t i = 0; i < dim; i++)
			product += (double)user[i] * (double)movie[i];
		product *= (double)(model_user_factor(f.model, user) *
				    model_movie_factor(f.model, movie));
		ck_assert_double_eq_tol(product, (double)scores[e], 1e-5);
	}
	free(users);
	free(movies);
	fixture_fini(&f);
}
END_TEST

START_TEST(a_batch_that_does_not_fit_the_tables_is_refused)
{
	struct fixture f;
	struct error err;
	fixture_init(&f, &(struct fixture_options){ODD, 9, 16, 40, 9});
	const struct user_entity user = {.id = 0, .gender = 2};
	const uint32_t word = 20, zero = 0;
	const struct movie_entity movie = {.words = &word, .word_count = 1};
	struct model_batch batch = {.user_count = 1, .users = &user};
	assert_fails(model_plan(f.workspace, &batch, &err), STATUS_OUT_OF_RANGE, &err, "gender 2");
	batch = (struct model_batch){.movie_count = 1, .movies = &movie};
	assert_fails(model_plan(f.workspace, &batch, &err), STATUS_OUT_OF_RANGE, &err, "word 20");
	batch = (struct model_batch){
		.example_count = 1, .example_user = &zero, .example_movie = &zero};
	assert_fails(model_plan(f.workspace, &batch, &err), STATUS_INVALID_ARGUMENT, &err,
		"example 0: user 0 of 0");
	assert_fails(model_train(f.workspace, &f.weights, f.rows, &err), STATUS_FAILED_PRECONDITION,
		&err, "no batch is planned");
	f.batch.labels = NULL;
	fixture_plan(&f);
	assert_fails(model_train(f.workspace, &f.weights, f.rows, &err), STATUS_FAILED_PRECONDITION,
		&err, "labels");
	fixture_fini(&f);
}
END_TEST

START_TEST(steps_allocate_nothing_after_the_first)
{
	struct fixture f;
	struct error err;
	fixture_init(&f, &(struct fixture_options){"{}", 30, 30, 64, 10});
	const struct model_batch whole = f.batch;
	assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (uint32_t n = 1; n <= 30; n++) {
		f.batch = whole;
		f.batch.user_count = f.batch.movie_count = n;
		f.batch.example_count = 0;
		fixture_plan(&f);
		assert_ok(model_train(f.workspace, &f.weights, f.rows, &err), &err);
	}
	ck_assert_uint_eq(mallinfo2().uordblks + mallinfo2().hblkhd, before);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {planned_ids_are_distinct_and_in_order_of_first_use,
		scores_match_the_double_precision_reference,
		weights_packed_in_parts_are_those_packed_at_once,
		a_second_workspace_and_moved_parameters_give_the_same_bits,
		a_workspace_carries_nothing_over_from_other_batches,
		padding_between_tensors_has_no_gradient,
		repeating_every_example_doubles_the_gradient, the_order_of_examples_does_not_matter,
		vectors_of_each_tower_give_the_scores_of_pairs,
		a_batch_that_does_not_fit_the_tables_is_refused,
		steps_allocate_nothing_after_the_first, NULL};
	return run_cases("model step", cases);
}
