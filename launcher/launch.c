#include "launcher/launch.h"

#include "common/base/memory.h"
#include "launcher/lines.h"
#include "launcher/process.h"
#include "launcher/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define URL_SIZE	 256
#define SERVER_HOST	 "127.0.0.1"
#define DRAIN_TIMEOUT_MS 1000u
#define NEVER		 UINT64_MAX

enum phase {
	PHASE_STARTING,
	PHASE_WORKING,
	PHASE_STOPPING_WORKERS,
	PHASE_STOPPING_SERVERS,
	PHASE_DRAINING,
	PHASE_DONE,
};

struct launch {
	const struct launch_programs *programs;
	const struct launch_options *options;
	struct process *processes; /* [servers + 1]: the servers, then mpirun */
	char (*urls)[URL_SIZE];	   /* [servers]; empty until the server is ready */
	struct pollfd *polled;	   /* [1 + 2 * (servers + 1)] */
	struct signals signals;

	enum phase phase;
	uint64_t start_ns;
	uint64_t deadline_ns; /* of the phase, or NEVER */
	uint32_t ready;	      /* servers */
	bool failed;
	struct error failure; /* the first one */
};

static struct process *workers_of(const struct launch *launch)
{
	return &launch->processes[launch->options->servers];
}

static size_t process_count(const struct launch *launch)
{
	return launch->options->servers + 1;
}

static void enter(struct launch *launch, enum phase phase, uint32_t timeout_ms)
{
	launch->phase = phase;
	launch->deadline_ns =
		timeout_ms ? clock_now_ns(launch->options->clock) + (uint64_t)timeout_ms * 1000000
			   : NEVER;
}

static uint32_t grace_ms(const struct launch *launch)
{
	return launch->options->grace_ms ? launch->options->grace_ms : LAUNCH_GRACE_MS;
}

static uint32_t ready_timeout_ms(const struct launch *launch)
{
	return launch->options->ready_timeout_ms ? launch->options->ready_timeout_ms
						 : LAUNCH_READY_TIMEOUT_MS;
}

static void stop_workers(struct launch *launch)
{
	process_signal(workers_of(launch), SIGTERM);
	enter(launch, PHASE_STOPPING_WORKERS, grace_ms(launch));
}

/* Keeps the first failure, in the words of `err`, and begins to stop. */
static void fail(struct launch *launch, const struct error *err)
{
	if (!launch->failed) {
		launch->failed = true;
		launch->failure = *err;
	}
	if (launch->phase < PHASE_STOPPING_WORKERS)
		stop_workers(launch);
}

/*
 * Takes the URL from a server's line "pserver: ready URL shard I/N"; false when it is another
 * line, or names another shard.
 */
static bool parse_ready(const char *line, uint32_t server, uint32_t servers, char url[URL_SIZE])
{
	static const char start[] = "pserver: ready ";
	char end[40];
	snprintf(end, sizeof(end), " shard %u/%u", server, servers);
	if (strncmp(line, start, sizeof(start) - 1) != 0)
		return false;
	line += sizeof(start) - 1;
	size_t length = strcspn(line, " ,");
	if (length == 0 || length >= URL_SIZE || strcmp(line + length, end) != 0)
		return false;
	memcpy(url, line, length);
	url[length] = '\0';
	return true;
}

struct line_context {
	struct launch *launch;
	size_t index; /* of the process */
	int descriptor;
};

static enum status on_line(void *context, const char *line, size_t length, struct error *err)
{
	const struct line_context *from = context;
	struct launch *launch = from->launch;
	uint32_t server = (uint32_t)from->index;
	uint32_t servers = launch->options->servers;
	if (server < servers && launch->urls[server][0] == '\0' &&
		parse_ready(line, server, servers, launch->urls[server]))
		launch->ready++;
	return lines_write(
		from->descriptor, launch->processes[from->index].name, line, length, err);
}

