#include "launcher/processes.h"

#include "common/base/memory.h"
#include "launcher/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line_context {
	struct processes *processes;
	size_t index; /* of the process */
	int descriptor;
};

static enum status on_line(void *context, const char *line, size_t length, struct error *err)
{
	const struct line_context *from = context;
	struct processes *processes = from->processes;
	const struct launch_options *options = processes->options;
	const uint32_t process = (uint32_t)from->index, servers = options->servers;
	if (process < servers && processes->urls[process][0] == '\0' &&
		start_heard_ready(line, process, servers, processes->urls[process]))
		processes->ready++;
	const char *began = options->began_line;
	if (process == servers && began && strncmp(line, began, strlen(began)) == 0)
		processes->began = true;
	if (process == servers && from->descriptor == options->errors)
		last_words_hear(&processes->said, line);
	return lines_write(from->descriptor, processes->all[process].name, line, length, err);
}

enum status processes_init(
	struct processes *ret, const struct launch_options *options, struct error *err)
{
	const size_t count = (size_t)options->servers + 1;
	struct processes new = {.options = options, .count = count};
	enum status status = memory_zalloc(&new.all, count, sizeof(*new.all), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&new.urls, count - 1, sizeof(*new.urls), "job", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&new.polled, 1 + 2 * count, sizeof(*new.polled), "job", err);
	if (status != STATUS_OK) {
		free(new.urls);
		free(new.all);
		return status;
	}
	for (size_t i = 0; i < count; i++) {
		char name[PROCESS_NAME_SIZE] = "worker";
		if (i < count - 1)
			snprintf(name, sizeof(name), "pserver %zu", i);
		process_init(&new.all[i], name);
	}
	new.workers = &new.all[count - 1];
	*ret = new;
	return STATUS_OK;
}

void processes_fini(struct processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		process_fini(&processes->all[i]);
	free(processes->polled);
	free(processes->urls);
	free(processes->all);
	*processes = (struct processes){0};
}

void processes_signal_servers(const struct processes *processes, int signal_number)
{
	for (size_t i = 0; i < processes->options->servers; i++)
		process_signal(&processes->all[i], signal_number);
}

/* polled[0]: the signals; [1 + 2 * i], [2 + 2 * i]: process i's streams. */
bool processes_wait(struct processes *processes, int signals, int timeout_ms)
{
	const nfds_t count = 1 + 2 * processes->count;
	processes->polled[0] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (size_t i = 0; i < processes->count; i++) {
		const struct process *process = &processes->all[i];
		processes->polled[1 + 2 * i] =
			(struct pollfd){.fd = process->output.descriptor, .events = POLLIN};
		processes->polled[2 + 2 * i] =
			(struct pollfd){.fd = process->errors.descriptor, .events = POLLIN};
	}
	if (poll(processes->polled, count, timeout_ms) < 0)
		for (nfds_t i = 0; i < count; i++)
			processes->polled[i].revents = 0;
	return processes->polled[0].revents != 0;
}

enum status processes_forward(struct processes *processes, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; i < 2 * processes->count; i++) {
		struct process *process = &processes->all[i / 2];
		const bool errors = i % 2 == 1;
		struct line_context context = {processes, i / 2,
			errors ? processes->options->errors : processes->options->output};
		if (processes->polled[1 + i].revents == 0)
			continue;
		enum status read = process_stream_read(errors ? &process->errors : &process->output,
			on_line, &context, status == STATUS_OK ? err : NULL);
		status = status == STATUS_OK ? read : status;
	}
	return status;
}

void processes_hear_workers(struct processes *processes)
{
	const struct launch_options *options = processes->options;
	const uint64_t wait_ms = options->hear_ms ? options->hear_ms : LAUNCH_HEAR_MS;
	const uint64_t end_ns = clock_now_ns(options->clock) + wait_ms * 1000000;
	struct process *workers = processes->workers;
	const size_t index = options->servers;
	struct line_context contexts[] = {
		{processes, index, options->output}, {processes, index, options->errors}};
	struct process_stream *streams[] = {&workers->output, &workers->errors};
	struct error ignored; /* who takes our output has gone: the next line tells */
	do {
		/* poll passes over a stream that has ended: -1 */
		struct pollfd polled[] = {{.fd = streams[0]->descriptor, .events = POLLIN},
			{.fd = streams[1]->descriptor, .events = POLLIN}};
		if (polled[0].fd < 0 && polled[1].fd < 0)
			return;
		if (poll(polled, 2, clock_ms_until(options->clock, end_ns)) <= 0)
			return;
		for (size_t i = 0; i < 2; i++)
			if (polled[i].revents)
				(void)!process_stream_read(
					streams[i], on_line, &contexts[i], &ignored);
	} while (clock_now_ns(options->clock) < end_ns);
}

bool processes_any_running(const struct processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		if (processes->all[i].running)
			return true;
	return false;
}

bool processes_any_open(const struct processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		if (processes->all[i].output.descriptor >= 0 ||
			processes->all[i].errors.descriptor >= 0)
			return true;
	return false;
}
