/*
 * The index of a slab: from an id to the position of its record.
 *
 * Open addressing over buckets of eight 64-bit entries, a cache line: a lookup mostly reads one
 * line here and then the record alone. For an entry says whose it is: hash_u64() is a bijection,
 * its top bits are the virtual shard's, the same for all ids of an index, and of the rest
 *
 *	bits 0..k-1	are the number of the id's bucket, of 2^k,
 *	bits k..57	are the entry's high bits (its tag);
 *
 * below the tag an entry has 3 bits that say how many buckets behind its own it is, since an entry
 * that finds its bucket full goes to the next that is not, and then k + 3 bits for the position
 * plus one. 0 is an empty entry; a bucket is filled from its first entry on. Seven buckets away
 * stands for any distance from there on, and the ids of such entries are compared in the slab: by
 * chance there are none, but whoever chooses ids can bring them about.
 *
 * Load at most 4/5. Growth does not stall: the larger generation starts empty and each later
 * insertion moves a few positions of the slab into it, in order, while lookups consult both
 * generations.
 *
 * Memory per row: 8 / load bytes. A generation of c entries is filled from 2c/5 to 4c/5 rows, so 10
 * to 20 bytes; while rows are moved the half as large one is there too: at most (c + c/2) * 8 /
 * (2c/5) = 30 bytes. 1e8 rows of 32 floats with SGD over 64 virtual shards are 1.56e6 rows a shard:
 * 136 bytes for record and id, 2^21 * 8 / 1.56e6 = 10.7 here, 147 bytes a row in all, within 1.15
 * times the 136.
 *
 * Generations of 32 KiB and more are pieces of huge pages that all tables share (page_stock.h);
 * what has been outgrown serves other partitions, and up to 2 MiB a partition are left over in the
 * end.
 *
 * A generation of whole huge pages is asked for in advance, from 15/16 of its predecessor on, and
 * counts for memory from then: 21.5 bytes a row. 1e8 rows stay below that by 8 sigma.
 *
 * Invariants: every position < slab count is in `current`, or is one of [moved, previous_count) and
 * is in `previous`. Ids are distinct.
 * Threads: externally locked; finds may share.
 */
#ifndef MARQUEE_PSERVER_ROW_INDEX_H
#define MARQUEE_PSERVER_ROW_INDEX_H

#include "common/base/status.h"
#include "pserver/page_stock.h"
#include "pserver/placement.h"
#include "pserver/row_slab.h"

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define POSITION_NONE UINT32_MAX

#define BUCKET_ENTRIES 8u

struct index_generation {
	uint64_t *entries; /* [mask + 1]; NULL: no generation */
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

/* Makes room for one entry more than `count`. Bounded work but for one allocation. */
MUST_CHECK enum status row_index_reserve(
	struct row_index *index, uint32_t count, struct error *err);

/* Adds an id that is absent, hash_u64(id); only after row_index_reserve(). */
void row_index_insert(struct row_index *index, uint64_t hash, uint32_t position);

void row_index_move_some(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout);

/* Moves some rows on to the current generation, when there are two. Bounded work. */
static inline void row_index_move(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout)
{
	if (index->previous.entries)
		row_index_move_some(index, slab, layout);
}

/* The first entry of the bucket of a hash. */
static inline uint32_t index_generation_home(
	const struct index_generation *generation, uint64_t hash)
{
	return (uint32_t)hash * BUCKET_ENTRIES & generation->mask;
}

/* For batches: what row_index_find() will read. */
static inline void row_index_prefetch(const struct row_index *index, uint64_t hash)
{
	const struct index_generation *current = &index->current, *previous = &index->previous;
	if (current->entries)
		__builtin_prefetch(&current->entries[index_generation_home(current, hash)]);
	if (previous->entries)
		__builtin_prefetch(&previous->entries[index_generation_home(previous, hash)]);
}

/* What an entry of the id has in place of position plus one's bits; `distance` in buckets, <= 7. */
static inline uint64_t index_generation_key(
	const struct index_generation *generation, uint64_t hash, uint32_t distance)
{
	const uint64_t mask = generation->mask;
	return (hash & ~(mask / BUCKET_ENTRIES)) << VIRTUAL_SHARD_BITS |
	       (uint64_t)distance * (mask + 1);
}

/*
 * The position in that entry of a bucket that has the key, or POSITION_NONE. There is no branch on
 * each of the entries: which one it is no processor foresees.
 */
static inline uint32_t index_bucket_find(const uint64_t *bucket, uint32_t mask, uint64_t key)
{
#if defined(__SSE2__)
	/* Positions lie in the low halves; the high ones tell nearly all entries apart. */
	const __m128i high = _mm_set1_epi32((int)(key >> 32));
	unsigned int likely = 0;
	for (uint32_t i = 0; i < BUCKET_ENTRIES; i += 4) {
		const __m128 first = _mm_load_ps((const float *)(const void *)(bucket + i));
		const __m128 second = _mm_load_ps((const float *)(const void *)(bucket + i + 2));
		const __m128i halves = _mm_castps_si128(_mm_shuffle_ps(first, second, 0xdd));
		const __m128i equal = _mm_cmpeq_epi32(halves, high);
		likely |= (unsigned int)_mm_movemask_ps(_mm_castsi128_ps(equal)) << i;
	}
	for (; likely; likely &= likely - 1) {
		const uint64_t found = bucket[__builtin_ctz(likely)] ^ key;
		if (found - 1 < mask)
			return (uint32_t)found - 1;
	}
	return POSITION_NONE;
#else
	uint64_t found = 0;
	for (uint32_t i = 0; i < BUCKET_ENTRIES; i++) {
		const uint64_t position = bucket[i] ^ key;
		found |= position <= mask ? position : 0;
	}
	/* 0 here is an empty entry, where the key is 0. */
	return (uint32_t)found - 1;
#endif
}

/* row_index_find() of ids that are not in their own bucket. */
uint32_t index_generation_search(const struct index_generation *generation,
	const struct row_slab *slab, const struct slab_layout *layout, uint64_t hash);

static inline uint32_t index_generation_find(const struct index_generation *generation,
	const struct row_slab *slab, const struct slab_layout *layout, uint64_t hash)
{
	const uint64_t *bucket = generation->entries + index_generation_home(generation, hash);
	const uint32_t position = index_bucket_find(
		bucket, generation->mask, index_generation_key(generation, hash, 0));
	if (position != POSITION_NONE || !bucket[BUCKET_ENTRIES - 1])
		return position;
	return index_generation_search(generation, slab, layout, hash);
}

/* hash: hash_u64(id). POSITION_NONE when the id is absent. */
static inline uint32_t row_index_find(const struct row_index *index, const struct row_slab *slab,
	const struct slab_layout *layout, uint64_t hash)
{
	uint32_t position = POSITION_NONE;
	if (index->current.entries)
		position = index_generation_find(&index->current, slab, layout, hash);
	if (position == POSITION_NONE && index->previous.entries)
		position = index_generation_find(&index->previous, slab, layout, hash);
	return position;
}

size_t row_index_bytes(const struct row_index *index);

#endif