/* Reads what is there; at the end, or when nobody takes our output, the stream is closed. */
static enum status forward(
	struct process_stream *stream, struct line_context *context, struct error *err)
{
	char bytes[16384];
	enum status status = STATUS_OK;
	ssize_t got = read(stream->descriptor, bytes, sizeof(bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return STATUS_OK;
	if (got > 0)
		status = lines_feed(&stream->lines, bytes, (size_t)got, on_line, context, err);
	else
		status = lines_flush(&stream->lines, on_line, context, err);
	if (got <= 0 || status != STATUS_OK) {
		close(stream->descriptor);
		stream->descriptor = -1;
	}
	return status;
}

static enum status start_servers(struct launch *launch, struct error *err)
{
	const struct launch_options *options = launch->options;
	enter(launch, PHASE_STARTING, ready_timeout_ms(launch));
	for (uint32_t i = 0; i < options->servers; i++) {
		char listen[URL_SIZE], shard[32];
		snprintf(listen, sizeof(listen), "tcp://%s:0",
			options->server_host ? options->server_host : SERVER_HOST);
		snprintf(shard, sizeof(shard), "%u/%u", i, options->servers);
		const char *const argv[] = {launch->programs->pserver, "--listen", listen,
			"--shard", shard, options->token_file ? "--token-file" : NULL,
			options->token_file, NULL};
		enum status status = process_start(&launch->processes[i], argv, err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* "URL,URL,..." as owned text. */
static enum status join_urls(const struct launch *launch, char **ret, struct error *err)
{
	uint32_t servers = launch->options->servers;
	char *text;
	enum status status = memory_alloc(&text, servers, URL_SIZE, "server addresses", err);
	if (status != STATUS_OK)
		return status;
	char *at = text;
	for (uint32_t i = 0; i < servers; i++)
		at += snprintf(at, URL_SIZE, "%s%s", i ? "," : "", launch->urls[i]);
	*ret = text;
	return STATUS_OK;
}

static enum status start_workers(struct launch *launch, struct error *err)
{
	const struct launch_options *options = launch->options;
	char *urls = NULL;
	const char **argv = NULL;
	char workers[16];
	enum status status = join_urls(launch, &urls, err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(
		&argv, options->worker_argument_count + 11, sizeof(*argv), "arguments", err);
	if (status != STATUS_OK)
		goto cleanup;
	snprintf(workers, sizeof(workers), "%u", options->workers);
	size_t at = 0;
	argv[at++] = launch->programs->mpirun;
	if (options->hostfile) {
		argv[at++] = "-f";
		argv[at++] = options->hostfile;
	}
	argv[at++] = "-n";
	argv[at++] = workers;
	argv[at++] = launch->programs->worker;
	argv[at++] = "--servers";
	argv[at++] = urls;
	if (options->token_file) {
		argv[at++] = "--token-file";
		argv[at++] = options->token_file;
	}
	for (size_t i = 0; i < options->worker_argument_count; i++)
		argv[at++] = options->worker_arguments[i];
	argv[at] = NULL;
	status = process_start(workers_of(launch), argv, err);
cleanup:
	free(argv);
	free(urls);
	return status;
}

static void on_end(struct launch *launch, struct process *process)
{
	struct error err;
	char how[PROCESS_END_SIZE];
	bool server = process != workers_of(launch);
	if (launch->phase >= PHASE_STOPPING_WORKERS)
		return;
	if (!server && process_succeeded(process)) {
		stop_workers(launch); /* none is left: goes on to the servers */
		return;
	}
	process_end_text(process, how);
	error_set(&err, STATUS_ABORTED,
		"%s failed first: it %s after %.1f s; the others were ended", process->name, how,
		clock_seconds_since(launch->options->clock, launch->start_ns));
	fail(launch, &err);
}

static void on_signal(struct launch *launch)
{
	struct signalfd_siginfo info;
	struct error err;
	while (read(launch->signals.descriptor, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (launch->phase >= PHASE_STOPPING_WORKERS) {
			launch->deadline_ns = 0; /* already ending, and asked to hurry */
			continue;
		}
		error_set(&err, STATUS_ABORTED, "ended by signal %u (%s) after %.1f s",
			info.ssi_signo, strsignal((int)info.ssi_signo),
			clock_seconds_since(launch->options->clock, launch->start_ns));
		fail(launch, &err);
	}
}

static void kill_all(const struct launch *launch, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		process_signal(&launch->processes[i], SIGKILL);
}

static void on_deadline(struct launch *launch)
{
	struct error err;
	uint32_t missing = 0;
	size_t servers = launch->options->servers;
	launch->deadline_ns = NEVER;
	switch (launch->phase) {
	case PHASE_STARTING:
		while (launch->urls[missing][0])
			missing++;
		error_set(&err, STATUS_DEADLINE_EXCEEDED,
			"%s did not announce its address within %.1f s",
			launch->processes[missing].name, ready_timeout_ms(launch) * 1e-3);
		fail(launch, &err);
		break;
	case PHASE_STOPPING_WORKERS:
		kill_all(launch, servers, servers + 1);
		break;
	case PHASE_STOPPING_SERVERS:
		kill_all(launch, 0, servers);
		break;
	case PHASE_DRAINING:
		launch->phase = PHASE_DONE;
		break;
	case PHASE_WORKING:
	case PHASE_DONE:
		break;
	}
}

static bool any_running(const struct launch *launch)
{
	for (size_t i = 0; i < process_count(launch); i++)
		if (launch->processes[i].running)
			return true;
	return false;
}

static bool any_open(const struct launch *launch)
{
	for (size_t i = 0; i < process_count(launch); i++)
		if (launch->processes[i].output.descriptor >= 0 ||
			launch->processes[i].errors.descriptor >= 0)
			return true;
	return false;
}

/* Goes to the next phase, or through several, when what the phase waits for has come. */
static void advance(struct launch *launch)
{
	struct error err;
	if (launch->phase == PHASE_STARTING && launch->ready == launch->options->servers) {
		enter(launch, PHASE_WORKING, 0);
		if (start_workers(launch, &err) != STATUS_OK)
			fail(launch, &err);
	}
	if (launch->phase == PHASE_STOPPING_WORKERS && !workers_of(launch)->running) {
		for (size_t i = 0; i < launch->options->servers; i++)
			process_signal(&launch->processes[i], SIGTERM);
		enter(launch, PHASE_STOPPING_SERVERS, grace_ms(launch));
	}
	if (launch->phase == PHASE_STOPPING_SERVERS && !any_running(launch))
		enter(launch, PHASE_DRAINING, DRAIN_TIMEOUT_MS);
	if (launch->phase == PHASE_DRAINING && !any_open(launch))
		launch->phase = PHASE_DONE;
}

static int poll_timeout_ms(const struct launch *launch)
{
	if (launch->deadline_ns == NEVER)
		return -1;
	uint64_t now_ns = clock_now_ns(launch->options->clock);
	if (now_ns >= launch->deadline_ns)
		return 0;
	return (int)((launch->deadline_ns - now_ns + 999999) / 1000000);
}

/* Waits for a signal, output or the deadline. polled[1 + 2 * i], [2 + 2 * i]: process i's streams.
 */
static void wait_for_events(struct launch *launch)
{
	launch->polled[0] = (struct pollfd){.fd = launch->signals.descriptor, .events = POLLIN};
	for (size_t i = 0; i < process_count(launch); i++) {
		const struct process *process = &launch->processes[i];
		launch->polled[1 + 2 * i] =
			(struct pollfd){.fd = process->output.descriptor, .events = POLLIN};
		launch->polled[2 + 2 * i] =
			(struct pollfd){.fd = process->errors.descriptor, .events = POLLIN};
	}
	nfds_t count = 1 + 2 * process_count(launch);
	if (poll(launch->polled, count, poll_timeout_ms(launch)) < 0)
		for (nfds_t i = 0; i < count; i++)
			launch->polled[i].revents = 0;
}

static void forward_all(struct launch *launch)
{
	struct error err;
	for (size_t i = 0; i < process_count(launch); i++) {
		struct process *process = &launch->processes[i];
		struct line_context output = {launch, i, launch->options->output};
		struct line_context errors = {launch, i, launch->options->errors};
		if (launch->polled[1 + 2 * i].revents &&
			forward(&process->output, &output, &err) != STATUS_OK)
			fail(launch, &err);
		if (launch->polled[2 + 2 * i].revents &&
			forward(&process->errors, &errors, &err) != STATUS_OK)
			fail(launch, &err);
	}
}

static void run_phases(struct launch *launch)
{
	struct error err;
	if (start_servers(launch, &err) != STATUS_OK)
		fail(launch, &err);
	for (;;) {
		advance(launch);
		if (launch->phase == PHASE_DONE)
			return;
		wait_for_events(launch);
		forward_all(launch);
		/* Before the look at the processes: one that ends behind it wakes us again. */
		if (launch->polled[0].revents)
			on_signal(launch);
		/* The servers first: workers fail because of them more often than they of workers.
		 */
		for (size_t i = 0; i < process_count(launch); i++)
			if (process_reap(&launch->processes[i]))
				on_end(launch, &launch->processes[i]);
		if (poll_timeout_ms(launch) == 0)
			on_deadline(launch);
	}
}

static enum status allocate(struct launch *launch, struct error *err)
{
	size_t count = process_count(launch);
	enum status status =
		memory_zalloc(&launch->processes, count, sizeof(*launch->processes), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&launch->urls, count - 1, sizeof(*launch->urls), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&launch->polled, 1 + 2 * count, sizeof(*launch->polled), "job", err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count; i++) {
		char name[PROCESS_NAME_SIZE] = "worker";
		if (i < count - 1)
			snprintf(name, sizeof(name), "pserver %zu", i);
		process_init(&launch->processes[i], name);
	}
	return STATUS_OK;
}

enum status launch_run(const struct launch_programs *programs, const struct launch_options *options,
	struct error *err)
{
	struct launch launch = {
		.programs = programs, .options = options, .start_ns = clock_now_ns(options->clock)};
	enum status status = allocate(&launch, err);
	if (status != STATUS_OK)
		goto cleanup;
	status = signals_take(&launch.signals, err);
	if (status != STATUS_OK)
		goto cleanup;
	run_phases(&launch);
	signals_give_back(&launch.signals);
	for (size_t i = 0; i < process_count(&launch); i++)
		process_fini(&launch.processes[i]);
	if (launch.failed) {
		if (err)
			*err = launch.failure;
		status = launch.failure.status;
	}
cleanup:
	free(launch.polled);
	free(launch.urls);
	free(launch.processes);
	return status;
}
