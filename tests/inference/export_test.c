/* From a checkpoint to a model directory, and what may stand in its way. */
#include "inference/export.h"

#include "common/base/random.h"
#include "common/checkpoint/sealed_json.h"
#include "inference/ann.h"
#include "inference/faiss_index.h"
#include "inference/onnx.h"
#include "tests/inference/sample.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sample sample;

static enum status export_to(const char *out, struct export_report *report, struct error *err)
{
	const struct export_options options = {.checkpoint = sample.checkpoints, .out = out};
	return export_model(&options, report, err);
}

START_TEST(trained_rows_are_kept_and_others_hold_their_initial_values)
{
	struct model_directory directory;
	sample_open_model(&sample, &(struct sample_options){0}, &directory);
	ck_assert_uint_eq(directory.weights.count, 7 + 16);
	for (uint32_t t = 0; t < model_table_count(directory.model); t++) {
		const struct model_table *table = model_table(directory.model, t);
		char name[TENSOR_NAME_SIZE];
		snprintf(name, sizeof(name), "%s.weight", table->name);
		const struct tensor *weight = safetensors_find(&directory.weights, name);
		ck_assert_uint_eq(weight->shape[0], table->rows);
		for (uint64_t id = 0; id < table->rows; id++) {
			float trained[64], initial[64];
			const float *row = (const float *)weight->bytes + id * table->dim;
			const uint64_t stream = random_stream(table->name);
			random_uniform_row(10, stream, id, 0.5f, trained, table->dim);
			random_uniform_row(
				SAMPLE_SEED, stream, id, table->init_limit, initial, table->dim);
			bool wanted = id != 2; /* of the features, row 2 was left out */
			if (table_entity_of(table) == ENTITY_USER)
				wanted = id == 1 || id == 3 || id == 40;
			if (table_entity_of(table) == ENTITY_MOVIE)
				wanted = id == 1 || id == 5 || id == 9 || id == 30;
			ck_assert_msg(memcmp(row, wanted ? trained : initial,
					      table->dim * sizeof(float)) == 0,
				"%s row %u", table->name, (unsigned int)id);
		}
		if (!table->has_unknown)
			continue;
		float unknown[64];
		random_uniform_row(
			10, random_stream(table->name), UNKNOWN_ID, 0.5f, unknown, table->dim);
		ck_assert(directory.tables[t].unknown_trained);
		ck_assert_mem_eq(directory.tables[t].unknown, unknown, table->dim * sizeof(float));
	}
	for (uint32_t u = 0; u < SAMPLE_USERS; u++)
		ck_assert_uint_eq(directory.trained.users[u], u != SAMPLE_UNTRAINED);
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++)
		ck_assert_uint_eq(directory.trained.movies[m], m != SAMPLE_STRANGER);
	ck_assert_uint_eq(directory.about.seed, SAMPLE_SEED);
	ck_assert_double_eq(directory.about.data.holdout, 0.25);
	sample_close_model(&sample, &directory);
}
END_TEST

START_TEST(sparse_ids_are_exported_in_compact_form)
{
	struct model_directory directory;
	sample_open_model(&sample, &(struct sample_options){.far_ids = true}, &directory);
	const struct tensor *weight = safetensors_find(&directory.weights, "user.weight");
	const struct tensor *ids = safetensors_find(&directory.weights, "user.ids");
	ck_assert_uint_eq(weight->shape[0], SAMPLE_USERS);
	ck_assert_mem_eq(ids->bytes, sample.catalog.user_ids, SAMPLE_USERS * sizeof(uint64_t));
	for (uint32_t u = 0; u < SAMPLE_USERS; u++) {
		float wanted[5], found[5];
		const uint64_t id = sample.catalog.user_ids[u];
		const bool trained = u != SAMPLE_UNTRAINED;
		random_uniform_row(trained ? 10 : SAMPLE_SEED, random_stream("user"), id,
			trained ? 0.5f : model_table(directory.model, 0)->init_limit, wanted, 5);
		model_directory_row(&directory, 0, id, found);
		ck_assert_mem_eq(found, wanted, sizeof(wanted));
	}
	sample_close_model(&sample, &directory);
}
END_TEST

