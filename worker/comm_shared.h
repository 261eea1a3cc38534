/*
 * Workers that share memory: the ranks of one host, or the threads of a test.
 *
 * Talk goes in turns. In a turn every worker has a place in the memory, writes what it has to say
 * into it, announces the turn, waits until all have announced it, and reads the others' places. So
 * a turn costs one wait, and none at all when the others came before; a wait sleeps (futex) and
 * takes no time from whoever is waited for.
 *
 * A worker may announce one turn without waiting for it before it takes the next. A turn may be
 * read until this worker announces the third one after it. So whoever writes turn t knows that all
 * have announced t - 2 and are done with turn t - 5, whose place it takes.
 *
 * The dense sum is announced at its start and read at its end. Where a turn lies between that all
 * have waited for, as in a sync step's exchange, each worker adds its part of the floats there, in
 * its place, and at the end the others copy it. Else everybody adds all W * n floats.
 *
 * Threads: a struct comm_shared is owner-thread only; the memory has no locks.
 */
#ifndef MARQUEE_WORKER_COMM_SHARED_H
#define MARQUEE_WORKER_COMM_SHARED_H

#include "worker/comm.h"

struct comm_shared_memory; /* in the memory */

struct comm_shared {
	struct comm comm; /* first: the interface */
	struct comm_shared_memory *memory;
	double deadline_s;
	uint64_t turn; /* turns that this worker has announced: the number of the next one */
	struct {
		uint32_t lanes, span_count;
		uint64_t turn;	    /* of its first part */
		float *const *sums; /* borrowed, [span_count][n] */
		size_t n;
		size_t chunk; /* floats of each span that fit into a place */
		bool under_way;
		bool divided;		/* every worker adds its part for all */
		uint64_t divided_until; /* the turn by whose announcement it has */
	} sum;				/* under way */
};

/* What the memory for this many workers takes. Only what is used of it is ever touched. */
size_t comm_shared_bytes(uint32_t workers);

/* Makes memory ready, 64-byte aligned: one worker, before any other looks at it. */
void comm_shared_prepare(void *memory);

/* Borrows the memory for as long as comm is used. deadline_s: the longest that a call may wait. */
void comm_shared_init(
	struct comm_shared *comm, void *memory, uint32_t rank, uint32_t workers, double deadline_s);

/*
 * The talk itself, for those who have more to say than struct comm_operations knows. All workers
 * take the same turns. A place has COMM_PLACE_BYTES, 64-byte aligned, of which only what is written
 * is backed by memory.
 */
#define COMM_TURNS_KEPT	 5u
#define COMM_PLACE_BYTES ((size_t)16 << 20)

/* Where `worker` speaks in a turn: comm's next one, or one that was waited for. */
void *comm_shared_place(const struct comm_shared *comm, uint64_t turn, uint32_t worker);
/* Announces turn comm->turn. */
void comm_shared_announce(struct comm_shared *comm);
/*
 * Until all have announced the turn. `what` is for the message: what is waited for.
 * DEADLINE_EXCEEDED names those who have not; ABORTED: somebody has left.
 */
MUST_CHECK enum status comm_shared_wait(struct comm_shared *comm, uint64_t turn, double deadline_s,
	const char *what, struct error *err);

/*
 * Between these two calls this worker waits for an answer that rank `host` gives outside of the
 * turns. Who waits in vain for this worker meanwhile says so: it is the host that may hang.
 */
void comm_shared_asks(struct comm_shared *comm, uint32_t host);
void comm_shared_is_answered(struct comm_shared *comm);

/*
 * After a turn that was waited for and before the next one is announced: this worker's part of a
 * dense sum that is under way. All workers do it, at the same turn. Without a sum nothing happens.
 */
void comm_shared_add_part(struct comm_shared *comm);

/* This worker makes no call any more: whoever waits for it fails, now or later. */
void comm_shared_leave(struct comm_shared *comm);

#endif
