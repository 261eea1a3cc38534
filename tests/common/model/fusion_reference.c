#include "tests/common/model/fusion_reference.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { USER, GENDER, AGE, OCCUPATION, MOVIE, GENRE, WORD };
enum {
	USER_FC,
	GENDER_FC,
	AGE_FC,
	OCCUPATION_FC,
	USER_COMBINED,
	MOVIE_FC,
	TITLE_CONV,
	MOVIE_COMBINED,
};
enum { WIDEST = 256 };

static const char *const layer_names[FIXTURE_LAYERS] = {"user_fc", "gender_fc", "age_fc",
	"occupation_fc", "user_combined", "movie_fc", "title_conv", "movie_combined"};

size_t fixture_row(const struct model *model, uint32_t table, uint64_t id)
{
	return id == UNKNOWN_ID ? model_table(model, table)->rows : id;
}

static const double *row_of(const struct reference *reference, uint32_t table, uint64_t id)
{
	return reference->tables[table] +
	       fixture_row(reference->model, table, id) * model_table(reference->model, table)->dim;
}

static const struct model_tensor *tensor_named(const struct model *model, const char *name)
{
	for (uint32_t i = 0; i < model_tensor_count(model); i++)
		if (strcmp(model_tensor(model, i)->name, name) == 0)
			return model_tensor(model, i);
	ck_abort_msg("no tensor %s", name);
}

static void find_layers(struct reference *reference)
{
	for (size_t i = 0; i < FIXTURE_LAYERS; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "%s.weight", layer_names[i]);
		reference->weights[i] = tensor_named(reference->model, name);
		(void)snprintf(name, sizeof(name), "%s.bias", layer_names[i]);
		reference->biases[i] = tensor_named(reference->model, name);
	}
}

/* out = W in + b; returns the number of outputs. */
static size_t layer(double *out, const double *in, const struct reference *reference, int which)
{
	const struct model_tensor *weight = reference->weights[which];
	const double *w = reference->dense + weight->offset;
	const double *bias = reference->dense + reference->biases[which]->offset;
	for (size_t o = 0; o < weight->rows; o++) {
		out[o] = bias[o];
		for (size_t i = 0; i < weight->cols; i++)
			out[o] += w[o * weight->cols + i] * in[i];
	}
	return weight->rows;
}

static void title(double *pooled, const struct reference *reference, const struct movie_entity *m)
{
	size_t dim = model_table(reference->model, WORD)->dim;
	const struct model_tensor *weight = reference->weights[TITLE_CONV];
	int width = (int)(weight->cols / dim);
	for (size_t f = 0; f < weight->rows; f++)
		pooled[f] = 0;
	for (int t = 0; t < (int)m->word_count; t++) {
		double in[WIDEST] = {0}, out[WIDEST];
		for (int k = 0; k < width; k++) {
			int at = t - (width - 1) / 2 + k;
			if (at >= 0 && at < (int)m->word_count)
				memcpy(in + (size_t)k * dim, row_of(reference, WORD, m->words[at]),
					dim * sizeof(double));
		}
		(void)layer(out, in, reference, TITLE_CONV);
		for (size_t f = 0; f < weight->rows; f++) {
			double h = tanh(out[f]);
			if (!reference->pool_max)
				pooled[f] += h;
			else if (t == 0 || h > pooled[f])
				pooled[f] = h;
		}
	}
}

static double cosine(const double *x, const double *y, size_t n)
{
	double xy = 0, xx = 0, yy = 0;
	for (size_t i = 0; i < n; i++) {
		xy += x[i] * y[i];
		xx += x[i] * x[i];
		yy += y[i] * y[i];
	}
	return xy / sqrt(fmax(xx, 1e-8) * fmax(yy, 1e-8));
}

