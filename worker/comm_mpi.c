#include "worker/comm_mpi.h"

#include "common/base/memory.h"
#include "worker/comm_shared.h"
#include "worker/drain.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* A wait tests this often at full speed, then yields this often, then sleeps between tests. */
#define TESTS_BEFORE_YIELD  50
#define YIELDS_BEFORE_SLEEP 100
#define SLEEP_NS	    50000

/* For mpirun to take what was printed: long, for a machine that does much else. */
#define TAKEN_TIMEOUT_MS 5000u

#define TAG_TREE 1

struct mpi_comm {
	union {
		struct comm comm;	   /* the interface, of workers on several hosts */
		struct comm_shared shared; /* or on one */
	};
	MPI_Win memory; /* of one host; MPI_WIN_NULL: several hosts */
	const struct clock *clock;
	double deadline_s;
	float *received; /* [received_capacity]: a partner's partial sum */
	size_t received_capacity;
};

static struct mpi_comm *mpi_of(struct comm *comm)
{
	return (struct mpi_comm *)comm;
}

/* Which worker is missing, MPI does not say; nor who else waits, so two of them tell it. */
static void tell_late(const struct comm *comm, const char *what)
{
	char text[256];
	if (comm->rank > 1)
		return;
	snprintf(text, sizeof(text),
		"MPI: %s: has waited %g s for another worker, and goes on to wait", what,
		comm->patience.patience_s);
	comm->patience.on_late(comm->patience.context, text);
}

