/*
 * Zeroed memory for indexes and lone slabs: from the heap while it is small, mapped when it is
 * large.
 *
 * Mapped memory takes its pages as they are first touched: neither the allocation nor the release
 * stalls its caller for long, and what is not touched costs nothing. Huge pages are left to the
 * system's policy and not asked for: whoever touches one first waits for milliseconds. Those of
 * page_stock.h are prepared.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_PSERVER_PAGES_H
#define MARQUEE_PSERVER_PAGES_H

#include "common/base/status.h"

#include <stddef.h>

/* From here on the memory is mapped. */
#define PAGES_MAPPED ((size_t)128 << 10)

/* Returns owned memory in *ret for pages_free() with the same size; 64-byte aligned. */
MUST_CHECK enum status pages_alloc(void *ret, size_t bytes, const char *what, struct error *err);
/* Takes NULL. */
void pages_free(void *memory, size_t bytes);

#endif
