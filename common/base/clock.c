#include "common/base/clock.h"

#include <time.h>

static uint64_t real_now_ns(const struct clock *clock)
{
	(void)clock;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const struct clock *clock_real(void)
{
	static const struct clock real = {.now_ns = real_now_ns};
	return &real;
}
