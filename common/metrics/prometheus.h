/*
 * Prometheus's text format, version 0.0.4: families of counters, gauges and histograms.
 *
 *     prometheus_family(&out, "marquee_ps_calls_total", PROMETHEUS_COUNTER, "Calls answered.");
 *     prometheus_count(&out, labels, 2, calls);
 *
 * Memory that is refused is noticed at the end, by prometheus_finish().
 * Threads: struct prometheus is owner-thread only; struct latency_histogram is internally
 * synchronised.
 */
#ifndef MARQUEE_METRICS_PROMETHEUS_H
#define MARQUEE_METRICS_PROMETHEUS_H

#include "common/base/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8" /* of the HTTP reply */

/* Times in buckets from 10 us to 60 s. All zeros is empty. */
#define LATENCY_BUCKETS 21u /* and one behind the last for what took longer */
struct latency_histogram {
	atomic_uint_fast64_t counts[LATENCY_BUCKETS + 1];
	atomic_uint_fast64_t sum_ns;
};
void latency_observe(struct latency_histogram *histogram, uint64_t ns);

enum prometheus_kind { PROMETHEUS_COUNTER, PROMETHEUS_GAUGE, PROMETHEUS_HISTOGRAM };

/* Names are [a-z_]+; a value is any UTF-8. */
struct prometheus_label {
	const char *name, *value;
};

struct prometheus {
	FILE *out; /* NULL: no memory */
	char *text;
	size_t size;
	const char *name; /* of the family at hand */
};

void prometheus_init(struct prometheus *prometheus);
/* Returns the text, owned, and its size without the terminator; ends the writer either way. */
MUST_CHECK enum status prometheus_finish(
	struct prometheus *prometheus, char **ret_text, size_t *ret_size, struct error *err);

/* Begins a family; borrows the name for its life. A family is written in one piece, once. */
void prometheus_family(struct prometheus *prometheus, const char *name, enum prometheus_kind kind,
	const char *help);

/* Samples of the family at hand; labels[label_count] distinguish them. */
void prometheus_count(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, uint64_t value);
void prometheus_number(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, double value);
/* In seconds. */
void prometheus_latency(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, struct latency_histogram *histogram);

/* process_*: CPU time, memory, open files, start, as Prometheus's own client libraries name them.
 */
void prometheus_process(struct prometheus *prometheus);

#endif
