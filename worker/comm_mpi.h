/*
 * The workers of an mpirun job. Linked into the worker program alone.
 *
 * MPI's blocking calls busy-wait, so 8 ranks on 2 cores would take their time from the ranks that
 * compute. Ranks of one host therefore talk through memory that MPI shares between them
 * (comm_shared.h), where waiting sleeps. Between hosts every call is non-blocking, tested in a loop
 * that yields and then sleeps, and fails when its deadline has passed.
 */
#ifndef MARQUEE_WORKER_COMM_MPI_H
#define MARQUEE_WORKER_COMM_MPI_H

#include "common/base/clock.h"
#include "worker/comm.h"

#include <stdbool.h>

/* True when a process manager (mpirun, srun) started this process. */
bool comm_mpi_is_launched(void);

/* Starts MPI; returns owned. One per process. deadline_s: the longest that one call may wait. */
MUST_CHECK enum status comm_mpi_open(
	struct comm **ret, const struct clock *clock, double deadline_s, struct error *err);

/* Ends MPI cleanly; all workers call it. */
void comm_mpi_close(struct comm *comm);

/*
 * Ends the whole job with this exit code, when mpirun has taken what this process printed, or some
 * seconds later. Does not return.
 */
_Noreturn void comm_mpi_abort(int exit_code);

#endif
