/*
 * The workers of a job as threads of one process: comm over shared memory, for clusters in tests.
 *
 * A worker whose function returns leaves the group; a collective that waits for it then fails, so a
 * failing worker ends the job and not the test run.
 */
#ifndef MARQUEE_TESTS_THREAD_COMM_H
#define MARQUEE_TESTS_THREAD_COMM_H

#include "worker/comm.h"

#include <pthread.h>
#include <stdbool.h>

struct thread_group {
	uint32_t workers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t arrived;
	uint64_t round;
	bool left;			 /* somebody has */
	const void *pointers[LANES_MAX]; /* what each worker lays open in a collective */
	const float *slots[LANES_MAX];
};

/* Runs function(context, comm) as every worker of a job at once and waits for all. */
typedef void thread_worker(void *context, struct comm *comm);
void thread_group_run(uint32_t workers, thread_worker *function, void *context);

#endif
