#include "tests/inference/sample.h"

#include "common/base/random.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"
#include "common/model/model_record.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS	   3u
#define WIDEST	   64u
#define VECTOR_MAX 16u

static void write_text(const char *directory, const char *name, const char *text)
{
	char path[PATH_SIZE];
	scratch_write(scratch_path(path, directory, name), text, strlen(text));
}

static void write_data(struct sample *sample, const struct sample_options *options)
{
	struct error err;
	char users[256], movies[512];
	const char *far = options->far_ids ? "000000000000" : "";
	const char *far_movie = options->far_movie ? "000000000000" : "";
	assert_ok(directory_create(sample->data, &err), &err);
	snprintf(users, sizeof(users),
		"3%s::F::1::10::1\n1%s::M::56::16::70072\n40%s::M::25::0::55117\n7%s::F::18::4::"
		"1\n",
		far, far, far, far);
	write_text(sample->data, "users.dat", users);
	snprintf(movies, sizeof(movies),
		"5::Father of the Bride (1995)::Comedy\n"
		"1::Toy Story (1995)::Animation|Children's|Comedy\n"
		"9::Caf\xe9 Story (1999)::Drama\n"
		"12::The Bride of the Story (2000)::Drama|Comedy\n"
		"30%s:: (1931)::Drama\n",
		far_movie);
	write_text(sample->data, "movies.dat", movies);
	char ratings[256];
	snprintf(ratings, sizeof(ratings),
		"1%s::1::5::9\n1%s::9::2::9\n3%s::5::4::9\n40%s::30%s::1::9\n", far, far, far, far,
		far_movie);
	write_text(sample->data, "ratings.dat", ratings);
	const struct data_options strict = {0};
	assert_ok(catalog_load(&sample->catalog, sample->data, &strict, NULL, &err), &err);
}

static struct model *make_model(const struct sample *sample, const struct sample_options *options,
	struct model_config *config, struct model_sizes *sizes)
{
	struct error err;
	struct model *model;
	json_t *json = json_pack(
		"{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s}", "user_dim", 5,
		"gender_dim", 2, "age_dim", 3, "occupation_dim", 4, "movie_dim", 6, "genre_dim", 3,
		"word_dim", 4, "user_fc", 4, "gender_fc", 3, "age_fc", 2, "occupation_fc", 3,
		"movie_fc", 5, "filters", 4, "filter_width", 3, "hidden", 7, "pooling",
		options->max_pooling ? "max" : "sum");
	assert_ok(model_config_from_json(config, json, &err), &err);
	json_decref(json);
	*sizes = (struct model_sizes){.users = catalog_user_rows(&sample->catalog),
		.genders = 2,
		.ages = 7,
		.occupations = catalog_occupation_rows(&sample->catalog),
		.movies = catalog_movie_rows(&sample->catalog),
		.genres = sample->catalog.genres.count,
		.words = sample->catalog.words.count};
	assert_ok(model_new(&model, config, sizes, &err), &err);
	return model;
}

/* The trained ids of a table. */
static size_t trained_ids(const struct sample *sample, const struct sample_options *options,
	const struct model_table *table, uint64_t *ids)
{
	const struct catalog *catalog = &sample->catalog;
	size_t count = 0;
	if (options->nothing_trained)
		return 0;
	if (!table->has_unknown) {
		for (uint64_t id = 0; id < table->rows; id++)
			if (id != 2)
				ids[count++] = id;
		return count;
	}
	const bool user = table_entity_of(table) == ENTITY_USER;
	for (uint32_t i = 0; i < (user ? SAMPLE_USERS : SAMPLE_MOVIES); i++)
		if (i != (user ? SAMPLE_UNTRAINED : SAMPLE_STRANGER))
			ids[count++] = user ? catalog->user_ids[i] : catalog->movie_ids[i];
	if (!options->without_unknown)
		ids[count++] = UNKNOWN_ID;
	return count;
}

