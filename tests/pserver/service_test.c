/* What one or several workers see of a server: tables, modes, waiting, membership. */
#include "pserver/service.h"

#include "common/base/bf16.h"
#include "pserver/placement.h"
#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <string.h>

#define WAIT_MS	 10000u
#define SHORT_MS 600u
#define DIM	 PS_CLIENT_DIM
#define WORKERS	 3

static struct ps_server *open_server_with(const char *url, const struct clock *clock)
{
	struct error err;
	struct ps_server *server;
	struct ps_server_options options = {.listen_url = url, .clock = clock};
	assert_ok(ps_server_open(&server, &options, &err), &err);
	return server;
}

static struct ps_server *open_server(const char *url)
{
	return open_server_with(url, NULL);
}

/* Waits until one call is parked, and for its deadline on the test's clock. */
static void pass_deadline(struct ps_client *watcher)
{
	ps_client_wait_for_parked(watcher, 1);
	ps_test_clock_advance(WAIT_MS / 1000);
}

static void join(struct ps_client *client, struct ps_server *server, const struct ps_job *job,
	uint32_t worker)
{
	struct error err;
	ps_client_open(client, ps_server_url(server), job->name, worker, 1);
	assert_ok(ps_client_join(client, job, &err), &err);
}

START_TEST(a_push_changes_the_rows_and_a_pull_shows_them)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client client;
	struct ps_job job = ps_job_defaults();
	join(&client, server, &job, 0);
	const uint64_t ids[] = {5, UINT64_MAX};
	const float gradients[] = {0.25f, -1};
	float before[2 * DIM], after[2 * DIM];
	ps_client_start_pull(&client, 0, ids, 2, WAIT_MS);
	assert_ok(ps_client_finish(&client, before, 2, &err), &err);
	ps_client_start_push_pull(&client, 0, 0, ids, gradients, 2, WAIT_MS);
	assert_ok(ps_client_finish(&client, after, 2, &err), &err);
	for (uint32_t i = 0; i < 2 * DIM; i++)
		ck_assert_float_eq(after[i], before[i] - gradients[i / DIM]);
	ps_client_leave(&client);
	ps_client_close(&client);
	ps_server_close(server);
}
END_TEST

/* A PushPull of one row of table 0 in types of its own, and so many bytes of gradients. */
static enum status push_pull_as(struct ps_client *client, Marquee__Ps__V1__Dtype pushed,
	Marquee__Ps__V1__Dtype pulled, const unsigned char *gradients, size_t gradient_bytes,
	struct rpc_reply *ret, struct error *err)
{
	Marquee__Ps__V1__Segment segment = MARQUEE__PS__V1__SEGMENT__INIT, *segments[] = {&segment};
	Marquee__Ps__V1__TableIds table = MARQUEE__PS__V1__TABLE_IDS__INIT, *tables[] = {&table};
	Marquee__Ps__V1__PushRequest push = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	Marquee__Ps__V1__PullRequest pull = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	Marquee__Ps__V1__PushPullRequest both = MARQUEE__PS__V1__PUSH_PULL_REQUEST__INIT;
	const uint64_t id = 5;
	segment.count = table.count = 1;
	push.segments = segments;
	pull.tables = tables;
	push.n_segments = pull.n_tables = 1;
	push.dtype = pushed;
	pull.dtype = pulled;
	pull.step = 1;
	both.push = &push;
	both.pull = &pull;
	memcpy(client->raw, &id, sizeof(id));
	memcpy(client->raw + sizeof(id), gradients, gradient_bytes);
	memcpy(client->raw + sizeof(id) + gradient_bytes, &id, sizeof(id));
	client->raw_bytes = 2 * sizeof(id) + gradient_bytes;
	return ps_client_call(client, "PushPull", &both.base, WAIT_MS, ret, err);
}

