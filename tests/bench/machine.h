/*
 * What the machine can do at best, measured in the same run as what is held against it.
 *
 * Threads: call from one thread; they start their own and wait for them.
 */
#ifndef MARQUEE_BENCH_MACHINE_H
#define MARQUEE_BENCH_MACHINE_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The fastest of three readings of the n floats, in seconds: threads side by side, a part each. */
double machine_read_seconds(
	const struct clock *clock, const float *values, size_t n, uint32_t threads);

/* Single precision products of large squares, all threads together: FLOP/s, the best of some. The
 * squares are size x size; 1024 is large. */
MUST_CHECK enum status machine_sgemm_flops(
	const struct clock *clock, size_t size, uint32_t threads, double *ret, struct error *err);

/* Cores that this process may use. */
uint32_t machine_cores(void);

#endif
