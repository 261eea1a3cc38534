/*
 * What the benchmark programs share: options, timing samples, one line of JSON a case. README.md
 * here has the convention they follow. The way of a case:
 *
 *	bench_samples_start(&samples, &bench);
 *	while (bench_samples_wanted(&samples)) {
 *		... prepare ...
 *		const uint64_t start = clock_now_ns(bench.clock);
 *		... the work ...
 *		bench_samples_add(&samples, 1e-6 * (double)(clock_now_ns(bench.clock) - start));
 *	}
 *	status = bench_report(&bench, &search, &samples, json_pack("{s:I}", "rows", rows), &err);
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_BENCH_H
#define MARQUEE_BENCH_BENCH_H

#include "common/base/clock.h"
#include "common/base/flags.h"

#include <jansson.h>
#include <stdio.h>

struct bench {
	const char *program; /* "bench_table" */
	const struct clock *clock;
	FILE *out; /* receives the lines */
	bool quick, smoke;
	const char *data; /* --data: a MovieLens directory, or NULL */
	const char *only; /* --only: the one case to run, or NULL */
	double seconds;	  /* spent on a case; 0 takes the fewest samples */
};

/*
 * Parses the common options and the program's own ones (may be none), and sets everything in
 * *bench. Statuses are those of flags_parse(), for flags_exit().
 */
MUST_CHECK enum status bench_parse(struct bench *bench, const struct command_line *line, int argc,
	char **argv, struct error *err);

/* Whether --only leaves the case in. */
bool bench_wants(const struct bench *bench, const char *name);

/* The size of the work: of a measurement, of a short one, of a mere trial of the program. */
static inline uint64_t bench_size(
	const struct bench *bench, uint64_t full, uint64_t quick, uint64_t smoke)
{
	return bench->smoke ? smoke : bench->quick ? quick : full;
}

/* The calling thread's processor time: what neighbours on the machine take does not count, nor does
 * waiting. */
const struct clock *bench_cpu_clock(void);

/* The compiler must take the memory at `result` for read: work that nobody looks at is left out. */
static inline void bench_keep(const void *result)
{
	__asm__ volatile("" : : "r"(result) : "memory");
}

#define BENCH_SAMPLES_MAX 32768u

/* Figures of one case, in its unit. All zeros is valid and empty. */
struct bench_samples {
	double *values; /* [BENCH_SAMPLES_MAX], owned */
	size_t count, fewest;
	const struct clock *clock;
	uint64_t start_ns;
	double seconds; /* to spend from start_ns on */
	bool warming;
};

MUST_CHECK enum status bench_samples_init(struct bench_samples *samples, struct error *err);
void bench_samples_fini(struct bench_samples *samples);

/* Empties the samples for a new case. It first warms up: the samples of the first tenth of the
 * case's time, and at least one, are dropped. */
void bench_samples_start(struct bench_samples *samples, const struct bench *bench);
/* False when the case's time is over and there are three samples, or when no more fit. */
bool bench_samples_wanted(const struct bench_samples *samples);
void bench_samples_add(struct bench_samples *samples, double value);

/* Sorts the samples. With an even number the mean of the two in the middle; NAN without any. */
double bench_samples_median(struct bench_samples *samples);
/* Sorts the samples. What at least 99% of them are as good as, or better; NAN without any. */
double bench_samples_p99(struct bench_samples *samples, bool higher_is_better);

struct bench_case {
	const char *name; /* "pull" */
	const char *unit; /* of the samples: "ms", "rows/s" */
	bool higher_is_better;
	/* What the median is held against: a floor when higher is better, else a ceiling. NULL: no
	 * limit is set. A limit of NAN is named, but could not be had here. */
	const char *limit_name;
	double limit;
};

/*
 * Prints the case as one line of JSON. Takes the parameters, an object; NULL (json_pack failed) is
 * an error. In a smoke run nothing is held against the limit: its sizes are not the limit's.
 */
MUST_CHECK enum status bench_report(const struct bench *bench, const struct bench_case *one,
	struct bench_samples *samples, json_t *parameters, struct error *err);

/* The same for a figure that is counted, not sampled: bytes a row, a longest time. */
MUST_CHECK enum status bench_report_value(const struct bench *bench, const struct bench_case *one,
	double value, json_t *parameters, struct error *err);

#endif
