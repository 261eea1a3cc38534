/* Stores and tables for tests of the store. What fails, fails the test. */
#ifndef MARQUEE_TESTS_SAMPLE_STORE_H
#define MARQUEE_TESTS_SAMPLE_STORE_H

#include "pserver/store.h"

/* First values up to 0.5, and the optimizer's defaults. */
struct table_spec sample_spec(const char *name, uint32_t dim, enum optimizer_kind kind);
/* Server `index` of `count`; the caller's. */
struct store *sample_store(uint64_t seed, uint32_t index, uint32_t count);
/* The number of a table that is there now. */
uint32_t sample_table(
	struct store *store, const char *name, uint32_t dim, enum optimizer_kind kind);

#endif