/* Worker 0 asks for a step that never comes, again and again under new numbers. */
START_TEST(a_worker_with_too_many_waiting_calls_is_refused_and_the_others_are_served)
{
	enum { MOST = 64 };
	struct error err;
	struct rpc_reply reply;
	struct rpc_call *calls[MOST + 1];
	struct ps_client greedy, modest;
	struct ps_job job = ps_job_defaults();
	Marquee__Ps__V1__PullRequest body = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	job.workers = 2;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	join(&greedy, server, &job, 0);
	join(&modest, server, &job, 1);
	body.step = 99;
	const struct rpc_request request = {
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Pull",
		.body = &body.base,
		.deadline_ms = WAIT_MS,
	};
	for (uint32_t i = 0; i <= MOST; i++) {
		assert_ok(rpc_call_new(&calls[i], greedy.channel, &err), &err);
		if (i == MOST)
			ps_client_wait_for_parked(&modest, MOST);
		assert_ok(rpc_call_start(calls[i], &request, &err), &err);
	}
	assert_fails(rpc_call_wait(calls[MOST], &reply, &err), STATUS_RESOURCE_EXHAUSTED, &err,
		"worker 0 has 64 calls waiting already");
	const uint64_t id = 5;
	float row[DIM];
	ps_client_start_pull(&modest, 0, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&modest, row, 1, &err), &err);
	for (uint32_t i = 0; i <= MOST; i++)
		rpc_call_free(calls[i]);
	ps_client_close(&greedy);
	ps_client_close(&modest);
	ps_server_close(server);
}
END_TEST

START_TEST(a_call_may_carry_bf16_and_other_types_are_refused)
{
	const Marquee__Ps__V1__Dtype f32 = MARQUEE__PS__V1__DTYPE__F32;
	const Marquee__Ps__V1__Dtype bf16 = MARQUEE__PS__V1__DTYPE__BF16;
	const Marquee__Ps__V1__Dtype unknown = (Marquee__Ps__V1__Dtype)7;
	struct error err;
	struct rpc_reply reply;
	struct ps_client client;
	struct ps_job job = ps_job_defaults();
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	const uint64_t id = 5;
	float gradients[DIM], before[DIM], after[DIM];
	unsigned char words[DIM * sizeof(float)] = {0}, expected[DIM * BF16_BYTES];
	join(&client, server, &job, 0);
	ps_client_start_pull(&client, 0, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&client, before, 1, &err), &err);

	/* Nothing of these is applied. */
	assert_fails(push_pull_as(&client, unknown, bf16, words, sizeof(expected), &reply, &err),
		STATUS_INVALID_ARGUMENT, &err, "dtype");
	assert_fails(push_pull_as(&client, bf16, unknown, words, sizeof(expected), &reply, &err),
		STATUS_INVALID_ARGUMENT, &err, "dtype");
	assert_fails(push_pull_as(&client, bf16, bf16, words, sizeof(words), &reply, &err),
		STATUS_INVALID_ARGUMENT, &err, "the counts need");
	assert_fails(push_pull_as(&client, f32, f32, words, sizeof(expected), &reply, &err),
		STATUS_INVALID_ARGUMENT, &err, "the counts need");

	for (uint32_t i = 0; i < DIM; i++) {
		gradients[i] = 0.25f * (float)i;
		after[i] = before[i] - gradients[i];
	}
	bf16_round(words, gradients, DIM);
	bf16_round(expected, after, DIM);
	assert_ok(push_pull_as(&client, bf16, bf16, words, sizeof(expected), &reply, &err), &err);
	ck_assert_uint_eq(reply.raw.size, sizeof(expected));
	ck_assert_mem_eq(reply.raw.data, expected, sizeof(expected));
	/* The server's row is no rounded one. */
	ps_client_start_pull(&client, 1, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&client, before, 1, &err), &err);
	ck_assert_mem_eq(before, after, sizeof(after));
	ps_client_leave(&client);
	ps_client_close(&client);
	ps_server_close(server);
}
END_TEST

