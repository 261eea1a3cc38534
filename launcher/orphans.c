#include "launcher/orphans.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum status orphans_adopt(bool *ret_before, struct error *err)
{
	int before = 0;
	if (prctl(PR_GET_CHILD_SUBREAPER, &before) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return error_set_errno(err, errno, "prctl");
	*ret_before = before != 0;
	return STATUS_OK;
}

void orphans_release(bool before)
{
	prctl(PR_SET_CHILD_SUBREAPER, before ? 1 : 0);
}

/* How many children there are; they have been sent SIGKILL. */
static uint32_t kill_children(void)
{
	uint32_t count = 0;
	intmax_t pid;
	FILE *list = fopen("/proc/thread-self/children", "re");
	if (!list)
		return 0;
	while (fscanf(list, "%jd", &pid) == 1) {
		/* They are ours and not yet waited for: their numbers are still theirs. */
		kill((pid_t)pid, SIGKILL);
		count++;
	}
	fclose(list);
	return count;
}

uint32_t orphans_end(const struct clock *clock, uint32_t timeout_ms)
{
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	const uint64_t end_ns = clock_now_ns(clock) + (uint64_t)timeout_ms * 1000000;
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		const uint32_t left = kill_children();
		const uint64_t now_ns = clock_now_ns(clock);
		if (left == 0 || now_ns >= end_ns)
			return left;
		/* The others of the signals stay where who waits next reads them. */
		const uint64_t left_ns = end_ns - now_ns;
		const struct timespec wait = {
			(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
		(void)sigtimedwait(&child, NULL, &wait);
	}
}
