/*
 * What the files of the service share: service.c (open, close, membership), steps.c (pull, push),
 * step_calls.c (those that wait), state.c (cut, snapshot, restore, digest, stats). Inside this room
 * only.
 *
 * Locks: server->lock guards the job's pointer, all jobs' bookkeeping (job.h) and all step calls.
 * It is held for bookkeeping only, never while rows are read or written or a call is answered.
 * Below it: the store's own locks, and rpc's, which call back nothing.
 */
#ifndef MARQUEE_PSERVER_SERVICE_INTERNAL_H
#define MARQUEE_PSERVER_SERVICE_INTERNAL_H

#include "common/rpc/server.h"
#include "proto/parameter_server.pb-c.h"
#include "pserver/job.h"
#include "pserver/service.h"

#include <pthread.h>
#include <stdbool.h>

/* Calls of one worker that wait: several times what it has under way. The messages they hold are so
 * bounded too. */
#define PS_PARKED_MAX 64u

struct ps_server {
	Marquee__Ps__V1__ParameterServer_Service service; /* first: handlers get a pointer to it */
	/* Immutable after open. */
	uint32_t shard_index, shard_count;
	const struct clock *clock;
	size_t max_message_bytes;
	struct rpc_server *rpc;
	struct crew *crew; /* NULL: none */
	pthread_t sweeper;
	bool sweeping;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t sweep; /* a parked call may end before sweep_at_ns, or closing */
	uint64_t sweep_at_ns; /* when the sweeper looks next */
	struct job *job;      /* NULL: none is active */
	bool closing;
	struct ps_counts {
		uint64_t jobs;		   /* begun, or begun again */
		uint64_t workers_replaced; /* by a new start of the same worker */
		uint64_t expired_calls;	   /* parked until their deadline */
		uint64_t cuts, cuts_read;  /* begun; ended by who read them */
		uint64_t cut_began_ns;	   /* of the one under way */
		double cut_read_s;	   /* of the latest that was read */
		double cut_read_unix_s;	   /* when that was; 0: none was */
	} counts;
};

/*
 * A push from its acceptance to its application. Its arrays are in `kept`, where the aggregate
 * borrows them. Guarded by server->lock.
 */
struct pending_push {
	struct pending_push *next; /* in job->pushes */
	uint32_t worker;
	uint64_t sequence;
	struct rpc_kept *kept; /* a reference */
	float *gradients;      /* owned; NULL: they are in kept */
};

/*
 * Who waits for a push to be applied, for a pull to become possible, or for both in this order. A
 * push outlives it when the caller's deadline passes, and a repeat of the call takes its place.
 * Guarded by server->lock while it is in its job's list.
 */
struct step_call {
	struct step_call *next; /* in job->calls, or in a list of those to be answered */
	struct rpc_server_call *call;
	uint32_t worker;
	uint64_t sequence;
	uint64_t deadline_ns;
	bool pushing; /* its push is pending */
	uint64_t push_step;
	const Marquee__Ps__V1__PullRequest *pull; /* in the call's request or kept; NULL: none */
	const unsigned char *pull_ids;
	size_t reply_bytes;    /* of the pull's rows */
	struct rpc_kept *kept; /* a reference, or NULL */
	struct error failure;  /* not OK: the answer */
	uint64_t next_step;    /* the job's, when the answer became possible */
};

/* Handlers; the signatures are protobuf-c's. */
void ps_pull(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PullRequest *input, Marquee__Ps__V1__PullReply_Closure closure,
	void *closure_data);
void ps_push(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PushRequest *input, Marquee__Ps__V1__PushReply_Closure closure,
	void *closure_data);
void ps_push_pull(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PushPullRequest *input, Marquee__Ps__V1__PullReply_Closure closure,
	void *closure_data);
void ps_cut(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__CutRequest *input, Marquee__Ps__V1__CutReply_Closure closure,
	void *closure_data);
void ps_snapshot(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__SnapshotRequest *input,
	Marquee__Ps__V1__SnapshotReply_Closure closure, void *closure_data);
void ps_restore(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__RestoreRequest *input, Marquee__Ps__V1__RestoreReply_Closure closure,
	void *closure_data);
void ps_digest(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__DigestRequest *input, Marquee__Ps__V1__DigestReply_Closure closure,
	void *closure_data);
void ps_audit(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__AuditRequest *input, Marquee__Ps__V1__AuditReply_Closure closure,
	void *closure_data);
void ps_stats(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__StatsRequest *input, Marquee__Ps__V1__StatsReply_Closure closure,
	void *closure_data);

/*
 * Finds the active job for a call of one of its members and takes a reference; the lock is held on
 * success and free on failure.
 */
MUST_CHECK enum status ps_lock_job(struct ps_server *server, struct rpc_server_call *call,
	struct job **ret, struct error *err);
/* Gives a reference back; with or without the lock. The last one frees the job. */
void ps_job_release(struct job *job);

/* Steps, with the lock held: */

/* sync: applies the step when it is complete. Lets go of the lock meanwhile. */
void ps_apply_complete_step(struct ps_server *server, struct job *job);
/* ssp, async: nothing that was pushed waits for other pushes. Lets go of the lock meanwhile. */
void ps_flush_pool(struct ps_server *server, struct job *job);

/* Step calls and pushes that wait (step_calls.c), with the lock held: */

/* The worker's push of this number that is pending, or NULL. */
struct pending_push *ps_find_push(const struct job *job, uint32_t worker, uint64_t sequence);
/* The push is over, one way or the other (failure: may be NULL): those who wait for it go on. */
void ps_finish_push(struct job *job, struct pending_push *push, const struct error *failure);
/*
 * A repeat has come and takes the place of the attempt before. Usually nobody listens for that one
 * any more; but when the two overtook each other it is the one the caller waits for, and
 * UNAVAILABLE makes it ask again.
 */
void ps_replace_attempt(struct job *job, const struct step_call *repeat, struct step_call **list);
/*
 * RESOURCE_EXHAUSTED: PS_PARKED_MAX calls of the worker wait. One that asks and asks, whatever it
 * waits for, is not to fill the memory.
 */
MUST_CHECK enum status ps_check_parked(const struct job *job, uint32_t worker, struct error *err);
/* Takes the calls that can be answered now out of the job's list and puts them in front of *list.
 */
void ps_collect_ready(struct job *job, struct step_call **list);
/* Takes every call out (one worker's, or all for UINT32_MAX), to be answered with the error. */
void ps_collect_all(
	struct job *job, uint32_t worker, const struct error *why, struct step_call **list);
/* Takes those out whose deadline is over; *ret_next is the next deadline of the others. */
void ps_collect_expired(
	struct job *job, uint64_t now_ns, struct step_call **list, uint64_t *ret_next);

/*
 * Answers and frees a list of calls of a job that the caller has a reference to; the lock is free.
 */
void ps_answer(struct job *job, struct step_call *list);

#endif
