/* The fusion model against numbers of an independent implementation: see golden.py. */
#include "common/model/model.h"

#include "tests/common/model/golden.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 7, WORD_LIMIT = 8 };

/* golden.py's number(): the same stream. */
struct stream {
	uint32_t counter;
};

static double number(struct stream *stream)
{
	uint32_t x = ++stream->counter;
	x = (x ^ x >> 16) * 0x85ebca6bu;
	x = (x ^ x >> 13) * 0xc2b2ae35u;
	return ((x ^ x >> 16) >> 8) * 0x1p-24 - 0.5;
}

static uint32_t below(struct stream *stream, uint32_t bound)
{
	return (uint32_t)((number(stream) + 0.5) * bound);
}

static float *numbers(struct stream *stream, float *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (float)number(stream);
	return to;
}

struct batch {
	struct user_entity users[GOLDEN_USERS];
	struct movie_entity movies[GOLDEN_MOVIES];
	uint32_t genres[GOLDEN_MOVIES][WORD_LIMIT], words[GOLDEN_MOVIES][WORD_LIMIT];
	uint32_t example_user[GOLDEN_EXAMPLES], example_movie[GOLDEN_EXAMPLES];
	float labels[GOLDEN_EXAMPLES];
};

static struct model_batch batch_init(struct batch *b, struct stream *stream)
{
	for (uint32_t u = 0; u < GOLDEN_USERS; u++) {
		struct user_entity *user = &b->users[u];
		user->id = u;
		user->gender = below(stream, 2);
		user->age = below(stream, 7);
		user->occupation = below(stream, 21);
	}
	for (uint32_t m = 0; m < GOLDEN_MOVIES; m++) {
		b->movies[m] = (struct movie_entity){.id = m,
			.genres = b->genres[m],
			.genre_count = m % 4,
			.words = b->words[m],
			.word_count = m % 6};
		for (uint32_t i = 0; i < m % 4; i++)
			b->genres[m][i] = below(stream, 6);
		for (uint32_t i = 0; i < m % 6; i++)
			b->words[m][i] = below(stream, 20);
	}
	for (uint32_t e = 0; e < GOLDEN_EXAMPLES; e++) {
		b->example_user[e] = below(stream, GOLDEN_USERS);
		b->example_movie[e] = below(stream, GOLDEN_MOVIES);
		b->labels[e] = 2 * (float)(1 + below(stream, 5)) - 5;
	}
	return (struct model_batch){.user_count = GOLDEN_USERS,
		.users = b->users,
		.movie_count = GOLDEN_MOVIES,
		.movies = b->movies,
		.example_count = GOLDEN_EXAMPLES,
		.example_user = b->example_user,
		.example_movie = b->example_movie,
		.labels = b->labels,
		.scale = 1.0f / GOLDEN_EXAMPLES};
}

/* A gradient's norm, and its product with the next numbers, row by row in the order of ids. */
static void check(const struct golden_gradient *golden, const char *name, struct stream *stream,
	const float *const *rows, size_t count, size_t dim)
{
	double square = 0, product = 0;
	for (size_t r = 0; r < count; r++)
		for (size_t c = 0; c < dim; c++) {
			double g = rows[r] ? (double)rows[r][c] : 0;
			square += g * g;
			product += g * number(stream);
		}
	ck_assert_str_eq(golden->name, name);
	ck_assert_double_eq_tol(sqrt(square), golden->norm, 1e-5 * golden->norm);
	ck_assert_double_eq_tol(product, golden->product, 1e-5 * golden->norm);
}

static void check_gradients(const struct model *model, const struct model_workspace *workspace,
	const struct golden *golden, struct stream *stream)
{
	const float *rows[256];
	for (uint32_t t = 0; t < TABLES; t++) {
		const struct model_table *table = model_table(model, t);
		uint32_t count;
		const uint64_t *ids = model_plan_ids(workspace, t, &count);
		memset(rows, 0, sizeof(rows));
		for (uint32_t j = 0; j < count; j++)
			rows[ids[j]] = model_table_gradient(workspace, t) + (size_t)j * table->dim;
		check(&golden->gradients[t], table->name, stream, rows, table->rows, table->dim);
	}
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		for (size_t r = 0; r < tensor->rows; r++)
			rows[r] =
				model_dense_gradient(workspace) + tensor->offset + r * tensor->cols;
		check(&golden->gradients[TABLES + i], tensor->name, stream, rows, tensor->rows,
			tensor->cols);
	}
}

static void run(const struct golden *golden)
{
	const struct model_sizes sizes = {GOLDEN_USERS, 2, 7, 21, GOLDEN_MOVIES, 6, 20};
	struct error err;
	struct model_config config;
	struct model *model;
	struct model_workspace *workspace;
	struct stream stream = {0};
	struct batch b;
	struct model_rows rows[TABLES];
	uint32_t index[TABLES][64];
	float *tables[TABLES], scores[GOLDEN_EXAMPLES];
	json_t *json = json_pack("{s:s}", "pooling", golden->pooling);
	assert_ok(model_config_from_json(&config, json, &err), &err);
	json_decref(json);
	assert_ok(model_new(&model, &config, &sizes, &err), &err);
	assert_ok(model_workspace_new(&workspace, model, NULL, &err), &err);
	for (uint32_t t = 0; t < TABLES; t++) {
		size_t n = model_table(model, t)->rows * model_table(model, t)->dim;
		tables[t] = numbers(&stream, calloc(n, sizeof(float)), n);
	}
	float *dense = calloc(model_dense_size(model), sizeof(float));
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		(void)numbers(&stream, dense + tensor->offset, (size_t)tensor->rows * tensor->cols);
	}
	float *packed = calloc(model_packed_size(model), sizeof(float));
	model_pack(model, packed, dense, 0, model_dense_size(model));
	const struct model_weights weights = {dense, packed};
	const struct model_batch batch = batch_init(&b, &stream);
	assert_ok(model_plan(workspace, &batch, &err), &err);
	for (uint32_t t = 0; t < TABLES; t++) {
		uint32_t count;
		const uint64_t *ids = model_plan_ids(workspace, t, &count);
		for (uint32_t j = 0; j < count; j++)
			index[t][j] = (uint32_t)ids[j];
		rows[t] = (struct model_rows){tables[t], index[t]};
	}
	assert_ok(model_score(workspace, &weights, rows, scores, &err), &err);
	for (uint32_t e = 0; e < GOLDEN_EXAMPLES; e++)
		ck_assert_double_eq_tol((double)scores[e], golden->scores[e], 1e-5);
	assert_ok(model_train(workspace, &weights, rows, &err), &err);
	check_gradients(model, workspace, golden, &stream);
	for (uint32_t t = 0; t < TABLES; t++)
		free(tables[t]);
	free(packed);
	free(dense);
	model_workspace_free(workspace);
	model_free(model);
}

START_TEST(scores_and_gradients_are_those_of_pytorch)
{
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++)
		run(&goldens[i]);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {scores_and_gradients_are_those_of_pytorch, NULL};
	return run_cases("fusion, golden numbers", cases);
}
