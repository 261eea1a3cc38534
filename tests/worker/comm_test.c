#include "worker/comm.h"

#include "common/base/random.h"
#include "tests/support/suite.h"
#include "tests/support/thread_comm.h"
#include "worker/comm_shared.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLOATS 300

struct sums {
	uint32_t lanes;
	float lane_values[LANES_MAX][FLOATS];
	float expected[FLOATS];
};

/* The same with turns between start and finish, in which every worker adds its part. */
static void sum_in_parts(struct sums *sums, struct comm *comm, float **pointers,
	const struct lane_span *spans, uint32_t count)
{
	struct error error;
	for (uint32_t turns = 1; turns <= 2; turns++) {
		for (uint32_t s = 0; s < count; s++) {
			const float *slots[LANES_MAX] = {NULL};
			for (uint32_t l = 0; l < spans[s].count; l++)
				slots[l] = sums->lane_values[spans[s].first + l];
			lane_tree_sum(pointers[s], slots, spans[s].count, FLOATS);
		}
		assert_ok(comm_sum_start(comm, sums->lanes, spans, pointers, count, FLOATS, &error),
			&error);
		for (uint32_t t = 0; t < turns; t++) {
			const uint64_t turn = comm->shared->turn;
			comm_shared_announce(comm->shared);
			assert_ok(comm_shared_wait(comm->shared, turn, 10, "turn", &error), &error);
			if (t == 0)
				comm_shared_add_part(comm->shared);
		}
		assert_ok(comm_sum_finish(comm, &error), &error);
		ck_assert_mem_eq(pointers[0], sums->expected, sizeof(sums->expected));
	}
}

static void sum_as_worker(void *context, struct comm *comm)
{
	struct sums *sums = context;
	struct lane_span block = lane_block(sums->lanes, comm->rank, comm->workers);
	struct lane_span spans[LANES_MAX];
	static _Thread_local float buffers[16][FLOATS];
	float *pointers[16];
	struct error error;
	uint32_t count = lane_spans(sums->lanes, block, spans);
	for (uint32_t s = 0; s < count; s++) {
		const float *slots[LANES_MAX] = {NULL};
		for (uint32_t l = 0; l < spans[s].count; l++)
			slots[l] = sums->lane_values[spans[s].first + l];
		lane_tree_sum(buffers[s], slots, spans[s].count, FLOATS);
		pointers[s] = buffers[s];
	}
	assert_ok(
		comm_sum_start(comm, sums->lanes, spans, pointers, count, FLOATS, &error), &error);
	assert_ok(comm_sum_finish(comm, &error), &error);
	ck_assert_mem_eq(pointers[0], sums->expected, sizeof(sums->expected));
	if (comm->shared)
		sum_in_parts(sums, comm, pointers, spans, count);
}

START_TEST(the_tree_sum_has_the_same_bits_for_every_number_of_workers)
{
	static struct sums sums;
	const float *slots[LANES_MAX];
	for (sums.lanes = 1; sums.lanes <= 13; sums.lanes++) {
		for (uint32_t l = 0; l < sums.lanes; l++) {
			random_uniform_row(9, 1, l, 1.0f, sums.lane_values[l], FLOATS);
			slots[l] = sums.lane_values[l];
		}
		lane_tree_sum(sums.expected, slots, sums.lanes, FLOATS);
		for (uint32_t workers = 1; workers <= sums.lanes; workers++)
			thread_group_run(workers, sum_as_worker, &sums);
		struct comm local;
		comm_local_init(&local);
		sum_as_worker(&sums, &local);
	}
}
END_TEST

/* More than shared memory takes in one turn. */
#define MANY_FLOATS ((size_t)700000)
#define MANY_LANES  5u

static float expected_sum_at(size_t i)
{
	float values[MANY_LANES], sum;
	const float *slots[MANY_LANES];
	for (uint32_t l = 0; l < MANY_LANES; l++) {
		values[l] = 1.0f / (float)(i + l + 1);
		slots[l] = &values[l];
	}
	lane_tree_sum(&sum, slots, MANY_LANES, 1);
	return sum;
}

