#include "pserver/pages.h"

#include "common/base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum status pages_alloc(void *ret, size_t bytes, const char *what, struct error *err)
{
	if (bytes < PAGES_MAPPED)
		return memory_zalloc(ret, bytes, 1, what, err);
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes: %s",
			what, bytes, strerror(errno));
	memcpy(ret, &memory, sizeof(memory));
	return STATUS_OK;
}

void pages_free(void *memory, size_t bytes)
{
	if (memory && bytes >= PAGES_MAPPED)
		munmap(memory, bytes);
	else
		free(memory);
}
