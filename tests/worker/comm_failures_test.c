/* What a worker hears of others that fail, are late, hang or are gone. */
#include "worker/comm.h"

#include "tests/support/suite.h"
#include "tests/support/thread_comm.h"
#include "worker/comm_shared.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
	const TTest *const cases[] = {one_failure_is_everybodys,
		nobody_waits_for_a_worker_after_a_failure_that_all_know,
		a_wait_in_vain_ends_and_names_who_is_missing,
		whom_a_missing_worker_waits_for_is_named_too,
		who_comes_late_is_named_once_and_waited_for,
		a_process_that_is_killed_takes_nothing_with_it,
		a_wait_for_a_worker_that_left_ends_at_once, NULL};
	return run_cases("comm_failures", cases);
}
