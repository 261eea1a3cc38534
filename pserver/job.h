/*
 * One job on one server: its tables, its members, their clocks, and what may happen when.
 *
 * Pure bookkeeping: no messages, no threads, no time of its own. The service asks and acts.
 *
 * Modes. sync: step t is applied once, when every member has pushed it; a pull of step t waits
 * until all steps before t are applied. ssp, async: a push is applied when it comes and moves its
 * worker's clock to step + 1, but a pooled table's gradients wait for as many pushes as there are
 * members (pool.h); in ssp a pull of step t waits until every clock is at least
 * t - staleness. A worker that left is waited for no more.
 *
 * Invariants: in sync every clock is next_step or next_step + 1 (it has pushed next_step), in the
 * other modes next_step is the smallest clock. Sequences are accepted under one incarnation.
 *
 * Threads: spec, store and pool are immutable after job_new() (the latter two lock for themselves);
 * everything else is externally locked, by the service's lock.
 */
#ifndef MARQUEE_PSERVER_JOB_H
#define MARQUEE_PSERVER_JOB_H

#include "common/base/lane_tree.h"
#include "common/base/status.h"
#include "pserver/aggregate.h"
#include "pserver/pool.h"
#include "pserver/sequence.h"
#include "pserver/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_TABLES_MAX	64u
#define JOB_NAME_SIZE	((size_t)129) /* with the terminator */
#define JOB_WORKERS_MAX LANES_MAX
#define JOB_SPARES_MAX	8u

enum job_mode { JOB_SYNC = 0, JOB_SSP = 1, JOB_ASYNC = 2 };

struct job_spec {
	char name[JOB_NAME_SIZE];
	uint32_t workers;
	uint32_t lanes;
	enum job_mode mode;
	uint32_t staleness; /* ssp */
	uint64_t seed;
	uint64_t first_step;
	uint64_t generation;
	uint64_t after_incarnation; /* up to it they are of before the checkpoint; 0: none is */
	uint32_t table_count;
	struct table_spec tables[JOB_TABLES_MAX];
};

struct job_member {
	bool joined;
	bool left;
	uint64_t incarnation;
	uint64_t clock;	 /* the step it pushes next */
	uint64_t rounds; /* ssp, async: of the pool, when its latest pull was answered */
	struct sequence_window pushes;
};

struct step_call;
struct pending_push;

struct job {
	/* Immutable. */
	struct job_spec spec;
	struct store *store;
	struct pool *pool;	/* ssp, async; NULL in sync mode */
	atomic_uint references; /* the service's, and one for every operation outside its lock */
	/* Externally locked. */
	struct aggregate *aggregate; /* sync: the step's segments; whoever applies it owns it */
	struct aggregate *spares[JOB_SPARES_MAX]; /* ssp, async: for one push each */
	uint32_t spare_count;
	uint64_t next_step;
	uint64_t last_heard_ns;
	uint64_t pushes_applied;
	uint64_t repeats_answered;
	bool applying;	    /* sync: step next_step is being applied */
	bool started;	    /* a push has been accepted */
	uint32_t restoring; /* calls that write what a checkpoint has: no push is accepted meanwhile
			     */
	bool has_cut;	    /* the store holds the cut of step cut_step */
	uint64_t cut_step;
	struct error failure;	     /* not OK: the tables are broken, every step call gets this */
	struct step_call *calls;     /* those who wait for an answer: pserver/step_calls.c */
	struct pending_push *pushes; /* accepted, not applied yet */
	struct job_member *members;  /* [spec.workers] */
};

/* Where a job is: a server's part of the tables, and who helps with them (borrowed, or NULL). */
struct job_place {
	uint32_t shard_index, shard_count;
	struct crew *crew;
};

/* Returns an owned job with one reference and with its tables, nobody joined. Copies the spec. */
MUST_CHECK enum status job_new(struct job **ret, const struct job_spec *spec,
	const struct job_place *place, uint64_t now_ns, struct error *err);
/* Takes NULL. No calls and pushes may be left. */
void job_free(struct job *job);

/* Whether a spec from a peer makes sense, its tables apart (job_new() checks them). */
MUST_CHECK enum status job_spec_validate(const struct job_spec *spec, struct error *err);

/*
 * A worker joins a job that is there, perhaps again. FAILED_PRECONDITION when its spec differs or
 * its incarnation is older than the one that has joined, or of before the checkpoint. A newer
 * incarnation takes the worker's place, if it goes on with the step that is expected of it.
 */
MUST_CHECK enum status job_join(struct job *job, const struct job_spec *spec, uint32_t worker,
	uint64_t incarnation, struct error *err);

/* Whether this worker, in this incarnation, is a member. */
MUST_CHECK enum status job_check_member(
	const struct job *job, uint32_t worker, uint64_t incarnation, struct error *err);

/* Whether somebody has joined who is of before a checkpoint with this mark. */
bool job_is_before(const struct job *job, uint64_t after_incarnation);

void job_leave(struct job *job, uint32_t worker);
/* Every worker has been there and has left. */
bool job_is_over(const struct job *job);

/*
 * Around a call that writes what a checkpoint has, outside the lock. FAILED_PRECONDITION when a
 * push has been accepted. Until it ends none is: a call whose repeat has been answered long since
 * does not write over what was pushed after that.
 */
MUST_CHECK enum status job_begin_restore(struct job *job, struct error *err);
void job_end_restore(struct job *job);

/* Whether worker may push this step now; for a push that is new. UNAVAILABLE: not yet. */
MUST_CHECK enum status job_check_push(
	const struct job *job, uint32_t worker, uint64_t step, struct error *err);
/* The push is accepted: its number, the start, the clock (sync). */
void job_accept_push(struct job *job, uint32_t worker, uint64_t sequence, uint64_t step);
/* sync: all have pushed next_step, without a message. */
void job_accept_pushes(struct job *job);
/* sync: everybody who is waited for has pushed next_step, and somebody has. */
bool job_step_is_complete(const struct job *job);
/* sync: next_step has been applied. */
void job_step_applied(struct job *job);
/* ssp, async: a push has been applied. */
void job_push_applied(struct job *job, uint32_t worker, uint64_t step);
/* Whether a pull of this step may be answered. */
bool job_may_pull(const struct job *job, uint64_t step);

/*
 * What a parked call of this step waits for, with the workers' names: "step 17: waiting for the
 * push of worker 3".
 */
void job_describe_wait(const struct job *job, uint64_t step, char *text, size_t size);

#endif