double reference_score(const struct reference *reference, const struct user_entity *user,
	const struct movie_entity *movie)
{
	double in[WIDEST], x[WIDEST], y[WIDEST];
	size_t n = layer(in, row_of(reference, USER, user->id), reference, USER_FC);
	n += layer(in + n, row_of(reference, GENDER, user->gender), reference, GENDER_FC);
	n += layer(in + n, row_of(reference, AGE, user->age), reference, AGE_FC);
	(void)layer(
		in + n, row_of(reference, OCCUPATION, user->occupation), reference, OCCUPATION_FC);
	(void)layer(x, in, reference, USER_COMBINED);

	n = layer(in, row_of(reference, MOVIE, movie->id), reference, MOVIE_FC);
	size_t genre_dim = model_table(reference->model, GENRE)->dim;
	for (size_t c = 0; c < genre_dim; c++) {
		in[n + c] = 0;
		for (uint32_t i = 0; i < movie->genre_count; i++)
			in[n + c] += row_of(reference, GENRE, movie->genres[i])[c];
	}
	title(in + n + genre_dim, reference, movie);
	size_t hidden = layer(y, in, reference, MOVIE_COMBINED);
	for (size_t h = 0; h < hidden; h++) {
		x[h] = tanh(x[h]);
		y[h] = tanh(y[h]);
	}
	return 5 * cosine(x, y, hidden);
}

double reference_loss(const struct reference *reference, const struct model_batch *batch)
{
	double sum = 0;
	for (uint32_t e = 0; e < batch->example_count; e++) {
		double difference =
			reference_score(reference, &batch->users[batch->example_user[e]],
				&batch->movies[batch->example_movie[e]]) -
			(double)batch->labels[e];
		sum += difference * difference;
	}
	return (double)batch->scale * sum;
}

static void *own(struct fixture *fixture, size_t count, size_t size)
{
	ck_assert_uint_lt(fixture->owned_count, 16);
	struct error err;
	void *memory;
	assert_ok(memory_zalloc(&memory, count, size, "fixture", &err), &err);
	fixture->owned[fixture->owned_count++] = memory;
	return memory;
}

static void random_movies(struct fixture *fixture, struct random_sequence *random)
{
	const struct model *model = fixture->model;
	uint32_t count = fixture->batch.movie_count;
	struct movie_entity *movies = own(fixture, count, sizeof(*movies));
	uint32_t *values = own(fixture, (size_t)count * 16, sizeof(*values));
	uint32_t words = (uint32_t)model_table(model, WORD)->rows;
	uint32_t genres = (uint32_t)model_table(model, GENRE)->rows;
	for (uint32_t m = 0; m < count; m++, values += 16) {
		movies[m] = (struct movie_entity){.id = m % 5 == 4 ? UNKNOWN_ID : m,
			.genres = values,
			.genre_count = m % 4,
			.words = values + 4,
			.word_count = m % 7};
		for (uint32_t i = 0; i < movies[m].genre_count; i++)
			values[i] = random_below(random, genres);
		for (uint32_t i = 0; i < movies[m].word_count; i++)
			values[4 + i] = random_below(random, words);
		/* A word twice in a row. */
		if (m % 7 == 5)
			values[6] = values[5];
	}
	fixture->batch.movies = movies;
}

static void random_batch(struct fixture *fixture, const struct fixture_options *options)
{
	struct model_batch *batch = &fixture->batch;
	struct random_sequence random;
	random_sequence_init(&random, options->seed, random_stream("batch"));
	*batch = (struct model_batch){.user_count = options->users,
		.movie_count = options->movies,
		.example_count = options->examples,
		.scale = 0.125f};
	struct user_entity *users = own(fixture, options->users, sizeof(*users));
	for (uint32_t u = 0; u < options->users; u++)
		users[u] = (struct user_entity){.id = u % 4 == 3 ? UNKNOWN_ID : u,
			.gender = random_below(&random, 2),
			.age = random_below(&random, 7),
			.occupation = random_below(&random, 21)};
	batch->users = users;
	random_movies(fixture, &random);
	uint32_t *example_user = own(fixture, options->examples, sizeof(*example_user));
	uint32_t *example_movie = own(fixture, options->examples, sizeof(*example_movie));
	float *labels = own(fixture, options->examples, sizeof(*labels));
	for (uint32_t e = 0; e < options->examples; e++) {
		/* The first examples use every entity once; the others repeat some. */
		example_user[e] = e < options->users ? e : random_below(&random, options->users);
		example_movie[e] = e < options->movies ? e : random_below(&random, options->movies);
		labels[e] = 2.0f * (float)(1 + random_below(&random, 5)) - 5.0f;
	}
	batch->example_user = example_user;
	batch->example_movie = example_movie;
	batch->labels = labels;
}

