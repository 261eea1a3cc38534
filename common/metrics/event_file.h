/*
 * TensorBoard's event files: scalars, histograms and texts by step, one file for each start of a
 * run.
 *
 * TensorBoard joins the files of a directory by their names, which begin with the time they were
 * made.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_METRICS_EVENT_FILE_H
#define MARQUEE_METRICS_EVENT_FILE_H

#include "common/base/status.h"
#include "common/metrics/record_file.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Counts of values that are not negative: one for 0, and buckets from 1e-9 on of which each is a
 * tenth wider than the one before. All zeros is empty.
 */
#define EVENT_BUCKETS 436u
struct event_histogram {
	uint64_t counts[EVENT_BUCKETS];
	double min, max, sum, sum_squares;
	uint64_t count;
};

/* NAN and negative values are left out; infinity counts as the largest. */
void event_histogram_add(struct event_histogram *histogram, double value);

/* One of: a text, a histogram, a number. */
struct event_value {
	const char *tag;
	double number;				 /* NAN: left out */
	const struct event_histogram *histogram; /* NULL: a number, or a text */
	const char *text;			 /* Markdown; NULL: a number */
};

struct event_file {
	struct record_file records;
};

/* Makes the directory and a new file in it. wall_time: seconds since 1970. */
MUST_CHECK enum status event_file_open(
	struct event_file *file, const char *directory, double wall_time, struct error *err);
/* Takes all zeros. */
void event_file_close(struct event_file *file);

/* The run goes on at this step: readers drop what earlier files have from there on. */
MUST_CHECK enum status event_file_restart(
	struct event_file *file, double wall_time, uint64_t step, struct error *err);

/* What is known of a step. Empty histograms are left out. */
MUST_CHECK enum status event_file_write(struct event_file *file, double wall_time, uint64_t step,
	const struct event_value *values, size_t count, struct error *err);

#endif
