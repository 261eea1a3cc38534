#include "worker/comm_shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* What is longer than a place takes several turns. */
#define PLACE_FLOATS (COMM_PLACE_BYTES / sizeof(float))
#define FLOATS_ALIGN ((size_t)16)

struct comm_shared_memory {
	/* Turns that all workers have announced. Changed under lock, read without it. */
	_Alignas(64) atomic_uint_fast64_t complete;
	_Alignas(64) pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by lock. */
	uint32_t announced[COMM_TURNS_KEPT]; /* by how many: some may be a turn ahead of others */
	bool left;			     /* some worker has */
	/* Behind it, page-aligned, the places: [COMM_TURNS_KEPT][workers]. */
};

#define PLACES_AT ((size_t)4096)
_Static_assert(sizeof(struct comm_shared_memory) <= PLACES_AT, "the head has its own page");

size_t comm_shared_bytes(uint32_t workers)
{
	return PLACES_AT + COMM_TURNS_KEPT * workers * COMM_PLACE_BYTES;
}

enum status comm_shared_prepare(void *memory, struct error *err)
{
	struct comm_shared_memory *head = memory;
	pthread_mutexattr_t for_mutex;
	pthread_condattr_t for_cond;
	memset(head, 0, sizeof(*head));
	atomic_init(&head->complete, 0);
	pthread_mutexattr_init(&for_mutex);
	pthread_condattr_init(&for_cond);
	int code = pthread_mutexattr_setpshared(&for_mutex, PTHREAD_PROCESS_SHARED);
	if (code == 0)
		code = pthread_condattr_setpshared(&for_cond, PTHREAD_PROCESS_SHARED);
	if (code == 0)
		code = pthread_condattr_setclock(&for_cond, CLOCK_MONOTONIC);
	if (code == 0)
		code = pthread_mutex_init(&head->lock, &for_mutex);
	if (code == 0)
		code = pthread_cond_init(&head->changed, &for_cond);
	pthread_mutexattr_destroy(&for_mutex);
	pthread_condattr_destroy(&for_cond);
	return code == 0 ? STATUS_OK : error_set_errno(err, code, "memory shared by workers");
}

void *comm_shared_place(const struct comm_shared *shared, uint64_t turn, uint32_t worker)
{
	size_t index = (turn % COMM_TURNS_KEPT) * shared->comm.workers + worker;
	return (char *)shared->memory + PLACES_AT + index * COMM_PLACE_BYTES;
}

void comm_shared_announce(struct comm_shared *shared)
{
	struct comm_shared_memory *memory = shared->memory;
	uint32_t *announced = &memory->announced[shared->turn++ % COMM_TURNS_KEPT];
	pthread_mutex_lock(&memory->lock);
	if (++*announced == shared->comm.workers) {
		*announced = 0;
		atomic_fetch_add_explicit(&memory->complete, 1, memory_order_release);
		pthread_cond_broadcast(&memory->changed);
	}
	pthread_mutex_unlock(&memory->lock);
}

enum status comm_shared_wait(
	struct comm_shared *shared, uint64_t turn, const char *what, struct error *err)
{
	struct comm_shared_memory *memory = shared->memory;
	if (atomic_load_explicit(&memory->complete, memory_order_acquire) > turn)
		return STATUS_OK;
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)shared->deadline_s + 1;
	int code = 0;
	pthread_mutex_lock(&memory->lock);
	while (atomic_load_explicit(&memory->complete, memory_order_relaxed) <= turn &&
		!memory->left && code != ETIMEDOUT)
		code = pthread_cond_timedwait(&memory->changed, &memory->lock, &end);
	bool done = atomic_load_explicit(&memory->complete, memory_order_relaxed) > turn;
	bool left = memory->left;
	pthread_mutex_unlock(&memory->lock);
	if (done)
		return STATUS_OK;
	if (left)
		return error_set(err, STATUS_ABORTED, "%s: another worker has left the job", what);
	return error_set(err, STATUS_DEADLINE_EXCEEDED,
		"%s: waited %.0f s for another worker: is it still running?", what,
		shared->deadline_s);
}

static struct comm_shared *shared_of(struct comm *comm)
{
	return (struct comm_shared *)comm;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static enum status all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err)
{
	struct comm_shared *shared = shared_of(comm);
	enum status status = STATUS_OK;
	for (size_t at = 0; at < size && status == STATUS_OK; at += COMM_PLACE_BYTES) {
		const uint64_t turn = shared->turn;
		size_t part = least(size - at, COMM_PLACE_BYTES);
		memcpy(comm_shared_place(shared, turn, comm->rank), (const char *)bytes + at, part);
		comm_shared_announce(shared);
		status = comm_shared_wait(shared, turn, "gather from all workers", err);
		for (uint32_t w = 0; w < comm->workers && status == STATUS_OK; w++)
			memcpy((char *)out + w * size + at, comm_shared_place(shared, turn, w),
				part);
	}
	return status;
}

