/* Shard files, dense files, manifests and the directory of checkpoints, together. */
#include "common/base/random.h"
#include "common/checkpoint/checkpoint_digest.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/sealed_json.h"
#include "common/checkpoint/shard_file.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 11
#define DIM  3
#define SLOT 2

static char root[PATH_SIZE];

static const struct shard_table tables[] = {
	{.name = "user", .dim = DIM, .slots = SLOT, .count = ROWS},
	{.name = "word", .dim = DIM, .slots = 0, .count = ROWS},
	{.name = "empty", .dim = 1, .slots = 1, .count = 0},
};

static void fill(float *values, size_t n, uint64_t seed)
{
	random_uniform_row(seed, 1, 2, 1.0f, values, n);
}

/* Rows [first, first + n) of both tables; the ids are 10 times the row. */
static void write_shard(const char *path, uint64_t first, size_t n, struct file_stamp *stamp)
{
	struct error err;
	struct shard_table planned[3];
	float user[ROWS * (DIM + SLOT)], word[ROWS * DIM];
	uint64_t ids[ROWS];
	memcpy(planned, tables, sizeof(planned));
	planned[0].count = planned[1].count = n;
	fill(user, ROWS * (DIM + SLOT), 1);
	fill(word, ROWS * DIM, 2);
	for (uint64_t i = 0; i < ROWS; i++)
		ids[i] = 10 * i;
	const size_t half = n / 2;
	const struct shard_piece pieces[] = {
		{0, half, ids + first, user + first * (DIM + SLOT)},
		{1, n, ids + first, word + first * DIM},
		{0, n - half, ids + first + half, user + (first + half) * (DIM + SLOT)},
	};
	assert_ok(shard_file_write(path, planned, 3, pieces, 3, stamp, &err), &err);
}

struct parameters {
	float weight[6], bias[2], weight_slot[6], bias_slot[2];
	struct named_tensor tensors[2];
};

static void set_parameters(struct parameters *p)
{
	fill(p->weight, 6, 3);
	fill(p->bias, 2, 4);
	fill(p->weight_slot, 6, 5);
	fill(p->bias_slot, 2, 6);
	p->tensors[0] = (struct named_tensor){.name = "fc.weight",
		.rows = 2,
		.cols = 3,
		.rank = 2,
		.slot_count = 1,
		.data = p->weight,
		.slots = {p->weight_slot}};
	p->tensors[1] = (struct named_tensor){.name = "fc.bias",
		.rows = 2,
		.cols = 1,
		.rank = 1,
		.slot_count = 1,
		.data = p->bias,
		.slots = {p->bias_slot}};
}

static void write_step(uint64_t step, uint32_t shards, double test_rmse)
{
	struct error err;
	char path[PATH_SIZE], file[PATH_SIZE], name[MANIFEST_FILE_NAME_SIZE];
	struct file_stamp stamp;
	struct parameters p;
	struct manifest manifest = {.step = step,
		.epoch = 1,
		.seed = UINT64_MAX,
		.test_rmse = test_rmse,
		.model = json_pack("{s:{}, s:{}}", "config", "sizes"),
		.training = json_pack("{s:i}", "lanes", 8)};
	assert_ok(data_source_init(&manifest.data, "/", NULL, 0.1, 7, &err), &err);
	assert_ok(checkpoint_begin(root, step, path, &err), &err);
	for (uint32_t s = 0; s < shards; s++) {
		uint64_t first = (uint64_t)s * ROWS / shards;
		uint64_t end = ((uint64_t)s + 1) * ROWS / shards;
		checkpoint_shard_name(s, name);
		write_shard(scratch_path(file, path, name), first, end - first, &stamp);
		assert_ok(manifest_add_file(&manifest, name, &stamp, &err), &err);
	}
	set_parameters(&p);
	assert_ok(dense_file_write(scratch_path(file, path, CHECKPOINT_DENSE_NAME), p.tensors, 2,
			  &stamp, &err),
		&err);
	assert_ok(manifest_add_file(&manifest, CHECKPOINT_DENSE_NAME, &stamp, &err), &err);
	struct digest digest;
	assert_ok(checkpoint_digest(path, &manifest, &digest, &err), &err);
	digest_format(&digest, manifest.digest);
	assert_ok(checkpoint_commit(root, path, &manifest, &err), &err);
	manifest_fini(&manifest);
}

