#include "launcher/attempt.h"

#include "launcher/orphans.h"
#include "launcher/processes.h"
#include "launcher/start.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_TIMEOUT_MS 1000u
#define LOST_TIMEOUT_MS	 3000u /* for an mpirun that is ending by itself */
#define NEVER		 UINT64_MAX

enum phase {
	PHASE_STARTING,
	PHASE_WORKING,
	PHASE_STOPPING_WORKERS,
	PHASE_STOPPING_SERVERS,
	PHASE_DRAINING,
	PHASE_DONE,
};

struct attempt {
	const struct launch_programs *programs;
	const struct launch_options *options;
	const struct signals *signals;
	uint32_t number;
	struct processes processes;

	enum phase phase;
	uint64_t start_ns;
	uint64_t deadline_ns; /* of the phase, or NEVER */
	struct error lost;    /* a rank that failed while mpirun goes on; OK: none */
	bool failed;
	bool curable;	      /* the failure */
	struct error failure; /* the first one */
};

static void enter(struct attempt *attempt, enum phase phase, uint32_t timeout_ms)
{
	attempt->phase = phase;
	attempt->deadline_ns =
		timeout_ms ? clock_now_ns(attempt->options->clock) + (uint64_t)timeout_ms * 1000000
			   : NEVER;
}

static uint32_t grace_ms(const struct attempt *attempt)
{
	return attempt->options->grace_ms ? attempt->options->grace_ms : LAUNCH_GRACE_MS;
}

static uint32_t ready_timeout_ms(const struct attempt *attempt)
{
	return attempt->options->ready_timeout_ms ? attempt->options->ready_timeout_ms
						  : LAUNCH_READY_TIMEOUT_MS;
}

static void stop_workers(struct attempt *attempt)
{
	process_signal(attempt->processes.workers, SIGTERM);
	enter(attempt, PHASE_STOPPING_WORKERS, grace_ms(attempt));
}

/* Keeps the first failure, in the words of `err`, and begins to stop. */
static void fail(struct attempt *attempt, const struct error *err)
{
	if (!attempt->failed) {
		attempt->failed = true;
		attempt->failure = *err;
	}
	if (attempt->phase < PHASE_STOPPING_WORKERS)
		stop_workers(attempt);
}

/* As fail(), but another attempt may succeed. */
static void fail_curably(struct attempt *attempt, const struct error *err)
{
	attempt->curable = attempt->curable || !attempt->failed;
	fail(attempt, err);
}

static void on_end(struct attempt *attempt, struct process *process)
{
	struct error err;
	char how[PROCESS_END_SIZE], said[ERROR_MESSAGE_SIZE] = "";
	bool server = process != attempt->processes.workers;
	if (attempt->phase >= PHASE_STOPPING_WORKERS)
		return;
	if (!server && process_succeeded(process)) {
		stop_workers(attempt); /* none is left: goes on to the servers */
		return;
	}
	process_end_text(process, how);
	if (!server) {
		processes_hear_workers(&attempt->processes);
		last_words_tell(&attempt->processes.said, attempt->processes.urls,
			attempt->options->servers, said);
	}
	error_set(&err, STATUS_ABORTED,
		"%s failed first: it %s after %.1f s; the others were ended%s%s", process->name,
		how, clock_seconds_since(attempt->options->clock, attempt->start_ns),
		said[0] ? "; it had said: " : "", said);
	if (attempt->processes.began || !process_gave_up(process))
		fail_curably(attempt, &err);
	else
		fail(attempt, &err);
}

/*
 * When what stands between mpirun and its ranks is killed, these go on and mpirun waits for them:
 * it would wait for ever if one were killed, too, while the others wait for it in MPI_Finalize. But
 * when mpirun itself is ending the job, that may be one of the ranks that it has killed, and it
 * ends soon and says why: that is waited for.
 */
static void look_for_orphans(struct attempt *attempt)
{
	struct process rank;
	char how[PROCESS_END_SIZE];
	while (attempt->phase == PHASE_WORKING && attempt->lost.status == STATUS_OK &&
		orphans_failed(attempt->processes.all, attempt->processes.count,
			attempt->programs->worker, &rank)) {
		process_end_text(&rank, how);
		error_set(&attempt->lost, STATUS_ABORTED,
			"a worker (pid %jd) failed first, which mpirun had lost: it %s after "
			"%.1f s; the others were ended",
			(intmax_t)rank.pid, how,
			clock_seconds_since(attempt->options->clock, attempt->start_ns));
		enter(attempt, PHASE_WORKING, LOST_TIMEOUT_MS);
	}
}

