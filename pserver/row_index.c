#include "pserver/row_index.h"

#include "pserver/pages.h"

#include <assert.h>

#define FIRST_ENTRIES 16u
/* From here on a generation is a piece of the stock's pages, which are huge ones. */
#define LENT_BYTES_MIN ((size_t)32 << 10)
/* A position must leave the mask at least one bit of its own; 1.7e9 rows a slab. */
#define ENTRIES_MAX (UINT32_C(1) << 31)
/*
 * A generation of c entries receives 2c/5 insertions before it is full, and as many rows wait in
 * the one before it: moving one row per insertion would be enough. Some more shorten the time in
 * which lookups have two generations to go through; but each may be the first to touch a page.
 */
#define MOVES_PER_CALL 4u

static size_t generation_bytes(const struct index_generation *generation)
{
	return generation->entries ? ((size_t)generation->mask + 1) * sizeof(uint32_t) : 0;
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

static void generation_insert(struct index_generation *generation, uint32_t hash, uint32_t position)
{
	const uint32_t mask = generation->mask;
	uint32_t slot = hash & mask;
	while (generation->entries[slot])
		slot = (slot + 1) & mask;
	generation->entries[slot] = (hash & ~mask) | (position + 1);
}

static uint32_t generation_find(const struct index_generation *generation,
	const struct row_slab *slab, const struct slab_layout *layout, uint64_t id, uint32_t hash)
{
	if (!generation->entries)
		return POSITION_NONE;
	uint32_t slot = hash & generation->mask;
	uint32_t position;
	do {
		position = index_generation_next(generation, hash, &slot);
	} while (position != POSITION_NONE && row_slab_at(slab, layout, position)->id != id);
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
	struct row_index *index, uint64_t entries, uint32_t **ret, struct error *err)
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

void row_index_insert(struct row_index *index, uint32_t hash, uint32_t position)
{
	generation_insert(&index->current, hash, position);
}

void row_index_move_some(
	struct row_index *index, const struct row_slab *slab, const struct slab_layout *layout)
{
	uint32_t hashes[MOVES_PER_CALL];
	uint32_t n = index->previous_count - index->moved;
	if (n > MOVES_PER_CALL)
		n = MOVES_PER_CALL;
	for (uint32_t i = 0; i < n; i++) {
		hashes[i] =
			row_index_hash(hash_u64(row_slab_at(slab, layout, index->moved + i)->id));
		__builtin_prefetch(&index->current.entries[hashes[i] & index->current.mask], 1);
	}
	for (uint32_t i = 0; i < n; i++)
		generation_insert(&index->current, hashes[i], index->moved + i);
	index->moved += n;
	if (index->moved == index->previous_count)
		generation_fini(index, &index->previous);
}

uint32_t row_index_find(const struct row_index *index, const struct row_slab *slab,
	const struct slab_layout *layout, uint64_t id, uint32_t hash)
{
	uint32_t position = generation_find(&index->current, slab, layout, id, hash);
	if (position == POSITION_NONE)
		position = generation_find(&index->previous, slab, layout, id, hash);
	return position;
}

size_t row_index_bytes(const struct row_index *index)
{
	return generation_bytes(&index->current) + generation_bytes(&index->previous);
}
