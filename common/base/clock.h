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

/* Milliseconds until end_ns, rounded up; 0 when that is over. For poll(). */
static inline int clock_ms_until(const struct clock *clock, uint64_t end_ns)
{
	const uint64_t now_ns = clock_now_ns(clock);
	return now_ns < end_ns ? (int)((end_ns - now_ns + 999999) / 1000000) : 0;
}

#endif
