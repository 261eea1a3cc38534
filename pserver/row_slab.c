#include "pserver/row_slab.h"

#include "common/base/memory.h"
#include "pserver/pages.h"

#include <assert.h>
#include <stdlib.h>

/* Records in a chunk of the list. The last piece ends where the whole chunks begin. */
static uint32_t chunk_rows_at(const struct slab_layout *layout, uint32_t chunk)
{
	if (chunk >= layout->pieces)
		return layout->chunk_rows;
	uint32_t first = chunk ? (SLAB_FIRST_ROWS / 2) << chunk : 0;
	uint32_t end = SLAB_FIRST_ROWS << chunk;
	if (end > layout->chunk_rows)
		end = layout->chunk_rows;
	return end - first;
}

static size_t chunk_bytes(const struct slab_layout *layout, uint32_t chunk)
{
	return (size_t)chunk_rows_at(layout, chunk) * layout->record_bytes;
}

struct slab_layout slab_layout_of(uint32_t values)
{
	size_t record_bytes = sizeof(struct row_record) + (size_t)values * sizeof(float);
	record_bytes = (record_bytes + 7) & ~(size_t)7;
	assert(values > 0 && record_bytes <= SLAB_RECORD_BYTES_MAX);
	struct slab_layout layout = {.record_bytes = (uint32_t)record_bytes,
		.chunk_rows = (uint32_t)(SLAB_CHUNK_BYTES / record_bytes)};
	layout.reciprocal = UINT64_MAX / layout.chunk_rows + 1;
	layout.pieces = 1;
	while ((SLAB_FIRST_ROWS << (layout.pieces - 1)) < layout.chunk_rows)
		layout.pieces++;
	return layout;
}

void row_slab_fini(struct row_slab *slab, const struct slab_layout *layout)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++)
		pages_free(slab->chunks[i], chunk_bytes(layout, i));
	free(slab->chunks);
	*slab = (struct row_slab){0};
}

enum status row_slab_reserve(
	struct row_slab *slab, const struct slab_layout *layout, struct error *err)
{
	if (slab->count < slab->capacity)
		return STATUS_OK;
	enum status status = memory_grow(&slab->chunks, &slab->chunk_capacity,
		(size_t)slab->chunk_count + 1, sizeof(*slab->chunks), "chunk list", err);
	if (status != STATUS_OK)
		return status;
	status = pages_alloc(&slab->chunks[slab->chunk_count],
		chunk_bytes(layout, slab->chunk_count), "chunk of rows", err);
	if (status != STATUS_OK)
		return status;
	slab->capacity += chunk_rows_at(layout, slab->chunk_count);
	slab->chunk_count++;
	return STATUS_OK;
}

struct row_record *row_slab_append(struct row_slab *slab, const struct slab_layout *layout)
{
	assert(slab->count < slab->capacity);
	return row_slab_at(slab, layout, slab->count++);
}

size_t row_slab_bytes(const struct row_slab *slab, const struct slab_layout *layout)
{
	size_t bytes = slab->chunk_capacity * sizeof(*slab->chunks);
	for (uint32_t i = 0; i < slab->chunk_count; i++)
		bytes += chunk_bytes(layout, i);
	return bytes;
}