static const char *step_file(char path[PATH_SIZE], uint64_t step, const char *name)
{
	struct error err;
	char directory[PATH_SIZE];
	assert_ok(checkpoint_path(root, step, directory, &err), &err);
	return scratch_path(path, directory, name);
}

static void assert_steps(const uint64_t *wanted, size_t count)
{
	struct error err;
	uint64_t *steps;
	size_t found;
	assert_ok(checkpoint_list(root, &steps, &found, &err), &err);
	ck_assert_uint_eq(found, count);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(steps[i], wanted[i]);
	free(steps);
}

static size_t count_entries(const char *path)
{
	size_t count = 0;
	DIR *directory = opendir(path);
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *e = readdir(directory); e; e = readdir(directory))
		count += e->d_name[0] != '.';
	closedir(directory);
	return count;
}

START_TEST(a_shard_gives_back_its_records_in_any_range)
{
	struct error err;
	struct shard_reader *reader;
	char path[PATH_SIZE];
	size_t count;
	float user[ROWS * (DIM + SLOT)], read[ROWS * (DIM + SLOT)];
	uint64_t ids[ROWS];
	scratch_open(root);
	write_shard(scratch_path(path, root, "shard-00000.safetensors"), 0, ROWS, NULL);
	assert_ok(shard_reader_open(&reader, path, &err), &err);
	const struct shard_table *found = shard_reader_tables(reader, &count);
	ck_assert_uint_eq(count, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_str_eq(found[i].name, tables[i].name);
		ck_assert_uint_eq(found[i].dim, tables[i].dim);
		ck_assert_uint_eq(found[i].slots, tables[i].slots);
		ck_assert_uint_eq(found[i].count, tables[i].count);
	}
	fill(user, ROWS * (DIM + SLOT), 1);
	for (size_t first = 0; first <= ROWS; first++) {
		for (size_t n = 0; n <= ROWS - first; n++) {
			assert_ok(shard_reader_read(reader, 0, first, n, ids, read, &err), &err);
			ck_assert_mem_eq(read, user + first * (DIM + SLOT),
				n * (DIM + SLOT) * sizeof(float));
			for (size_t i = 0; i < n; i++)
				ck_assert_uint_eq(ids[i], 10 * (first + i));
		}
	}
	assert_fails(shard_reader_read(reader, 0, 5, ROWS, ids, read, &err), STATUS_OUT_OF_RANGE,
		&err, "table 'user'");
	shard_reader_close(reader);
	scratch_close(root);
}
END_TEST

START_TEST(a_shard_takes_neither_more_nor_fewer_records_than_planned)
{
	struct error err;
	char path[PATH_SIZE];
	uint64_t ids[2] = {1, 2};
	float records[2 * (DIM + SLOT)] = {0};
	const struct shard_table one = {.name = "t", .dim = DIM, .slots = SLOT, .count = 1};
	const struct shard_piece pieces[] = {{0, 2, ids, records}};
	scratch_open(root);
	scratch_path(path, root, "shard");
	assert_fails(shard_file_write(path, &one, 1, pieces, 1, NULL, &err),
		STATUS_INVALID_ARGUMENT, &err,
		"tensor 't.ids': 16 bytes at 0 do not fit the planned 8");
	ck_assert(!file_exists(path));
	assert_fails(shard_file_write(path, &one, 1, NULL, 0, NULL, &err),
		STATUS_FAILED_PRECONDITION, &err,
		"tensor 't.ids': 0 bytes written of the planned 8");
	ck_assert(!file_exists(path));
	scratch_close(root);
}
END_TEST

