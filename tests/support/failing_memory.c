#include "tests/support/failing_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>

/* The linker's names for what is wrapped, and for what it wraps.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__real_mmap(
	void *where, size_t size, int protection, int flags, int descriptor, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_mmap(
	void *where, size_t size, int protection, int flags, int descriptor, off_t offset);

#define UNARMED INT64_MAX

static atomic_int_fast64_t left = UNARMED;

static bool refused(void)
{
	if (atomic_load(&left) == UNARMED || atomic_fetch_sub(&left, 1) != 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return refused() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refused() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return refused() ? NULL : __real_strdup(text);
}

void *__wrap_mmap(void *where, size_t size, int protection, int flags, int descriptor, off_t offset)
{
	return refused() ? MAP_FAILED
			 : __real_mmap(where, size, protection, flags, descriptor, offset);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */

void failing_memory_arm(uint64_t number)
{
	atomic_store(&left, (int_fast64_t)number);
}

bool failing_memory_disarm(void)
{
	int_fast64_t was = atomic_exchange(&left, UNARMED);
	return was != UNARMED && was < 0;
}
