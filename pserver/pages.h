/*
 * Zeroed memory for slabs and indexes: from the heap while it is small, from the kernel when it is
 * large, in huge pages where it has them, so that random access does not also miss the TLB.
 *
 * Memory from the kernel takes its pages as they are first touched: neither the allocation nor the
 * release stalls its caller for long. Threads: no shared state.
 */
#ifndef MARQUEE_PSERVER_PAGES_H
#define MARQUEE_PSERVER_PAGES_H

#include "common/base/status.h"

#include <stddef.h>

/* From here on the memory is mapped; from HUGE_PAGE on it is aligned to it. */
#define PAGES_MAPPED ((size_t)128 << 10)
#define HUGE_PAGE    ((size_t)2 << 20)

/* Returns owned memory in *ret for pages_free() with the same size; 64-byte aligned. */
MUST_CHECK enum status pages_alloc(void *ret, size_t bytes, const char *what, struct error *err);
/* Takes NULL. */
void pages_free(void *memory, size_t bytes);

#endif
