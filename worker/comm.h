/*
 * What the workers of a job say to each other: start-up, agreement, and the dense reduction.
 * Never parameter rows, which go to the servers.
 *
 * One small interface with three implementations: comm_local_init() for a job of one worker,
 * comm_shared_init() for workers that share memory, and MPI's (comm_mpi.c, linked into the worker
 * program alone). Every call is collective: all workers
 * make the same calls in the same order. A call that waits longer than the deadline fails with the
 * name of the call.
 *
 * A failure that was agreed on (comm_agree, comm_agree_all) ends the talk: every worker knows it,
 * so every later call returns at once, and no worker waits for one that has already given up.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_COMM_H
#define MARQUEE_WORKER_COMM_H

#include "common/base/lane_tree.h"
#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comm;
struct comm_shared;

struct comm_operations {
	/* Everyone's `size` bytes, in rank order, into out[workers * size]. */
	enum status (*all_gather)(
		struct comm *comm, const void *bytes, size_t size, void *out, struct error *err);
	/* Worker 0's bytes to everyone. */
	enum status (*broadcast)(struct comm *comm, void *bytes, size_t size, struct error *err);
	/* See comm_sum_start and comm_sum_finish. */
	enum status (*sum_start)(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
		float *const *sums, uint32_t span_count, size_t n, struct error *err);
	enum status (*sum_finish)(struct comm *comm, struct error *err);
};

/*
 * Told once, by one of those who wait, when a call has waited for patience_s and goes on to wait:
 * for what, and for whom. One sentence.
 */
struct comm_patience {
	double patience_s; /* 0: nothing is told */
	void (*on_late)(void *context, const char *text);
	void *context;
};

struct comm {
	struct comm_patience patience; /* the owner may set it */
	uint32_t rank;
	uint32_t workers;
	const struct comm_operations *operations;
	bool failed;	  /* every worker knows of the job's failure */
	uint32_t speaker; /* failed: the worker whose message says why; the others need not */
	struct comm_shared *shared; /* that this is; NULL: the workers share no memory */
};

/* A job of one worker. */
void comm_local_init(struct comm *comm);

MUST_CHECK enum status comm_all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err);
MUST_CHECK enum status comm_broadcast(
	struct comm *comm, void *bytes, size_t size, struct error *err);

/*
 * The sum of the lanes' gradients along the fixed tree, to everyone: sums[i] holds the sum over
 * spans[i] of this worker, n floats each. It is made in two halves, so that the exchange with the
 * servers can go on meanwhile: the arrays are borrowed from start to finish, no other call of these
 * is made in between, and after finish the total is in sums[0].
 */
MUST_CHECK enum status comm_sum_start(struct comm *comm, uint32_t lanes,
	const struct lane_span *spans, float *const *sums, uint32_t span_count, size_t n,
	struct error *err);
MUST_CHECK enum status comm_sum_finish(struct comm *comm, struct error *err);

/* Waits for everyone. */
MUST_CHECK enum status comm_barrier(struct comm *comm, struct error *err);

/*
 * Per-lane values of all workers to everyone: values[lanes] holds this worker's lanes, and all of
 * them on return.
 */
MUST_CHECK enum status comm_lane_gather(
	struct comm *comm, double *values, uint32_t lanes, struct error *err);

/*
 * Sums per-lane values over the lanes along the tree: values[lanes] holds this worker's lanes, the
 * others' places are ignored. The result is the same on every worker, bit for bit.
 */
MUST_CHECK enum status comm_lane_sum(struct comm *comm, const double *values, uint32_t lanes,
	double *ret_sum, struct error *err);

/*
 * Worker 0's status and message to everyone: after a step that worker 0 alone takes (a checkpoint),
 * so that nobody goes on alone.
 */
MUST_CHECK enum status comm_agree(struct comm *comm, enum status mine, struct error *err);

/*
 * As comm_agree, for a step that every worker takes: the first worker in rank order that failed is
 * the speaker. One that failed keeps its own words; the others get the speaker's status.
 */
MUST_CHECK enum status comm_agree_all(struct comm *comm, enum status mine, struct error *err);

#endif
