/*
 * The sparse rows of some tables in one safetensors file.
 *
 * For every table three tensors of one record order (n rows, dim D, S floats of optimizer state):
 *     <table>.ids   U64 [n]
 *     <table>.rows  F32 [n, D]
 *     <table>.slots F32 [n, S]    S may be 0
 * In memory a record is what the parameter server holds: D + S floats, the row and then its slots.
 *
 * Threads: a writer is owner-thread only, a reader immutable after open.
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

struct shard_writer;

/* Plans the file: the counts are final. Copies `tables`. On failure there is no file. */
MUST_CHECK enum status shard_writer_open(struct shard_writer **ret, const char *path,
	const struct shard_table *tables, size_t table_count, struct error *err);
/* Adds the next n records of a table (an index into `tables`): ids[n], records[n x (dim + slots)].
 */
MUST_CHECK enum status shard_writer_append(struct shard_writer *writer, size_t table,
	const uint64_t *ids, const float *records, size_t n, struct error *err);
/* Takes the writer. The file is durable on success and gone on failure, which a missing record is.
 */
MUST_CHECK enum status shard_writer_close(
	struct shard_writer *writer, struct file_stamp *ret_stamp, struct error *err);
/* Takes the writer and removes the file. NULL is fine. */
void shard_writer_abandon(struct shard_writer *writer);

struct shard_reader;

/* Maps and validates the file. Returns an owned reader. */
MUST_CHECK enum status shard_reader_open(
	struct shard_reader **ret, const char *path, struct error *err);
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
