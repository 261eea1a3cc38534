#include "pserver/row_index.h"

#include "common/base/hash.h"
#include "pserver/pages.h"

#include <assert.h>

#define FIRST_ENTRIES BUCKET_ENTRIES
/* From here on a generation is a piece of the stock's pages, which are huge ones. */
#define LENT_BYTES_MIN ((size_t)32 << 10)
/* 1.7e9 rows a slab. */
#define ENTRIES_MAX (UINT32_C(1) << 31)
/* What an entry says of entries that are so many buckets and more behind their own. */
#define DISTANCE_MAX 7u
/*
 * A generation of c entries receives 2c/5 insertions before it is full, and as many rows wait in
 * the one before it: moving one row per insertion would be enough. Some more shorten the time in
 * which lookups have two generations to go through; but each may be the first to touch a page.
 */
#define MOVES_PER_CALL 4u

static size_t generation_bytes(const struct index_generation *generation)
{
	return generation->entries ? ((size_t)generation->mask + 1) * sizeof(uint64_t) : 0;
}

/* Whether entries of so many bytes are lent by the stock. */
static bool is_lent(const struct row_index *index, size_t bytes)
{
	return index->stock && bytes >= LENT_BYTES_MIN && bytes < STOCK_PAGE_BYTES;
}

static void generation_fini(const struct row_index *index, struct index_generation *generation)
{
	const size_t bytes = generation_bytes(generation);
	if (is_lent(index, bytes))
		page_stock_give(index->stock, generation->entries, bytes);
	else
		pages_free(generation->entries, bytes);
	*generation = (struct index_generation){0};
}

static uint32_t generation_limit(const struct index_generation *generation)
{
	return generation->entries ? (uint32_t)(((uint64_t)generation->mask + 1) * 4 / 5) : 0;
}

static uint32_t next_bucket(const struct index_generation *generation, uint32_t at)
{
	return (at + BUCKET_ENTRIES) & generation->mask;
}

static void generation_insert(struct index_generation *generation, uint64_t hash, uint32_t position)
{
	uint32_t at = index_generation_home(generation, hash);
	uint32_t distance = 0;
	while (generation->entries[at + BUCKET_ENTRIES - 1]) {
		at = next_bucket(generation, at);
		distance += distance < DISTANCE_MAX;
	}
	while (generation->entries[at])
		at++;
	generation->entries[at] = index_generation_key(generation, hash, distance) | (position + 1);
}

/* Entries this far from their bucket do not say which one it was. */
static uint32_t bucket_find_far(const uint64_t *bucket, uint32_t mask, uint64_t key, uint64_t hash,
	const struct row_slab *slab, const struct slab_layout *layout)
{
	for (uint32_t i = 0; i < BUCKET_ENTRIES && bucket[i]; i++) {
		const uint64_t found = bucket[i] ^ key;
		if (found > mask)
			continue;
		const uint32_t position = (uint32_t)found - 1;
		if (hash_u64(*row_slab_ids(slab, layout, position)) == hash)
			return position;
	}
	return POSITION_NONE;
}

uint32_t index_generation_search(const struct index_generation *generation,
	const struct row_slab *slab, const struct slab_layout *layout, uint64_t hash)
{
	uint32_t at = index_generation_home(generation, hash);
	uint32_t distance = 0;
	uint32_t position = POSITION_NONE;
	while (position == POSITION_NONE && generation->entries[at + BUCKET_ENTRIES - 1]) {
		at = next_bucket(generation, at);
		distance += distance < DISTANCE_MAX;
		const uint64_t *bucket = generation->entries + at;
		const uint64_t key = index_generation_key(generation, hash, distance);
		position = distance < DISTANCE_MAX
				   ? index_bucket_find(bucket, generation->mask, key)
				   : bucket_find_far(
					     bucket, generation->mask, key, hash, slab, layout);
	}
	return position;
}

void row_index_fini(struct row_index *index)
{
	generation_fini(index, &index->current);
	generation_fini(index, &index->previous);
	if (index->order)
		page_stock_cancel(index->stock, index->order);
	*index = (struct row_index){.stock = index->stock, .order = index->order};
}

/* Lookups meet the pages at random, insertions too: huge ones that somebody has touched. */
static enum status alloc_entries(
	struct row_index *index, uint64_t entries, uint64_t **ret, struct error *err)
{
	const size_t bytes = (size_t)entries * sizeof(**ret);
	if (is_lent(index, bytes))
		return page_stock_take(index->stock, ret, bytes, err);
	*ret = index->order ? page_stock_collect(index->stock, index->order, bytes) : NULL;
	return *ret ? STATUS_OK : pages_alloc(ret, bytes, "index", err);
}

/* The generation after the current one is needed soon. */
static void order_next(struct row_index *index)
{
	const size_t bytes = 2 * generation_bytes(&index->current);
	if (index->order && bytes >= STOCK_PAGE_BYTES)
		page_stock_order(index->stock, index->order, bytes);
}

enum status row_index_reserve(struct row_index *index, uint32_t count, struct error *err)
{
	const uint32_t limit = generation_limit(&index->current);
	if (count < limit) {
		if (count == limit - limit / 16)
			order_next(index);
		return STATUS_OK;
	}
	assert(!index->previous.entries);
	uint64_t entries =
		index->current.entries ? ((uint64_t)index->current.mask + 1) * 2 : FIRST_ENTRIES;
	if (entries > ENTRIES_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"index: a virtual shard of a table holds at most %u rows", count);
	struct index_generation larger = {.mask = (uint32_t)entries - 1};
	enum status status = alloc_entries(index, entries, &larger.entries, err);
	if (status != STATUS_OK)
		return status;
	index->previous = index->current;
	index->current = larger;
	index->previous_count = count;
	index->moved = 0;
	return STATUS_OK;
}

void row_index_insert(struct row_index *index, uint64_t hash, uint32_t position)
{
	generation_insert(&index->current, hash, position);
}

void row_index_move_some(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout)
{
	uint64_t hashes[MOVES_PER_CALL];
	uint32_t n = index->previous_count - index->moved;
	if (n > MOVES_PER_CALL)
		n = MOVES_PER_CALL;
	for (uint32_t i = 0; i < n; i++) {
		hashes[i] = hash_u64(*row_slab_ids(slab, layout, index->moved + i));
		__builtin_prefetch(
			&index->current.entries[index_generation_home(&index->current, hashes[i])],
			1);
	}
	for (uint32_t i = 0; i < n; i++)
		generation_insert(&index->current, hashes[i], index->moved + i);
	index->moved += n;
	if (index->moved == index->previous_count)
		generation_fini(index, &index->previous);
}

size_t row_index_bytes(const struct row_index *index)
{
	return generation_bytes(&index->current) + generation_bytes(&index->previous);
}
