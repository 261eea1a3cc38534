/*
 * A piece of work done by several threads for a while.
 *
 * Threads: the function runs on all of them at once; it shares out the work itself (say, by an
 * atomic counter), so that any number of members gets it done.
 */
#ifndef MARQUEE_BASE_PARALLEL_H
#define MARQUEE_BASE_PARALLEL_H

#include <stdint.h>

#define PARALLEL_MEMBERS_MAX 64u

/*
 * Calls function(context) from `members` threads (cut to 1..PARALLEL_MEMBERS_MAX), the caller's
 * among them, and returns when all calls have. Where the system refuses a thread there are fewer.
 */
void parallel_run(uint32_t members, void (*function)(void *context), void *context);

#endif
