/*
 * Checked allocation and the bump arena.
 *
 * memory_*: like malloc, but sizes are counts of elements and an overflow or a refusal is a status.
 * struct arena: allocations that die together (one arena per step, one per model). Blocks are
 * 64-byte aligned, so rows and matrices start on a cache line. arena_reset() keeps the memory for
 * the next round: after warm-up a loop that resets its arena allocates nothing.
 *
 * Threads: an arena is owner-thread only.
 */
#ifndef MARQUEE_BASE_MEMORY_H
#define MARQUEE_BASE_MEMORY_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define CACHE_LINE ((size_t)64)

/* False when count * size does not fit size_t; else *ret_bytes holds the product. */
bool size_multiply(size_t count, size_t size, size_t *ret_bytes);

/*
 * Returns owned memory of count elements in *ret, 64-byte aligned, released with free(). count 0
 * gives a valid pointer. `what` names the allocation in the error ("shard index").
 */
MUST_CHECK enum status memory_alloc(
	void *ret, size_t count, size_t size, const char *what, struct error *err);

/* The same, zeroed. */
MUST_CHECK enum status memory_zalloc(
	void *ret, size_t count, size_t size, const char *what, struct error *err);

/*
 * Grows the malloc'ed array at *array to hold at least `needed` elements, at least doubling
 * *capacity. On failure the array is unchanged. The memory is for free(); elements past the old
 * capacity are not initialised. Alignment is malloc's.
 */
MUST_CHECK enum status memory_grow(void *array, size_t *capacity, size_t needed, size_t size,
	const char *what, struct error *err);

/*
 * For programs that move large messages, once, at their beginning: memory that was freed stays with
 * the process, some tens of megabytes, instead of going back to the system and coming again page
 * fault by page fault with the next message.
 */
void memory_keep_freed(void);

struct arena_block;

struct arena {
	struct arena_block *first;
	struct arena_block *current;
	size_t used; /* bytes of the current block */
};

/* An arena of all zeros is valid and empty; init makes one. */
void arena_init(struct arena *arena);
/* Frees everything; the arena is empty and valid afterwards. */
void arena_fini(struct arena *arena);
/* Forgets every allocation, keeps the blocks. */
void arena_reset(struct arena *arena);
/* Borrowed memory that lives until arena_reset or arena_fini; NULL when memory is refused. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);

#endif
