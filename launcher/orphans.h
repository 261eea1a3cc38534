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
#include "launcher/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on the descendants whose parents end become children of this process. */
MUST_CHECK enum status orphans_adopt(bool *ret_before, struct error *err);
/* As it was before. */
void orphans_release(bool before);

/*
 * Looks for an adopted child that runs this program (a path; its name counts) and has ended, but
 * not with code 0: a rank whose mpirun will never hear of it, since what stood between the two has
 * gone. True once for each; *ret then has its pid and how it ended. ours: the count children that
 * were not adopted.
 */
bool orphans_failed(
	const struct process *ours, size_t count, const char *program, struct process *ret);

/*
 * Kills every child that there is, and the children that these leave, until there is none. How many
 * are left when timeout_ms is over: one that hangs in the kernel cannot be killed.
 */
uint32_t orphans_end(const struct clock *clock, uint32_t timeout_ms);

#endif