static void sum_much_as_worker(void *context, struct comm *comm)
{
	(void)context;
	struct lane_span spans[MANY_LANES];
	float *sums[MANY_LANES];
	struct error error;
	/* 3 workers of 1, 2 and 2 lanes: the last lanes are two spans, or one that is cut short. */
	struct lane_span block = lane_block(MANY_LANES, comm->rank, comm->workers);
	uint32_t count = lane_spans(MANY_LANES, block, spans);
	for (uint32_t s = 0; s < count; s++) {
		sums[s] = malloc(MANY_FLOATS * sizeof(float));
		ck_assert_ptr_nonnull(sums[s]);
		for (size_t i = 0; i < MANY_FLOATS; i++) {
			float values[MANY_LANES];
			const float *slots[MANY_LANES];
			for (uint32_t l = 0; l < spans[s].count; l++) {
				values[l] = 1.0f / (float)(i + spans[s].first + l + 1);
				slots[l] = &values[l];
			}
			lane_tree_sum(&sums[s][i], slots, spans[s].count, 1);
		}
	}
	assert_ok(
		comm_sum_start(comm, MANY_LANES, spans, sums, count, MANY_FLOATS, &error), &error);
	assert_ok(comm_sum_finish(comm, &error), &error);
	for (size_t i = 0; i < MANY_FLOATS; i += 997)
		ck_assert(sums[0][i] == expected_sum_at(i));
	ck_assert(sums[0][MANY_FLOATS - 1] == expected_sum_at(MANY_FLOATS - 1));
	for (uint32_t s = 0; s < count; s++)
		free(sums[s]);
}

START_TEST(a_sum_of_any_length_is_made)
{
	thread_group_run(3, sum_much_as_worker, NULL);
}
END_TEST

#define MANY_BYTES ((size_t)2500000)

static void tell_much_as_worker(void *context, struct comm *comm)
{
	(void)context;
	struct error error;
	size_t wrong = 0;
	unsigned char *mine = malloc(MANY_BYTES), *all = malloc(3 * MANY_BYTES);
	ck_assert(mine && all);
	memset(mine, (int)comm->rank + 1, MANY_BYTES);
	assert_ok(comm_all_gather(comm, mine, MANY_BYTES, all, &error), &error);
	for (size_t i = 0; i < 3 * MANY_BYTES; i++)
		wrong += all[i] != i / MANY_BYTES + 1;
	assert_ok(comm_broadcast(comm, mine, MANY_BYTES, &error), &error);
	for (size_t i = 0; i < MANY_BYTES; i++)
		wrong += mine[i] != 1;
	ck_assert_uint_eq(wrong, 0);
	free(mine);
	free(all);
}

START_TEST(messages_of_any_length_arrive)
{
	thread_group_run(3, tell_much_as_worker, NULL);
}
END_TEST

struct lane_numbers {
	uint32_t lanes;
	double values[LANES_MAX];
	double expected;
};

static void add_as_worker(void *context, struct comm *comm)
{
	const struct lane_numbers *numbers = context;
	double mine[LANES_MAX] = {0}, sum;
	struct error error;
	struct lane_span block = lane_block(numbers->lanes, comm->rank, comm->workers);
	for (uint32_t l = block.first; l < block.first + block.count; l++)
		mine[l] = numbers->values[l];
	assert_ok(comm_lane_sum(comm, mine, numbers->lanes, &sum, &error), &error);
	ck_assert(sum == numbers->expected);
}

START_TEST(lane_sums_have_the_same_bits_for_every_number_of_workers)
{
	struct lane_numbers numbers = {.lanes = 11};
	double copy[LANES_MAX];
	for (uint32_t l = 0; l < numbers.lanes; l++)
		numbers.values[l] = 1.0 / (3.0 + l);
	memcpy(copy, numbers.values, sizeof(copy));
	numbers.expected = lane_tree_sum_double(copy, numbers.lanes);
	for (uint32_t workers = 1; workers <= numbers.lanes; workers++)
		thread_group_run(workers, add_as_worker, &numbers);
}
END_TEST

static void fail_as_worker(void *context, struct comm *comm)
{
	(void)context;
	struct error error = {0};
	enum status mine = STATUS_OK;
	if (comm->rank == 1)
		mine = error_set(&error, STATUS_NOT_FOUND, "no data here");
	assert_fails(comm_agree_all(comm, mine, &error), STATUS_NOT_FOUND, &error,
		comm->rank == 1 ? "no data here" : "worker 1 failed");
	ck_assert(comm->failed);
	ck_assert_uint_eq(comm->speaker, 1);
}

