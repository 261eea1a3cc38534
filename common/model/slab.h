/*
 * One block of memory laid out afresh for every plan, which grows to the largest plan seen and is
 * kept. A layout function takes its arrays in order; it is run twice, first to measure.
 *
 * Threads: owner-thread only. Private to common/model.
 */
#ifndef MARQUEE_MODEL_SLAB_H
#define MARQUEE_MODEL_SLAB_H

#include "common/base/memory.h"

#include <stdlib.h>

/* All zeros is valid and empty. */
struct slab {
	unsigned char *memory;
	size_t capacity;
	size_t used;
	bool measuring;
};

/*
 * count elements of this size, on a cache line of their own; NULL while measuring. The sizes of one
 * layout must add up to less than SIZE_MAX; memory does not, long before.
 */
static inline void *slab_take(struct slab *slab, size_t count, size_t size)
{
	size_t start = slab->used;
	slab->used += (count * size + CACHE_LINE - 1) & ~(CACHE_LINE - 1);
	return slab->measuring ? NULL : slab->memory + start;
}

MUST_CHECK static inline enum status slab_layout(struct slab *slab,
	void (*layout)(struct slab *slab, void *context), void *context, const char *what,
	struct error *err)
{
	slab->used = 0;
	slab->measuring = true;
	layout(slab, context);
	if (slab->used > slab->capacity || !slab->memory) {
		size_t wanted = slab->used + slab->used / 4;
		unsigned char *memory;
		enum status status = memory_alloc(&memory, wanted, 1, what, err);
		if (status != STATUS_OK)
			return status;
		free(slab->memory);
		slab->memory = memory;
		slab->capacity = wanted;
	}
	slab->used = 0;
	slab->measuring = false;
	layout(slab, context);
	return STATUS_OK;
}

static inline void slab_fini(struct slab *slab)
{
	free(slab->memory);
	*slab = (struct slab){0};
}

#endif
