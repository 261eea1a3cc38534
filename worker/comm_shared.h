/*
 * Workers that share memory: the ranks of one host, or the threads of a test.
 *
 * Each worker has two places in the memory, used in turn. It writes what it has to say into one,
 * announces it, and reads the others' when all have announced theirs. Nobody can be two turns
 * ahead: to announce its next turn a worker must have read this one. So a turn costs one wait, and
 * none at all when the others came before; a wait sleeps (condition variable) and takes no time
 * from whoever is waited for.
 *
 * The dense sum is announced at its start and read at its end, by every worker in full: W workers
 * add W * n floats each. In a sync step the exchange with the servers lies between, and since a
 * server answers a step when all have pushed, the end finds everybody's sums there.
 *
 * Threads: a struct comm_shared is owner-thread only; the memory is internally locked.
 */
#ifndef MARQUEE_WORKER_COMM_SHARED_H
#define MARQUEE_WORKER_COMM_SHARED_H

#include "worker/comm.h"

struct comm_shared_memory; /* in the memory */

struct comm_shared {
	struct comm comm; /* first: the interface */
	struct comm_shared_memory *memory;
	double deadline_s;
	uint64_t turn; /* turns that this worker has announced */
	struct {
		uint32_t lanes, span_count;
		float *const *sums; /* borrowed, [span_count][n] */
		size_t n;
		size_t chunk; /* floats of each span that fit into a place */
	} sum;		      /* under way */
};

/* What the memory for this many workers takes. Only what is used of it is ever touched. */
size_t comm_shared_bytes(uint32_t workers);

/* Makes memory ready, 64-byte aligned: one worker, before any other looks at it. */
MUST_CHECK enum status comm_shared_prepare(void *memory, struct error *err);

/* Borrows the memory for as long as comm is used. deadline_s: the longest that a call may wait. */
void comm_shared_init(
	struct comm_shared *comm, void *memory, uint32_t rank, uint32_t workers, double deadline_s);

/* This worker makes no call any more: whoever waits for it fails, now or later. */
void comm_shared_leave(struct comm_shared *comm);

#endif