static void write_shards(const struct sample *sample, const struct sample_options *options,
	const struct model *model, const char *path, uint64_t step, struct manifest *manifest)
{
	struct error err;
	const uint32_t table_count = model_table_count(model);
	const float scale = options->scale != 0 ? options->scale : 0.5f;
	for (uint32_t s = 0; s < SHARDS; s++) {
		struct shard_table tables[16] = {0};
		uint64_t ids[16][WIDEST];
		for (uint32_t t = 0; t < table_count; t++) {
			const struct model_table *table = model_table(model, t);
			uint64_t all[WIDEST];
			ck_assert_uint_lt(table->has_unknown ? 8 : table->rows, WIDEST);
			size_t count = trained_ids(sample, options, table, all);
			memcpy(tables[t].name, table->name, sizeof(table->name));
			tables[t].dim = table->dim;
			tables[t].slots = 1;
			for (size_t i = 0; i < count; i++)
				if (hash_u64(all[i]) % SHARDS == s)
					ids[t][tables[t].count++] = all[i];
		}
		char name[MANIFEST_FILE_NAME_SIZE], file[PATH_SIZE];
		struct file_stamp stamp;
		static float records[16][WIDEST][WIDEST];
		struct shard_piece pieces[16 * WIDEST];
		size_t piece_count = 0;
		for (uint32_t t = 0; t < table_count; t++) {
			for (size_t i = 0; i < tables[t].count; i++) {
				float *record = records[t][i];
				random_uniform_row(step, random_stream(tables[t].name), ids[t][i],
					scale, record, tables[t].dim + 1);
				pieces[piece_count++] =
					(struct shard_piece){t, 1, &ids[t][i], record};
			}
		}
		checkpoint_shard_name(s, name);
		scratch_path(file, path, name);
		assert_ok(shard_file_write(
				  file, tables, table_count, pieces, piece_count, &stamp, &err),
			&err);
		assert_ok(manifest_add_file(manifest, name, &stamp, &err), &err);
	}
}

static void write_dense(
	const struct model *model, const char *path, uint64_t step, struct manifest *manifest)
{
	struct error err;
	char file[PATH_SIZE];
	struct file_stamp stamp;
	struct named_tensor tensors[32] = {0};
	float *dense = calloc(model_dense_size(model), sizeof(float));
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		memcpy(tensors[i].name, tensor->name, sizeof(tensor->name));
		tensors[i].rows = tensor->rows;
		tensors[i].cols = tensor->cols;
		tensors[i].rank = tensor->rank;
		tensors[i].slot_count = 1;
		tensors[i].data = tensors[i].slots[0] = dense + tensor->offset;
		random_uniform_row(step, random_stream(tensor->name), 0, 0.6f,
			dense + tensor->offset, (size_t)tensor->rows * tensor->cols);
	}
	assert_ok(dense_file_write(scratch_path(file, path, CHECKPOINT_DENSE_NAME), tensors,
			  model_tensor_count(model), &stamp, &err),
		&err);
	assert_ok(manifest_add_file(manifest, CHECKPOINT_DENSE_NAME, &stamp, &err), &err);
	free(dense);
}

void sample_checkpoint(
	const struct sample *sample, const struct sample_options *options, uint64_t step)
{
	struct error err;
	char path[PATH_SIZE], file[PATH_SIZE];
	struct model_config config;
	struct model_sizes sizes;
	struct file_stamp stamp;
	struct model *model = make_model(sample, options, &config, &sizes);
	struct manifest manifest = {.step = step,
		.epoch = 2,
		.seed = SAMPLE_SEED,
		.test_rmse = 0.875,
		.model = model_record_to_json(&config, &sizes),
		.training = json_object()};
	assert_ok(data_source_init(&manifest.data, sample->data, NULL, 0.25, 99, &err), &err);
	assert_ok(checkpoint_begin(sample->checkpoints, step, path, &err), &err);
	write_shards(sample, options, model, path, step, &manifest);
	write_dense(model, path, step, &manifest);
	assert_ok(catalog_file_write(scratch_path(file, path, CHECKPOINT_CATALOG_NAME),
			  &sample->catalog, NULL, &stamp, &err),
		&err);
	assert_ok(manifest_add_file(&manifest, CHECKPOINT_CATALOG_NAME, &stamp, &err), &err);
	assert_ok(checkpoint_commit(sample->checkpoints, path, &manifest, &err), &err);
	manifest_fini(&manifest);
	model_free(model);
}