/*
 * Every number random, biases too: the gradients of zeros would hide mistakes. A quarter of the
 * users and a fifth of the movies share the unknown row; titles have 0 to 6 words, some repeated,
 * movies 0 to 3 genres, repetitions included.
 */
static void random_parameters(struct fixture *fixture, uint64_t seed)
{
	struct model *model = fixture->model;
	size_t n = model_dense_size(model);
	fixture->dense = own(fixture, n, sizeof(float));
	fixture->reference.dense = own(fixture, n, sizeof(double));
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		random_uniform_row(seed, random_stream(tensor->name), 0, 0.6f,
			fixture->dense + tensor->offset, (size_t)tensor->rows * tensor->cols);
	}
	for (size_t i = 0; i < n; i++)
		fixture->reference.dense[i] = (double)fixture->dense[i];
	float *packed = own(fixture, model_packed_size(model), sizeof(*packed));
	model_pack(model, packed, fixture->dense, 0, n);
	fixture->weights = (struct model_weights){fixture->dense, packed};
}

static void random_tables(struct fixture *fixture, uint64_t seed)
{
	size_t total = 0;
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++)
		total += (model_table(fixture->model, t)->rows + 1) *
			 model_table(fixture->model, t)->dim;
	float *values = own(fixture, total, sizeof(*values));
	double *doubles = own(fixture, total, sizeof(*doubles));
	uint32_t *index = own(fixture, total, sizeof(*index));
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
		const struct model_table *table = model_table(fixture->model, t);
		size_t n = (table->rows + 1) * table->dim;
		random_uniform_row(seed, random_stream(table->name), 0, 0.8f, values, n);
		for (size_t i = 0; i < n; i++)
			doubles[i] = (double)values[i];
		fixture->tables[t] = values;
		fixture->reference.tables[t] = doubles;
		fixture->index[t] = index;
		values += n;
		doubles += n;
		index += n;
	}
}

void fixture_plan(struct fixture *fixture)
{
	struct error err;
	assert_ok(model_plan(fixture->workspace, &fixture->batch, &err), &err);
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
		uint32_t count;
		const uint64_t *ids = model_plan_ids(fixture->workspace, t, &count);
		for (uint32_t j = 0; j < count; j++)
			fixture->index[t][j] = (uint32_t)fixture_row(fixture->model, t, ids[j]);
		fixture->rows[t] = (struct model_rows){fixture->tables[t], fixture->index[t]};
	}
}

void fixture_init(struct fixture *ret, const struct fixture_options *options)
{
	struct error err;
	struct fixture fixture = {0};
	struct model_config config;
	const struct model_sizes sizes = {.users = options->users,
		.genders = 2,
		.ages = 7,
		.occupations = 21,
		.movies = options->movies,
		.genres = 6,
		.words = 20};
	json_t *json = json_loads(options->config, 0, NULL);
	ck_assert_ptr_nonnull(json);
	assert_ok(model_config_from_json(&config, json, &err), &err);
	assert_ok(model_new(&fixture.model, &config, &sizes, &err), &err);
	assert_ok(model_workspace_new(&fixture.workspace, fixture.model, NULL, &err), &err);
	const char *pooling = json_string_value(json_object_get(json, "pooling"));
	fixture.reference.model = fixture.model;
	find_layers(&fixture.reference);
	fixture.reference.pool_max = pooling && strcmp(pooling, "max") == 0;
	json_decref(json);
	random_batch(&fixture, options);
	random_parameters(&fixture, options->seed);
	random_tables(&fixture, options->seed);
	*ret = fixture;
	fixture_plan(ret);
}

void fixture_fini(struct fixture *fixture)
{
	model_workspace_free(fixture->workspace);
	model_free(fixture->model);
	for (unsigned int i = 0; i < fixture->owned_count; i++)
		free(fixture->owned[i]);
}
