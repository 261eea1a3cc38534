/*
 * What a process has written to a pipe is not yet read by anybody: before it asks for the end of
 * its readers it waits until they have it.
 *
 * Threads: any; no state.
 */
#ifndef MARQUEE_WORKER_DRAIN_H
#define MARQUEE_WORKER_DRAIN_H

#include "common/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Waits until everything in the pipe has been taken out by its reader. At once true for what is no
 * pipe: a file or a terminal has what was written to it. False: the reader has gone, or has not
 * taken it within timeout_ms.
 */
bool drain_wait(int descriptor, const struct clock *clock, uint32_t timeout_ms);

#endif
