/* Requests whose counts are lies, and pushes that cannot be applied. */
#include "pserver/service.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS	  10000u
#define DIM	  PS_CLIENT_DIM
#define ROWS	  50u
#define MUTATIONS 3000

static struct ps_server *server;
static struct ps_client client;

static void close_all(void)
{
	ps_client_close(&client);
	ps_server_close(server);
}

/* A pull of these counts with so many bytes behind it. */
static enum status pull_counts(uint32_t table, uint32_t count, size_t bytes, struct error *err)
{
	Marquee__Ps__V1__TableIds ids = MARQUEE__PS__V1__TABLE_IDS__INIT;
	Marquee__Ps__V1__TableIds *tables[] = {&ids, &ids};
	Marquee__Ps__V1__PullRequest request = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	ids.table = table;
	ids.count = count;
	request.n_tables = 2;
	request.tables = tables;
	memset(client.raw, 0, bytes);
	client.raw_bytes = bytes;
	return ps_client_call(&client, "Pull", &request.base, WAIT_MS, NULL, err);
}

static enum status push_counts(
	uint32_t table, uint32_t slot, uint32_t count, size_t bytes, struct error *err)
{
	Marquee__Ps__V1__Segment segment = MARQUEE__PS__V1__SEGMENT__INIT;
	Marquee__Ps__V1__Segment *segments[] = {&segment};
	Marquee__Ps__V1__PushRequest request = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	segment.table = table;
	segment.slot = slot;
	segment.count = count;
	request.n_segments = 1;
	request.segments = segments;
	memset(client.raw, 0, bytes);
	client.raw_bytes = bytes;
	return ps_client_call(&client, "Push", &request.base, WAIT_MS, NULL, err);
}

START_TEST(counts_that_do_not_fit_the_bytes_are_refused)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	server = ps_client_open_alone(&client, &job);
	assert_fails(pull_counts(0, 2, 24, &err), STATUS_INVALID_ARGUMENT, &err, "raw data");
	assert_fails(pull_counts(0, 1, 24, &err), STATUS_INVALID_ARGUMENT, &err, "there are 24");
	assert_fails(pull_counts(0, 1, 15, &err), STATUS_INVALID_ARGUMENT, &err, "raw data");
	assert_fails(pull_counts(2, 1, 16, &err), STATUS_INVALID_ARGUMENT, &err, "no table 2");
	assert_fails(pull_counts(0, UINT32_MAX, 16, &err), STATUS_INVALID_ARGUMENT, &err,
		"4294967295 ids");
	/* Two times 2^31 ids of 8 bytes are 0 bytes modulo 2^32 and 2^35 modulo 2^64. */
	assert_fails(pull_counts(0, UINT32_C(1) << 31, 0, &err), STATUS_INVALID_ARGUMENT, &err,
		"2147483648 ids");
	assert_fails(push_counts(0, 0, 1, 23, &err), STATUS_INVALID_ARGUMENT, &err, "24 bytes");
	assert_fails(push_counts(0, 0, 1, 25, &err), STATUS_INVALID_ARGUMENT, &err, "24 bytes");
	assert_fails(push_counts(0, 8, 1, 24, &err), STATUS_INVALID_ARGUMENT, &err,
		"lane 8 is not worker 0's");
	assert_fails(push_counts(9, 0, 1, 24, &err), STATUS_INVALID_ARGUMENT, &err, "no table 9");
	assert_fails(push_counts(0, 0, UINT32_MAX, 24, &err), STATUS_INVALID_ARGUMENT, &err,
		"4294967295 ids");
	assert_ok(push_counts(0, 7, 1, 24, &err), &err);
	Marquee__Ps__V1__RestoreRequest request = MARQUEE__PS__V1__RESTORE_REQUEST__INIT;
	request.count = UINT32_MAX;
	ck_assert_int_ne(
		ps_client_call(&client, "Restore", &request.base, WAIT_MS, NULL, &err), STATUS_OK);
	Marquee__Ps__V1__SnapshotRequest odd = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	odd.table = UINT32_MAX;
	odd.max_records = 1;
	assert_fails(ps_client_call(&client, "Snapshot", &odd.base, WAIT_MS, NULL, &err),
		STATUS_INVALID_ARGUMENT, &err, "no table");
	odd.table = 0;
	odd.cursor = UINT64_MAX;
	odd.max_records = UINT32_MAX;
	assert_fails(ps_client_call(&client, "Snapshot", &odd.base, WAIT_MS, NULL, &err),
		STATUS_INVALID_ARGUMENT, &err, "no cursor");
	close_all();
}
END_TEST

