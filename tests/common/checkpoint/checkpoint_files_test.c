/* Shard files and dense files: what goes in comes out, and nothing else goes in. */
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/written.h"

#include <string.h>

static char root[PATH_SIZE];

START_TEST(a_shard_gives_back_its_records_in_any_range)
{
	struct error err;
	struct shard_reader *reader;
	char path[PATH_SIZE];
	size_t count;
	float user[WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT)],
		read[WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT)];
	uint64_t ids[WRITTEN_ROWS];
	scratch_open(root);
	written_shard(scratch_path(path, root, "shard-00000.safetensors"), 0, WRITTEN_ROWS, NULL);
	assert_ok(shard_reader_open(&reader, path, &err), &err);
	const struct shard_table *found = shard_reader_tables(reader, &count);
	ck_assert_uint_eq(count, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_str_eq(found[i].name, written_tables[i].name);
		ck_assert_uint_eq(found[i].dim, written_tables[i].dim);
		ck_assert_uint_eq(found[i].slots, written_tables[i].slots);
		ck_assert_uint_eq(found[i].count, written_tables[i].count);
	}
	written_fill(user, WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT), 1);
	for (size_t first = 0; first <= WRITTEN_ROWS; first++) {
		for (size_t n = 0; n <= WRITTEN_ROWS - first; n++) {
			assert_ok(shard_reader_read(reader, 0, first, n, ids, read, &err), &err);
			ck_assert_mem_eq(read, user + first * (WRITTEN_DIM + WRITTEN_SLOT),
				n * (WRITTEN_DIM + WRITTEN_SLOT) * sizeof(float));
			for (size_t i = 0; i < n; i++)
				ck_assert_uint_eq(ids[i], 10 * (first + i));
		}
	}
	assert_fails(shard_reader_read(reader, 0, 5, WRITTEN_ROWS, ids, read, &err),
		STATUS_OUT_OF_RANGE, &err, "table 'user'");
	shard_reader_close(reader);
	scratch_close(root);
}
END_TEST

START_TEST(a_shard_takes_neither_more_nor_fewer_records_than_planned)
{
	struct error err;
	char path[PATH_SIZE];
	uint64_t ids[2] = {1, 2};
	float records[2 * (WRITTEN_DIM + WRITTEN_SLOT)] = {0};
	const struct shard_table one = {
		.name = "t", .dim = WRITTEN_DIM, .slots = WRITTEN_SLOT, .count = 1};
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
	struct written_parameters p, other;
	char path[PATH_SIZE];
	scratch_open(root);
	scratch_path(path, root, "dense");
	written_parameters_set(&p);
	assert_ok(dense_file_write(path, p.tensors, 2, NULL, &err), &err);

	memset(&other, 0, sizeof(other));
	written_parameters_set(&other);
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

int main(void)
{
	const TTest *const cases[] = {a_shard_gives_back_its_records_in_any_range,
		a_shard_takes_neither_more_nor_fewer_records_than_planned,
		a_dense_file_of_another_model_is_refused, NULL};
	return run_cases("checkpoint files", cases);
}