void sample_open(struct sample *sample, const struct sample_options *options)
{
	*sample = (struct sample){0};
	scratch_open(sample->root);
	scratch_path(sample->data, sample->root, "data");
	scratch_path(sample->checkpoints, sample->root, "checkpoints");
	scratch_path(sample->model, sample->root, "model");
	write_data(sample, options);
	sample_checkpoint(sample, options, 10);
}

void sample_close(struct sample *sample)
{
	catalog_fini(&sample->catalog);
	scratch_close(sample->root);
}

void sample_export(const struct sample *sample)
{
	struct error err;
	struct export_report report;
	const struct export_options options = {
		.checkpoint = sample->checkpoints, .out = sample->model};
	assert_ok(export_model(&options, &report, &err), &err);
}

void sample_open_model(struct sample *sample, const struct sample_options *options,
	struct model_directory *ret_directory)
{
	struct error err;
	sample_open(sample, options);
	sample_export(sample);
	assert_ok(model_directory_open(ret_directory, sample->model, &err), &err);
}

void sample_close_model(struct sample *sample, struct model_directory *directory)
{
	model_directory_close(directory);
	sample_close(sample);
}

static const float *tensor(
	const struct model_directory *directory, const char *name, const char *part, size_t *cols)
{
	char full[TENSOR_NAME_SIZE];
	snprintf(full, sizeof(full), "%s.%s", name, part);
	const struct tensor *found = safetensors_find(&directory->weights, full);
	ck_assert_msg(found != NULL, "no tensor %s", full);
	if (cols)
		*cols = (size_t)found->shape[found->rank - 1];
	return found->bytes;
}

/* Row of an id: by position, or by its place among <table>.ids. */
static const float *row(const struct model_directory *directory, const char *table, uint64_t id)
{
	char full[TENSOR_NAME_SIZE];
	size_t dim;
	const float *rows = tensor(directory, table, "weight", &dim);
	if (id == UNKNOWN_ID)
		return directory->tables[strcmp(table, "user") == 0 ? 0 : 4].unknown;
	snprintf(full, sizeof(full), "%s.ids", table);
	const struct tensor *ids = safetensors_find(&directory->weights, full);
	if (ids) {
		size_t at = 0;
		while (((const uint64_t *)ids->bytes)[at] != id)
			at++;
		id = at;
	}
	return rows + (size_t)id * dim;
}

/* out += W in + b; returns the outputs' number. */
static size_t layer(const struct model_directory *directory, const char *name, const double *in,
	size_t in_count, double *out)
{
	size_t cols, outputs;
	const float *weight = tensor(directory, name, "weight", &cols);
	const float *bias = tensor(directory, name, "bias", &outputs);
	ck_assert_uint_eq(cols, in_count);
	for (size_t o = 0; o < outputs; o++) {
		out[o] = (double)bias[o];
		for (size_t i = 0; i < in_count; i++)
			out[o] += (double)weight[o * cols + i] * in[i];
	}
	return outputs;
}

static size_t feature(const struct model_directory *directory, const char *table, const char *name,
	uint64_t id, double *out)
{
	size_t dim;
	double in[WIDEST];
	tensor(directory, table, "weight", &dim);
	const float *values = row(directory, table, id);
	for (size_t i = 0; i < dim; i++)
		in[i] = (double)values[i];
	return layer(directory, name, in, dim, out);
}

