/* Who may join a server, and when a job makes room for another. */
#include "pserver/metrics.h"
#include "pserver/service.h"

#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000u

static struct ps_server *server;
static struct ps_client client, other;

static void open_server(const struct clock *clock)
{
	struct error err;
	struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0", .clock = clock};
	assert_ok(ps_server_open(&server, &options, &err), &err);
}

static void open_client(
	struct ps_client *ret, const char *job, uint32_t worker, uint64_t incarnation)
{
	ps_client_open(ret, ps_server_url(server), job, worker, incarnation);
}

static enum status push(struct ps_client *from, uint64_t step, struct error *err)
{
	const uint64_t id = 1;
	const float value = 1;
	ps_client_start_push(from, step, from->worker * 4, &id, &value, 1, WAIT_MS);
	return ps_client_finish(from, NULL, 1, err);
}

START_TEST(another_job_is_refused_naming_both_until_all_have_left)
{
	struct error err;
	struct ps_job mine = ps_job_defaults(), theirs = ps_job_defaults();
	mine.name = "mine";
	theirs.name = "theirs";
	open_server(NULL);
	open_client(&client, "mine", 0, 1);
	open_client(&other, "theirs", 0, 1);
	assert_ok(ps_client_join(&client, &mine, &err), &err);
	assert_fails(ps_client_join(&other, &theirs, &err), STATUS_FAILED_PRECONDITION, &err,
		"serves job 'mine' and cannot serve job 'theirs'");
	assert_fails(push(&other, 0, &err), STATUS_FAILED_PRECONDITION, &err,
		"job 'theirs' is not active on this server, which serves job 'mine'");
	assert_ok(push(&client, 0, &err), &err);
	ps_client_leave(&client);
	assert_ok(ps_client_join(&other, &theirs, &err), &err);
	ck_assert_uint_eq(ps_client_stats(&other)->tables[0]->rows, 0);
	assert_fails(push(&client, 1, &err), STATUS_FAILED_PRECONDITION, &err, "'mine'");
	/* To leave once more is fine: the answer may have been lost. */
	ps_client_leave(&client);
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_job_that_was_silent_for_long_makes_room)
{
	struct error err;
	struct ps_job mine = ps_job_defaults(), theirs = ps_job_defaults();
	mine.name = "mine";
	theirs.name = "theirs";
	open_server(ps_test_clock());
	open_client(&client, "mine", 0, 1);
	open_client(&other, "theirs", 0, 1);
	assert_ok(ps_client_join(&client, &mine, &err), &err);
	ps_test_clock_advance(20);
	assert_ok(push(&client, 0, &err), &err);
	ps_test_clock_advance(29);
	assert_fails(ps_client_join(&other, &theirs, &err), STATUS_FAILED_PRECONDITION, &err,
		"nothing was heard of it for 30 s");
	ps_test_clock_advance(2);
	assert_ok(ps_client_join(&other, &theirs, &err), &err);
	assert_fails(push(&client, 1, &err), STATUS_FAILED_PRECONDITION, &err, "job 'theirs'");
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(parked_calls_end_by_the_servers_clock)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	open_server(ps_test_clock());
	open_client(&client, "job", 0, 1);
	open_client(&other, "job", 0, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	const uint64_t id = 1;
	ps_client_start_pull(&client, 1, &id, 1, WAIT_MS);
	ps_client_wait_for_parked(&other, 1);
	ps_test_clock_advance(WAIT_MS / 1000);
	assert_fails(ps_client_finish(&client, NULL, 1, &err), STATUS_DEADLINE_EXCEEDED, &err,
		"step 0: waiting for the push of worker 0");
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(workers_of_one_job_must_agree)
{
	struct error err;
	struct ps_job job = ps_job_defaults(), odd;
	job.workers = 2;
	open_server(NULL);
	open_client(&client, "job", 0, 1);
	open_client(&other, "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	odd = job;
	odd.workers = 3;
	assert_fails(ps_client_join(&other, &odd, &err), STATUS_FAILED_PRECONDITION, &err,
		"runs with workers 2, this worker has 3");
	odd = job;
	odd.seed = 8;
	assert_fails(ps_client_join(&other, &odd, &err), STATUS_FAILED_PRECONDITION, &err,
		"runs with seed 7, this worker has 8");
	odd = job;
	odd.optimizer = "adagrad";
	assert_fails(ps_client_join(&other, &odd, &err), STATUS_FAILED_PRECONDITION, &err,
		"another table 0 (user)");
	odd = job;
	odd.optimizer = "magic";
	assert_fails(ps_client_join(&other, &odd, &err), STATUS_INVALID_ARGUMENT, &err,
		"no optimizer 'magic'; there are sgd");
	odd = job;
	odd.first_step = 4;
	assert_fails(ps_client_join(&other, &odd, &err), STATUS_FAILED_PRECONDITION, &err,
		"expects step 0 of worker 1");
	assert_ok(ps_client_join(&other, &job, &err), &err);
	assert_ok(ps_client_join(&other, &job, &err), &err); /* a repeat */
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_worker_that_did_not_join_is_refused)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	open_server(NULL);
	open_client(&client, "job", 0, 1);
	open_client(&other, "job", 1, 1);
	assert_fails(push(&other, 0, &err), STATUS_FAILED_PRECONDITION, &err, "which has none");
	assert_ok(ps_client_join(&client, &job, &err), &err);
	assert_fails(push(&other, 0, &err), STATUS_FAILED_PRECONDITION, &err,
		"worker 1 has not joined job 'job'");
	ps_client_close(&other);
	open_client(&other, "job", 7, 1);
	assert_fails(push(&other, 0, &err), STATUS_INVALID_ARGUMENT, &err, "worker 7 of 2");
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_newer_incarnation_takes_the_place_of_an_older_one)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	open_server(NULL);
	open_client(&client, "job", 0, 5);
	open_client(&other, "job", 0, 6);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	assert_ok(push(&client, 0, &err), &err);
	assert_fails(push(&other, 1, &err), STATUS_FAILED_PRECONDITION, &err,
		"has not joined in incarnation 6");
	assert_fails(ps_client_join(&other, &job, &err), STATUS_FAILED_PRECONDITION, &err,
		"expects step 1 of worker 0 next, which starts at step 0");
	job.first_step = 1;
	assert_ok(ps_client_join(&other, &job, &err), &err);
	assert_fails(push(&client, 1, &err), STATUS_FAILED_PRECONDITION, &err,
		"incarnation 5 is older than 6");
	assert_ok(push(&other, 1, &err), &err);
	assert_fails(
		ps_client_join(&client, &job, &err), STATUS_FAILED_PRECONDITION, &err, "older");
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_newer_generation_starts_the_job_afresh)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.generation = 1;
	job.workers = 2;
	open_server(NULL);
	open_client(&client, "job", 0, 5);
	open_client(&other, "job", 0, 6);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	const uint64_t id = 1;
	const float value = 1;
	ps_client_start_push(&client, 0, 0, &id, &value, 1, WAIT_MS);
	ps_client_wait_for_parked(&other, 1);
	job.generation = 2;
	job.first_step = 40;
	assert_ok(ps_client_join(&other, &job, &err), &err);
	assert_fails(ps_client_finish(&client, NULL, 1, &err), STATUS_ABORTED, &err,
		"job 'job' was started again");
	ck_assert_uint_eq(ps_client_stats(&other)->next_step, 40);
	ck_assert_uint_eq(ps_client_stats(&other)->tables[0]->rows, 0);
	job.generation = 1;
	assert_fails(ps_client_join(&client, &job, &err), STATUS_FAILED_PRECONDITION, &err,
		"generation 1 is older than 2");
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_worker_that_gives_up_ends_the_job_for_its_peers)
{
	struct error err;
	struct ps_job job = ps_job_defaults(), next = ps_job_defaults();
	job.workers = 2;
	next.name = "next";
	open_server(NULL);
	open_client(&client, "job", 0, 1);
	open_client(&other, "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	assert_ok(ps_client_join(&other, &job, &err), &err);
	const uint64_t id = 1;
	const float value = 1;
	ps_client_start_push(&client, 0, 0, &id, &value, 1, WAIT_MS);
	ps_client_wait_for_parked(&other, 1);
	Marquee__Ps__V1__LeaveRequest request = MARQUEE__PS__V1__LEAVE_REQUEST__INIT;
	request.failed = true;
	assert_ok(ps_client_call(&other, "Leave", &request.base, WAIT_MS, NULL, &err), &err);
	assert_fails(
		ps_client_finish(&client, NULL, 1, &err), STATUS_ABORTED, &err, "worker 1 gave up");
	ps_client_close(&other);
	open_client(&other, "next", 0, 1);
	assert_ok(ps_client_join(&other, &next, &err), &err);
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

START_TEST(a_job_without_sense_is_refused)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	open_server(NULL);
	open_client(&client, "job", 0, 1);
	job.workers = 0;
	assert_fails(
		ps_client_join(&client, &job, &err), STATUS_INVALID_ARGUMENT, &err, "0 workers");
	job = ps_job_defaults();
	job.lanes = 100000;
	assert_fails(ps_client_join(&client, &job, &err), STATUS_INVALID_ARGUMENT, &err,
		"100000 lanes; expected 1 to 256");
	job = ps_job_defaults();
	job.mode = (Marquee__Ps__V1__Mode)7;
	assert_fails(
		ps_client_join(&client, &job, &err), STATUS_INVALID_ARGUMENT, &err, "no mode 7");
	job = ps_job_defaults();
	job.name = "other";
	assert_fails(ps_client_join(&client, &job, &err), STATUS_INVALID_ARGUMENT, &err,
		"the header is of job 'job', the body of job 'other'");
	ps_client_close(&client);
	ps_server_close(server);
}
END_TEST

static uint64_t figure(const char *line)
{
	struct error err;
	char *text;
	size_t size;
	assert_ok(ps_server_metrics(server, &text, &size, &err), &err);
	ck_assert_uint_eq(strlen(text), size);
	const char *at = strstr(text, line);
	ck_assert_msg(at, "%s is not in %s", line, text);
	uint64_t value = strtoull(at + strlen(line), NULL, 10);
	free(text);
	return value;
}

START_TEST(metrics_follow_members_calls_and_rows)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	const uint64_t id = 1;
	const float value = 1;
	job.workers = 2;
	open_server(NULL);
	ck_assert_uint_eq(figure("\nmarquee_ps_job_active "), 0);
	open_client(&client, "job", 0, 1);
	open_client(&other, "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	ck_assert_uint_eq(figure("marquee_ps_members{state=\"expected\"} "), 1);
	assert_ok(ps_client_join(&other, &job, &err), &err);
	ps_client_start_push_pull(&client, 0, 0, &id, &value, 1, WAIT_MS);
	ps_client_wait_for_parked(&other, 1);
	ck_assert_uint_eq(figure("\nmarquee_ps_parked_calls "), 1);
	ck_assert_uint_eq(figure("\nmarquee_ps_waiting_pushes "), 1);
	ck_assert_uint_eq(figure("\nmarquee_ps_worker_clock_fastest "), 1);
	ck_assert_uint_eq(figure("\nmarquee_ps_worker_clock_slowest "), 0);
	ck_assert_uint_eq(figure("marquee_ps_calls_total{method=\"PushPull\",status=\"OK\"} "), 0);
	assert_ok(push(&other, 0, &err), &err);
	assert_ok(ps_client_finish(&client, NULL, 1, &err), &err);
	ck_assert_uint_eq(figure("\nmarquee_ps_step "), 1);
	ck_assert_uint_eq(figure("\nmarquee_ps_parked_calls "), 0);
	ck_assert_uint_eq(figure("marquee_ps_calls_total{method=\"PushPull\",status=\"OK\"} "), 1);
	ck_assert_uint_eq(figure("marquee_ps_calls_total{method=\"Push\",status=\"OK\"} "), 1);
	ck_assert_uint_eq(
		figure("marquee_ps_call_duration_seconds_count{method=\"PushPull\"} "), 1);
	ck_assert_uint_eq(figure("marquee_ps_table_rows{table=\"user\"} "), 1);
	ck_assert_uint_eq(figure("marquee_ps_rows_pulled_total{table=\"user\"} "), 1);
	ck_assert_uint_eq(figure("marquee_ps_rows_pushed_total{table=\"user\"} "), 1);
	ck_assert_uint_eq(figure("marquee_ps_rows_pushed_total{table=\"movie\"} "), 0);
	ps_client_close(&other);
	open_client(&other, "job", 1, 2);
	job.first_step = 1;
	assert_ok(ps_client_join(&other, &job, &err), &err);
	ck_assert_uint_eq(figure("\nmarquee_ps_worker_restarts_total "), 1);
	ps_client_leave(&client);
	ck_assert_uint_eq(figure("marquee_ps_members{state=\"left\"} "), 1);
	ps_client_leave(&other);
	ck_assert_uint_eq(figure("\nmarquee_ps_job_active "), 0);
	ck_assert_uint_eq(figure("\nmarquee_ps_jobs_total "), 1);
	ps_client_close(&client);
	ps_client_close(&other);
	ps_server_close(server);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {another_job_is_refused_naming_both_until_all_have_left,
		a_job_that_was_silent_for_long_makes_room, parked_calls_end_by_the_servers_clock,
		workers_of_one_job_must_agree, a_worker_that_did_not_join_is_refused,
		a_newer_incarnation_takes_the_place_of_an_older_one,
		a_newer_generation_starts_the_job_afresh,
		a_worker_that_gives_up_ends_the_job_for_its_peers, a_job_without_sense_is_refused,
		metrics_follow_members_calls_and_rows, NULL};
	return run_cases("membership", cases);
}
