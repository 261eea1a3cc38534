/*
 * The records of a checkpoint, written to as many shard files as they need while they come.
 *
 * Records are gathered in packs. A full pack becomes a file in one sequential pass, on a thread of
 * the stream's own, while the next one is gathered; hashing is part of that pass. So memory is two
 * packs, however large the tables are, and their counts need not be known beforehand.
 *
 * Threads: owner-thread only; the stream's thread touches what was handed to it.
 */
#ifndef MARQUEE_CHECKPOINT_SHARD_STREAM_H
#define MARQUEE_CHECKPOINT_SHARD_STREAM_H

#include "common/checkpoint/manifest.h"
#include "common/checkpoint/shard_file.h"

/*
 * Bytes of a pack, and so of a file: large for the disk, but no more than that. The first and the
 * last pack are what the disk waits for, and memory that is touched for the first time costs more
 * than what is copied there.
 */
#define SHARD_PACK_BYTES_DEFAULT ((size_t)16 << 20)

struct shard_stream;

/*
 * Will write directory/shard-00000.safetensors and so on. Copies the tables, whose counts it
 * ignores. pack_bytes 0 is the default; it holds at least one record.
 */
MUST_CHECK enum status shard_stream_open(struct shard_stream **ret, const char *directory,
	const struct shard_table *tables, size_t table_count, size_t pack_bytes, struct error *err);

/*
 * The next n records of a table: ids[n], records[n x (dim + slots)], copied. Waits when the disk is
 * behind by a pack. A file that could not be written fails the next call.
 */
MUST_CHECK enum status shard_stream_append(struct shard_stream *stream, size_t table,
	const uint64_t *ids, const float *records, size_t n, struct error *err);

/*
 * Takes the stream. Writes what is left, at least one file in all, and lists the files in the
 * manifest; they are not durable before checkpoint_commit().
 */
MUST_CHECK enum status shard_stream_close(
	struct shard_stream *stream, struct manifest *manifest, struct error *err);
/* Takes the stream; what it has written stays in the directory. NULL is fine. */
void shard_stream_abandon(struct shard_stream *stream);

#endif