START_TEST(a_dense_file_of_another_model_is_refused)
{
	struct error err;
	struct parameters p, other;
	char path[PATH_SIZE];
	scratch_open(root);
	scratch_path(path, root, "dense");
	set_parameters(&p);
	assert_ok(dense_file_write(path, p.tensors, 2, NULL, &err), &err);

	memset(&other, 0, sizeof(other));
	set_parameters(&other);
	memset(other.weight, 0, sizeof(other.weight));
	memset(other.bias_slot, 0, sizeof(other.bias_slot));
	assert_ok(dense_file_read(path, other.tensors, 2, &err), &err);
	ck_assert_mem_eq(p.weight, other.weight, sizeof(p.weight));
	ck_assert_mem_eq(p.bias_slot, other.bias_slot, sizeof(p.bias_slot));

	other.tensors[0].cols = 4;
	assert_fails(dense_file_read(path, other.tensors, 2, &err), STATUS_DATA_LOSS, &err,
		"tensor 'fc.weight': dimension 1 is 3, expected 4");
	other.tensors[0].cols = 3;
	other.tensors[1].slot_count = 2;
	assert_fails(dense_file_read(path, other.tensors, 2, &err), STATUS_DATA_LOSS, &err,
		"tensor 'fc.bias.slot1': is missing");
	other.tensors[1].slot_count = 0;
	assert_fails(dense_file_read(path, other.tensors, 2, &err), STATUS_DATA_LOSS, &err,
		"has 4 tensors, the model and its optimizer have 3");
	scratch_close(root);
}
END_TEST

START_TEST(the_digest_is_the_memory_s_and_does_not_depend_on_the_shards)
{
	struct error err;
	struct digest digest = {0};
	struct manifest manifest;
	struct parameters p;
	char text[DIGEST_TEXT_SIZE], path[PATH_SIZE];
	float user[ROWS * (DIM + SLOT)], word[ROWS * DIM];
	scratch_open(root);
	fill(user, ROWS * (DIM + SLOT), 1);
	fill(word, ROWS * DIM, 2);
	set_parameters(&p);
	for (uint64_t i = 0; i < ROWS; i++) {
		digest_add(&digest, random_stream("user"), 10 * i, user + i * (DIM + SLOT),
			(DIM + SLOT) * sizeof(float));
		digest_add(&digest, random_stream("word"), 10 * i, word + i * DIM,
			DIM * sizeof(float));
	}
	for (uint64_t r = 0; r < 2; r++) {
		float row[6];
		memcpy(row, p.weight + 3 * r, 3 * sizeof(float));
		memcpy(row + 3, p.weight_slot + 3 * r, 3 * sizeof(float));
		digest_add(&digest, random_stream("fc.weight"), r, row, sizeof(row));
	}
	float bias[4] = {p.bias[0], p.bias[1], p.bias_slot[0], p.bias_slot[1]};
	digest_add(&digest, random_stream("fc.bias"), 0, bias, sizeof(bias));
	digest_format(&digest, text);
	for (uint32_t shards = 1; shards <= 4; shards++) {
		write_step(shards, shards, NAN);
		assert_ok(checkpoint_path(root, shards, path, &err), &err);
		assert_ok(checkpoint_verify(path, &manifest, &err), &err);
		ck_assert_str_eq(manifest.digest, text);
		ck_assert_uint_eq(manifest.seed, UINT64_MAX);
		ck_assert(isnan(manifest.test_rmse));
		manifest_fini(&manifest);
	}
	scratch_close(root);
}
END_TEST

START_TEST(a_half_written_step_is_not_seen_and_is_swept_away)
{
	struct error err;
	char path[PATH_SIZE], file[PATH_SIZE];
	struct checkpoint found = {0};
	scratch_open(root);
	assert_fails(checkpoint_newest_verified(&found, root, &err), STATUS_NOT_FOUND, &err,
		"holds no checkpoint");
	write_step(10, 1, NAN);
	assert_ok(checkpoint_begin(root, 5, path, &err), &err);
	assert_ok(checkpoint_begin(root, 20, path, &err), &err);
	write_shard(scratch_path(file, path, "shard-00000.safetensors"), 0, ROWS, NULL);
	char bare[PATH_SIZE];
	assert_ok(checkpoint_path(root, 15, bare, &err), &err);
	assert_ok(directory_create(bare, &err), &err);
	assert_steps((const uint64_t[]){10}, 1);
	assert_ok(checkpoint_resolve(&found, root, false, &err), &err);
	ck_assert_uint_eq(found.manifest.step, 10);
	ck_assert_str_eq(found.notes, "");
	checkpoint_fini(&found);

	assert_ok(checkpoint_begin(root, 20, path, &err), &err);
	ck_assert(!file_exists(file));
	write_step(20, 1, NAN);
	ck_assert(!directory_exists(path));
	assert_ok(checkpoint_prune(root, 0, &err), &err);
	ck_assert_uint_eq(count_entries(root), 2);
	assert_steps((const uint64_t[]){10, 20}, 2);
	scratch_close(root);
}
END_TEST

