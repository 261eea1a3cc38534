/*
 * The index of a slab: from an id to the position of its record.
 *
 * Open addressing with linear probing over 32-bit entries. An entry is 0 when empty; else its low
 * bits, those under the mask, hold the position plus one, and its high bits those of the id's hash,
 * so that a lookup rarely reads a record of another id. Load at most 4/5.
 *
 * Growth does not stall: the larger generation starts empty and each later insertion moves a few
 * positions of the slab into it, in order, while lookups consult both generations.
 *
 * Memory per row: 4 / load bytes. A generation of c entries is filled from 2c/5 to 4c/5 rows, so 5
 * to 10 bytes; while rows are moved the half as large one is there too: at most (c + c/2) * 4 /
 * (2c/5) = 15 bytes. 1e8 rows of 32 floats with SGD over 64 virtual shards are 1.56e6 rows, 213e6
 * bytes a shard: 136 for the record, 8 MiB / 2 / 1.56e6 = 2.7 for the last chunk's free half, 2^21
 * * 4 / 1.56e6 = 5.4 here, 144 bytes a row in all. The most, just after growth at this size, is 136
 * + 3 + 15 = 154, within 1.15 times the record's 136.
 *
 * Generations of 32 KiB and more are pieces of huge pages that all tables share (page_stock.h);
 * what has been outgrown serves other partitions, and up to 2 MiB a partition are left over in the
 * end.
 *
 * A generation of whole huge pages is asked for in advance, from 15/16 of its predecessor on, and
 * counts for memory from then: 10.7 bytes a row. 1e8 rows stay below that by 8 sigma.
 *
 * Invariants: every position < slab count is in `current`, or is one of [moved, previous_count) and
 * is in `previous`. Ids are distinct.
 * Threads: externally locked; finds may share.
 */
#ifndef MARQUEE_PSERVER_ROW_INDEX_H
#define MARQUEE_PSERVER_ROW_INDEX_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "pserver/page_stock.h"
#include "pserver/row_slab.h"

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define POSITION_NONE UINT32_MAX

struct index_generation {
	uint32_t *entries; /* [mask + 1]; NULL: no generation */
	uint32_t mask;
};

struct row_index {
	struct index_generation current;
	struct index_generation previous; /* while its rows are being moved */
	uint32_t previous_count;
	uint32_t moved;
	/* The next generation, prepared before it is needed. Borrowed; NULL, both: it is not. */
	struct page_stock *stock;
	struct stock_order *order;
};

/* An index of all zeros is valid and empty; it may be given a stock and an order. Leaves it so. */
void row_index_fini(struct row_index *index);

/* The low half of hash_u64(id): the high bits are the same for the whole virtual shard. */
static inline uint32_t row_index_hash(uint64_t hash)
{
	return (uint32_t)hash;
}

/* Makes room for one entry more than `count`. Bounded work but for one allocation. */
MUST_CHECK enum status row_index_reserve(
	struct row_index *index, uint32_t count, struct error *err);

/* Adds an id that is absent; only after row_index_reserve(). */
void row_index_insert(struct row_index *index, uint32_t hash, uint32_t position);

void row_index_move_some(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout);

/* Moves some rows on to the current generation, when there are two. Bounded work. */
static inline void row_index_move(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout)
{
	if (index->previous.entries)
		row_index_move_some(index, slab, layout);
}

/* POSITION_NONE when absent. */
uint32_t row_index_find(const struct row_index *index, const struct row_slab *slab,
	const struct slab_layout *layout, uint64_t id, uint32_t hash);

/*
 * A find in three steps, for batches: prefetch the entries; take the first position whose entry
 * matches the hash, so that its record can be prefetched (POSITION_NONE: the id is absent); look
 * whether that record is the id's, else row_index_find().
 */
static inline void row_index_prefetch(const struct row_index *index, uint32_t hash)
{
	if (index->current.entries)
		__builtin_prefetch(&index->current.entries[hash & index->current.mask]);
	if (index->previous.entries)
		__builtin_prefetch(&index->previous.entries[hash & index->previous.mask]);
}

/* The first entry from *slot on that matches the hash; leaves *slot behind it. */
static inline uint32_t index_generation_next(
	const struct index_generation *generation, uint32_t hash, uint32_t *slot)
{
	const uint32_t mask = generation->mask;
	uint32_t entry;
	for (uint32_t at = *slot; (entry = generation->entries[at]) != 0; at = (at + 1) & mask) {
		if (((entry ^ hash) & ~mask) == 0) {
			*slot = (at + 1) & mask;
			return (entry & mask) - 1;
		}
	}
	return POSITION_NONE;
}

/*
 * The same from the hash's own slot on, without a branch on each of the first four entries: how
 * many there are to be passed is what no processor foresees, and four are mostly enough.
 */
static inline uint32_t index_generation_first(
	const struct index_generation *generation, uint32_t hash)
{
	const uint32_t mask = generation->mask;
	uint32_t slot = hash & mask;
#if defined(__SSE2__)
	if (slot + 3 <= mask) {
		const __m128i zero = _mm_setzero_si128();
		const __m128i entries =
			_mm_loadu_si128((const __m128i *)(const void *)&generation->entries[slot]);
		const __m128i other =
			_mm_and_si128(_mm_xor_si128(entries, _mm_set1_epi32((int)hash)),
				_mm_set1_epi32((int)~mask));
		const __m128i ends =
			_mm_or_si128(_mm_cmpeq_epi32(entries, zero), _mm_cmpeq_epi32(other, zero));
		const unsigned int bits = (unsigned int)_mm_movemask_ps(_mm_castsi128_ps(ends));
		/* An empty entry gives POSITION_NONE. */
		if (bits)
			return (generation->entries[slot + (uint32_t)__builtin_ctz(bits)] & mask) -
			       1;
		slot = (slot + 4) & mask;
	}
#endif
	return index_generation_next(generation, hash, &slot);
}

static inline uint32_t row_index_candidate(const struct row_index *index, uint32_t hash)
{
	uint32_t position = POSITION_NONE;
	if (index->current.entries)
		position = index_generation_first(&index->current, hash);
	if (position == POSITION_NONE && index->previous.entries)
		position = index_generation_first(&index->previous, hash);
	return position;
}

size_t row_index_bytes(const struct row_index *index);

#endif
