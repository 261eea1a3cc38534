#include "pserver/pages.h"

#include "common/base/memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The mapped length of a block, and its alignment beyond a page's. */
static size_t mapped_length(size_t bytes)
{
	return bytes < HUGE_PAGE ? bytes : (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

static void *map(size_t length)
{
	void *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

/* One huge page more than needed holds an aligned block; the ends go back. */
static void *map_aligned(size_t length)
{
	unsigned char *memory = map(length + HUGE_PAGE);
	if (!memory)
		return NULL;
	const size_t head = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
	if (head > 0)
		munmap(memory, head);
	memory += head;
	munmap(memory + length, HUGE_PAGE - head);
	/* A kernel without huge pages refuses the advice; the memory is good all the same. */
	(void)madvise(memory, length, MADV_HUGEPAGE);
	return memory;
}

enum status pages_alloc(void *ret, size_t bytes, const char *what, struct error *err)
{
	if (bytes < PAGES_MAPPED)
		return memory_zalloc(ret, bytes, 1, what, err);
	if (bytes > SIZE_MAX / 2)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: too large", what);
	const size_t length = mapped_length(bytes);
	void *memory = bytes < HUGE_PAGE ? map(length) : map_aligned(length);
	if (!memory)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes: %s",
			what, bytes, strerror(errno));
	memcpy(ret, &memory, sizeof(memory));
	return STATUS_OK;
}

void pages_free(void *memory, size_t bytes)
{
	if (memory && bytes >= PAGES_MAPPED)
		munmap(memory, mapped_length(bytes));
	else
		free(memory);
}
