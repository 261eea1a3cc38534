/*
 * Records of one size in chunks, and their ids: they are appended and numbered by position.
 *
 * A chunk holds a power of two of records, so that a position needs no division, in up to 256 KiB
 * or, of large ones, two, and behind them their ids. So records whose size is a multiple of a cache
 * line lie on as few of them as there can be, and a lookup, which the index alone decides, does not
 * read the id. The first chunk starts with room for a few and is doubled, so that a table of a few
 * rows takes a few hundred bytes: until it has its full size, an append may move the records. Later
 * they never move. Chunks of full size are a stock's (page_stock.h) or the slab's own.
 *
 * Threads: externally locked; slab_layout is immutable after init.
 */
#ifndef MARQUEE_PSERVER_ROW_SLAB_H
#define MARQUEE_PSERVER_ROW_SLAB_H

#include "common/base/status.h"
#include "pserver/page_stock.h"

#include <stddef.h>
#include <stdint.h>

#define SLAB_CHUNK_BYTES ((size_t)256 << 10)
#define SLAB_FIRST_ROWS	 2u
/* A chunk of two records and their ids fits a page of the stock. */
#define SLAB_RECORD_BYTES_MAX (STOCK_PAGE_BYTES / 2 - 64)

/* What all slabs of a table share. */
struct slab_layout {
	uint32_t record_bytes; /* a multiple of 8 */
	uint32_t chunk_bytes;  /* with the ids */
	uint32_t chunk_shift;  /* log2 of the records in a chunk, >= 1 */
	uint32_t lines;	       /* cache lines that a record may lie on */
};

static inline uint32_t slab_chunk_rows(const struct slab_layout *layout)
{
	return UINT32_C(1) << layout->chunk_shift;
}

struct row_slab {
	struct page_stock *
		stock; /* borrowed: chunks of full size are lent by it; NULL: they are the slab's */
	unsigned char **chunks; /* [chunk_count] */
	size_t chunk_capacity;
	uint32_t chunk_count;
	uint32_t count;	   /* records */
	uint32_t capacity; /* records that fit the chunks */
};

/* 0 < values, and the record is at most SLAB_RECORD_BYTES_MAX. */
struct slab_layout slab_layout_of(uint32_t values);

/* A slab of all zeros is valid and empty; it may be given a stock. Leaves it so. */
void row_slab_fini(struct row_slab *slab, const struct slab_layout *layout);

/* Makes room for one more record. Bounded work: one chunk is mapped, or a part of one copied. */
MUST_CHECK enum status row_slab_reserve(
	struct row_slab *slab, const struct slab_layout *layout, struct error *err);

/*
 * The id's record, at position slab->count++: the row, then the row's optimizer state, zeros. Only
 * after row_slab_reserve().
 */
float *row_slab_append(struct row_slab *slab, const struct slab_layout *layout, uint64_t id);

/* Bytes of the chunks and their list, touched or not. */
size_t row_slab_bytes(const struct row_slab *slab, const struct slab_layout *layout);

/* position < slab->count, here and below. */
static inline float *row_slab_at(
	const struct row_slab *slab, const struct slab_layout *layout, uint32_t position)
{
	const uint32_t row = position & (slab_chunk_rows(layout) - 1);
	return (float *)(void *)(slab->chunks[position >> layout->chunk_shift] +
				 (size_t)row * layout->record_bytes);
}

/* The ids from a position to the end of its chunk. */
static inline uint64_t *row_slab_ids(
	const struct row_slab *slab, const struct slab_layout *layout, uint32_t position)
{
	const uint32_t full = slab_chunk_rows(layout);
	const uint32_t rows = slab->capacity < full ? slab->capacity : full;
	return (uint64_t *)(void *)(slab->chunks[position >> layout->chunk_shift] +
				    (size_t)rows * layout->record_bytes) +
	       (position & (full - 1));
}

#endif
