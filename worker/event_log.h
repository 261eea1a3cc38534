/*
 * What a training run tells TensorBoard: curves by step, results and row norms by epoch, the
 * configuration.
 *
 * Worker 0 has one; on the others it is NULL, and every call takes that and does nothing.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_EVENT_LOG_H
#define MARQUEE_WORKER_EVENT_LOG_H

#include "common/base/status.h"
#include "common/model/model.h"
#include "worker/options.h"
#include "worker/report.h"
#include "worker/spans.h"

#include <stdbool.h>
#include <stdint.h>

#define EVENT_LOG_EVERY_DEFAULT 100u

struct event_log;

/* Makes the directory and a file in it, before anybody waits for the training. Returns owned. */
MUST_CHECK enum status event_log_open(
	struct event_log **ret, const char *directory, struct error *err);
void event_log_close(struct event_log *log);

/*
 * The run begins behind `step` completed steps: what earlier files of the directory say of later
 * ones is void. Borrows model and options for its life.
 */
MUST_CHECK enum status event_log_begin(struct event_log *log, const struct model *model,
	const struct train_options *options, uint64_t step, struct error *err);

/* Whether the step (0-based), about to be completed, is one that is written. */
bool event_log_is_due(const struct event_log *log, uint64_t step);

/* Adds the norms of a step's rows, as they were pulled, to their tables' histograms. */
void event_log_sample(struct event_log *log, const struct spans *spans);

struct event_log_step {
	uint64_t step;				    /* completed */
	double cost;				    /* as in report_step() */
	double ratings_per_second, rows_per_second; /* since the last one */
	uint64_t staleness;
};
MUST_CHECK enum status event_log_step(
	struct event_log *log, const struct event_log_step *step, struct error *err);

/* The epoch's results, and the histograms of the rows that were sampled since the last one. */
MUST_CHECK enum status event_log_epoch(
	struct event_log *log, const struct report_epoch *epoch, struct error *err);

#endif