static void fail_as_first_worker(void *context, struct comm *comm)
{
	(void)context;
	struct error error = {0};
	enum status mine = STATUS_OK;
	if (comm->rank == 0)
		mine = error_set(&error, STATUS_DATA_LOSS, "worker 0's disk");
	assert_fails(comm_agree(comm, mine, &error), STATUS_DATA_LOSS, &error, "worker 0's disk");
	ck_assert(comm->failed);
	ck_assert_uint_eq(comm->speaker, 0);
}

START_TEST(one_failure_is_everybodys)
{
	thread_group_run(3, fail_as_worker, NULL);
	thread_group_run(3, fail_as_first_worker, NULL);
}
END_TEST

/* Worker 1 gives up at the first agreement; the others still try to talk, alone. */
static void talk_after_failure(void *context, struct comm *comm)
{
	struct error error = {0};
	double value = 1, sum;
	uint8_t all[3];
	fail_as_worker(context, comm);
	if (comm->rank == 1)
		return;
	for (uint32_t again = 0; again <= comm->rank; again++) {
		assert_fails(comm_barrier(comm, &error), STATUS_ABORTED, &error, "worker 1 failed");
		assert_fails(comm_lane_sum(comm, &value, 1, &sum, &error), STATUS_ABORTED, &error,
			"worker 1 failed");
		assert_fails(comm_broadcast(comm, all, sizeof(all), &error), STATUS_ABORTED, &error,
			"worker 1 failed");
		assert_fails(comm_agree(comm, STATUS_OK, &error), STATUS_ABORTED, &error,
			"worker 1 failed");
		error_set(&error, STATUS_NOT_FOUND, "my own");
		assert_fails(comm_agree_all(comm, STATUS_NOT_FOUND, &error), STATUS_NOT_FOUND,
			&error, "my own");
	}
}

START_TEST(nobody_waits_for_a_worker_after_a_failure_that_all_know)
{
	thread_group_run(3, talk_after_failure, NULL);
}
END_TEST

/* Worker 2 is silent, as one that is stopped: the others' waits end, and name it. */
static void wait_for_a_silent_one(void *context, struct comm *comm)
{
	struct error error;
	atomic_uint *waited = context;
	if (comm->rank == 2) {
		while (atomic_load(waited) < 2)
			sched_yield();
		return;
	}
	const uint64_t turn = comm->shared->turn;
	comm_shared_announce(comm->shared);
	assert_fails(comm_shared_wait(comm->shared, turn, 0.05, "rows of a step", &error),
		STATUS_DEADLINE_EXCEEDED, &error, "rows of a step: waited 0.05 s for worker 2: ");
	atomic_fetch_add(waited, 1);
}

START_TEST(a_wait_in_vain_ends_and_names_who_is_missing)
{
	atomic_uint waited = 0;
	thread_group_run(3, wait_for_a_silent_one, &waited);
}
END_TEST

/* Worker 2 cannot come either: it waits for an answer of worker 1, which is elsewhere. */
static void wait_for_one_that_asks(void *context, struct comm *comm)
{
	struct error error;
	atomic_uint *waited = context;
	if (comm->rank > 0) {
		if (comm->rank == 2)
			comm_shared_asks(comm->shared, 1);
		atomic_fetch_add(waited, 1);
		while (atomic_load(waited) < 3)
			sched_yield();
		return;
	}
	while (atomic_load(waited) < 2)
		sched_yield();
	const uint64_t turn = comm->shared->turn;
	comm_shared_announce(comm->shared);
	assert_fails(comm_shared_wait(comm->shared, turn, 0.05, "push of a step", &error),
		STATUS_DEADLINE_EXCEEDED, &error,
		"push of a step: waited 0.05 s for workers 1, 2 (waits for the shard of worker "
		"1): ");
	atomic_fetch_add(waited, 1);
}

START_TEST(whom_a_missing_worker_waits_for_is_named_too)
{
	atomic_uint waited = 0;
	thread_group_run(3, wait_for_one_that_asks, &waited);
}
END_TEST

struct late {
	atomic_uint told;
	char text[256];
};

static void on_late(void *context, const char *text)
{
	struct late *late = context;
	snprintf(late->text, sizeof(late->text), "%s", text);
	atomic_fetch_add(&late->told, 1);
}

