#include "launcher/attempt.h"

#include "common/base/memory.h"
#include "launcher/last_words.h"
#include "launcher/lines.h"
#include "launcher/orphans.h"
#include "launcher/process.h"
#include "launcher/start.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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
	struct process *processes;    /* [servers + 1]: the servers, then mpirun */
	char (*urls)[START_URL_SIZE]; /* [servers]; empty until the server is ready */
	struct pollfd *polled;	      /* [1 + 2 * (servers + 1)] */
	const struct signals *signals;
	uint32_t number;

	enum phase phase;
	uint64_t start_ns;
	uint64_t deadline_ns;	/* of the phase, or NEVER */
	struct error lost;	/* a rank that failed while mpirun goes on; OK: none */
	uint32_t ready;		/* servers */
	struct last_words said; /* by the workers */
	bool began;		/* the workers: their training */
	bool failed;
	bool curable;	      /* the failure */
	struct error failure; /* the first one */
};

static struct process *workers_of(const struct attempt *attempt)
{
	return &attempt->processes[attempt->options->servers];
}

static size_t process_count(const struct attempt *attempt)
{
	return attempt->options->servers + 1;
}

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

static uint32_t hear_ms(const struct attempt *attempt)
{
	return attempt->options->hear_ms ? attempt->options->hear_ms : LAUNCH_HEAR_MS;
}

/* Until end_ns, rounded up, for poll. */
static int left_ms(const struct attempt *attempt, uint64_t end_ns)
{
	uint64_t now_ns = clock_now_ns(attempt->options->clock);
	return now_ns < end_ns ? (int)((end_ns - now_ns + 999999) / 1000000) : 0;
}