START_TEST(a_pull_whose_rows_exceed_a_message_is_refused_before_they_are_made)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	server = ps_client_open_alone(&client, &job);
	static unsigned char raw[(1 << 20) - 1024];
	Marquee__Ps__V1__TableIds ids = MARQUEE__PS__V1__TABLE_IDS__INIT;
	Marquee__Ps__V1__TableIds *tables[] = {&ids};
	Marquee__Ps__V1__PullRequest body = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	ids.count = sizeof(raw) / sizeof(uint64_t);
	body.n_tables = 1;
	body.tables = tables;
	struct rpc_request request = {
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Pull",
		.body = &body.base,
		.deadline_ms = WAIT_MS,
		.raw_bytes = sizeof(raw),
		.write_raw = rpc_write_bytes,
		.context = raw,
	};
	struct rpc_reply reply;
	assert_fails(rpc_call_blocking(client.call, &request, &reply, &err),
		STATUS_RESOURCE_EXHAUSTED, &err, "pull fewer");
	close_all();
}
END_TEST

/* Pushes ids 4 and 4 from lane 0 and 5 from lane 1. */
static enum status push_twice(uint64_t step, struct error *err)
{
	Marquee__Ps__V1__Segment segment[2] = {
		MARQUEE__PS__V1__SEGMENT__INIT, MARQUEE__PS__V1__SEGMENT__INIT};
	Marquee__Ps__V1__Segment *segments[] = {&segment[0], &segment[1]};
	Marquee__Ps__V1__PushRequest request = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	const uint64_t ids[] = {4, 4, 5};
	segment[0].count = 2;
	segment[1].count = 1;
	segment[1].slot = 1;
	request.step = step;
	request.n_segments = 2;
	request.segments = segments;
	memset(client.raw, 0, sizeof(client.raw));
	memcpy(client.raw, ids, sizeof(ids));
	client.raw_bytes = sizeof(ids) + 3 * DIM * sizeof(float);
	return ps_client_call(&client, "Push", &request.base, WAIT_MS, NULL, err);
}

START_TEST(a_push_that_cannot_be_summed_is_refused_and_async_goes_on)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.mode = MARQUEE__PS__V1__MODE__ASYNC;
	server = ps_client_open_alone(&client, &job);
	assert_fails(push_twice(0, &err), STATUS_INVALID_ARGUMENT, &err, "id 4 comes twice");
	ps_client_push_rows(&client, 0, ROWS);
	ck_assert_uint_eq(ps_client_stats(&client)->tables[0]->rows, ROWS);
	close_all();
}
END_TEST

START_TEST(a_step_that_cannot_be_applied_ends_a_sync_job)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	server = ps_client_open_alone(&client, &job);
	assert_fails(push_twice(0, &err), STATUS_INVALID_ARGUMENT, &err,
		"a push could not be applied: step 1: segment of table 0, slot 0: id 4 comes");
	assert_fails(push_counts(0, 0, 0, 0, &err), STATUS_INVALID_ARGUMENT, &err,
		"a push could not be applied");
	close_all();
}
END_TEST

/* Random requests of every kind: each is answered, and the server is as good as new afterwards. */
START_TEST(random_counts_are_always_answered)
{
	uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	struct random_sequence random;
	random_sequence_init(&random, seed, random_stream("counts"));
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.mode = MARQUEE__PS__V1__MODE__ASYNC;
	server = ps_client_open_alone(&client, &job);
	for (int i = 0; i < MUTATIONS; i++) {
		uint32_t table = random_below(&random, 4);
		uint32_t count =
			random_below(&random, 3) ? random_below(&random, 6) : random_next(&random);
		size_t bytes = random_below(&random, 200) * 4;
		if (random_below(&random, 2))
			(void)!pull_counts(table, count, bytes, &err);
		else
			(void)!push_counts(table, random_below(&random, 10), count, bytes, &err);
	}
	ps_client_push_rows(&client, 0, ROWS);
	close_all();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {counts_that_do_not_fit_the_bytes_are_refused,
		a_pull_whose_rows_exceed_a_message_is_refused_before_they_are_made,
		a_push_that_cannot_be_summed_is_refused_and_async_goes_on,
		a_step_that_cannot_be_applied_ends_a_sync_job, random_counts_are_always_answered,
		NULL};
	return run_cases("counts", cases);
}