START_TEST(a_model_directory_is_replaced_and_nothing_else_is)
{
	struct error err;
	struct export_report report;
	struct model_directory directory;
	char file[PATH_SIZE], slashed[PATH_SIZE];
	sample_open(&sample, &(struct sample_options){0});
	assert_ok(directory_create(sample.model, &err), &err);
	snprintf(slashed, sizeof(slashed), "%.4000s///", sample.model);
	assert_ok(export_to(slashed, &report, &err), &err);
	ck_assert_uint_eq(report.step, 10);
	ck_assert_uint_eq(report.trained_users, SAMPLE_USERS - 1);
	sample_checkpoint(&sample, &(struct sample_options){0}, 20);
	assert_ok(export_to(sample.model, &report, &err), &err);
	assert_ok(model_directory_open(&directory, sample.model, &err), &err);
	ck_assert_uint_eq(directory.about.step, 20);
	model_directory_close(&directory);

	assert_fails(export_to(sample.data, &report, &err), STATUS_FAILED_PRECONDITION, &err,
		"data: exists and is not a model directory: choose another --out");
	ck_assert(file_exists(scratch_path(file, sample.data, "users.dat")));
	scratch_path(file, sample.root, "file");
	scratch_write(file, "x", 1);
	assert_fails(export_to(file, &report, &err), STATUS_FAILED_PRECONDITION, &err,
		"is not a model directory");
	char partial[PATH_SIZE];
	ck_assert(!directory_exists(scratch_path(partial, sample.root, "data.partial")));
	ck_assert(!directory_exists(scratch_path(partial, sample.root, "model.partial")));
	ck_assert(!directory_exists(scratch_path(partial, sample.root, "model.replaced")));
	sample_close(&sample);
}
END_TEST

START_TEST(the_best_or_the_newest_that_verifies_is_exported)
{
	struct error err;
	struct export_report report;
	char step[PATH_SIZE], file[PATH_SIZE];
	sample_open(&sample, &(struct sample_options){0});
	sample_checkpoint(&sample, &(struct sample_options){0}, 20);
	sample_checkpoint(&sample, &(struct sample_options){0}, 30);
	assert_ok(checkpoint_mark_best(sample.checkpoints, 10, 0.8, &err), &err);
	struct export_options options = {
		.checkpoint = sample.checkpoints, .best = true, .out = sample.model};
	assert_ok(export_model(&options, &report, &err), &err);
	ck_assert_uint_eq(report.step, 10);

	options.best = false;
	assert_ok(checkpoint_path(sample.checkpoints, 30, step, &err), &err);
	scratch_flip(scratch_path(file, step, "shard-00001.safetensors"), 100, 4);
	assert_ok(export_model(&options, &report, &err), &err);
	ck_assert_uint_eq(report.step, 20);
	ck_assert(strstr(report.notes, "shard-00001.safetensors: damaged") != NULL);

	options.checkpoint = step;
	assert_fails(export_model(&options, &report, &err), STATUS_DATA_LOSS, &err,
		"shard-00001.safetensors: damaged");
	options.checkpoint = sample.data;
	assert_fails(export_model(&options, &report, &err), STATUS_NOT_FOUND, &err,
		"holds no checkpoint");
	sample_close(&sample);
}
END_TEST