static void on_signal(struct attempt *attempt)
{
	struct signalfd_siginfo info;
	struct error err;
	while (read(attempt->signals->descriptor, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (attempt->phase >= PHASE_STOPPING_WORKERS) {
			attempt->deadline_ns = 0; /* already ending, and asked to hurry */
			attempt->curable = false;
			continue;
		}
		error_set(&err, STATUS_ABORTED, "ended by signal %u (%s) after %.1f s",
			info.ssi_signo, strsignal((int)info.ssi_signo),
			clock_seconds_since(attempt->options->clock, attempt->start_ns));
		fail(attempt, &err);
	}
}

static void on_deadline(struct attempt *attempt)
{
	struct error err;
	struct processes *processes = &attempt->processes;
	uint32_t missing = 0;
	attempt->deadline_ns = NEVER;
	switch (attempt->phase) {
	case PHASE_STARTING:
		while (processes->urls[missing][0])
			missing++;
		error_set(&err, STATUS_DEADLINE_EXCEEDED,
			"%s did not announce its address within %.1f s",
			processes->all[missing].name, ready_timeout_ms(attempt) * 1e-3);
		fail_curably(attempt, &err);
		break;
	case PHASE_STOPPING_WORKERS:
		process_signal(processes->workers, SIGKILL);
		break;
	case PHASE_STOPPING_SERVERS:
		processes_signal_servers(processes, SIGKILL);
		break;
	case PHASE_DRAINING:
		attempt->phase = PHASE_DONE;
		break;
	case PHASE_WORKING:
		fail_curably(attempt, &attempt->lost);
		break;
	case PHASE_DONE:
		break;
	}
}

/* Goes to the next phase, or through several, when what the phase waits for has come. */
static void advance(struct attempt *attempt)
{
	struct error err;
	if (attempt->phase == PHASE_STARTING &&
		attempt->processes.ready == attempt->options->servers) {
		enter(attempt, PHASE_WORKING, 0);
		if (start_workers(attempt->processes.workers, attempt->programs, attempt->options,
			    attempt->processes.urls, attempt->number, &err) != STATUS_OK)
			fail(attempt, &err);
	}
	if (attempt->phase == PHASE_STOPPING_WORKERS && !attempt->processes.workers->running) {
		processes_signal_servers(&attempt->processes, SIGTERM);
		enter(attempt, PHASE_STOPPING_SERVERS, grace_ms(attempt));
	}
	if (attempt->phase == PHASE_STOPPING_SERVERS && !processes_any_running(&attempt->processes))
		enter(attempt, PHASE_DRAINING, DRAIN_TIMEOUT_MS);
	if (attempt->phase == PHASE_DRAINING && !processes_any_open(&attempt->processes))
		attempt->phase = PHASE_DONE;
}

static int poll_timeout_ms(const struct attempt *attempt)
{
	return attempt->deadline_ns == NEVER
		       ? -1
		       : clock_ms_until(attempt->options->clock, attempt->deadline_ns);
}

static enum status start_servers(struct attempt *attempt, struct error *err)
{
	enum status status = STATUS_OK;
	enter(attempt, PHASE_STARTING, ready_timeout_ms(attempt));
	for (uint32_t i = 0; i < attempt->options->servers && status == STATUS_OK; i++)
		status = start_server(
			&attempt->processes.all[i], attempt->programs, attempt->options, i, err);
	return status;
}

static void run_phases(struct attempt *attempt)
{
	struct error err;
	if (start_servers(attempt, &err) != STATUS_OK)
		fail(attempt, &err);
	for (;;) {
		advance(attempt);
		if (attempt->phase == PHASE_DONE)
			return;
		const bool signalled = processes_wait(&attempt->processes,
			attempt->signals->descriptor, poll_timeout_ms(attempt));
		if (processes_forward(&attempt->processes, &err) != STATUS_OK)
			fail(attempt, &err);
		/* Before the look at the processes: one that ends behind it wakes us again. */
		if (signalled)
			on_signal(attempt);
		/* The servers first: workers fail because of them more often than they of workers.
		 */
		for (size_t i = 0; i < attempt->processes.count; i++)
			if (process_reap(&attempt->processes.all[i]))
				on_end(attempt, &attempt->processes.all[i]);
		look_for_orphans(attempt);
		if (poll_timeout_ms(attempt) == 0)
			on_deadline(attempt);
	}
}

enum status attempt_run(const struct launch_programs *programs,
	const struct launch_options *options, const struct signals *signals, uint32_t number,
	struct attempt_outcome *ret, struct error *err)
{
	struct attempt attempt = {.programs = programs,
		.options = options,
		.signals = signals,
		.number = number,
		.start_ns = clock_now_ns(options->clock)};
	*ret = (struct attempt_outcome){0};
	enum status status = processes_init(&attempt.processes, options, err);
	if (status != STATUS_OK)
		return status;
	run_phases(&attempt);
	processes_fini(&attempt.processes);
	ret->curable = attempt.curable;
	if (attempt.failed) {
		if (err)
			*err = attempt.failure;
		status = attempt.failure.status;
	}
	return status;
}
