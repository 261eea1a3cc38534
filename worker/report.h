/*
 * What a training run tells people and machines: the progress line, the table of epochs, JSON
 * lines.
 *
 * Worker 0 reports; on the others every call does nothing.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_REPORT_H
#define MARQUEE_WORKER_REPORT_H

#include "common/base/clock.h"
#include "common/base/progress.h"
#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct report_epoch {
	uint64_t epoch; /* 1-based: completed epochs */
	uint64_t step;
	double seconds; /* of training since the start of this run, evaluation left out */
	double ratings_per_second;
	double train_cost;	    /* label units: mean squared error */
	double test_rmse, test_mae; /* stars; NAN: nothing held out */
	/* Of all workers, both ways. */
	double wire_bytes_per_rating, wire_messages_per_rating;
	double checkpoint_blocked_seconds; /* that the epoch's training waited for checkpoints */
	bool best;
};

/* A step that was computed. */
struct report_step {
	uint64_t step;	    /* 0-based */
	uint64_t examples;  /* over all lanes */
	double cost;	    /* the mean of this worker's lanes */
	uint64_t rows;	    /* distinct rows that this worker pulled for it */
	uint64_t staleness; /* steps that were missing in them */
};

struct event_log;

struct report_options {
	const struct clock *clock;
	FILE *out;		  /* for people; NULL: silent */
	int progress_descriptor;  /* -1: none */
	FILE *metrics;		  /* borrowed, for JSON lines; NULL: none */
	const char *metrics_path; /* its name, for messages */
	struct event_log *events; /* borrowed; NULL: none */
	uint64_t metrics_every;	  /* steps; 0: none but epochs */
	uint64_t restarts;	  /* of the job, before this run */
	uint64_t epochs;
	uint64_t total_examples; /* that the whole run will train, with those done before */
	uint64_t done_examples;	 /* done before this run */
};

struct report {
	struct report_options options;
	struct progress progress;
	uint64_t epoch;		   /* being trained, 1-based */
	uint64_t examples;	   /* trained since the beginning of the job */
	double training_seconds;   /* of this run, while the clock was running */
	uint64_t running_since_ns; /* 0: stopped */
	double smooth_cost;	   /* for the progress line */
	struct report_epoch *epochs;
	size_t epoch_count, epoch_capacity;
	uint64_t examples_at_epoch;
	double seconds_at_epoch;
	json_t *notes;		/* members for the next JSON line; NULL: none */
	double blocked_seconds; /* since the epoch began */
	uint64_t rows;		/* pulled by this run */
	/* where the event log's latest curves end */
	double seconds_at_event;
	uint64_t examples_at_event, rows_at_event;
};

void report_init(struct report *report, const struct report_options *options);
void report_fini(struct report *report);

/* The training clock runs between start and stop; evaluation and the ends of epochs are outside. */
void report_start(struct report *report, uint64_t epoch);
void report_stop(struct report *report);

void report_step(struct report *report, const struct report_step *step);

/* Adds a member to the next JSON line that is written; takes the value, NULL too. */
void report_note(struct report *report, const char *name, json_t *value);

/* Training has waited for a checkpoint to begin. */
void report_blocked(struct report *report, double seconds);

/* Takes the progress line away before somebody else writes; the next step puts it back. */
void report_interrupt(struct report *report);

/* Examples trained in the epoch at hand, by this run. */
uint64_t report_epoch_examples(const struct report *report);

/* An epoch ended. Fills in the times; keeps it for the table. */
MUST_CHECK enum status report_epoch_end(
	struct report *report, struct report_epoch *epoch, struct error *err);

/* Prints the table of epochs. */
MUST_CHECK enum status report_table(const struct report *report, struct error *err);

#endif