START_TEST(any_flipped_byte_of_a_model_directory_is_refused_with_its_file)
{
	static const char *const names[] = {
		MODEL_JSON_NAME, MODEL_WEIGHTS_NAME, MODEL_CATALOG_NAME};
	struct error err;
	struct random_sequence random;
	struct model_directory directory;
	char path[PATH_SIZE];
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	random_sequence_init(&random, 21, random_stream("flips"));
	for (size_t i = 0; i < 3; i++) {
		size_t size;
		scratch_path(path, sample.model, names[i]);
		char *bytes = scratch_read(path, &size);
		for (int round = 0; round < 150; round++) {
			size_t offset = random_below(&random, (uint32_t)size);
			scratch_flip(path, offset, (unsigned char)(1 + random_below(&random, 255)));
			ck_assert_msg(
				model_directory_open(&directory, sample.model, &err) != STATUS_OK,
				"%s: byte %zu", names[i], offset);
			ck_assert_msg(strstr(err.message, names[i]) != NULL, "%s", err.message);
			scratch_write(path, bytes, size);
		}
		for (size_t cut = 0; cut < size; cut += 1 + size / 40) {
			scratch_write(path, bytes, cut);
			assert_fails(model_directory_open(&directory, sample.model, &err),
				STATUS_DATA_LOSS, &err, names[i]);
		}
		scratch_write(path, bytes, size);
		free(bytes);
	}
	assert_ok(model_directory_open(&directory, sample.model, &err), &err);
	sample_close_model(&sample, &directory);
}
END_TEST

/* model.json with one member replaced, and sealed again. */
static void replace_member(const char *name, json_t *value)
{
	struct error err;
	char path[PATH_SIZE];
	json_t *json;
	scratch_path(path, sample.model, MODEL_JSON_NAME);
	assert_ok(sealed_json_read(path, MODEL_DIRECTORY_FORMAT_VERSION, &json, &err), &err);
	json_object_del(json, "checksum");
	json_object_set_new(json, name, value);
	assert_ok(sealed_json_write(path, json, &err), &err);
	json_decref(json);
}

START_TEST(a_model_json_that_contradicts_its_files_is_refused)
{
	const struct {
		const char *name;
		json_t *value;
		enum status status;
		const char *reason;
	} cases[] = {
		{"format_version", json_integer(9), STATUS_FAILED_PRECONDITION,
			"format version 9, this program reads version 1"},
		{"rows", json_string("int4"), STATUS_DATA_LOSS, "'rows' is 'int4', none of f32"},
		{"rows", json_integer(8), STATUS_DATA_LOSS, "'rows'"},
		{"words", json_pack("[s]", "story"), STATUS_DATA_LOSS, "'words' are not those"},
		{"unknown", json_pack("{s:[i]}", "user", 1), STATUS_DATA_LOSS, "'unknown': 'user'"},
		{"files", json_array(), STATUS_DATA_LOSS, "'files' lacks"},
		{"model", json_pack("{s:{s:i}}", "config", "hidden", 0), STATUS_DATA_LOSS,
			"\"hidden\""},
		{"model", json_pack("{s:{}}", "config"), STATUS_DATA_LOSS, "'sizes': 'users'"},
		{"model",
			json_pack("{s:{}, s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i}}", "config", "sizes",
				"users", 41, "movies", 31, "genders", 2, "ages", 7, "occupations",
				21, "genres", 4, "words", 8),
			STATUS_DATA_LOSS, "'unknown': 'user' is not a row of 32"},
		/* The last: it is no longer ours to replace. */
		{"format", json_string("other"), STATUS_DATA_LOSS, "'format' is 'other'"},
	};
	struct error err;
	struct model_directory directory;
	sample_open(&sample, &(struct sample_options){0});
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sample_export(&sample);
		replace_member(cases[i].name, cases[i].value);
		assert_fails(model_directory_open(&directory, sample.model, &err), cases[i].status,
			&err, cases[i].reason);
		ck_assert(strstr(err.message, MODEL_JSON_NAME) != NULL);
	}
	assert_fails(model_directory_open(&directory, sample.data, &err), STATUS_NOT_FOUND, &err,
		"not a model directory");
	sample_close(&sample);
}
END_TEST

