/*
 * Conditions with deadlines on the monotonic clock.
 *
 * Threads: as pthread_cond_*.
 */
#ifndef MARQUEE_BASE_CONDITION_H
#define MARQUEE_BASE_CONDITION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A condition for condition_wait_until(); pthread_cond_destroy() ends it. */
void condition_init(pthread_cond_t *condition);

/*
 * Waits, as pthread_cond_wait(), until clock_now_ns(clock_real()) has reached until_ns at most.
 * False: it has.
 */
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_ns);

#endif