/* `steps` steps of eight lanes that each push their own and a common id; returns the digest. */
static void run_sync(const char *url, uint32_t workers, uint32_t steps, char digest[33])
{
	struct error err;
	struct ps_server *server = open_server(url);
	struct ps_client clients[WORKERS];
	struct ps_job job = ps_job_defaults();
	job.workers = workers;
	job.lanes = workers; /* one lane a worker: one segment a push */
	job.optimizer = "adagrad";
	for (uint32_t w = 0; w < workers; w++)
		join(&clients[w], server, &job, w);
	for (uint32_t step = 0; step < steps; step++) {
		float rows[WORKERS][2 * DIM];
		for (uint32_t i = 0; i < workers; i++) {
			uint32_t w = (i + step) % workers; /* arrival in every order */
			const uint64_t ids[] = {100, 200 + w};
			const float values[] = {0.1f * (float)(w + 1), 1.0f / (float)(step + 3)};
			ps_client_start_push_pull(&clients[w], step, w, ids, values, 2, WAIT_MS);
		}
		for (uint32_t w = 0; w < workers; w++)
			assert_ok(ps_client_finish(&clients[w], rows[w], 2, &err), &err);
		for (uint32_t w = 1; w < workers; w++)
			ck_assert_mem_eq(rows[w], rows[0], DIM * sizeof(float));
	}
	ps_client_digest(&clients[0], digest);
	for (uint32_t w = 0; w < workers; w++) {
		ps_client_leave(&clients[w]);
		ps_client_close(&clients[w]);
	}
	ps_server_close(server);
}

START_TEST(three_workers_see_the_same_rows_in_every_step)
{
	char first[33], second[33];
	run_sync("tcp://127.0.0.1:0", WORKERS, 20, first);
	run_sync("inproc://service-sync", WORKERS, 20, second);
	ck_assert_str_eq(first, second);
}
END_TEST

START_TEST(a_call_that_waits_too_long_names_the_missing_workers)
{
	struct error err;
	struct ps_server *server = open_server_with("tcp://127.0.0.1:0", ps_test_clock());
	struct ps_client clients[2];
	struct ps_job job = ps_job_defaults();
	job.workers = 3;
	join(&clients[0], server, &job, 0);
	join(&clients[1], server, &job, 1);
	const uint64_t id = 1;
	const float value = 1;
	ps_client_start_push_pull(&clients[0], 0, 0, &id, &value, 1, WAIT_MS);
	pass_deadline(&clients[1]);
	assert_fails(ps_client_finish(&clients[0], NULL, 1, &err), STATUS_DEADLINE_EXCEEDED, &err,
		"step 0: waiting for the push of workers 1, 2 (has not joined)");
	/* The push of worker 0 stays: the others complete the step. */
	ps_client_start_pull(&clients[1], 1, &id, 1, WAIT_MS);
	pass_deadline(&clients[0]);
	assert_fails(ps_client_finish(&clients[1], NULL, 1, &err), STATUS_DEADLINE_EXCEEDED, &err,
		"step 0: waiting for the push of workers 1, 2");
	for (int i = 0; i < 2; i++)
		ps_client_close(&clients[i]);
	ps_server_close(server);
}
END_TEST

START_TEST(a_pull_of_a_later_step_waits_for_the_steps_before_it)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client pusher, reader;
	struct ps_job job = ps_job_defaults();
	join(&pusher, server, &job, 0);
	ps_client_open(&reader, ps_server_url(server), job.name, 0, 1);
	const uint64_t id = 3;
	const float value = 0.5f;
	float before[DIM], after[DIM];
	ps_client_start_pull(&pusher, 0, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&pusher, before, 1, &err), &err);
	ps_client_start_pull(&reader, 1, &id, 1, WAIT_MS);
	ps_client_wait_for_parked(&pusher, 1);
	ps_client_start_push(&pusher, 0, 0, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(&pusher, NULL, 1, &err), &err);
	assert_ok(ps_client_finish(&reader, after, 1, &err), &err);
	ck_assert_float_eq(after[0], before[0] - value);
	ps_client_close(&reader);
	ps_client_close(&pusher);
	ps_server_close(server);
}
END_TEST

START_TEST(a_worker_that_left_is_waited_for_no_more)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client clients[2];
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	join(&clients[0], server, &job, 0);
	join(&clients[1], server, &job, 1);
	const uint64_t id = 1;
	const float value = 1;
	ps_client_start_push_pull(&clients[0], 0, 0, &id, &value, 1, WAIT_MS);
	ps_client_leave(&clients[1]);
	assert_ok(ps_client_finish(&clients[0], NULL, 1, &err), &err);
	ps_client_close(&clients[1]);
	ps_client_close(&clients[0]);
	ps_server_close(server);
}
END_TEST

