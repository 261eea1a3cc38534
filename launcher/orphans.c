#include "launcher/orphans.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMM_SIZE 16 /* with the terminator */

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

static bool is_ours(const struct process *ours, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (ours[i].running && ours[i].pid == pid)
			return true;
	return false;
}

/* The system cuts a process's name to 15 characters. */
static bool runs(pid_t pid, const char *program)
{
	char path[64], name[COMM_SIZE] = "";
	const char *slash = strrchr(program, '/');
	snprintf(path, sizeof(path), "/proc/%jd/comm", (intmax_t)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	const bool read = fgets(name, sizeof(name), file) != NULL;
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return read && strncmp(name, slash ? slash + 1 : program, COMM_SIZE - 1) == 0;
}

bool orphans_failed(
	const struct process *ours, size_t count, const char *program, struct process *ret)
{
	siginfo_t info = {0};
	/* Without taking it: one of ours is for process_reap(), which the same signal calls. */
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
		!is_ours(ours, count, info.si_pid)) {
		const bool wanted = runs(info.si_pid, program);
		process_init(ret, "worker");
		ret->pid = info.si_pid;
		if (waitpid(info.si_pid, &ret->wait_status, 0) == info.si_pid && wanted &&
			!process_succeeded(ret))
			return true;
		info = (siginfo_t){0};
	}
	return false;
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
