#include "common/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

/* The largest that glibc takes: from there on memory is mapped. */
#define MAPPED_FROM	(32 << 20)
#define KEPT_FREE	(64 << 20)
#define ARENA_BLOCK_MIN ((size_t)1 << 18)

struct arena_block {
	struct arena_block *next;
	size_t size; /* payload bytes, behind one cache line of header */
};

void memory_keep_freed(void)
{
#if defined(__GLIBC__)
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
#endif
}

bool size_multiply(size_t count, size_t size, size_t *ret_bytes)
{
	return !__builtin_mul_overflow(count, size, ret_bytes);
}

static bool round_up(size_t bytes, size_t *ret_bytes)
{
	size_t sum;
	if (__builtin_add_overflow(bytes, CACHE_LINE - 1, &sum))
		return false;
	*ret_bytes = sum & ~(CACHE_LINE - 1);
	return true;
}

enum status memory_alloc(void *ret, size_t count, size_t size, const char *what, struct error *err)
{
	size_t bytes;
	if (!size_multiply(count, size, &bytes) || !round_up(bytes ? bytes : 1, &bytes))
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"%s: %zu elements of %zu bytes do not fit the address space", what, count,
			size);
	void *memory = aligned_alloc(CACHE_LINE, bytes);
	if (!memory)
		return error_set(
			err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes", what, bytes);
	memcpy(ret, &memory, sizeof(memory));
	return STATUS_OK;
}

enum status memory_zalloc(void *ret, size_t count, size_t size, const char *what, struct error *err)
{
	enum status status = memory_alloc(ret, count, size, what, err);
	if (status == STATUS_OK) {
		void *memory;
		memcpy(&memory, ret, sizeof(memory));
		memset(memory, 0, count * size);
	}
	return status;
}

enum status memory_grow(void *array, size_t *capacity, size_t needed, size_t size, const char *what,
	struct error *err)
{
	if (needed <= *capacity)
		return STATUS_OK;
	size_t wanted = *capacity <= SIZE_MAX / 2 ? *capacity * 2 : SIZE_MAX;
	if (wanted < needed)
		wanted = needed;
	if (wanted < 16)
		wanted = 16;
	size_t bytes;
	if (!size_multiply(wanted, size, &bytes))
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"%s: %zu elements of %zu bytes do not fit the address space", what, wanted,
			size);
	void *old;
	memcpy(&old, array, sizeof(old));
	void *grown = realloc(old, bytes);
	if (!grown)
		return error_set(
			err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes", what, bytes);
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return STATUS_OK;
}

void arena_init(struct arena *arena)
{
	*arena = (struct arena){0};
}

void arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->first;
	while (block) {
		struct arena_block *next = block->next;
		free(block);
		block = next;
	}
	arena_init(arena);
}

void arena_reset(struct arena *arena)
{
	arena->current = arena->first;
	arena->used = 0;
}

static struct arena_block *block_new(size_t size)
{
	size_t bytes;
	if (__builtin_add_overflow(size, CACHE_LINE, &bytes))
		return NULL;
	struct arena_block *block = aligned_alloc(CACHE_LINE, bytes);
	if (block) {
		block->next = NULL;
		block->size = size;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;
	if (!size_multiply(count, size, &bytes) || !round_up(bytes, &bytes))
		return NULL;
	while (!arena->current || arena->current->size - arena->used < bytes) {
		struct arena_block *next = arena->current ? arena->current->next : arena->first;
		if (!next) {
			next = block_new(bytes > ARENA_BLOCK_MIN ? bytes : ARENA_BLOCK_MIN);
			if (!next)
				return NULL;
			if (arena->current)
				arena->current->next = next;
			else
				arena->first = next;
		}
		arena->current = next;
		arena->used = 0;
	}
	unsigned char *start = (unsigned char *)arena->current + CACHE_LINE + arena->used;
	arena->used += bytes;
	return start;
}