static void stop_workers(struct attempt *attempt)
{
	process_signal(workers_of(attempt), SIGTERM);
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

struct line_context {
	struct attempt *attempt;
	size_t index; /* of the process */
	int descriptor;
};

static enum status on_line(void *context, const char *line, size_t length, struct error *err)
{
	const struct line_context *from = context;
	struct attempt *attempt = from->attempt;
	uint32_t server = (uint32_t)from->index;
	uint32_t servers = attempt->options->servers;
	if (server < servers && attempt->urls[server][0] == '\0' &&
		start_heard_ready(line, server, servers, attempt->urls[server]))
		attempt->ready++;
	const char *began = attempt->options->began_line;
	if (server == servers && began && strncmp(line, began, strlen(began)) == 0)
		attempt->began = true;
	if (server == servers && from->descriptor == attempt->options->errors)
		last_words_hear(&attempt->said, line);
	return lines_write(
		from->descriptor, attempt->processes[from->index].name, line, length, err);
}

/*
 * What the workers wrote before they ended: how far they came, and why not further. It is in the
 * pipes, and then comes their end, unless somebody else still holds them: a remote shell, or what a
 * wrapper of mpirun left behind. Such a one may have words to pass on, and is given some time, or
 * may never let go.
 */
static void hear_the_rest(struct attempt *attempt)
{
	struct process *workers = workers_of(attempt);
	const size_t index = attempt->options->servers;
	struct line_context contexts[] = {{attempt, index, attempt->options->output},
		{attempt, index, attempt->options->errors}};
	struct process_stream *streams[] = {&workers->output, &workers->errors};
	struct error ignored; /* who takes our output has gone: the next line tells */
	const uint64_t end_ns =
		clock_now_ns(attempt->options->clock) + (uint64_t)hear_ms(attempt) * 1000000;
	do {
		/* poll passes over a stream that has ended: -1 */
		struct pollfd polled[] = {{.fd = streams[0]->descriptor, .events = POLLIN},
			{.fd = streams[1]->descriptor, .events = POLLIN}};
		if (polled[0].fd < 0 && polled[1].fd < 0)
			return;
		if (poll(polled, 2, left_ms(attempt, end_ns)) <= 0)
			return;
		for (size_t i = 0; i < 2; i++)
			if (polled[i].revents)
				(void)!process_stream_read(
					streams[i], on_line, &contexts[i], &ignored);
	} while (clock_now_ns(attempt->options->clock) < end_ns);
}

static void on_end(struct attempt *attempt, struct process *process)
{
	struct error err;
	char how[PROCESS_END_SIZE], said[ERROR_MESSAGE_SIZE] = "";
	bool server = process != workers_of(attempt);
	if (attempt->phase >= PHASE_STOPPING_WORKERS)
		return;
	if (!server && process_succeeded(process)) {
		stop_workers(attempt); /* none is left: goes on to the servers */
		return;
	}
	process_end_text(process, how);
	if (!server) {
		hear_the_rest(attempt);
		last_words_tell(&attempt->said, attempt->urls, attempt->options->servers, said);
	}
	error_set(&err, STATUS_ABORTED,
		"%s failed first: it %s after %.1f s; the others were ended%s%s", process->name,
		how, clock_seconds_since(attempt->options->clock, attempt->start_ns),
		said[0] ? "; it had said: " : "", said);
	if (attempt->began || !process_gave_up(process))
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
		orphans_failed(attempt->processes, process_count(attempt),
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

static void kill_all(const struct attempt *attempt, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		process_signal(&attempt->processes[i], SIGKILL);
}

static void on_deadline(struct attempt *attempt)
{
	struct error err;
	uint32_t missing = 0;
	size_t servers = attempt->options->servers;
	attempt->deadline_ns = NEVER;
	switch (attempt->phase) {
	case PHASE_STARTING:
		while (attempt->urls[missing][0])
			missing++;
		error_set(&err, STATUS_DEADLINE_EXCEEDED,
			"%s did not announce its address within %.1f s",
			attempt->processes[missing].name, ready_timeout_ms(attempt) * 1e-3);
		fail_curably(attempt, &err);
		break;
	case PHASE_STOPPING_WORKERS:
		kill_all(attempt, servers, servers + 1);
		break;
	case PHASE_STOPPING_SERVERS:
		kill_all(attempt, 0, servers);
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

static bool any_running(const struct attempt *attempt)
{
	for (size_t i = 0; i < process_count(attempt); i++)
		if (attempt->processes[i].running)
			return true;
	return false;
}

static bool any_open(const struct attempt *attempt)
{
	for (size_t i = 0; i < process_count(attempt); i++)
		if (attempt->processes[i].output.descriptor >= 0 ||
			attempt->processes[i].errors.descriptor >= 0)
			return true;
	return false;
}

/* Goes to the next phase, or through several, when what the phase waits for has come. */
static void advance(struct attempt *attempt)
{
	struct error err;
	if (attempt->phase == PHASE_STARTING && attempt->ready == attempt->options->servers) {
		enter(attempt, PHASE_WORKING, 0);
		if (start_workers(workers_of(attempt), attempt->programs, attempt->options,
			    attempt->urls, attempt->number, &err) != STATUS_OK)
			fail(attempt, &err);
	}
	if (attempt->phase == PHASE_STOPPING_WORKERS && !workers_of(attempt)->running) {
		for (size_t i = 0; i < attempt->options->servers; i++)
			process_signal(&attempt->processes[i], SIGTERM);
		enter(attempt, PHASE_STOPPING_SERVERS, grace_ms(attempt));
	}
	if (attempt->phase == PHASE_STOPPING_SERVERS && !any_running(attempt))
		enter(attempt, PHASE_DRAINING, DRAIN_TIMEOUT_MS);
	if (attempt->phase == PHASE_DRAINING && !any_open(attempt))
		attempt->phase = PHASE_DONE;
}

static int poll_timeout_ms(const struct attempt *attempt)
{
	return attempt->deadline_ns == NEVER ? -1 : left_ms(attempt, attempt->deadline_ns);
}

/* Waits for a signal, output or the deadline. polled[1 + 2 * i], [2 + 2 * i]: process i's streams.
 */
static void wait_for_events(struct attempt *attempt)
{
	attempt->polled[0] = (struct pollfd){.fd = attempt->signals->descriptor, .events = POLLIN};
	for (size_t i = 0; i < process_count(attempt); i++) {
		const struct process *process = &attempt->processes[i];
		attempt->polled[1 + 2 * i] =
			(struct pollfd){.fd = process->output.descriptor, .events = POLLIN};
		attempt->polled[2 + 2 * i] =
			(struct pollfd){.fd = process->errors.descriptor, .events = POLLIN};
	}
	nfds_t count = 1 + 2 * process_count(attempt);
	if (poll(attempt->polled, count, poll_timeout_ms(attempt)) < 0)
		for (nfds_t i = 0; i < count; i++)
			attempt->polled[i].revents = 0;
}

static void forward_all(struct attempt *attempt)
{
	struct error err;
	for (size_t i = 0; i < process_count(attempt); i++) {
		struct process *process = &attempt->processes[i];
		struct line_context output = {attempt, i, attempt->options->output};
		struct line_context errors = {attempt, i, attempt->options->errors};
		if (attempt->polled[1 + 2 * i].revents &&
			process_stream_read(&process->output, on_line, &output, &err) != STATUS_OK)
			fail(attempt, &err);
		if (attempt->polled[2 + 2 * i].revents &&
			process_stream_read(&process->errors, on_line, &errors, &err) != STATUS_OK)
			fail(attempt, &err);
	}
}

static enum status start_servers(struct attempt *attempt, struct error *err)
{
	enum status status = STATUS_OK;
	enter(attempt, PHASE_STARTING, ready_timeout_ms(attempt));
	for (uint32_t i = 0; i < attempt->options->servers && status == STATUS_OK; i++)
		status = start_server(
			&attempt->processes[i], attempt->programs, attempt->options, i, err);
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
		wait_for_events(attempt);
		forward_all(attempt);
		/* Before the look at the processes: one that ends behind it wakes us again. */
		if (attempt->polled[0].revents)
			on_signal(attempt);
		/* The servers first: workers fail because of them more often than they of workers.
		 */
		for (size_t i = 0; i < process_count(attempt); i++)
			if (process_reap(&attempt->processes[i]))
				on_end(attempt, &attempt->processes[i]);
		look_for_orphans(attempt);
		if (poll_timeout_ms(attempt) == 0)
			on_deadline(attempt);
	}
}

static enum status allocate(struct attempt *attempt, struct error *err)
{
	size_t count = process_count(attempt);
	enum status status =
		memory_zalloc(&attempt->processes, count, sizeof(*attempt->processes), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&attempt->urls, count - 1, sizeof(*attempt->urls), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&attempt->polled, 1 + 2 * count, sizeof(*attempt->polled), "job", err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count; i++) {
		char name[PROCESS_NAME_SIZE] = "worker";
		if (i < count - 1)
			snprintf(name, sizeof(name), "pserver %zu", i);
		process_init(&attempt->processes[i], name);
	}
	return STATUS_OK;
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
	enum status status = allocate(&attempt, err);
	if (status != STATUS_OK)
		goto cleanup;
	run_phases(&attempt);
	for (size_t i = 0; i < process_count(&attempt); i++)
		process_fini(&attempt.processes[i]);
	if (attempt.failed) {
		if (err)
			*err = attempt.failure;
		status = attempt.failure.status;
	}
cleanup:
	ret->curable = attempt.curable;
	free(attempt.polled);
	free(attempt.urls);
	free(attempt.processes);
	return status;
}
