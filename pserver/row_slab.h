/*
 * Records of one size in chunks: they are appended, numbered by position, and never move.
 *
 * Positions [0, chunk_rows) lie in pieces that double (4, 4, 8, 16, ... rows), so that a table of a
 * few rows takes a few hundred bytes; from there on a chunk holds chunk_rows records, 8 MiB, of
 * which the kernel backs what has been touched.
 *
 * Threads: externally locked; slab_layout is immutable after init.
 */
#ifndef MARQUEE_PSERVER_ROW_SLAB_H
#define MARQUEE_PSERVER_ROW_SLAB_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SLAB_CHUNK_BYTES     ((size_t)8 << 20)
#define SLAB_FIRST_ROWS	     4u
#define SLAB_FIRST_ROWS_LOG2 2
/* A chunk holds at least two records of the largest size. */
#define SLAB_RECORD_BYTES_MAX (SLAB_CHUNK_BYTES / 2)

/* An id, then its row and the row's optimizer state. */
struct row_record {
	uint64_t id;
	float values[];
};

/* What all slabs of a table share. */
struct slab_layout {
	uint32_t record_bytes; /* a multiple of 8 */
	uint32_t chunk_rows;   /* >= 2 */
	uint32_t pieces;       /* the doubling ones at the front of the chunk list */
	uint64_t reciprocal;   /* ceil(2^64 / chunk_rows) */
};

struct row_slab {
	unsigned char **chunks; /* [chunk_count] */
	size_t chunk_capacity;
	uint32_t chunk_count;
	uint32_t count;	   /* records */
	uint32_t capacity; /* records that fit the chunks */
};

/* 0 < values, and the record is at most SLAB_RECORD_BYTES_MAX. */
struct slab_layout slab_layout_of(uint32_t values);

/* A slab of all zeros is valid and empty. */
void row_slab_fini(struct row_slab *slab, const struct slab_layout *layout);

/* Makes room for one more record. Bounded work: at most one chunk is mapped. */
MUST_CHECK enum status row_slab_reserve(
	struct row_slab *slab, const struct slab_layout *layout, struct error *err);

/* The next record, at position slab->count++; its bytes are zero. Only after row_slab_reserve(). */
struct row_record *row_slab_append(struct row_slab *slab, const struct slab_layout *layout);

/* Bytes of the chunks and their list, touched or not. */
size_t row_slab_bytes(const struct row_slab *slab, const struct slab_layout *layout);

/* position < slab->count. */
static inline struct row_record *row_slab_at(
	const struct row_slab *slab, const struct slab_layout *layout, uint32_t position)
{
	uint32_t chunk, row;
	if (position < layout->chunk_rows) {
		/* Piece 0 is [0, 4), piece k is [4 * 2^(k-1), 4 * 2^k). */
		uint32_t fours = position >> SLAB_FIRST_ROWS_LOG2;
		chunk = fours ? 32u - (uint32_t)__builtin_clz(fours) : 0;
		row = fours ? position - ((SLAB_FIRST_ROWS / 2) << chunk) : position;
	} else {
		/* Division by multiplication, exact for 32-bit numbers (Lemire et al. 2019). */
		__extension__ typedef unsigned __int128 product;
		uint32_t whole = (uint32_t)(((product)layout->reciprocal * position) >> 64);
		chunk = layout->pieces - 1 + whole;
		row = position - whole * layout->chunk_rows;
	}
	return (struct row_record *)(void *)(slab->chunks[chunk] +
					     (size_t)row * layout->record_bytes);
}

#endif