/* Worker 1 comes when it has been missed, and all goes on. */
static void wait_for_a_late_one(void *context, struct comm *comm)
{
	struct late *late = context;
	struct error error;
	comm->patience =
		(struct comm_patience){.patience_s = 0.02, .on_late = on_late, .context = late};
	while (comm->rank == 1 && atomic_load(&late->told) == 0)
		sched_yield();
	const uint64_t turn = comm->shared->turn;
	comm_shared_announce(comm->shared);
	assert_ok(comm_shared_wait(comm->shared, turn, 60, "gather", &error), &error);
}

START_TEST(who_comes_late_is_named_once_and_waited_for)
{
	struct late late = {.told = 0};
	thread_group_run(2, wait_for_a_late_one, &late);
	ck_assert_uint_eq(atomic_load(&late.told), 1);
	ck_assert_str_eq(late.text, "gather: has waited 0.02 s for worker 1, and goes on to wait");
}
END_TEST

#ifdef __SANITIZE_THREAD__
#define KILLS 2u
#else
#define KILLS 8u
#endif

/* Takes turns until they fail. */
static void talk_in_a_process(void *memory, uint32_t rank, atomic_uint *turns)
{
	struct comm_shared comm;
	struct error error;
	comm_shared_init(&comm, memory, rank, 3, 10);
	for (;;) {
		const uint64_t turn = comm.turn;
		comm_shared_announce(&comm);
		enum status status = comm_shared_wait(&comm, turn, 0.2, "rows", &error);
		if (status != STATUS_OK)
			_exit(status == STATUS_DEADLINE_EXCEEDED &&
						strstr(error.message, "for worker 2: ")
					? 0
					: 1);
		atomic_fetch_add(turns, 1);
	}
}

/* Wherever in its turns a process is killed, the others' waits end. */
START_TEST(a_process_that_is_killed_takes_nothing_with_it)
{
	for (uint32_t kills = 0; kills < KILLS; kills++) {
		const size_t bytes = comm_shared_bytes(3);
		char *memory = mmap(NULL, bytes + sizeof(atomic_uint), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ck_assert(memory != MAP_FAILED);
		atomic_uint *turns = (atomic_uint *)(void *)(memory + bytes);
		comm_shared_prepare(memory);
		pid_t workers[3];
		for (uint32_t w = 0; w < 3; w++) {
			workers[w] = fork();
			if (workers[w] == 0)
				talk_in_a_process(memory, w, turns);
			ck_assert_int_gt(workers[w], 0);
		}
		/* Another moment each time: turns take some microseconds. */
		while (atomic_load(turns) < 30 + kills)
			sched_yield();
		ck_assert_int_eq(kill(workers[2], SIGKILL), 0);
		for (uint32_t w = 0; w < 3; w++) {
			int end;
			ck_assert_int_eq(waitpid(workers[w], &end, 0), workers[w]);
			ck_assert(w == 2 ? WIFSIGNALED(end)
					 : WIFEXITED(end) && WEXITSTATUS(end) == 0);
		}
		munmap(memory, bytes + sizeof(atomic_uint));
	}
}
END_TEST

static void wait_for_one_that_left(void *context, struct comm *comm)
{
	struct error error;
	(void)context;
	if (comm->rank == 1)
		return;
	assert_fails(comm_barrier(comm, &error), STATUS_ABORTED, &error,
		"another worker has left the job");
}

START_TEST(a_wait_for_a_worker_that_left_ends_at_once)
{
	thread_group_run(3, wait_for_one_that_left, NULL);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_tree_sum_has_the_same_bits_for_every_number_of_workers,
		a_sum_of_any_length_is_made, messages_of_any_length_arrive,
		lane_sums_have_the_same_bits_for_every_number_of_workers, one_failure_is_everybodys,
		nobody_waits_for_a_worker_after_a_failure_that_all_know,
		a_wait_in_vain_ends_and_names_who_is_missing,
		whom_a_missing_worker_waits_for_is_named_too,
		who_comes_late_is_named_once_and_waited_for,
		a_process_that_is_killed_takes_nothing_with_it,
		a_wait_for_a_worker_that_left_ends_at_once, NULL};
	return run_cases("comm", cases);
}
