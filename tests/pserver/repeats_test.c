/*
 * Repeats of a push, one at a time. Two channels of one worker count their calls alike, so the same
 * call can be sent by both: the second is a repeat of the first, as after a broken connection.
 */
#include "pserver/sequence.h"
#include "pserver/service.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS 10000u
#define DIM	PS_CLIENT_DIM

static struct ps_server *server;
static struct ps_client first, again, watcher;
static const uint64_t id = 1;
static const float value = 0.25f;

static void open_all(struct ps_job *job)
{
	struct error err;
	struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0"};
	assert_ok(ps_server_open(&server, &options, &err), &err);
	ps_client_open(&first, ps_server_url(server), "job", 0, 1);
	ps_client_open(&again, ps_server_url(server), "job", 0, 1);
	ps_client_open(&watcher, ps_server_url(server), "job", 1, 1);
	assert_ok(ps_client_join(&first, job, &err), &err);
	assert_ok(ps_client_join(&again, job, &err), &err);
	if (job->workers > 1)
		assert_ok(ps_client_join(&watcher, job, &err), &err);
}

static void close_all(void)
{
	ps_client_close(&first);
	ps_client_close(&again);
	ps_client_close(&watcher);
	ps_server_close(server);
}

static void pull(struct ps_client *client, uint64_t step, float rows[DIM])
{
	struct error err;
	ps_client_start_pull(client, step, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(client, rows, 1, &err), &err);
}

static void push(struct ps_client *client, uint64_t step)
{
	struct error err;
	ps_client_start_push(client, step, 0, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(client, NULL, 1, &err), &err);
}

START_TEST(a_repeat_of_an_applied_push_is_acknowledged_and_not_applied)
{
	struct error err;
	for (int mode = 0; mode <= 2; mode++) {
		struct ps_job job = ps_job_defaults();
		job.mode = (Marquee__Ps__V1__Mode)mode;
		open_all(&job);
		float before[DIM], after[DIM], rows[DIM];
		pull(&first, 0, before);
		pull(&again, 0, before);
		push(&first, 0);
		push(&again, 0);
		pull(&first, 1, after);
		ck_assert_float_eq(after[0], before[0] - value);
		/* With a pull behind it the repeat gets the rows. */
		pull(&again, 1, rows);
		ps_client_start_push_pull(&first, 1, 0, &id, &value, 1, WAIT_MS);
		assert_ok(ps_client_finish(&first, after, 1, &err), &err);
		ps_client_start_push_pull(&again, 1, 0, &id, &value, 1, WAIT_MS);
		assert_ok(ps_client_finish(&again, rows, 1, &err), &err);
		ck_assert_mem_eq(rows, after, sizeof(rows));
		ck_assert_float_eq(after[0], before[0] - 2 * value);
		ck_assert_uint_eq(ps_client_stats(&first)->repeats_answered, 2);
		close_all();
	}
}
END_TEST

START_TEST(a_repeat_of_a_waiting_push_takes_its_place_and_is_added_once)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	open_all(&job);
	float before[DIM], after[DIM];
	pull(&watcher, 0, before);
	ps_client_start_push_pull(&first, 0, 0, &id, &value, 1, WAIT_MS);
	ps_client_wait_for_parked(&watcher, 1);
	ps_client_start_push_pull(&again, 0, 0, &id, &value, 1, WAIT_MS);
	while (ps_client_stats(&watcher)->repeats_answered < 1)
		;
	/* One segment is pending and one call waits, however often it is repeated. */
	ck_assert_uint_eq(ps_client_stats(&watcher)->parked_calls, 1);
	ps_client_start_push(&watcher, 0, 4, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(&watcher, NULL, 1, &err), &err);
	enum status status = ps_client_finish(&first, after, 1, &err);
	ck_assert_int_eq(status, STATUS_OK); /* asked again: the push had been applied */
	assert_ok(ps_client_finish(&again, after, 1, &err), &err);
	ck_assert_float_eq(after[0], before[0] - 2 * value);
	close_all();
}
END_TEST

START_TEST(a_late_repeat_behind_newer_pushes_is_not_applied)
{
	struct ps_job job = ps_job_defaults();
	job.mode = MARQUEE__PS__V1__MODE__ASYNC;
	open_all(&job);
	float before[DIM], after[DIM];
	pull(&first, 0, before);
	pull(&again, 0, before);
	for (uint64_t step = 0; step < 5; step++)
		push(&first, step);
	for (uint64_t step = 0; step < 5; step++)
		push(&again, step); /* the repeats of all of them, behind the fifth */
	push(&first, 5);
	pull(&first, 6, after);
	ck_assert_float_eq(after[0], before[0] - 6 * value);
	close_all();
}
END_TEST

/*
 * A checkpoint that holds the pushes of incarnations up to 5 goes on on a new server. None of those
 * is applied to it, whoever comes first.
 */
