#include "tests/bench/bench.h"

#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A clock that the test moves. */
static uint64_t now_ns;

static uint64_t read_now(const struct clock *clock)
{
	(void)clock;
	return now_ns;
}

static const struct clock test_clock = {.now_ns = read_now};

static struct bench bench_of(double seconds)
{
	return (struct bench){.program = "bench_test", .clock = &test_clock, .seconds = seconds};
}

/* 1 to n after one sample of warm-up, out of order. */
static void fill(struct bench_samples *samples, const struct bench *bench, size_t n)
{
	bench_samples_start(samples, bench);
	bench_samples_add(samples, 1e9);
	for (size_t i = 0; i < n; i++)
		bench_samples_add(samples, (double)((i * 7) % n + 1));
	ck_assert_uint_eq(samples->count, n);
}

START_TEST(median_and_p99_are_those_of_the_sorted_samples)
{
	struct error err;
	struct bench_samples samples;
	const struct bench bench = bench_of(0);
	assert_ok(bench_samples_init(&samples, &err), &err);
	fill(&samples, &bench, 5);
	ck_assert_double_eq(bench_samples_median(&samples), 3);
	ck_assert_double_eq(bench_samples_p99(&samples, false), 5);
	fill(&samples, &bench, 1000);
	ck_assert_double_eq(bench_samples_median(&samples), 500.5);
	ck_assert_double_eq(bench_samples_p99(&samples, false), 990);
	ck_assert_double_eq(bench_samples_p99(&samples, true), 11);
	bench_samples_start(&samples, &bench);
	ck_assert(isnan(bench_samples_median(&samples)));
	ck_assert(isnan(bench_samples_p99(&samples, false)));
	bench_samples_fini(&samples);
}
END_TEST

START_TEST(a_case_warms_up_and_ends_with_its_time_but_not_before_three_samples)
{
	struct error err;
	struct bench_samples samples;
	const struct bench bench = bench_of(10);
	size_t added = 0;
	assert_ok(bench_samples_init(&samples, &err), &err);
	for (bench_samples_start(&samples, &bench); bench_samples_wanted(&samples); added++) {
		now_ns += UINT64_C(500000000);
		bench_samples_add(&samples, 1);
	}
	/* Of half a second each: two in the warm-up of one second, then ten seconds. */
	ck_assert_uint_eq(added, 22);
	ck_assert_uint_eq(samples.count, 20);
	for (bench_samples_start(&samples, &bench); bench_samples_wanted(&samples);) {
		now_ns += UINT64_C(60000000000);
		bench_samples_add(&samples, 1);
	}
	ck_assert_uint_eq(samples.count, 3);
	for (bench_samples_start(&samples, &bench); bench_samples_wanted(&samples);) {
		now_ns += samples.warming ? UINT64_C(2000000000) : 0;
		bench_samples_add(&samples, 1);
	}
	ck_assert_uint_eq(samples.count, BENCH_SAMPLES_MAX);
	bench_samples_fini(&samples);
}
END_TEST

static json_t *reported(struct bench bench, const struct bench_case *one, double value)
{
	struct error err;
	char *text = NULL;
	size_t size = 0;
	bench.out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(bench.out);
	assert_ok(
		bench_report_value(&bench, one, value, json_pack("{s:i}", "rows", 7), &err), &err);
	fclose(bench.out);
	ck_assert_ptr_eq(strchr(text, '\n'), text + size - 1);
	json_t *line = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(line);
	free(text);
	return line;
}

static void check_holds(const struct bench_case *one, bool smoke, double value, int holds)
{
	struct bench bench = bench_of(0);
	bench.smoke = smoke;
	json_t *line = reported(bench, one, value);
	const json_t *found = json_object_get(line, "holds");
	ck_assert_int_eq(json_is_null(found) ? -1 : json_is_true(found), holds);
	json_decref(line);
}

