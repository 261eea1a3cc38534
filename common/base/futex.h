/*
 * Linux's futex(2) between processes: sleeping on a word in memory that they share.
 *
 * Threads: from any thread of any process that maps the word.
 */
#ifndef MARQUEE_BASE_FUTEX_H
#define MARQUEE_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleeps for as long as the word has this value, until a wake-up, and at most timeout_ns; may also
 * return without cause. The caller looks again in any case.
 */
void futex_wait(atomic_uint *word, unsigned int value, uint64_t timeout_ns);
/* Wakes all who sleep on the word. */
void futex_wake_all(atomic_uint *word);

#endif
