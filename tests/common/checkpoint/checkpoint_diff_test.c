#include "common/checkpoint/checkpoint_diff.h"

#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 32u

static char root[PATH_SIZE];

/* A checkpoint of table "t" (dim 2, slots 1) with ids first..first + n - 1 over two shards, and one
 * tensor. changed: the id whose record is another one. */
static void write_checkpoint(
	uint64_t step, uint64_t first, uint64_t n, uint64_t changed, struct checkpoint *ret)
{
	struct error err;
	char path[PATH_SIZE], file[PATH_SIZE], name[MANIFEST_FILE_NAME_SIZE];
	struct file_stamp stamp;
	struct manifest manifest = {
		.step = step, .test_rmse = NAN, .model = json_object(), .training = json_object()};
	assert_ok(data_source_init(&manifest.data, "/", NULL, 0, 0, &err), &err);
	assert_ok(checkpoint_begin(root, step, path, &err), &err);
	for (uint32_t s = 0; s < 2; s++) {
		struct shard_table table = {.name = "t", .dim = 2, .slots = 1};
		uint64_t ids[ROWS_MAX];
		float records[ROWS_MAX][3];
		for (uint64_t id = first; id < first + n; id++) {
			if ((id + step) % 2 != s)
				continue;
			ck_assert_uint_lt(table.count, ROWS_MAX);
			float *record = records[table.count];
			record[0] = (float)id;
			record[1] = -(float)id + (id == changed ? 0.25f : 0);
			record[2] = id == changed ? 3 : 1;
			ids[table.count++] = id;
		}
		const struct shard_piece piece = {0, table.count, ids, records[0]};
		checkpoint_shard_name(s, name);
		scratch_path(file, path, name);
		assert_ok(shard_file_write(file, &table, 1, &piece, 1, &stamp, &err), &err);
		assert_ok(manifest_add_file(&manifest, name, &stamp, &err), &err);
	}
	float weight[6] = {1, 2, 3, 4, 5, changed ? 6.5f : 6};
	struct named_tensor tensor = {.name = "w", .rows = 3, .cols = 2, .rank = 2, .data = weight};
	assert_ok(dense_file_write(scratch_path(file, path, CHECKPOINT_DENSE_NAME), &tensor, 1,
			  &stamp, &err),
		&err);
	assert_ok(manifest_add_file(&manifest, CHECKPOINT_DENSE_NAME, &stamp, &err), &err);
	assert_ok(checkpoint_commit(root, path, &manifest, &err), &err);
	manifest_fini(&manifest);
	assert_ok(checkpoint_path(root, step, path, &err), &err);
	assert_ok(checkpoint_resolve(ret, path, false, &err), &err);
}

START_TEST(records_are_matched_by_id_whatever_their_shard)
{
	struct error err;
	struct checkpoint left = {0}, right = {0};
	struct checkpoint_difference *found;
	size_t count;
	scratch_open(root);
	write_checkpoint(1, 10, 20, 0, &left);
	write_checkpoint(2, 15, 20, 17, &right);
	assert_ok(checkpoint_diff(&left, &right, &found, &count, &err), &err);
	ck_assert_uint_eq(count, 2);
	ck_assert_str_eq(found[0].name, "t");
	ck_assert(found[0].table);
	ck_assert_uint_eq(found[0].same, 14);
	ck_assert_uint_eq(found[0].different, 1);
	ck_assert_uint_eq(found[0].only_left, 5);
	ck_assert_uint_eq(found[0].only_right, 5);
	ck_assert_double_eq(found[0].largest, 0.25);
	ck_assert_double_eq(found[0].largest_state, 2);
	ck_assert_str_eq(found[1].name, "w");
	ck_assert_uint_eq(found[1].same, 2);
	ck_assert_uint_eq(found[1].different, 1);
	ck_assert_double_eq(found[1].largest, 0.5);
	free(found);

	assert_ok(checkpoint_diff(&left, &left, &found, &count, &err), &err);
	ck_assert_uint_eq(found[0].same, 20);
	ck_assert_uint_eq(found[1].same, 3);
	for (size_t i = 0; i < count; i++)
		ck_assert(!found[i].different && !found[i].only_left && !found[i].only_right);
	free(found);
	checkpoint_fini(&left);
	checkpoint_fini(&right);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {records_are_matched_by_id_whatever_their_shard, NULL};
	return run_cases("checkpoint_diff", cases);
}