START_TEST(pushes_of_before_the_checkpoint_are_refused_after_the_restart)
{
	struct error err;
	for (int mode = 0; mode <= 2; mode++) {
		struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0"};
		struct ps_client late, restored;
		struct ps_job job = ps_job_defaults(), before = ps_job_defaults();
		float initial[DIM], rows[DIM];
		job.mode = before.mode = (Marquee__Ps__V1__Mode)mode;
		job.workers = before.workers = 2;
		job.after_incarnation = 5;
		assert_ok(ps_server_open(&server, &options, &err), &err);
		/* A late Join of before finds the server empty; it pushes, and not for long. */
		ps_client_open(&late, ps_server_url(server), "job", 1, 5);
		ps_client_open(&restored, ps_server_url(server), "job", 0, 6);
		assert_ok(ps_client_join(&late, &before, &err), &err);
		ps_client_start_pull(&late, 0, &id, 1, WAIT_MS);
		assert_ok(ps_client_finish(&late, initial, 1, &err), &err);
		ps_client_start_push(&late, 0, 4, &id, &value, 1, WAIT_MS);
		if (mode == 0)
			ps_client_wait_for_parked(&restored, 1);
		else
			assert_ok(ps_client_finish(&late, NULL, 1, &err), &err);
		assert_ok(ps_client_join(&restored, &job, &err), &err);
		if (mode == 0)
			assert_fails(ps_client_finish(&late, NULL, 1, &err), STATUS_ABORTED, &err,
				"started again");
		ps_client_start_pull(&restored, 0, &id, 1, WAIT_MS);
		assert_ok(ps_client_finish(&restored, rows, 1, &err), &err);
		ck_assert_mem_eq(rows, initial, sizeof(rows));
		ck_assert_uint_eq(ps_client_stats(&restored)->pushes_applied, 0);
		/* Nor does it come back, as itself or saying the same as the others. */
		ps_client_start_push(&late, 0, 4, &id, &value, 1, WAIT_MS);
		assert_fails(ps_client_finish(&late, NULL, 1, &err), STATUS_FAILED_PRECONDITION,
			&err, "has not joined");
		assert_fails(ps_client_join(&late, &before, &err), STATUS_FAILED_PRECONDITION, &err,
			"worker 1 of incarnation 5 is of before the checkpoint");
		assert_fails(ps_client_join(&late, &job, &err), STATUS_INVALID_ARGUMENT, &err,
			"goes on after incarnation 5 and is itself 5");
		ps_client_close(&late);
		ps_client_close(&restored);
		ps_server_close(server);
	}
}
END_TEST

START_TEST(numbers_are_new_once_in_whatever_order_they_come)
{
	uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	struct random_sequence random;
	random_sequence_init(&random, seed, 1);
	struct sequence_window window = {0};
	static bool accepted[20000];
	memset(accepted, 0, sizeof(accepted));
	uint64_t highest = 0;
	for (int i = 0; i < 200000; i++) {
		uint64_t low = highest > 1200 ? highest - 1200 : 1;
		uint64_t number = low + random_below(&random, (uint32_t)(highest - low) + 40);
		if (number >= sizeof(accepted))
			break;
		enum sequence_verdict verdict = sequence_check(&window, number);
		bool old = number + SEQUENCE_WINDOW <= highest;
		ck_assert_int_eq(verdict, old		     ? SEQUENCE_OLD
					  : accepted[number] ? SEQUENCE_REPEAT
							     : SEQUENCE_NEW);
		if (verdict != SEQUENCE_NEW)
			continue;
		sequence_accept(&window, number);
		accepted[number] = true;
		if (number > highest)
			highest = number;
		if (random_below(&random, 10) == 0) {
			sequence_forget(&window, number);
			accepted[number] = false;
		}
	}
	ck_assert_uint_gt(highest, 2 * SEQUENCE_WINDOW);
}
END_TEST

START_TEST(a_jump_ahead_forgets_what_lies_far_behind)
{
	struct sequence_window window = {0};
	sequence_accept(&window, 1);
	sequence_accept(&window, 1000000);
	ck_assert_int_eq(sequence_check(&window, 1), SEQUENCE_OLD);
	ck_assert_int_eq(sequence_check(&window, 999999), SEQUENCE_NEW);
	ck_assert_int_eq(sequence_check(&window, 1000000), SEQUENCE_REPEAT);
	ck_assert_int_eq(sequence_check(&window, 0), SEQUENCE_OLD);
	sequence_accept(&window, UINT64_MAX);
	ck_assert_int_eq(sequence_check(&window, UINT64_MAX), SEQUENCE_REPEAT);
	ck_assert_int_eq(sequence_check(&window, UINT64_MAX - 1), SEQUENCE_NEW);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_repeat_of_an_applied_push_is_acknowledged_and_not_applied,
		a_repeat_of_a_waiting_push_takes_its_place_and_is_added_once,
		a_late_repeat_behind_newer_pushes_is_not_applied,
		pushes_of_before_the_checkpoint_are_refused_after_the_restart,
		numbers_are_new_once_in_whatever_order_they_come,
		a_jump_ahead_forgets_what_lies_far_behind, NULL};
	return run_cases("repeats", cases);
}
