#include "launcher/launch.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "launcher/attempt.h"
#include "launcher/orphans.h"
#include "launcher/signals.h"

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* For processes that were killed: the kernel may first have to finish what they wrote. */
#define ORPHANS_TIMEOUT_MS 60000u

static uint32_t pause_ms(const struct launch_options *options, uint32_t restarts)
{
	uint64_t pause = options->pause_ms ? options->pause_ms : LAUNCH_PAUSE_MS;
	for (uint32_t i = 0; i < restarts && pause < LAUNCH_PAUSE_MAX_MS; i++)
		pause *= 2;
	return (uint32_t)(pause < LAUNCH_PAUSE_MAX_MS ? pause : LAUNCH_PAUSE_MAX_MS);
}

/* Lets the pause pass; ABORTED when a signal asks for the end meanwhile. */
static enum status wait_pause(const struct signals *signals, const struct clock *clock,
	uint32_t timeout_ms, struct error *err)
{
	const uint64_t end_ns = clock_now_ns(clock) + (uint64_t)timeout_ms * 1000000;
	for (int left_ms; (left_ms = clock_ms_until(clock, end_ns)) > 0;) {
		struct pollfd polled = {.fd = signals->descriptor, .events = POLLIN};
		struct signalfd_siginfo info;
		(void)poll(&polled, 1, left_ms);
		while (read(signals->descriptor, &info, sizeof(info)) == (ssize_t)sizeof(info))
			if (info.ssi_signo != SIGCHLD)
				return error_set(err, STATUS_ABORTED,
					"ended by signal %u (%s) before a restart", info.ssi_signo,
					strsignal((int)info.ssi_signo));
	}
	return STATUS_OK;
}

static enum status run_attempts(const struct launch_programs *programs,
	const struct launch_options *options, const struct signals *signals,
	struct launch_report *report, struct error *err)
{
	const struct log log = {.program = "marquee launch", .descriptor = options->errors};
	for (;;) {
		struct attempt_outcome outcome = {0};
		struct error failure = {0};
		enum status status = attempt_run(
			programs, options, signals, report->restarts, &outcome, &failure);
		const uint32_t left = orphans_end(options->clock, ORPHANS_TIMEOUT_MS);
		if (left > 0)
			log_line(&log,
				"%u processes of this job do not end, though they were killed: do "
				"their disks answer?",
				left);
		if (status == STATUS_OK)
			return status;
		if (!outcome.curable || report->restarts == options->max_restarts) {
			*err = failure;
			return status;
		}
		const uint32_t pause = pause_ms(options, report->restarts);
		memcpy(report->failures[report->restarts++], failure.message,
			sizeof(failure.message));
		log_line(&log, "%s; restart %u of %u in %.1f s", failure.message, report->restarts,
			options->max_restarts, pause * 1e-3);
		if (options->on_restart)
			options->on_restart(
				options->restart_context, report->restarts, failure.message);
		status = wait_pause(signals, options->clock, pause, err);
		if (status != STATUS_OK)
			return status;
	}
}

enum status launch_run(const struct launch_programs *programs, const struct launch_options *options,
	struct launch_report *ret, struct error *err)
{
	struct signals signals;
	struct error ignored;
	bool adopts;
	*ret = (struct launch_report){0};
	enum status status = memory_zalloc(&ret->failures, (size_t)options->max_restarts + 1,
		sizeof(*ret->failures), "report", err);
	if (status == STATUS_OK)
		status = signals_take(&signals, err);
	if (status != STATUS_OK)
		return status;
	status = orphans_adopt(&adopts, err);
	if (status == STATUS_OK) {
		status = run_attempts(programs, options, &signals, ret, err ? err : &ignored);
		orphans_release(adopts);
	}
	signals_give_back(&signals);
	return status;
}

void launch_report_fini(struct launch_report *report)
{
	free(report->failures);
	*report = (struct launch_report){0};
}