START_TEST(rows_of_fewer_bits_are_read_back)
{
	struct error err;
	struct export_report report;
	struct model_directory exact, rounded;
	char small[PATH_SIZE];
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	assert_ok(model_directory_open(&exact, sample.model, &err), &err);
	scratch_path(small, sample.root, "small");
	for (enum row_type type = ROWS_BF16; type < ROW_TYPES; type++) {
		const struct export_options options = {
			.checkpoint = sample.checkpoints, .out = small, .rows = type};
		assert_ok(export_model(&options, &report, &err), &err);
		assert_ok(model_directory_open(&rounded, small, &err), &err);
		ck_assert_int_eq(rounded.rows, type);
		ck_assert_uint_eq(rounded.weights.count, type == ROWS_INT8 ? 7 + 7 + 16 : 7 + 16);
		for (uint32_t t = 0; t < model_table_count(exact.model); t++)
			for (uint64_t id = 0; id < model_table(exact.model, t)->rows; id++) {
				float a[64], b[64];
				model_directory_row(&exact, t, id, a);
				model_directory_row(&rounded, t, id, b);
				for (uint32_t i = 0; i < model_table(exact.model, t)->dim; i++)
					ck_assert_float_eq_tol(a[i], b[i], 0.004f);
			}
		model_directory_close(&rounded);
	}
	/* The file's rows are not what model.json says. */
	sample_export(&sample);
	replace_member("rows", json_string("int8"));
	assert_fails(model_directory_open(&rounded, sample.model, &err), STATUS_DATA_LOSS, &err,
		"tensor 'user.weight'");
	model_directory_close(&exact);
	sample_close(&sample);
}
END_TEST

START_TEST(a_diverged_checkpoint_is_not_exported)
{
	struct error err;
	struct export_report report;
	sample_open(&sample, &(struct sample_options){.scale = NAN});
	assert_fails(export_to(sample.model, &report, &err), STATUS_FAILED_PRECONDITION, &err,
		"table 'user' does not hold numbers: the training diverged");
	ck_assert(!directory_exists(sample.model));
	sample_close(&sample);
}
END_TEST

START_TEST(movie_vectors_are_exported_for_numpy)
{
	struct error err;
	struct export_report report;
	char path[PATH_SIZE];
	size_t size;
	sample_open(&sample, &(struct sample_options){0});
	const struct export_options options = {
		.checkpoint = sample.checkpoints, .out = sample.model, .npy = true};
	assert_ok(export_model(&options, &report, &err), &err);
	char *bytes = scratch_read(scratch_path(path, sample.model, "movie_vectors.npy"), &size);
	ck_assert_uint_eq(size, 128 + SAMPLE_MOVIES * 7 * sizeof(float));
	ck_assert_mem_eq(bytes,
		"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', "
		"'fortran_order': False, 'shape': (5, 7), }",
		68);
	free(bytes);
	bytes = scratch_read(scratch_path(path, sample.model, "movie_ids.npy"), &size);
	ck_assert_mem_eq(bytes + 128, sample.catalog.movie_ids, SAMPLE_MOVIES * sizeof(uint64_t));
	free(bytes);
	sample_close(&sample);
}
END_TEST

START_TEST(movie_vectors_are_exported_for_faiss)
{
	struct error err;
	struct export_report report;
	char path[PATH_SIZE];
	size_t size;
	if (!ann_is_built_in())
		return;
	sample_open(&sample, &(struct sample_options){0});
	const struct export_options options = {
		.checkpoint = sample.checkpoints, .out = sample.model, .faiss = true};
	assert_ok(export_model(&options, &report, &err), &err);
	/* What FAISS makes of it says tests/integration/formats_test.py. */
	char *bytes = scratch_read(scratch_path(path, sample.model, "movies.faiss"), &size);
	ck_assert_uint_gt(size, SAMPLE_MOVIES * (7 * sizeof(float) + sizeof(int64_t)));
	ck_assert_mem_eq(bytes, "IxMp", 4);
	ck_assert_mem_eq(bytes + size - SAMPLE_MOVIES * sizeof(int64_t), sample.catalog.movie_ids,
		SAMPLE_MOVIES * sizeof(int64_t));
	free(bytes);
	sample_close(&sample);
}
END_TEST