static enum status broadcast(struct comm *comm, void *bytes, size_t size, struct error *err)
{
	struct comm_shared *shared = shared_of(comm);
	enum status status = STATUS_OK;
	for (size_t at = 0; at < size && status == STATUS_OK; at += COMM_PLACE_BYTES) {
		const uint64_t turn = shared->turn;
		size_t part = least(size - at, COMM_PLACE_BYTES);
		char *first = comm_shared_place(shared, turn, 0);
		if (comm->rank == 0)
			memcpy(first, (const char *)bytes + at, part);
		comm_shared_announce(shared);
		status = comm_shared_wait(shared, turn, "broadcast from worker 0", err);
		if (comm->rank != 0 && status == STATUS_OK)
			memcpy((char *)bytes + at, first, part);
	}
	return status;
}

static uint32_t spans_of(
	uint32_t lanes, uint32_t worker, uint32_t workers, struct lane_span *ret_spans)
{
	return lane_spans(lanes, lane_block(lanes, worker, workers), ret_spans);
}

/* Writes floats [at, at + count) of this worker's sums, one span behind the other. */
static void publish(struct comm_shared *shared, size_t at, size_t count)
{
	float *place = comm_shared_place(shared, shared->turn, shared->comm.rank);
	for (uint32_t s = 0; s < shared->sum.span_count; s++)
		memcpy(place + s * shared->sum.chunk, shared->sum.sums[s] + at,
			count * sizeof(float));
}

static enum status sum_start(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
	float *const *sums, uint32_t span_count, size_t n, struct error *err)
{
	struct comm_shared *shared = shared_of(comm);
	struct lane_span others[LANES_MAX];
	uint32_t most = 1;	/* spans of a worker: all cut their places alike */
	(void)spans, (void)err; /* where they lie follows from the number of workers */
	for (uint32_t w = 0; w < comm->workers; w++) {
		uint32_t count = spans_of(lanes, w, comm->workers, others);
		most = count > most ? count : most;
	}
	shared->sum.lanes = lanes;
	shared->sum.sums = sums;
	shared->sum.span_count = span_count;
	shared->sum.n = n;
	shared->sum.turn = shared->turn;
	shared->sum.chunk = PLACE_FLOATS / most / FLOATS_ALIGN * FLOATS_ALIGN;
	publish(shared, 0, least(n, shared->sum.chunk));
	comm_shared_announce(shared);
	return STATUS_OK;
}

/* Adds floats [at, at + count) of everybody, as they were published in a turn. */
static void add_all(struct comm_shared *shared, uint64_t turn, size_t at, size_t count)
{
	const uint32_t lanes = shared->sum.lanes;
	const float *slots[LANES_MAX] = {NULL};
	struct lane_span spans[LANES_MAX];
	for (uint32_t w = 0; w < shared->comm.workers; w++) {
		const float *place = comm_shared_place(shared, turn, w);
		uint32_t span_count = spans_of(lanes, w, shared->comm.workers, spans);
		for (uint32_t s = 0; s < span_count; s++)
			slots[spans[s].first] = place + s * shared->sum.chunk;
	}
	lane_tree_sum(shared->sum.sums[0] + at, slots, lanes, count);
}

static enum status sum_finish(struct comm *comm, struct error *err)
{
	struct comm_shared *shared = shared_of(comm);
	const size_t n = shared->sum.n, chunk = shared->sum.chunk;
	uint64_t turn = shared->sum.turn;
	for (size_t at = 0; at < n; at += chunk) {
		enum status status =
			comm_shared_wait(shared, turn, "sum of the dense gradients", err);
		if (status != STATUS_OK)
			return status;
		add_all(shared, turn, at, least(n - at, chunk));
		if (at + chunk < n) {
			turn = shared->turn;
			publish(shared, at + chunk, least(n - at - chunk, chunk));
			comm_shared_announce(shared);
		}
	}
	return STATUS_OK;
}

void comm_shared_leave(struct comm_shared *shared)
{
	struct comm_shared_memory *memory = shared->memory;
	pthread_mutex_lock(&memory->lock);
	memory->left = true;
	pthread_cond_broadcast(&memory->changed);
	pthread_mutex_unlock(&memory->lock);
}

void comm_shared_init(struct comm_shared *shared, void *memory, uint32_t rank, uint32_t workers,
	double deadline_s)
{
	static const struct comm_operations operations = {.all_gather = all_gather,
		.broadcast = broadcast,
		.sum_start = sum_start,
		.sum_finish = sum_finish};
	*shared = (struct comm_shared){
		.comm = {.rank = rank,
			.workers = workers,
			.operations = &operations,
			.shared = shared},
		.memory = memory,
		.deadline_s = deadline_s,
	};
}