static enum status wait_for(
	struct mpi_comm *mpi, MPI_Request *request, const char *what, struct error *err)
{
	const double patience_s = mpi->comm.patience.patience_s;
	uint64_t start = 0;
	bool told = patience_s <= 0;
	for (unsigned int round = 0;; round++) {
		int done = 0;
		if (MPI_Test(request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
			return error_set(err, STATUS_INTERNAL, "MPI: %s failed", what);
		if (done)
			return STATUS_OK;
		if (round < TESTS_BEFORE_YIELD)
			continue;
		if (start == 0)
			start = clock_now_ns(mpi->clock);
		if (round < TESTS_BEFORE_YIELD + YIELDS_BEFORE_SLEEP) {
			sched_yield();
			continue;
		}
		const double waited_s = clock_seconds_since(mpi->clock, start);
		if (!told && waited_s > patience_s) {
			tell_late(&mpi->comm, what);
			told = true;
		}
		if (waited_s > mpi->deadline_s)
			return error_set(err, STATUS_DEADLINE_EXCEEDED,
				"MPI: %s: waited %.0f s for another worker: is it still running?",
				what, mpi->deadline_s);
		nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
	}
}

static enum status check_size(size_t bytes, struct error *err)
{
	if (bytes > INT_MAX)
		return error_set(
			err, STATUS_RESOURCE_EXHAUSTED, "MPI: %zu bytes in one message", bytes);
	return STATUS_OK;
}

static enum status all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err)
{
	MPI_Request request;
	enum status status = check_size(size, err);
	if (status != STATUS_OK)
		return status;
	MPI_Iallgather(
		bytes, (int)size, MPI_BYTE, out, (int)size, MPI_BYTE, MPI_COMM_WORLD, &request);
	return wait_for(mpi_of(comm), &request, "gather from all workers", err);
}

static enum status broadcast(struct comm *comm, void *bytes, size_t size, struct error *err)
{
	MPI_Request request;
	enum status status = check_size(size, err);
	if (status != STATUS_OK)
		return status;
	MPI_Ibcast(bytes, (int)size, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
	return wait_for(mpi_of(comm), &request, "broadcast from worker 0", err);
}

static uint32_t owner_of(uint32_t lane, uint32_t lanes, uint32_t workers)
{
	uint32_t worker = (uint32_t)((uint64_t)lane * workers / lanes);
	while (lane_block(lanes, worker, workers).first > lane)
		worker--;
	for (;;) {
		struct lane_span block = lane_block(lanes, worker, workers);
		if (lane < block.first + block.count)
			return worker;
		worker++;
	}
}

static void add_into(float *sum, const float *other, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum[i] += other[i];
}

static enum status send_sum(
	struct mpi_comm *mpi, const float *sum, size_t n, uint32_t to, struct error *err)
{
	MPI_Request request;
	MPI_Isend(sum, (int)n, MPI_FLOAT, (int)to, TAG_TREE, MPI_COMM_WORLD, &request);
	return wait_for(mpi, &request, "send of a partial gradient sum", err);
}

static enum status receive_sum(
	struct mpi_comm *mpi, float *sum, size_t n, uint32_t from, struct error *err)
{
	MPI_Request request;
	MPI_Irecv(mpi->received, (int)n, MPI_FLOAT, (int)from, TAG_TREE, MPI_COMM_WORLD, &request);
	enum status status = wait_for(mpi, &request, "receipt of a partial gradient sum", err);
	if (status == STATUS_OK)
		add_into(sum, mpi->received, n);
	return status;
}

/* The sum that stands at this lane: that of the span that starts there, or NULL when it is not
 * ours. */
static float *sum_at(
	uint32_t lane, const struct lane_span *spans, float *const *sums, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (spans[i].first == lane)
			return sums[i];
	return NULL;
}

/* True when the lane lies inside a span of its owner and does not start it: its sum is already in.
 */
static bool inside_span(uint32_t lane, uint32_t lanes, uint32_t workers)
{
	struct lane_span cuts[LANES_MAX];
	uint32_t owner = owner_of(lane, lanes, workers);
	uint32_t count = lane_spans(lanes, lane_block(lanes, owner, workers), cuts);
	for (uint32_t i = 0; i < count; i++)
		if (lane > cuts[i].first && lane < cuts[i].first + cuts[i].count)
			return true;
	return false;
}

/* All of it at once: there is nothing to gain by leaving a part for the end. */
static enum status sum_start(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
	float *const *sums, uint32_t span_count, size_t n, struct error *err)
{
	struct mpi_comm *mpi = mpi_of(comm);
	enum status status = check_size(n * sizeof(float), err);
	if (status == STATUS_OK)
		status = memory_grow(&mpi->received, &mpi->received_capacity, n,
			sizeof(*mpi->received), "gradient sum", err);
	for (uint32_t stride = 1; stride < lanes && status == STATUS_OK; stride *= 2) {
		for (uint32_t i = 0; i + stride < lanes && status == STATUS_OK; i += 2 * stride) {
			uint32_t right_lane = i + stride;
			if (inside_span(right_lane, lanes, comm->workers))
				continue;
			uint32_t left = owner_of(i, lanes, comm->workers);
			uint32_t right = owner_of(right_lane, lanes, comm->workers);
			if (left == comm->rank && right == comm->rank)
				add_into(sum_at(i, spans, sums, span_count),
					sum_at(right_lane, spans, sums, span_count), n);
			else if (right == comm->rank)
				status = send_sum(mpi, sum_at(right_lane, spans, sums, span_count),
					n, left, err);
			else if (left == comm->rank)
				status = receive_sum(
					mpi, sum_at(i, spans, sums, span_count), n, right, err);
		}
	}
	if (status != STATUS_OK)
		return status;
	return broadcast(comm, sums[0], n * sizeof(float), err);
}

static enum status sum_finish(struct comm *comm, struct error *err)
{
	(void)comm, (void)err;
	return STATUS_OK;
}

bool comm_mpi_is_launched(void)
{
	return getenv("PMI_RANK") || getenv("PMI_FD") || getenv("PMIX_RANK");
}

/* Whether all can say yes. */
static bool all_agree(bool mine)
{
	int all = mine;
	return MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD) ==
		       MPI_SUCCESS &&
	       all;
}

/*
 * Whether the file system that shared memory comes from could hold all of it: a page that it
 * refuses later would end the process.
 */
static bool has_room(size_t bytes)
{
	struct statvfs memory;
	if (statvfs("/dev/shm", &memory) != 0)
		return true; /* it comes from elsewhere */
	return memory.f_bavail >= bytes / memory.f_frsize;
}

/*
 * Memory that all workers see, or NULL: they run on several hosts, or there is none. The same on
 * all of them.
 */
static void *share_memory(MPI_Win *ret_window, uint32_t workers)
{
	MPI_Comm host;
	MPI_Win window = MPI_WIN_NULL;
	void *memory = NULL;
	int neighbours = 0;
	*ret_window = MPI_WIN_NULL;
	MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
	MPI_Comm_set_errhandler(host, MPI_ERRORS_RETURN);
	MPI_Comm_size(host, &neighbours);
	if (all_agree((uint32_t)neighbours == workers && has_room(comm_shared_bytes(workers)))) {
		int host_rank, unit;
		MPI_Aint bytes = 0;
		MPI_Comm_rank(host, &host_rank);
		if (host_rank == 0)
			bytes = (MPI_Aint)comm_shared_bytes(workers);
		bool have = MPI_Win_allocate_shared(
				    bytes, 1, MPI_INFO_NULL, host, &memory, &window) == MPI_SUCCESS;
		if (have)
			have = MPI_Win_shared_query(window, 0, &bytes, &unit, &memory) ==
			       MPI_SUCCESS;
		if (have && host_rank == 0)
			comm_shared_prepare(memory);
		/* Also: the memory is ready before anybody uses it. */
		if (all_agree(have))
			*ret_window = window;
		else if (window != MPI_WIN_NULL)
			MPI_Win_free(&window);
	}
	MPI_Comm_free(&host);
	return *ret_window != MPI_WIN_NULL ? memory : NULL;
}

enum status comm_mpi_open(
	struct comm **ret, const struct clock *clock, double deadline_s, struct error *err)
{
	static const struct comm_operations operations = {.all_gather = all_gather,
		.broadcast = broadcast,
		.sum_start = sum_start,
		.sum_finish = sum_finish};
	int provided, rank, workers;
	if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
		return error_set(err, STATUS_UNAVAILABLE, "MPI does not start");
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &workers);
	struct mpi_comm *mpi;
	enum status status = memory_zalloc(&mpi, 1, sizeof(*mpi), "MPI", err);
	if (status != STATUS_OK)
		return status;
	mpi->clock = clock;
	mpi->deadline_s = deadline_s;
	void *memory = share_memory(&mpi->memory, (uint32_t)workers);
	if (memory)
		comm_shared_init(
			&mpi->shared, memory, (uint32_t)rank, (uint32_t)workers, deadline_s);
	else
		mpi->comm = (struct comm){.rank = (uint32_t)rank,
			.workers = (uint32_t)workers,
			.operations = &operations};
	*ret = &mpi->comm;
	return STATUS_OK;
}

void comm_mpi_close(struct comm *comm)
{
	if (!comm)
		return;
	struct mpi_comm *mpi = mpi_of(comm);
	free(mpi->received);
	if (mpi->memory != MPI_WIN_NULL) {
		comm_shared_leave(&mpi->shared);
		MPI_Win_free(&mpi->memory);
	}
	free(mpi);
	MPI_Finalize();
}

void comm_mpi_abort(int exit_code)
{
	/* The process manager between us and the terminal reads two things from us, what we print
	 * and that the job shall end, and MPICH's drops what it has not yet read of the first when
	 * it meets the second. */
	(void)drain_wait(STDOUT_FILENO, clock_real(), TAKEN_TIMEOUT_MS);
	(void)drain_wait(STDERR_FILENO, clock_real(), TAKEN_TIMEOUT_MS);
	MPI_Abort(MPI_COMM_WORLD, exit_code);
	exit(exit_code);
}
