/*
 * The workers of a job as threads of one process, which talk as the ranks of one host do.
 *
 * A worker whose function returns leaves the job; a collective that waits for it then fails, so a
 * failing worker ends the job and not the test run.
 */
#ifndef MARQUEE_TESTS_THREAD_COMM_H
#define MARQUEE_TESTS_THREAD_COMM_H

#include "worker/comm.h"

/* Runs function(context, comm) as every worker of a job at once and waits for all. */
typedef void thread_worker(void *context, struct comm *comm);
void thread_group_run(uint32_t workers, thread_worker *function, void *context);

#endif
