/*
 * Runs of `marquee train` for bench_load, as processes of their own.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_LOAD_RUNS_H
#define MARQUEE_BENCH_LOAD_RUNS_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stdint.h>

/* NULL-terminated options of `marquee train`. */
typedef const char *const *load_options;

/*
 * From the start of the process to the metrics line of its first step, in ms; then it is killed.
 * The line comes through a pipe at `pipe_path`, which is made and removed.
 */
MUST_CHECK enum status load_first_step(const struct clock *clock, load_options options,
	const char *pipe_path, double *ret_ms, struct error *err);

/* The most memory that the whole run had, in bytes, and how long it took. */
MUST_CHECK enum status load_whole_run(const struct clock *clock, load_options options,
	uint64_t *ret_peak_bytes, double *ret_seconds, struct error *err);

#endif
