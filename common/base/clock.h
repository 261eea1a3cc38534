/*
 * Time comes in from outside: whoever waits or measures takes a struct clock, so that a test can
 * drive it.
 *
 * Threads: the real clock is immutable; a test's clock says for itself.
 */
#ifndef MARQUEE_BASE_CLOCK_H
#define MARQUEE_BASE_CLOCK_H

#include <stdint.h>

struct clock {
	/* Monotonic nanoseconds. */
	uint64_t (*now_ns)(const struct clock *clock);
	void *context;
};

/* CLOCK_MONOTONIC. Static; never freed. */
const struct clock *clock_real(void);

/* Nanoseconds since 1970, which may jump: for names, numbers of starts, and what people read. */
uint64_t clock_unix_ns(void);

static inline uint64_t clock_now_ns(const struct clock *clock)
{
	return clock->now_ns(clock);
}

static inline double clock_seconds_since(const struct clock *clock, uint64_t start_ns)
{
	return (double)(clock_now_ns(clock) - start_ns) * 1e-9;
}

#endif