static size_t user_vector(const struct model_directory *directory, uint64_t id, uint32_t gender,
	uint32_t age, uint32_t occupation, double *out)
{
	double in[WIDEST];
	size_t n = feature(directory, "user", "user_fc", id, in);
	n += feature(directory, "gender", "gender_fc", gender, in + n);
	n += feature(directory, "age", "age_fc", age, in + n);
	n += feature(directory, "occupation", "occupation_fc", occupation, in + n);
	n = layer(directory, "user_combined", in, n, out);
	for (size_t i = 0; i < n; i++)
		out[i] = tanh(out[i]);
	return n;
}

static size_t title(const struct model_directory *directory, uint32_t movie, double *out)
{
	const struct catalog *catalog = &directory->catalog;
	const uint32_t *words = catalog->word_values + catalog->word_offsets[movie];
	const long count =
		(long)catalog->word_offsets[movie + 1] - (long)catalog->word_offsets[movie];
	json_t *config = json_object_get(directory->about.model, "config");
	const bool max = strcmp(json_string_value(json_object_get(config, "pooling")), "max") == 0;
	size_t dim, filters;
	tensor(directory, "word", "weight", &dim);
	tensor(directory, "title_conv", "bias", &filters);
	for (size_t f = 0; f < filters; f++)
		out[f] = 0;
	for (long at = 0; at < count; at++) {
		double window[WIDEST] = {0}, values[WIDEST];
		for (long k = -1; k <= 1; k++) {
			if (at + k < 0 || at + k >= count)
				continue;
			const float *vector = row(directory, "word", words[at + k]);
			for (size_t i = 0; i < dim; i++)
				window[(size_t)(k + 1) * dim + i] = (double)vector[i];
		}
		layer(directory, "title_conv", window, 3 * dim, values);
		for (size_t f = 0; f < filters; f++) {
			double value = tanh(values[f]);
			if (!max)
				out[f] += value;
			else if (at == 0 || value > out[f])
				out[f] = value;
		}
	}
	return filters;
}

static size_t movie_vector(
	const struct model_directory *directory, uint32_t movie, bool unknown, double *out)
{
	const struct catalog *catalog = &directory->catalog;
	double in[WIDEST];
	size_t dim;
	size_t n = feature(directory, "movie", "movie_fc",
		unknown ? UNKNOWN_ID : catalog->movie_ids[movie], in);
	tensor(directory, "genre", "weight", &dim);
	for (size_t i = 0; i < dim; i++) {
		in[n + i] = 0;
		for (uint32_t g = catalog->genre_offsets[movie];
			g < catalog->genre_offsets[movie + 1]; g++)
			in[n + i] += (double)row(directory, "genre", catalog->genre_values[g])[i];
	}
	n += dim;
	n += title(directory, movie, in + n);
	n = layer(directory, "movie_combined", in, n, out);
	for (size_t i = 0; i < n; i++)
		out[i] = tanh(out[i]);
	return n;
}

static double cosine(const double *a, const double *b, size_t n)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < n; i++) {
		ab += a[i] * b[i];
		aa += a[i] * a[i];
		bb += b[i] * b[i];
	}
	return ab / sqrt(fmax(aa, 1e-8) * fmax(bb, 1e-8));
}

double sample_score(const struct model_directory *directory, uint64_t user_id, uint32_t gender,
	uint32_t age, uint32_t occupation, uint32_t movie, bool movie_unknown)
{
	double user[VECTOR_MAX], other[VECTOR_MAX];
	size_t n = user_vector(directory, user_id, gender, age, occupation, user);
	ck_assert_uint_eq(n, movie_vector(directory, movie, movie_unknown, other));
	return 5 * cosine(user, other, n);
}

double sample_similarity(const struct model_directory *directory, uint32_t a, uint32_t b,
	bool a_unknown, bool b_unknown)
{
	double left[VECTOR_MAX], right[VECTOR_MAX];
	size_t n = movie_vector(directory, a, a_unknown, left);
	movie_vector(directory, b, b_unknown, right);
	return cosine(left, right, n);
}