START_TEST(a_checkpoint_of_the_same_step_is_replaced_whole)
{
	char path[PATH_SIZE];
	scratch_open(root);
	write_step(10, 3, NAN);
	ck_assert(file_exists(step_file(path, 10, "shard-00002.safetensors")));
	write_step(10, 1, NAN);
	ck_assert(!file_exists(step_file(path, 10, "shard-00002.safetensors")));
	assert_steps((const uint64_t[]){10}, 1);
	ck_assert_uint_eq(count_entries(root), 1);
	scratch_close(root);
}
END_TEST

START_TEST(any_flipped_byte_of_any_file_is_found_and_the_file_is_named)
{
	static const char *const names[] = {
		"manifest.json", "dense.safetensors", "shard-00000.safetensors"};
	struct error err;
	struct random_sequence random;
	char path[PATH_SIZE], directory[PATH_SIZE];
	scratch_open(root);
	write_step(10, 1, 0.9);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	random_sequence_init(&random, 11, random_stream("flips"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t size;
		step_file(path, 10, names[i]);
		char *bytes = scratch_read(path, &size);
		for (int round = 0; round < 300; round++) {
			size_t offset = random_below(&random, (uint32_t)size);
			unsigned char mask = (unsigned char)(1 + random_below(&random, 255));
			scratch_flip(path, offset, mask);
			enum status status = checkpoint_verify(directory, NULL, &err);
			/* A digit of format_version makes it another version. */
			ck_assert_msg(
				status == STATUS_DATA_LOSS || status == STATUS_FAILED_PRECONDITION,
				"%s byte %zu mask %u: %s", names[i], offset, mask,
				status_name(status));
			ck_assert_msg(strstr(err.message, names[i]) != NULL, "'%s'", err.message);
			scratch_write(path, bytes, size);
		}
		for (size_t cut = 0; cut < size; cut += 1 + size / 50) {
			scratch_write(path, bytes, cut);
			assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS,
				&err, names[i]);
		}
		scratch_write(path, bytes, size);
		free(bytes);
		assert_ok(checkpoint_verify(directory, NULL, &err), &err);
	}
	scratch_close(root);
}
END_TEST