START_TEST(ssp_holds_the_fast_worker_and_lets_it_go_when_the_slow_one_moves)
{
	struct error err;
	struct ps_server *server = open_server_with("tcp://127.0.0.1:0", ps_test_clock());
	struct ps_client fast, slow;
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	job.mode = MARQUEE__PS__V1__MODE__SSP;
	job.staleness = 2;
	join(&fast, server, &job, 0);
	join(&slow, server, &job, 1);
	const uint64_t id = 1;
	const float value = 1;
	for (uint64_t step = 0; step < 2; step++) {
		ps_client_start_push_pull(&fast, step, 0, &id, &value, 1, WAIT_MS);
		assert_ok(ps_client_finish(&fast, NULL, 1, &err), &err);
	}
	/* Step 3 is three ahead of the slow worker's step 0. */
	ps_client_start_push_pull(&fast, 2, 0, &id, &value, 1, WAIT_MS);
	pass_deadline(&slow);
	assert_fails(ps_client_finish(&fast, NULL, 1, &err), STATUS_DEADLINE_EXCEEDED, &err,
		"step 3: waiting for worker 1, at step 0 with a staleness of 2");
	ps_client_start_pull(&fast, 3, &id, 1, WAIT_MS);
	ps_client_wait_for_parked(&slow, 1);
	ps_client_start_push(&slow, 0, 4, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(&slow, NULL, 1, &err), &err);
	assert_ok(ps_client_finish(&fast, NULL, 1, &err), &err);
	/* And a slow worker that leaves holds nobody. */
	ps_client_start_pull(&fast, 4, &id, 1, WAIT_MS);
	ps_client_wait_for_parked(&slow, 1);
	ps_client_leave(&slow);
	assert_ok(ps_client_finish(&fast, NULL, 1, &err), &err);
	ps_client_close(&fast);
	ps_client_close(&slow);
	ps_server_close(server);
}
END_TEST

START_TEST(async_waits_for_nobody)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client client;
	struct ps_job job = ps_job_defaults();
	job.workers = 5;
	job.mode = MARQUEE__PS__V1__MODE__ASYNC;
	join(&client, server, &job, 2);
	const uint64_t id = 1;
	const float value = 1;
	for (uint64_t step = 0; step < 50; step++) {
		ps_client_start_push_pull(&client, step, 3, &id, &value, 1, WAIT_MS);
		assert_ok(ps_client_finish(&client, NULL, 1, &err), &err);
	}
	ps_client_close(&client);
	ps_server_close(server);
}
END_TEST

START_TEST(two_servers_live_in_one_process_and_refuse_each_others_ids)
{
	struct error err;
	struct ps_client clients[2];
	struct ps_server *servers[2];
	struct ps_job job = ps_job_defaults();
	for (uint32_t i = 0; i < 2; i++) {
		struct ps_server_options options = {
			.listen_url = "tcp://127.0.0.1:0", .shard_index = i, .shard_count = 2};
		assert_ok(ps_server_open(&servers[i], &options, &err), &err);
		join(&clients[i], servers[i], &job, 0);
	}
	for (uint64_t id = 0; id < 20; id++) {
		uint32_t owner = shard_of(virtual_shard_of(id), 2);
		ps_client_start_pull(&clients[owner], 0, &id, 1, WAIT_MS);
		assert_ok(ps_client_finish(&clients[owner], NULL, 1, &err), &err);
		ps_client_start_pull(&clients[!owner], 0, &id, 1, WAIT_MS);
		assert_fails(ps_client_finish(&clients[!owner], NULL, 1, &err),
			STATUS_INVALID_ARGUMENT, &err, "belongs to server");
		const float value = 1;
		ps_client_start_push(&clients[!owner], 0, 0, &id, &value, 1, WAIT_MS);
		assert_fails(ps_client_finish(&clients[!owner], NULL, 1, &err),
			STATUS_INVALID_ARGUMENT, &err, "belongs to server");
	}
	for (uint32_t i = 0; i < 2; i++) {
		ps_client_close(&clients[i]);
		ps_server_close(servers[i]);
	}
}
END_TEST

START_TEST(a_server_that_closes_ends_its_parked_calls)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client client, watcher;
	struct ps_job job = ps_job_defaults();
	join(&client, server, &job, 0);
	ps_client_open(&watcher, ps_server_url(server), "", 0, 0);
	const uint64_t id = 1;
	ps_client_start_pull(&client, 5, &id, 1, SHORT_MS);
	ps_client_wait_for_parked(&watcher, 1);
	ps_server_close(server);
	assert_fails(ps_client_finish(&client, NULL, 1, &err), STATUS_UNAVAILABLE, &err, "Pull");
	ps_client_close(&watcher);
	ps_client_close(&client);
}
END_TEST

