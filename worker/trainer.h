/*
 * The training loop: epochs of steps over the lanes, evaluation, checkpoints, early stop.
 *
 * It knows the model and the tables only through their interfaces, and where it runs only through a
 * comm and a params: the same loop is `marquee train`, `mpirun worker` and a cluster inside a test.
 *
 * Threads: one call per worker; it starts its own team and ends it.
 */
#ifndef MARQUEE_WORKER_TRAINER_H
#define MARQUEE_WORKER_TRAINER_H

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/status.h"
#include "worker/comm.h"
#include "worker/options.h"
#include "worker/params.h"

#include <stdio.h>

/* How worker 0's line starts that says what was read and connected is in order; a launcher waits
 * for it. */
#define TRAINING_BEGINS "training begins after step "

/* What a job is, for whoever connects to its tables. */
struct job_tables {
	uint64_t seed;
	uint32_t lanes;
	enum train_mode mode;
	uint64_t staleness;
	uint64_t first_step; /* the first step that will be pushed */
	/* The largest incarnation of a worker whose pushes the checkpoint holds; 0: none. */
	uint64_t after_incarnation;
	enum wire_dtype wire_dtype;
	const struct table_spec *tables;
	uint32_t table_count;
};

/* Opens the tables of the job; returns owned params. */
typedef enum status connect_tables(
	void *context, const struct job_tables *job, struct params **ret, struct error *err);

struct trainer_setup {
	struct comm *comm;
	const struct clock *clock;
	connect_tables *connect;
	void *connect_context;
	/*
	 * Called with a failure that the other workers do not know of, before they can learn of it
	 * from the servers: what it prints comes before what they make of it. May be NULL.
	 */
	void (*on_failure)(void *context, enum status status, const struct error *err);
	void *failure_context;
	/* Worker 0: something went wrong that training survives, one sentence. May be NULL. */
	void (*on_warning)(void *context, const char *text);
	void *warning_context;
	uint64_t restarts;	 /* of the job, before this run: for the metrics */
	FILE *out;		 /* worker 0's results for people; NULL: silent */
	int progress_descriptor; /* worker 0's progress line; -1: none */
};

struct train_result {
	uint64_t steps, epochs;	    /* completed, since the beginning of the job */
	double test_rmse, test_mae; /* stars, after the last step; NAN: nothing is held out */
	double train_cost;	    /* of the last epoch; NAN: none */
	bool reached_target;
	struct digest digest;
};

/*
 * Trains. On resume the deciding options are replaced by the checkpoint's. Every worker returns the
 * same result. Errors: the data's, the tables', the checkpoint's, and DATA_LOSS when the loss is
 * not finite.
 */
MUST_CHECK enum status trainer_run(const struct train_options *options,
	const struct trainer_setup *setup, struct train_result *ret, struct error *err);

#endif
