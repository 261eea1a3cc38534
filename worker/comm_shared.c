#include "worker/comm_shared.h"

#include "common/base/clock.h"
#include "common/base/futex.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What is longer than a place takes several turns. */
#define PLACE_FLOATS (COMM_PLACE_BYTES / sizeof(float))
#define FLOATS_ALIGN ((size_t)16)

/* A sleep at most: one who is stopped just before it would have woken others is not missed. */
#define SLEEP_MAX_NS UINT64_C(100000000)
#define NAMED_MAX    4u /* workers named in a message; the others are counted */
#define NAMES_SIZE   256

/*
 * No lock: a worker that is stopped or killed, wherever it is, takes nothing with it that others
 * need. Each has a counter of its own; whoever waits looks at all of them, and sleeps on `wakes`,
 * which changes when a turn is complete.
 */
struct comm_shared_memory {
	_Alignas(64) atomic_uint wakes;				/* the word of a futex */
	atomic_uint sleepers;					/* on it */
	atomic_bool left;					/* some worker has */
	_Alignas(64) atomic_uint_fast64_t announced[LANES_MAX]; /* turns, by worker */
	atomic_uint asked[LANES_MAX]; /* whose shard a worker waits for, and 1; 0: no one's */
	/* Behind it, page-aligned, the places: [COMM_TURNS_KEPT][workers]. */
};

#define PLACES_AT ((size_t)4096)
_Static_assert(sizeof(struct comm_shared_memory) <= PLACES_AT, "the head has its own page");

size_t comm_shared_bytes(uint32_t workers)
{
	return PLACES_AT + COMM_TURNS_KEPT * workers * COMM_PLACE_BYTES;
}

void comm_shared_prepare(void *memory)
{
	struct comm_shared_memory *head = memory;
	atomic_init(&head->wakes, 0);
	atomic_init(&head->sleepers, 0);
	atomic_init(&head->left, false);
	for (uint32_t w = 0; w < LANES_MAX; w++) {
		atomic_init(&head->announced[w], 0);
		atomic_init(&head->asked[w], 0);
	}
}

void *comm_shared_place(const struct comm_shared *shared, uint64_t turn, uint32_t worker)
{
	size_t index = (turn % COMM_TURNS_KEPT) * shared->comm.workers + worker;
	return (char *)shared->memory + PLACES_AT + index * COMM_PLACE_BYTES;
}

/* Everything here is in one order for all workers: who announces and then sees no sleeper is seen
 * by him who is about to sleep. */
static bool all_announced(const struct comm_shared *shared, uint64_t turn)
{
	for (uint32_t w = 0; w < shared->comm.workers; w++)
		if (atomic_load(&shared->memory->announced[w]) <= turn)
			return false;
	return true;
}

static void wake_all(struct comm_shared_memory *memory)
{
	atomic_fetch_add(&memory->wakes, 1);
	if (atomic_load(&memory->sleepers) > 0)
		futex_wake_all(&memory->wakes);
}

void comm_shared_announce(struct comm_shared *shared)
{
	struct comm_shared_memory *memory = shared->memory;
	const uint64_t turn = shared->turn++;
	atomic_store(&memory->announced[shared->comm.rank], turn + 1);
	if (all_announced(shared, turn))
		wake_all(memory);
}

void comm_shared_asks(struct comm_shared *shared, uint32_t host)
{
	atomic_store(&shared->memory->asked[shared->comm.rank], host + 1);
}

void comm_shared_is_answered(struct comm_shared *shared)
{
	atomic_store(&shared->memory->asked[shared->comm.rank], 0);
}

/* " 2" or "s 2 (waits for the shard of 1), 3": who have not announced the turn, and whether they
 * can: what they wait for themselves may be the one that hangs. Returns their number. */
static uint32_t name_missing(
	const struct comm_shared *shared, uint64_t turn, char names[static NAMES_SIZE])
{
	char list[NAMES_SIZE - 1] = "";
	size_t used = 0;
	uint32_t missing = 0;
	for (uint32_t w = 0; w < shared->comm.workers; w++) {
		if (atomic_load(&shared->memory->announced[w]) > turn || ++missing > NAMED_MAX)
			continue;
		const uint32_t asked = atomic_load(&shared->memory->asked[w]);
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%u", missing > 1 ? ", " : "", w);
		if (asked > 0)
			used += (size_t)snprintf(list + used, sizeof(list) - used,
				" (waits for the shard of worker %u)", asked - 1);
	}
	if (missing > NAMED_MAX)
		snprintf(list + used, sizeof(list) - used, " and %u more", missing - NAMED_MAX);
	snprintf(names, NAMES_SIZE, "%s %s", missing == 1 ? "" : "s", list);
	return missing;
}

static enum status waited_in_vain(const struct comm_shared *shared, uint64_t turn, const char *what,
	double deadline_s, struct error *err)
{
	char names[NAMES_SIZE];
	(void)name_missing(shared, turn, names);
	return error_set(err, STATUS_DEADLINE_EXCEEDED,
		"%s: waited %g s for worker%s: stopped, or hanging?", what, deadline_s, names);
}

/* The first of those who wait tells it. */
static void tell_late(const struct comm_shared *shared, uint64_t turn, const char *what)
{
	const struct comm_patience *patience = &shared->comm.patience;
	char names[NAMES_SIZE], text[ERROR_MESSAGE_SIZE];
	uint32_t teller = 0;
	while (atomic_load(&shared->memory->announced[teller]) <= turn)
		teller++;
	if (teller != shared->comm.rank || name_missing(shared, turn, names) == 0)
		return;
	snprintf(text, sizeof(text), "%s: has waited %g s for worker%s, and goes on to wait", what,
		patience->patience_s, names);
	patience->on_late(patience->context, text);
}

