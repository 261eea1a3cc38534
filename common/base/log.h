/*
 * Lines for people, from programs only: library code reports through struct error and does not log.
 *
 * A line is "program: message\n", written with one write so that lines of several processes do not
 * mix. Threads: a log is immutable after init; log_line may be called
 * from any thread.
 */
#ifndef MARQUEE_BASE_LOG_H
#define MARQUEE_BASE_LOG_H

#include "common/base/status.h"

struct log {
	const char *program; /* borrowed for the log's life: "pserver 1/3" */
	int descriptor;
};

void log_line(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
