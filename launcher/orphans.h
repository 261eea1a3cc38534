/*
 * What an ended process leaves behind: mpirun's ranks are no children of ours and in no group that
 * we know, and one that still writes would be in the next attempt's way.
 *
 * Threads: the only thread, with the signals taken (launcher/signals.h).
 */
#ifndef MARQUEE_LAUNCHER_ORPHANS_H
#define MARQUEE_LAUNCHER_ORPHANS_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* From now on the descendants whose parents end become children of this process. */
MUST_CHECK enum status orphans_adopt(bool *ret_before, struct error *err);
/* As it was before. */
void orphans_release(bool before);

/*
 * Kills every child that there is, and the children that these leave, until there is none. How many
 * are left when timeout_ms is over: one that hangs in the kernel cannot be killed.
 */
uint32_t orphans_end(const struct clock *clock, uint32_t timeout_ms);

#endif