enum status comm_shared_wait(struct comm_shared *shared, uint64_t turn, double deadline_s,
	const char *what, struct error *err)
{
	struct comm_shared_memory *memory = shared->memory;
	if (all_announced(shared, turn))
		return STATUS_OK;
	const uint64_t begin_ns = clock_now_ns(clock_real());
	const uint64_t end_ns = begin_ns + (uint64_t)(deadline_s * 1e9);
	const double patience_s = shared->comm.patience.patience_s;
	const bool tells = patience_s > 0 && patience_s < deadline_s;
	uint64_t late_ns = tells ? begin_ns + (uint64_t)(patience_s * 1e9) : UINT64_MAX;
	bool done = false, left = false, late = false;
	while (!done && !left && !late) {
		unsigned int word = atomic_load(&memory->wakes);
		atomic_fetch_add(&memory->sleepers, 1);
		left = atomic_load(&memory->left);
		done = all_announced(shared, turn);
		if (!done && !left)
			futex_wait(&memory->wakes, word, SLEEP_MAX_NS);
		atomic_fetch_sub(&memory->sleepers, 1);
		const uint64_t now = clock_now_ns(clock_real());
		late = now >= end_ns;
		if (!done && !left && now >= late_ns) {
			tell_late(shared, turn, what);
			late_ns = UINT64_MAX;
		}
	}
	if (all_announced(shared, turn))
		return STATUS_OK;
	if (left)
		return error_set(err, STATUS_ABORTED, "%s: another worker has left the job", what);
	return waited_in_vain(shared, turn, what, deadline_s, err);
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
		status = comm_shared_wait(
			shared, turn, shared->deadline_s, "gather from all workers", err);
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
		status = comm_shared_wait(
			shared, turn, shared->deadline_s, "broadcast from worker 0", err);
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
	shared->sum.under_way = true;
	shared->sum.divided = false;
	publish(shared, 0, least(n, shared->sum.chunk));
	comm_shared_announce(shared);
	return STATUS_OK;
}

/* Adds floats [at, at + count) of everybody, which a turn's places have from float `from` on. */
static void add_all(struct comm_shared *shared, uint64_t turn, size_t from, size_t at, size_t count)
{
	const uint32_t lanes = shared->sum.lanes;
	const float *slots[LANES_MAX] = {NULL};
	struct lane_span spans[LANES_MAX];
	for (uint32_t w = 0; w < shared->comm.workers; w++) {
		const float *place = comm_shared_place(shared, turn, w);
		uint32_t span_count = spans_of(lanes, w, shared->comm.workers, spans);
		for (uint32_t s = 0; s < span_count; s++)
			slots[spans[s].first] = place + s * shared->sum.chunk + from;
	}
	lane_tree_sum(shared->sum.sums[0] + at, slots, lanes, count);
}

/* Floats that a worker adds where a sum is divided: whole cache lines. */
static size_t part_of(const struct comm_shared *shared, uint32_t worker, size_t *ret_at)
{
	const size_t n = shared->sum.n, workers = shared->comm.workers;
	const size_t most =
		((n + workers - 1) / workers + FLOATS_ALIGN - 1) / FLOATS_ALIGN * FLOATS_ALIGN;
	*ret_at = least(n, worker * most);
	return least(n - *ret_at, most);
}

void comm_shared_add_part(struct comm_shared *shared)
{
	size_t at;
	if (!shared->sum.under_way || shared->sum.n > shared->sum.chunk)
		return;
	const size_t count = part_of(shared, shared->comm.rank, &at);
	float *place = comm_shared_place(shared, shared->sum.turn, shared->comm.rank);
	add_all(shared, shared->sum.turn, at, at, count);
	/* Nobody else reads these floats of this worker's own sums. */
	memcpy(place + at, shared->sum.sums[0] + at, count * sizeof(*place));
	shared->sum.divided = true;
	shared->sum.divided_until = shared->turn;
}

static enum status collect_parts(struct comm_shared *shared, struct error *err)
{
	const uint64_t turn = shared->sum.divided_until;
	if (shared->turn == turn)
		comm_shared_announce(shared);
	enum status status = comm_shared_wait(
		shared, turn, shared->deadline_s, "sum of the dense gradients", err);
	for (uint32_t w = 0; w < shared->comm.workers && status == STATUS_OK; w++) {
		size_t at;
		const size_t count = part_of(shared, w, &at);
		const float *place = comm_shared_place(shared, shared->sum.turn, w);
		if (w != shared->comm.rank)
			memcpy(shared->sum.sums[0] + at, place + at, count * sizeof(*place));
	}
	return status;
}

static enum status sum_finish(struct comm *comm, struct error *err)
{
	struct comm_shared *shared = shared_of(comm);
	shared->sum.under_way = false;
	if (shared->sum.divided)
		return collect_parts(shared, err);
	const size_t n = shared->sum.n, chunk = shared->sum.chunk;
	uint64_t turn = shared->sum.turn;
	for (size_t at = 0; at < n; at += chunk) {
		enum status status = comm_shared_wait(
			shared, turn, shared->deadline_s, "sum of the dense gradients", err);
		if (status != STATUS_OK)
			return status;
		add_all(shared, turn, 0, at, least(n - at, chunk));
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
	atomic_store(&shared->memory->left, true);
	wake_all(shared->memory);
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
