/*
 * Draws from a fixed discrete distribution in constant time.
 *
 * Walker's alias method in Vose's form (M. D. Vose: "A linear algorithm for generating random
 * numbers with a given distribution", IEEE TSE 17(9), 1991).
 * Threads: immutable after init.
 */
#ifndef MARQUEE_DATA_ALIAS_H
#define MARQUEE_DATA_ALIAS_H

#include "common/base/status.h"

#include <stdint.h>

struct alias_cell {
	uint32_t threshold; /* of 2^32: below it the cell's own number */
	uint32_t other;
};

struct alias {
	uint32_t count;
	struct alias_cell *cells; /* [count] */
};

/* Numbers 0..count-1 with chances proportional to weights[count], all positive. */
MUST_CHECK enum status alias_init(
	struct alias *ret, const double *weights, uint32_t count, struct error *err);
/* Takes all zeros. */
void alias_fini(struct alias *alias);

/* The number that two random words choose. */
static inline uint32_t alias_draw(const struct alias *alias, uint32_t word0, uint32_t word1)
{
	uint32_t cell = (uint32_t)(((uint64_t)word0 * alias->count) >> 32);
	return word1 < alias->cells[cell].threshold ? cell : alias->cells[cell].other;
}

#endif
