/*
 * The signals of a process that watches others, as a descriptor to poll.
 *
 * Threads: the only thread.
 */
#ifndef MARQUEE_LAUNCHER_SIGNALS_H
#define MARQUEE_LAUNCHER_SIGNALS_H

#include "common/base/status.h"

#include <signal.h>

struct signals {
	int descriptor; /* signalfd, does not block: SIGINT, SIGTERM, SIGCHLD */
	sigset_t mask_before;
	struct sigaction pipe_before;
};

/* Blocks the three signals in favour of the descriptor and ignores SIGPIPE. */
MUST_CHECK enum status signals_take(struct signals *ret, struct error *err);
/* Closes the descriptor and puts the handling back as it was. */
void signals_give_back(struct signals *signals);

#endif