START_TEST(a_limit_is_a_floor_or_a_ceiling_and_may_be_missing)
{
	const struct bench_case ceiling = {
		.name = "a", .unit = "ms", .limit_name = "b", .limit = 2};
	struct bench_case floor = ceiling, none = ceiling, unknown = ceiling;
	floor.higher_is_better = true;
	none.limit_name = NULL;
	unknown.limit = NAN;
	check_holds(&ceiling, false, 1, true);
	check_holds(&ceiling, false, 2, true);
	check_holds(&ceiling, false, 3, false);
	check_holds(&ceiling, true, 3, -1);
	check_holds(&floor, false, 1, false);
	check_holds(&floor, false, 3, true);
	check_holds(&none, false, 3, -1);
	check_holds(&unknown, false, 3, -1);
	check_holds(&ceiling, false, NAN, -1);
}
END_TEST

START_TEST(a_line_says_what_was_measured)
{
	const struct bench_case one = {.name = "a \"quoted\" case",
		.unit = "rows/s",
		.limit_name = "twice that",
		.limit = 8};
	json_t *line = reported(bench_of(0), &one, 4);
	const char *bench, *name, *unit, *limit_name;
	double median, p99, limit, ratio;
	json_int_t n, rows;
	ck_assert_int_eq(
		json_unpack(line, "{s:s, s:s, s:s, s:F, s:F, s:I, s:{s:s, s:F}, s:F, s:{s:I}}",
			"bench", &bench, "case", &name, "unit", &unit, "median", &median, "p99",
			&p99, "n", &n, "limit", "name", &limit_name, "value", &limit, "ratio",
			&ratio, "parameters", "rows", &rows),
		0);
	ck_assert_str_eq(bench, "bench_test");
	ck_assert_str_eq(name, one.name);
	ck_assert_str_eq(unit, one.unit);
	ck_assert_str_eq(limit_name, one.limit_name);
	ck_assert_double_eq(median, 4);
	ck_assert_double_eq(p99, 4);
	ck_assert_double_eq(limit, 8);
	ck_assert_double_eq(ratio, 0.5);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(rows, 7);
	json_decref(line);
}
END_TEST

START_TEST(options_set_the_size_of_the_work)
{
	struct error err;
	struct bench bench;
	const struct command_line line = {.program = "bench_test", .summary = "Tests."};
	char *none[] = {"bench_test", NULL}, *quick[] = {"bench_test", "--quick", NULL},
	     *smoke[] = {"bench_test", "--smoke", "--only", "a", NULL},
	     *timed[] = {"bench_test", "--quick", "--seconds", "7", "--data", "d", NULL};
	assert_ok(bench_parse(&bench, &line, 1, none, &err), &err);
	ck_assert_uint_eq(bench_size(&bench, 3, 2, 1), 3);
	ck_assert(bench_wants(&bench, "a"));
	assert_ok(bench_parse(&bench, &line, 2, quick, &err), &err);
	ck_assert_uint_eq(bench_size(&bench, 3, 2, 1), 2);
	assert_ok(bench_parse(&bench, &line, 4, smoke, &err), &err);
	ck_assert_uint_eq(bench_size(&bench, 3, 2, 1), 1);
	ck_assert_double_eq(bench.seconds, 0);
	ck_assert(bench_wants(&bench, "a") && !bench_wants(&bench, "b"));
	assert_ok(bench_parse(&bench, &line, 6, timed, &err), &err);
	ck_assert_double_eq(bench.seconds, 7);
	ck_assert_str_eq(bench.data, "d");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {median_and_p99_are_those_of_the_sorted_samples,
		a_case_warms_up_and_ends_with_its_time_but_not_before_three_samples,
		a_limit_is_a_floor_or_a_ceiling_and_may_be_missing, a_line_says_what_was_measured,
		options_set_the_size_of_the_work, NULL};
	return run_cases("bench", cases);
}