START_TEST(onnx_files_point_to_the_tables_or_have_them)
{
	struct error err;
	struct export_report report;
	char path[PATH_SIZE];
	size_t inside, outside;
	sample_open(&sample, &(struct sample_options){0});
	struct export_options options = {
		.checkpoint = sample.checkpoints, .out = sample.model, .onnx = true};
	/* What ONNX Runtime makes of them says tests/integration/formats_test.py. */
	assert_ok(export_model(&options, &report, &err), &err);
	free(scratch_read(scratch_path(path, sample.model, "score.onnx"), &inside));
	options.onnx_outside = true;
	assert_ok(export_model(&options, &report, &err), &err);
	char *bytes = scratch_read(path, &outside);
	ck_assert_ptr_nonnull(memmem(bytes, outside, "model.safetensors", 17));
	ck_assert_uint_lt(outside, inside + 1000);
	free(bytes);
	sample_close(&sample);
}
END_TEST

START_TEST(a_graph_that_cannot_be_written_fails_with_a_status)
{
	struct error err;
	struct onnx_graph *graph;
	char byte = 0, path[PATH_SIZE], root[PATH_SIZE];
	assert_ok(onnx_graph_new(&graph, "graph", "", &err), &err);
	assert_fails(onnx_graph_write(graph, "/nowhere/graph.onnx", &err), STATUS_NOT_FOUND, &err,
		"/nowhere/graph.onnx");
	assert_fails(onnx_graph_write(graph, "/dev/full", &err), STATUS_RESOURCE_EXHAUSTED, &err,
		"/dev/full");
	/* Never read: the size alone is too much. */
	onnx_constant(graph, &(struct onnx_data){.name = "large",
				     .type = ONNX_INT8,
				     .rank = 1,
				     .dims = {INT32_MAX},
				     .bytes = &byte,
				     .size = INT32_MAX});
	scratch_open(root);
	scratch_path(path, root, "graph.onnx");
	assert_fails(onnx_graph_write(graph, path, &err), STATUS_OUT_OF_RANGE, &err,
		"readers of ONNX take at most 2147483647");
	ck_assert(!file_exists(path));
	scratch_close(root);
	onnx_graph_free(graph);
}
END_TEST

START_TEST(an_index_of_faiss_fails_with_a_status)
{
	struct error err;
	struct faiss_index *index;
	if (!ann_is_built_in())
		return;
	const float vectors[4] = {1, 2, 3, 4};
	const uint64_t far[2] = {1, (uint64_t)INT64_MAX + 1};
	assert_ok(faiss_index_new_flat(&index, 2, 2, &err), &err);
	assert_fails(faiss_index_add(index, vectors, far, 2, &err), STATUS_OUT_OF_RANGE, &err,
		"id 9223372036854775808");
	assert_fails(faiss_index_write(index, "/nowhere/movies.faiss", &err), STATUS_NOT_FOUND,
		&err, "/nowhere/movies.faiss");
	faiss_index_free(index);
	assert_fails(faiss_index_new_flat(&index, 1024, SIZE_MAX / 1024 / sizeof(float), &err),
		STATUS_RESOURCE_EXHAUSTED, &err, "FAISS: a flat index: no memory");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {trained_rows_are_kept_and_others_hold_their_initial_values,
		sparse_ids_are_exported_in_compact_form,
		a_model_directory_is_replaced_and_nothing_else_is,
		the_best_or_the_newest_that_verifies_is_exported,
		any_flipped_byte_of_a_model_directory_is_refused_with_its_file,
		a_model_json_that_contradicts_its_files_is_refused,
		rows_of_fewer_bits_are_read_back, a_diverged_checkpoint_is_not_exported,
		movie_vectors_are_exported_for_numpy, movie_vectors_are_exported_for_faiss,
		an_index_of_faiss_fails_with_a_status, onnx_files_point_to_the_tables_or_have_them,
		a_graph_that_cannot_be_written_fails_with_a_status, NULL};
	return run_cases("export", cases);
}
