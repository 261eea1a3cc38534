#include "common/checkpoint/shard_stream.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

#define PACK_BYTES ((size_t)4096)
#define RECORD_MAX 16u
#define APPEND_MAX 300u
#define IDS	   5000u

static char root[PATH_SIZE];

static const struct shard_table tables[] = {
	{.name = "plain", .dim = 5},
	{.name = "stateful", .dim = 3, .slots = 7},
	{.name = "empty", .dim = 1, .slots = 1},
};

/* Any function of table, id and column will do. */
static float value_of(size_t table, uint64_t id, size_t column)
{
	return (float)(id * 16 + column + table * 100000);
}

static void append(struct shard_stream *stream, size_t table, uint64_t first, size_t n)
{
	struct error err;
	const size_t floats = tables[table].dim + tables[table].slots;
	uint64_t ids[APPEND_MAX];
	float records[APPEND_MAX * RECORD_MAX];
	for (size_t i = 0; i < n; i++) {
		ids[i] = first + i;
		for (size_t c = 0; c < floats; c++)
			records[i * floats + c] = value_of(table, ids[i], c);
	}
	assert_ok(shard_stream_append(stream, table, ids, records, n, &err), &err);
}

/* Appends IDS records to each of the first two tables, in turns of random length. */
static void append_all(struct shard_stream *stream, struct random_sequence *random)
{
	uint64_t done[2] = {0};
	while (done[0] < IDS || done[1] < IDS) {
		const uint32_t table = random_below(random, 2);
		size_t n = random_below(random, APPEND_MAX + 1);
		if (n > IDS - done[table])
			n = (size_t)(IDS - done[table]);
		append(stream, table, done[table], n);
		done[table] += n;
	}
}

/* Checks the records of one file and counts them. */
static void check_file(const char *name, uint8_t seen[2][IDS])
{
	struct error err;
	struct shard_reader *reader;
	char path[PATH_SIZE];
	size_t count;
	assert_ok(shard_reader_open(&reader, scratch_path(path, root, name), &err), &err);
	const struct shard_table *found = shard_reader_tables(reader, &count);
	ck_assert_uint_eq(count, 3);
	for (size_t t = 0; t < count; t++) {
		const size_t floats = tables[t].dim + tables[t].slots;
		ck_assert_str_eq(found[t].name, tables[t].name);
		for (uint64_t i = 0; i < found[t].count; i++) {
			uint64_t id;
			float record[RECORD_MAX];
			assert_ok(shard_reader_read(reader, t, i, 1, &id, record, &err), &err);
			ck_assert_uint_lt(id, IDS);
			seen[t][id]++;
			for (size_t c = 0; c < floats; c++)
				if (record[c] != value_of(t, id, c))
					ck_abort_msg("id %llu of %s: another value",
						(unsigned long long)id, tables[t].name);
		}
	}
	shard_reader_close(reader);
}

START_TEST(every_record_is_in_one_of_the_files_and_the_stamps_are_theirs)
{
	struct error err;
	struct random_sequence random;
	const uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	random_sequence_init(&random, seed, random_stream("appends"));
	for (int round = 0; round < 10; round++) {
		static uint8_t seen[2][IDS];
		struct shard_stream *stream;
		struct manifest manifest = {0};
		const size_t pack = round == 0 ? 0 : PACK_BYTES + 8 * random_below(&random, 99);
		memset(seen, 0, sizeof(seen));
		scratch_open(root);
		assert_ok(shard_stream_open(&stream, root, tables, 3, pack, &err), &err);
		append_all(stream, &random);
		assert_ok(shard_stream_close(stream, &manifest, &err), &err);
		if (pack == 0)
			ck_assert_uint_eq(manifest.file_count, 1);
		else
			ck_assert_uint_gt(manifest.file_count, 20);
		assert_ok(manifest_verify_files(&manifest, root, &err), &err);
		for (size_t i = 0; i < manifest.file_count; i++)
			check_file(manifest.files[i].name, seen);
		for (size_t i = 0; i < IDS; i++)
			ck_assert(seen[0][i] == 1 && seen[1][i] == 1);
		manifest_fini(&manifest);
		scratch_close(root);
	}
}
END_TEST

START_TEST(without_records_there_is_one_file_of_empty_tables)
{
	struct error err;
	static uint8_t seen[2][IDS];
	struct shard_stream *stream;
	struct manifest manifest = {0};
	scratch_open(root);
	assert_ok(shard_stream_open(&stream, root, tables, 3, 0, &err), &err);
	assert_ok(shard_stream_close(stream, &manifest, &err), &err);
	ck_assert_uint_eq(manifest.file_count, 1);
	ck_assert_str_eq(manifest.files[0].name, "shard-00000.safetensors");
	check_file(manifest.files[0].name, seen);
	manifest_fini(&manifest);
	scratch_close(root);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_fails_an_append_or_the_end)
{
	struct error err;
	struct shard_stream *stream;
	struct manifest manifest = {0};
	uint64_t ids[APPEND_MAX] = {0};
	float records[APPEND_MAX * RECORD_MAX] = {0};
	enum status status = STATUS_OK;
	assert_ok(shard_stream_open(&stream, "/nowhere", tables, 3, PACK_BYTES, &err), &err);
	for (int i = 0; i < 100 && status == STATUS_OK; i++)
		status = shard_stream_append(stream, 0, ids, records, APPEND_MAX, &err);
	assert_fails(status, STATUS_NOT_FOUND, &err, "/nowhere/shard-00000.safetensors");
	shard_stream_abandon(stream);
	assert_ok(shard_stream_open(&stream, "/nowhere", tables, 3, 0, &err), &err);
	assert_ok(shard_stream_append(stream, 0, ids, records, 1, &err), &err);
	assert_fails(shard_stream_close(stream, &manifest, &err), STATUS_NOT_FOUND, &err,
		"/nowhere/shard-00000.safetensors");
	ck_assert_uint_eq(manifest.file_count, 0);
}
END_TEST

START_TEST(a_record_that_no_file_could_hold_is_refused)
{
	struct error err;
	struct shard_stream *stream;
	const struct shard_table wide = {.name = "wide", .dim = 1000};
	uint64_t id = 0;
	static float record[1000];
	scratch_open(root);
	assert_ok(shard_stream_open(&stream, root, &wide, 1, 4007, &err), &err);
	assert_fails(shard_stream_append(stream, 0, &id, record, 1, &err), STATUS_INVALID_ARGUMENT,
		&err, "larger than a shard");
	shard_stream_abandon(stream);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_record_is_in_one_of_the_files_and_the_stamps_are_theirs,
		without_records_there_is_one_file_of_empty_tables,
		a_file_that_cannot_be_written_fails_an_append_or_the_end,
		a_record_that_no_file_could_hold_is_refused, NULL};
	return run_cases("shard_stream", cases);
}