START_TEST(missing_and_swapped_files_are_refused)
{
	struct error err;
	char a[PATH_SIZE], b[PATH_SIZE], away[PATH_SIZE], directory[PATH_SIZE];
	scratch_open(root);
	write_step(10, 2, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	step_file(a, 10, "shard-00000.safetensors");
	step_file(b, 10, "shard-00001.safetensors");
	scratch_path(away, root, "away");
	ck_assert_int_eq(rename(a, away), 0);
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: is missing");
	ck_assert_int_eq(rename(b, a), 0);
	ck_assert_int_eq(rename(away, b), 0);
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: ");

	write_step(11, 1, NAN);
	char other[PATH_SIZE];
	assert_ok(checkpoint_path(root, 11, directory, &err), &err);
	assert_ok(checkpoint_path(root, 12, other, &err), &err);
	ck_assert_int_eq(rename(directory, other), 0);
	assert_fails(checkpoint_verify(other, NULL, &err), STATUS_DATA_LOSS, &err,
		"its manifest is of step 11");
	scratch_close(root);
}
END_TEST

/* Files are checked side by side. */
START_TEST(of_several_damaged_files_the_first_is_named)
{
	struct error err;
	char path[PATH_SIZE], directory[PATH_SIZE];
	struct manifest manifest;
	scratch_open(root);
	write_step(10, 8, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	assert_ok(manifest_read(&manifest, directory, &err), &err);
	for (size_t i = manifest.file_count; i-- > 0;) {
		step_file(path, 10, manifest.files[i].name);
		scratch_flip(path, manifest.files[i].stamp.size / 2, 1);
		for (int round = 0; round < 20; round++)
			assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS,
				&err, manifest.files[i].name);
	}
	manifest_fini(&manifest);
	scratch_close(root);
}
END_TEST

/* The manifest's text with one part replaced by another; its checksum is not. */
static void edit_manifest(uint64_t step, const char *from, const char *to)
{
	char path[PATH_SIZE];
	size_t size;
	step_file(path, step, MANIFEST_NAME);
	char *text = scratch_read(path, &size);
	char *at = strstr(text, from);
	ck_assert_ptr_nonnull(at);
	char *edited = malloc(size + strlen(to) + 1);
	int length = sprintf(edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	scratch_write(path, edited, (size_t)length);
	free(edited);
	free(text);
}

START_TEST(a_manifest_that_leads_outside_is_refused)
{
	static const char *const outside[] = {"../dense.safetensors", "/etc/passwd", "..", "",
		".hidden", "a/b", "manifest.json", "shard-00000.safetensors"};
	struct error err;
	struct manifest manifest;
	char directory[PATH_SIZE], path[PATH_SIZE];
	scratch_open(root);
	write_step(10, 1, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	step_file(path, 10, MANIFEST_NAME);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		json_t *json;
		assert_ok(sealed_json_read(path, MANIFEST_FORMAT_VERSION, &json, &err), &err);
		json_object_del(json, "checksum");
		json_object_set_new(json_array_get(json_object_get(json, "files"), 1), "name",
			json_string(outside[i]));
		assert_ok(sealed_json_write(path, json, &err), &err);
		json_decref(json);
		assert_fails(manifest_read(&manifest, directory, &err), STATUS_DATA_LOSS, &err,
			outside[i]);
		ck_assert_msg(
			strstr(err.message, "manifest.json: file") != NULL, "%s", err.message);
	}
	scratch_close(root);
}
END_TEST

START_TEST(a_manifest_of_another_version_or_edited_is_refused)
{
	struct error err;
	char directory[PATH_SIZE];
	scratch_open(root);
	write_step(10, 1, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	edit_manifest(10, "\"format_version\": 1", "\"format_version\": 23");
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_FAILED_PRECONDITION, &err,
		"format version 23, this program reads version 1");
	write_step(10, 1, NAN);
	edit_manifest(10, "\"epoch\": 1", "\"epoch\": 2");
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"its checksum does not match");
	scratch_close(root);
}
END_TEST

START_TEST(the_newest_falls_back_to_one_that_verifies_and_says_so)
{
	struct error err;
	struct checkpoint found = {0};
	char path[PATH_SIZE];
	scratch_open(root);
	write_step(10, 1, NAN);
	write_step(20, 1, NAN);
	write_step(30, 1, NAN);
	scratch_flip(step_file(path, 30, "dense.safetensors"), 9, 1);
	scratch_flip(step_file(path, 20, "shard-00000.safetensors"), 90, 1);
	assert_ok(checkpoint_resolve(&found, root, false, &err), &err);
	ck_assert_uint_eq(found.manifest.step, 10);
	ck_assert(strstr(found.notes, "step-00000000000000000030/dense.safetensors: damaged"));
	ck_assert(strstr(found.notes, "step-00000000000000000020/shard-00000.safetensors: dam"));
	checkpoint_fini(&found);
	scratch_flip(step_file(path, 10, "manifest.json"), 9, 1);
	assert_fails(checkpoint_resolve(&found, root, false, &err), STATUS_DATA_LOSS, &err,
		"none of the 3 checkpoints can be used");
	ck_assert(strstr(err.message, "step-00000000000000000030/dense.safetensors: damaged"));
	assert_ok(checkpoint_path(root, 20, path, &err), &err);
	assert_fails(checkpoint_resolve(&found, path, false, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: damaged");
	assert_fails(checkpoint_resolve(&found, "/nonexistent/x", false, &err), STATUS_NOT_FOUND,
		&err, "no such directory");
	scratch_close(root);
}
END_TEST

START_TEST(what_lies_behind_a_step_is_discarded_the_best_too)
{
	struct error err;
	uint64_t best;
	double test_rmse;
	for (uint64_t step = 10; step <= 40; step += 10)
		write_step(step, 1, NAN);
	assert_ok(checkpoint_mark_best(root, 20, 0.9, &err), &err);
	assert_ok(checkpoint_discard_after(root, 30, &err), &err);
	assert_steps((const uint64_t[]){10, 20, 30}, 3);
	assert_ok(checkpoint_read_best(root, &best, &test_rmse, &err), &err);
	ck_assert_uint_eq(best, 20);
	assert_ok(checkpoint_discard_after(root, 10, &err), &err);
	assert_steps((const uint64_t[]){10}, 1);
	assert_fails(checkpoint_read_best(root, &best, &test_rmse, &err), STATUS_NOT_FOUND, &err,
		"best.json");
}
END_TEST

START_TEST(a_directory_has_one_writer)
{
	struct error err;
	char inside[PATH_SIZE], file[PATH_SIZE];
	int first, second;
	scratch_path(inside, root, "deeper/down");
	assert_ok(checkpoint_lock(inside, 0, &first, &err), &err);
	ck_assert_uint_eq(count_entries(inside), 0);
	assert_fails(checkpoint_lock(inside, 0.1, &second, &err), STATUS_FAILED_PRECONDITION, &err,
		"another run");
	close(first);
	assert_ok(checkpoint_lock(inside, 0, &second, &err), &err);
	close(second);
	scratch_write(scratch_path(file, root, "file"), "", 0);
	assert_fails(checkpoint_lock(file, 0, &first, &err), STATUS_INVALID_ARGUMENT, &err,
		"is not a directory");
	assert_fails(checkpoint_lock("/proc/checkpoints", 0, &first, &err), STATUS_NOT_FOUND, &err,
		"/proc/checkpoints: cannot create");
}
END_TEST

START_TEST(pruning_keeps_the_newest_and_the_best)
{
	struct error err;
	struct checkpoint found = {0};
	uint64_t best;
	double test_rmse;
	char path[PATH_SIZE];
	scratch_open(root);
	for (uint64_t step = 1; step <= 6; step++)
		write_step(step, 1, 1.0 / (double)step);
	assert_fails(checkpoint_mark_best(root, 9, 0.5, &err), STATUS_FAILED_PRECONDITION, &err,
		"not committed");
	assert_ok(checkpoint_mark_best(root, 2, 0.5, &err), &err);
	assert_ok(checkpoint_prune(root, 0, &err), &err);
	assert_steps((const uint64_t[]){1, 2, 3, 4, 5, 6}, 6);
	assert_ok(checkpoint_prune(root, 3, &err), &err);
	assert_steps((const uint64_t[]){2, 4, 5, 6}, 4);
	assert_ok(checkpoint_prune(root, 1, &err), &err);
	assert_steps((const uint64_t[]){2, 6}, 2);
	assert_ok(checkpoint_read_best(root, &best, &test_rmse, &err), &err);
	ck_assert_uint_eq(best, 2);
	ck_assert_double_eq(test_rmse, 0.5);
	assert_ok(checkpoint_resolve(&found, root, true, &err), &err);
	ck_assert_uint_eq(found.manifest.step, 2);
	checkpoint_fini(&found);

	write_step(7, 1, NAN);
	scratch_write(scratch_path(path, root, "best.json"), "{", 1);
	assert_fails(checkpoint_prune(root, 1, &err), STATUS_DATA_LOSS, &err, "best.json");
	assert_steps((const uint64_t[]){2, 6, 7}, 3);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_shard_gives_back_its_records_in_any_range,
		a_shard_takes_neither_more_nor_fewer_records_than_planned,
		a_dense_file_of_another_model_is_refused,
		the_digest_is_the_memory_s_and_does_not_depend_on_the_shards,
		a_half_written_step_is_not_seen_and_is_swept_away,
		a_checkpoint_of_the_same_step_is_replaced_whole,
		any_flipped_byte_of_any_file_is_found_and_the_file_is_named,
		missing_and_swapped_files_are_refused, of_several_damaged_files_the_first_is_named,
		a_manifest_that_leads_outside_is_refused,
		a_manifest_of_another_version_or_edited_is_refused,
		the_newest_falls_back_to_one_that_verifies_and_says_so,
		pruning_keeps_the_newest_and_the_best,
		what_lies_behind_a_step_is_discarded_the_best_too, a_directory_has_one_writer,
		NULL};
	return run_cases("checkpoint", cases);
}
