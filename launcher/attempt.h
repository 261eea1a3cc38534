/*
 * One attempt at a job: parameter servers, then workers under mpirun, watched until the workers
 * have ended.
 *
 * It goes through phases: starting (every server announces its address), working, stopping the
 * workers, stopping the servers, draining the last output. The first thing that goes wrong, a
 * process that ends too early, a deadline, SIGINT or SIGTERM, decides the result; from then on
 * everything is only brought to its end: SIGTERM, and SIGKILL after a grace time. Workers always
 * go before servers, so that they do not complain about servers that were taken from them.
 *
 * Threads: the only thread, with the signals taken (launcher/signals.h).
 */
#ifndef MARQUEE_LAUNCHER_ATTEMPT_H
#define MARQUEE_LAUNCHER_ATTEMPT_H

#include "launcher/launch.h"
#include "launcher/signals.h"

#include <stdbool.h>

struct attempt_outcome {
	/*
	 * Another attempt may succeed: a process was killed or gave up at work. Not when a signal
	 * ended the job, a program cannot be run, or the workers failed before their training began
	 * and would do so again.
	 */
	bool curable;
};

/*
 * Runs to its end; returns when no process is left. Borrows everything. number: 0 for the first
 * attempt; the others take the restart arguments. OK: the workers succeeded. Else err says who
 * failed first, how, and when.
 */
MUST_CHECK enum status attempt_run(const struct launch_programs *programs,
	const struct launch_options *options, const struct signals *signals, uint32_t number,
	struct attempt_outcome *ret, struct error *err);

#endif
