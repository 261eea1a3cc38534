#include "tests/bench/bench.h"

#include "common/base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_FULL  2.0
#define SECONDS_QUICK 0.25
#define GROUPS_MAX    4
#define FEWEST	      3 /* a median needs them */
#define WARM_UP_SHARE 0.1

enum status bench_parse(struct bench *bench, const struct command_line *line, int argc, char **argv,
	struct error *err)
{
	double seconds = -1;
	*bench = (struct bench){.program = line->program, .clock = clock_real(), .out = stdout};
	const struct flag flags[] = {
		{.name = "quick",
			.kind = FLAG_BOOL,
			.target = &bench->quick,
			.help = "less work and time: some ten seconds in all"},
		{.name = "smoke",
			.kind = FLAG_BOOL,
			.target = &bench->smoke,
			.help = "tiny sizes: tries the program, measures nothing"},
		{.name = "seconds",
			.kind = FLAG_DOUBLE,
			.target = &seconds,
			.value_name = "X",
			.help = "seconds to spend on a case (2; 0.25 with --quick)",
			.max = 3600},
		{.name = "only",
			.kind = FLAG_STRING,
			.target = &bench->only,
			.value_name = "CASE",
			.help = "run this case alone"},
		{.name = "data",
			.kind = FLAG_STRING,
			.target = &bench->data,
			.value_name = "DIR",
			.help = "a MovieLens directory, for what is measured on real ratings"},
	};
	struct flag_group groups[GROUPS_MAX];
	if (line->group_count >= GROUPS_MAX)
		return error_set(err, STATUS_INTERNAL, "%zu groups of options", line->group_count);
	for (size_t g = 0; g < line->group_count; g++)
		groups[g] = line->groups[g];
	groups[line->group_count] = (struct flag_group){.title = "Of every benchmark",
		.flags = flags,
		.count = sizeof(flags) / sizeof(flags[0])};
	struct command_line whole = *line;
	whole.groups = groups;
	whole.group_count++;
	enum status status = flags_parse(&whole, argc, argv, NULL, err);
	bench->seconds = seconds >= 0	? seconds
			 : bench->smoke ? 0
			 : bench->quick ? SECONDS_QUICK
					: SECONDS_FULL;
	return status;
}

bool bench_wants(const struct bench *bench, const char *name)
{
	return !bench->only || strcmp(bench->only, name) == 0;
}

static uint64_t cpu_time_ns(const struct clock *clock)
{
	struct timespec now;
	(void)clock;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

const struct clock *bench_cpu_clock(void)
{
	static const struct clock clock = {.now_ns = cpu_time_ns};
	return &clock;
}

enum status bench_samples_init(struct bench_samples *samples, struct error *err)
{
	double *values;
	enum status status =
		memory_alloc(&values, BENCH_SAMPLES_MAX, sizeof(*values), "samples", err);
	if (status == STATUS_OK)
		*samples = (struct bench_samples){.values = values};
	return status;
}

void bench_samples_fini(struct bench_samples *samples)
{
	free(samples->values);
	*samples = (struct bench_samples){0};
}

void bench_samples_start(struct bench_samples *samples, const struct bench *bench)
{
	samples->count = 0;
	samples->fewest = bench->smoke ? 1 : FEWEST;
	samples->clock = bench->clock;
	samples->start_ns = clock_now_ns(bench->clock);
	samples->seconds = bench->seconds;
	samples->warming = true;
}

bool bench_samples_wanted(const struct bench_samples *samples)
{
	if (samples->warming || samples->count < samples->fewest)
		return true;
	return samples->count < BENCH_SAMPLES_MAX &&
	       clock_seconds_since(samples->clock, samples->start_ns) < samples->seconds;
}

void bench_samples_add(struct bench_samples *samples, double value)
{
	if (!samples->warming) {
		if (samples->count < BENCH_SAMPLES_MAX)
			samples->values[samples->count++] = value;
		return;
	}
	if (clock_seconds_since(samples->clock, samples->start_ns) <
		WARM_UP_SHARE * samples->seconds)
		return;
	samples->warming = false;
	samples->start_ns = clock_now_ns(samples->clock);
}

static int compare(const void *left, const void *right)
{
	const double *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

static void sort(struct bench_samples *samples)
{
	qsort(samples->values, samples->count, sizeof(*samples->values), compare);
}

double bench_samples_median(struct bench_samples *samples)
{
	const size_t n = samples->count;
	if (n == 0)
		return NAN;
	sort(samples);
	return (samples->values[(n - 1) / 2] + samples->values[n / 2]) / 2;
}

double bench_samples_p99(struct bench_samples *samples, bool higher_is_better)
{
	const size_t n = samples->count, worse = n / 100;
	if (n == 0)
		return NAN;
	sort(samples);
	return samples->values[higher_is_better ? worse : n - 1 - worse];
}

/* JSON has no NAN and no infinity. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *limit_of(const struct bench_case *one)
{
	return one->limit_name ? json_pack("{s:s, s:o}", "name", one->limit_name, "value",
					 number(one->limit))
			       : json_null();
}

static enum status print(const struct bench *bench, const struct bench_case *one, double median,
	double p99, size_t n, json_t *parameters, struct error *err)
{
	const double ratio = one->limit_name ? median / one->limit : NAN;
	const bool holds = one->higher_is_better ? ratio >= 1 : ratio <= 1;
	const bool judged = isfinite(ratio) && !bench->smoke;
	json_t *line = json_pack("{s:s, s:s, s:o, s:s, s:b, s:o, s:o, s:I, s:o, s:o, s:o}", "bench",
		bench->program, "case", one->name, "parameters", parameters, "unit", one->unit,
		"higher_is_better", one->higher_is_better, "median", number(median), "p99",
		number(p99), "n", (json_int_t)n, "limit", limit_of(one), "ratio",
		judged ? number(ratio) : json_null(), "holds",
		judged ? json_boolean(holds) : json_null());
	if (!line)
		return error_set(err, STATUS_INTERNAL, "%s: %s: no line of JSON can be made of it",
			bench->program, one->name);
	const int failed = json_dumpf(line, bench->out, JSON_REAL_PRECISION(6));
	json_decref(line);
	if (failed || fputc('\n', bench->out) == EOF || fflush(bench->out) != 0)
		return error_set_errno(err, errno, "%s: %s", bench->program, one->name);
	return STATUS_OK;
}

enum status bench_report(const struct bench *bench, const struct bench_case *one,
	struct bench_samples *samples, json_t *parameters, struct error *err)
{
	return print(bench, one, bench_samples_median(samples),
		bench_samples_p99(samples, one->higher_is_better), samples->count, parameters, err);
}

enum status bench_report_value(const struct bench *bench, const struct bench_case *one,
	double value, json_t *parameters, struct error *err)
{
	return print(bench, one, value, value, 1, parameters, err);
}