/* Two workers' pushes of a step at once, and the pulls of the next one. */
START_TEST(a_step_without_messages_is_as_one_with_them)
{
	struct error err;
	struct ps_server *server = open_server("tcp://127.0.0.1:0");
	struct ps_client clients[2];
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	const uint64_t ids[] = {100, 200}, other = 7;
	float gradients[2][2 * DIM], before[2 * DIM], after[2 * DIM], waited[2 * DIM];
	struct ps_push pushes[2];
	for (uint32_t w = 0; w < 2; w++) {
		for (uint32_t i = 0; i < 2 * DIM; i++)
			gradients[w][i] = 0.25f * (float)(w + 1);
		pushes[w] = (struct ps_push){
			.slot = 4 * w, .count = 2, .ids = ids, .gradients = gradients[w]};
	}
	const struct ps_pull pull = {.count = 2, .ids = ids, .rows = after};
	struct ps_step step = {.pushes = pushes, .push_count = 2, .pulls = &pull, .pull_count = 1};
	assert_fails(ps_server_step(server, &step, &err), STATUS_FAILED_PRECONDITION, &err,
		"no synchronous job");
	for (uint32_t w = 0; w < 2; w++)
		join(&clients[w], server, &job, w);
	ps_client_start_pull(&clients[0], 0, ids, 2, WAIT_MS);
	assert_ok(ps_client_finish(&clients[0], before, 2, &err), &err);
	/* This pull waits for the step. */
	ps_client_start_pull(&clients[0], 1, ids, 2, WAIT_MS);
	ps_client_wait_for_parked(&clients[1], 1);
	step.step = 1;
	assert_fails(ps_server_step(server, &step, &err), STATUS_FAILED_PRECONDITION, &err,
		"at step 0, not at step 1");
	/* A push that is refused leaves nothing behind. */
	step.step = 0;
	pushes[1].slot = pushes[0].slot;
	assert_fails(ps_server_step(server, &step, &err), STATUS_INVALID_ARGUMENT, &err, "has one");
	pushes[1].slot = 4;
	assert_ok(ps_server_step(server, &step, &err), &err);
	for (uint32_t i = 0; i < 2 * DIM; i++)
		ck_assert_float_eq(after[i], before[i] - 0.75f);
	assert_ok(ps_client_finish(&clients[0], waited, 2, &err), &err);
	ck_assert_mem_eq(waited, after, sizeof(after));
	/* Messages go on from there, and what they have begun is not mixed with. */
	const float value = 1;
	ps_client_start_push(&clients[0], 1, 0, &other, &value, 1, WAIT_MS);
	ps_client_wait_for_parked(&clients[1], 1);
	step.step = 1;
	assert_fails(
		ps_server_step(server, &step, &err), STATUS_FAILED_PRECONDITION, &err, "at step 1");
	ps_client_start_push(&clients[1], 1, 4, &other, &value, 1, WAIT_MS);
	for (uint32_t w = 0; w < 2; w++)
		assert_ok(ps_client_finish(&clients[w], NULL, 1, &err), &err);
	for (uint32_t w = 0; w < 2; w++) {
		ps_client_leave(&clients[w]);
		ps_client_close(&clients[w]);
	}
	ps_server_close(server);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_push_changes_the_rows_and_a_pull_shows_them,
		a_call_may_carry_bf16_and_other_types_are_refused,
		a_worker_with_too_many_waiting_calls_is_refused_and_the_others_are_served,
		three_workers_see_the_same_rows_in_every_step,
		a_call_that_waits_too_long_names_the_missing_workers,
		a_pull_of_a_later_step_waits_for_the_steps_before_it,
		a_worker_that_left_is_waited_for_no_more,
		ssp_holds_the_fast_worker_and_lets_it_go_when_the_slow_one_moves,
		async_waits_for_nobody, two_servers_live_in_one_process_and_refuse_each_others_ids,
		a_server_that_closes_ends_its_parked_calls,
		a_step_without_messages_is_as_one_with_them, NULL};
	return run_cases("service", cases);
}
