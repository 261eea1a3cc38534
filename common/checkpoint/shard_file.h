/*
 * The sparse rows of some tables in one safetensors file.
 *
 * For every table three tensors of one record order (n rows, dim D, S floats of optimizer state):
 *     <table>.ids   U64 [n]
 *     <table>.rows  F32 [n, D]
 *     <table>.slots F32 [n, S]    S may be 0
 * In memory a record is what the parameter server holds: D + S floats, the row and then its slots.
 *
 * Threads: a reader is immutable after open; writing is a pure function over the caller's arrays.
 */
#ifndef MARQUEE_CHECKPOINT_SHARD_FILE_H
#define MARQUEE_CHECKPOINT_SHARD_FILE_H

#include "common/checkpoint/safetensors.h"

#define SHARD_TABLE_NAME_SIZE 32

struct shard_table {
	char name[SHARD_TABLE_NAME_SIZE];
	uint32_t dim;	/* floats of a row */
	uint32_t slots; /* floats of optimizer state behind it */
	uint64_t count; /* rows */
};

/* Records of one table that lie together. Everything is borrowed. */
struct shard_piece {
	size_t table; /* an index into the file's tables */
	size_t count;
	const uint64_t *ids;  /* [count] */
	const float *records; /* [count x (dim + slots)] */
};

/*
 * Writes a file in one sequential pass: of every table the records of its pieces, in the order of
 * the array. A table's count is the sum of its pieces': FAILED_PRECONDITION or INVALID_ARGUMENT
 * otherwise. The file is not durable before somebody syncs it, as checkpoint_commit() does. On
 * failure there is no file.
 */
MUST_CHECK enum status shard_file_write(const char *path, const struct shard_table *tables,
	size_t table_count, const struct shard_piece *pieces, size_t piece_count,
	struct file_stamp *ret_stamp, struct error *err);

struct shard_reader;

/* Maps and validates the file. Returns an owned reader. */
MUST_CHECK enum status shard_reader_open(
	struct shard_reader **ret, const char *path, struct error *err);
/* Maps all of the file at once, for reads in no order. */
void shard_reader_fetch(const struct shard_reader *reader);
/* NULL is fine. */
void shard_reader_close(struct shard_reader *reader);
/* Borrowed until close. */
const struct shard_table *shard_reader_tables(const struct shard_reader *reader, size_t *ret_count);
/* Copies records [first, first + n) of a table: ids[n], records[n x (dim + slots)], each may be
 * NULL. OUT_OF_RANGE when they are not all there. */
MUST_CHECK enum status shard_reader_read(const struct shard_reader *reader, size_t table,
	uint64_t first, size_t n, uint64_t *ids, float *records, struct error *err);
/* The table's ids[count] and rows[count x dim] in the map, borrowed until close. */
const uint64_t *shard_reader_ids(const struct shard_reader *reader, size_t table);
const float *shard_reader_rows(const struct shard_reader *reader, size_t table);

#endif
