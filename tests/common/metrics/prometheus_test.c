/* The text that Prometheus scrapes; tests/pserver/metrics_test.py gives a server's to a real
 * parser. */
#include "common/metrics/prometheus.h"

#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *finish(struct prometheus *prometheus)
{
	struct error err;
	char *text;
	size_t size;
	assert_ok(prometheus_finish(prometheus, &text, &size, &err), &err);
	ck_assert_uint_eq(strlen(text), size);
	return text;
}

START_TEST(samples_stand_below_their_family)
{
	struct prometheus out;
	const struct prometheus_label labels[] = {{"method", "Pull"}, {"status", "OK"}};
	prometheus_init(&out);
	prometheus_family(&out, "calls_total", PROMETHEUS_COUNTER, "Calls.");
	prometheus_count(&out, labels, 2, UINT64_MAX);
	prometheus_count(&out, labels, 1, 0);
	prometheus_family(&out, "heat", PROMETHEUS_GAUGE, "Degrees.");
	prometheus_number(&out, NULL, 0, -0.25);
	prometheus_number(&out, NULL, 0, NAN);
	prometheus_number(&out, NULL, 0, INFINITY);
	char *text = finish(&out);
	ck_assert_str_eq(text, "# HELP calls_total Calls.\n# TYPE calls_total counter\n"
			       "calls_total{method=\"Pull\",status=\"OK\"} 18446744073709551615\n"
			       "calls_total{method=\"Pull\"} 0\n"
			       "# HELP heat Degrees.\n# TYPE heat gauge\n"
			       "heat -0.25\nheat NaN\nheat +Inf\n");
	free(text);
}
END_TEST

START_TEST(what_a_label_says_is_escaped)
{
	struct prometheus out;
	const struct prometheus_label label = {"name", "a\"b\\c\nd}\xc3\xa9"};
	prometheus_init(&out);
	prometheus_family(&out, "x", PROMETHEUS_GAUGE, "X.");
	prometheus_count(&out, &label, 1, 1);
	char *text = finish(&out);
	ck_assert_ptr_nonnull(strstr(text, "x{name=\"a\\\"b\\\\c\\nd}\xc3\xa9\"} 1\n"));
	free(text);
}
END_TEST

/* The cumulative count of a bucket, by its line's beginning. */
static unsigned long bucket(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	ck_assert_msg(at, "%s is not in %s", line, text);
	return strtoul(at + strlen(line), NULL, 10);
}

START_TEST(latencies_are_counted_in_all_buckets_that_hold_them)
{
	struct prometheus out;
	struct latency_histogram histogram = {0};
	const struct prometheus_label label = {"method", "Pull"};
	latency_observe(&histogram, 0);
	latency_observe(&histogram, 1000000); /* 1 ms: an end belongs to its bucket */
	latency_observe(&histogram, 1000001);
	latency_observe(&histogram, UINT64_C(100000000000));
	prometheus_init(&out);
	prometheus_family(&out, "t_seconds", PROMETHEUS_HISTOGRAM, "Time.");
	prometheus_latency(&out, &label, 1, &histogram);
	char *text = finish(&out);
	ck_assert_uint_eq(bucket(text, "t_seconds_bucket{method=\"Pull\",le=\"1e-05\"} "), 1);
	ck_assert_uint_eq(bucket(text, "t_seconds_bucket{method=\"Pull\",le=\"0.001\"} "), 2);
	ck_assert_uint_eq(bucket(text, "t_seconds_bucket{method=\"Pull\",le=\"0.0025\"} "), 3);
	ck_assert_uint_eq(bucket(text, "t_seconds_bucket{method=\"Pull\",le=\"60\"} "), 3);
	ck_assert_uint_eq(bucket(text, "t_seconds_bucket{method=\"Pull\",le=\"+Inf\"} "), 4);
	ck_assert_uint_eq(bucket(text, "t_seconds_count{method=\"Pull\"} "), 4);
	ck_assert_ptr_nonnull(strstr(text, "t_seconds_sum{method=\"Pull\"} 100.002000001\n"));
	free(text);
}
END_TEST

START_TEST(the_process_tells_of_itself)
{
	struct prometheus out;
	prometheus_init(&out);
	prometheus_process(&out);
	char *text = finish(&out);
	ck_assert_uint_gt(bucket(text, "\nprocess_resident_memory_bytes "), 100000);
	ck_assert_uint_gt(bucket(text, "\nprocess_start_time_seconds "), 1500000000);
	ck_assert_uint_ge(bucket(text, "\nprocess_open_fds "), 3);
	free(text);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		samples_stand_below_their_family,
		what_a_label_says_is_escaped,
		latencies_are_counted_in_all_buckets_that_hold_them,
		the_process_tells_of_itself,
		NULL,
	};
	return run_cases("prometheus", cases);
}
