/* The directory of checkpoints: how one comes into it, which are found, and which are removed. */
#include "common/base/random.h"
#include "common/checkpoint/directory.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/written.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[PATH_SIZE];

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

START_TEST(the_digest_is_the_memory_s_and_does_not_depend_on_the_shards)
{
	struct error err;
	struct digest digest = {0};
	struct manifest manifest;
	struct written_parameters p;
	char text[DIGEST_TEXT_SIZE], path[PATH_SIZE];
	float user[WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT)], word[WRITTEN_ROWS * WRITTEN_DIM];
	scratch_open(root);
	written_fill(user, WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT), 1);
	written_fill(word, WRITTEN_ROWS * WRITTEN_DIM, 2);
	written_parameters_set(&p);
	for (uint64_t i = 0; i < WRITTEN_ROWS; i++) {
		digest_add(&digest, random_stream("user"), 10 * i,
			user + i * (WRITTEN_DIM + WRITTEN_SLOT),
			(WRITTEN_DIM + WRITTEN_SLOT) * sizeof(float));
		digest_add(&digest, random_stream("word"), 10 * i, word + i * WRITTEN_DIM,
			WRITTEN_DIM * sizeof(float));
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
		written_step(root, shards, shards, NAN);
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
	written_step(root, 10, 1, NAN);
	assert_ok(checkpoint_begin(root, 5, path, &err), &err);
	assert_ok(checkpoint_begin(root, 20, path, &err), &err);
	written_shard(scratch_path(file, path, "shard-00000.safetensors"), 0, WRITTEN_ROWS, NULL);
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
	written_step(root, 20, 1, NAN);
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
	written_step(root, 10, 3, NAN);
	ck_assert(file_exists(written_file(path, root, 10, "shard-00002.safetensors")));
	written_step(root, 10, 1, NAN);
	ck_assert(!file_exists(written_file(path, root, 10, "shard-00002.safetensors")));
	assert_steps((const uint64_t[]){10}, 1);
	ck_assert_uint_eq(count_entries(root), 1);
	scratch_close(root);
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
		written_step(root, step, 1, 1.0 / (double)step);
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

	written_step(root, 7, 1, NAN);
	scratch_write(scratch_path(path, root, "best.json"), "{", 1);
	assert_fails(checkpoint_prune(root, 1, &err), STATUS_DATA_LOSS, &err, "best.json");
	assert_steps((const uint64_t[]){2, 6, 7}, 3);
	scratch_close(root);
}
END_TEST

START_TEST(what_lies_behind_a_step_is_discarded_the_best_too)
{
	struct error err;
	uint64_t best;
	double test_rmse;
	scratch_open(root);
	for (uint64_t step = 10; step <= 40; step += 10)
		written_step(root, step, 1, NAN);
	assert_ok(checkpoint_mark_best(root, 20, 0.9, &err), &err);
	assert_ok(checkpoint_discard_after(root, 30, &err), &err);
	assert_steps((const uint64_t[]){10, 20, 30}, 3);
	assert_ok(checkpoint_read_best(root, &best, &test_rmse, &err), &err);
	ck_assert_uint_eq(best, 20);
	assert_ok(checkpoint_discard_after(root, 10, &err), &err);
	assert_steps((const uint64_t[]){10}, 1);
	assert_fails(checkpoint_read_best(root, &best, &test_rmse, &err), STATUS_NOT_FOUND, &err,
		"best.json");
	scratch_close(root);
}
END_TEST

START_TEST(a_directory_has_one_writer)
{
	struct error err;
	char inside[PATH_SIZE], file[PATH_SIZE];
	int first, second;
	scratch_open(root);
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
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_digest_is_the_memory_s_and_does_not_depend_on_the_shards,
		a_half_written_step_is_not_seen_and_is_swept_away,
		a_checkpoint_of_the_same_step_is_replaced_whole,
		pruning_keeps_the_newest_and_the_best,
		what_lies_behind_a_step_is_discarded_the_best_too, a_directory_has_one_writer,
		NULL};
	return run_cases("checkpoint", cases);
}
