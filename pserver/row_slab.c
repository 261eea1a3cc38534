#include "pserver/row_slab.h"

#include "common/base/memory.h"
#include "pserver/pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Processors fetch lines in pairs: the next chunk shall begin with one, too. */
#define CHUNK_UNIT (2 * CACHE_LINE)

struct slab_layout slab_layout_of(uint32_t values)
{
	const size_t record_bytes = ((size_t)values * sizeof(float) + 7) & ~(size_t)7;
	assert(values > 0 && record_bytes <= SLAB_RECORD_BYTES_MAX);
	struct slab_layout layout = {.record_bytes = (uint32_t)record_bytes, .chunk_shift = 1};
	while (record_bytes << (layout.chunk_shift + 1) <= SLAB_CHUNK_BYTES)
		layout.chunk_shift++;
	const size_t chunk_bytes = (record_bytes + sizeof(uint64_t)) << layout.chunk_shift;
	layout.chunk_bytes = (uint32_t)((chunk_bytes + CHUNK_UNIT - 1) & ~(CHUNK_UNIT - 1));
	/* Unless every one begins with a line, from the last 8 bytes of one on. */
	const size_t before = record_bytes % CACHE_LINE ? CACHE_LINE - 8 : 0;
	layout.lines = (uint32_t)((before + record_bytes + CACHE_LINE - 1) / CACHE_LINE);
	return layout;
}

/* The first chunk, once it has its full size. */
static bool first_is_lent(const struct row_slab *slab, const struct slab_layout *layout)
{
	return slab->stock && slab->capacity >= slab_chunk_rows(layout);
}

void row_slab_fini(struct row_slab *slab, const struct slab_layout *layout)
{
	if (slab->chunk_count && !first_is_lent(slab, layout))
		free(slab->chunks[0]);
	for (uint32_t i = 1; i < slab->chunk_count && !slab->stock; i++)
		pages_free(slab->chunks[i], layout->chunk_bytes);
	free(slab->chunks);
	*slab = (struct row_slab){.stock = slab->stock};
}

static enum status reserve_list(struct row_slab *slab, struct error *err)
{
	return memory_grow(&slab->chunks, &slab->chunk_capacity, (size_t)slab->chunk_count + 1,
		sizeof(*slab->chunks), "chunk list", err);
}

/* Makes the first chunk or doubles it. */
static enum status grow_first(
	struct row_slab *slab, const struct slab_layout *layout, struct error *err)
{
	uint32_t rows = slab->capacity ? slab->capacity * 2 : SLAB_FIRST_ROWS;
	unsigned char *larger;
	if (rows > slab_chunk_rows(layout))
		rows = slab_chunk_rows(layout);
	enum status status = slab->chunk_count ? STATUS_OK : reserve_list(slab, err);
	if (status == STATUS_OK && slab->stock && rows == slab_chunk_rows(layout))
		status = page_stock_take(slab->stock, &larger, layout->chunk_bytes, err);
	else if (status == STATUS_OK)
		status = memory_zalloc(
			&larger, rows, layout->record_bytes + sizeof(uint64_t), "first rows", err);
	if (status != STATUS_OK)
		return status;
	if (slab->chunk_count) {
		memcpy(larger, slab->chunks[0], (size_t)slab->count * layout->record_bytes);
		memcpy(larger + (size_t)rows * layout->record_bytes, row_slab_ids(slab, layout, 0),
			slab->count * sizeof(uint64_t));
		free(slab->chunks[0]);
	}
	slab->chunks[0] = larger;
	slab->chunk_count = 1;
	slab->capacity = rows;
	return STATUS_OK;
}

enum status row_slab_reserve(
	struct row_slab *slab, const struct slab_layout *layout, struct error *err)
{
	if (slab->count < slab->capacity)
		return STATUS_OK;
	if (slab->capacity < slab_chunk_rows(layout))
		return grow_first(slab, layout, err);
	enum status status = reserve_list(slab, err);
	if (status != STATUS_OK)
		return status;
	unsigned char **chunk = &slab->chunks[slab->chunk_count];
	if (slab->stock)
		status = page_stock_take(slab->stock, chunk, layout->chunk_bytes, err);
	else
		status = pages_alloc(chunk, layout->chunk_bytes, "chunk of rows", err);
	if (status != STATUS_OK)
		return status;
	slab->capacity += slab_chunk_rows(layout);
	slab->chunk_count++;
	return STATUS_OK;
}

float *row_slab_append(struct row_slab *slab, const struct slab_layout *layout, uint64_t id)
{
	assert(slab->count < slab->capacity);
	const uint32_t position = slab->count++;
	*row_slab_ids(slab, layout, position) = id;
	return row_slab_at(slab, layout, position);
}

size_t row_slab_bytes(const struct row_slab *slab, const struct slab_layout *layout)
{
	const uint32_t first =
		slab->capacity < slab_chunk_rows(layout) ? slab->capacity : slab_chunk_rows(layout);
	size_t bytes = slab->chunk_capacity * sizeof(*slab->chunks) +
		       (size_t)first * (layout->record_bytes + sizeof(uint64_t));
	return slab->chunk_count ? bytes + (size_t)(slab->chunk_count - 1) * layout->chunk_bytes
				 : bytes;
}
