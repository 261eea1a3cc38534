#include "tests/pserver/ps_client.h"

#include "pserver/service.h"
#include "tests/support/suite.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define PUSHED_MAX 64u
#define QUICK_MS   10000u
#define NS_PER_S   UINT64_C(1000000000)

static atomic_uint_fast64_t test_time_ns = NS_PER_S;

static uint64_t test_now_ns(const struct clock *clock)
{
	(void)clock;
	return atomic_load(&test_time_ns);
}

const struct clock *ps_test_clock(void)
{
	static const struct clock clock = {.now_ns = test_now_ns};
	return &clock;
}

void ps_test_clock_advance(uint64_t seconds)
{
	atomic_fetch_add(&test_time_ns, seconds * NS_PER_S);
}

struct ps_job ps_job_defaults(void)
{
	return (struct ps_job){
		.name = "job", .workers = 1, .lanes = 8, .seed = 7, .optimizer = "sgd"};
}

void ps_client_open_impatient(struct ps_client *client, const char *url, const char *job,
	uint32_t worker, uint64_t incarnation, uint32_t attempt_ms)
{
	struct error err;
	struct rpc_channel_options options = {
		.job = job, .worker = worker, .incarnation = incarnation, .attempt_ms = attempt_ms};
	*client = (struct ps_client){.worker = worker};
	snprintf(client->job, sizeof(client->job), "%s", job);
	assert_ok(rpc_channel_open(&client->channel, url, &options, &err), &err);
	assert_ok(rpc_call_new(&client->call, client->channel, &err), &err);
}

void ps_client_open(struct ps_client *client, const char *url, const char *job, uint32_t worker,
	uint64_t incarnation)
{
	ps_client_open_impatient(client, url, job, worker, incarnation, 0);
}

void ps_client_close(struct ps_client *client)
{
	rpc_call_free(client->call);
	rpc_channel_close(client->channel);
}

static struct rpc_request request_of(struct ps_client *client, const char *method,
	const ProtobufCMessage *body, uint32_t deadline_ms)
{
	return (struct rpc_request){
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = method,
		.body = body,
		.deadline_ms = deadline_ms,
		.raw_bytes = client->raw_bytes,
		.write_raw = rpc_write_bytes,
		.context = client->raw,
	};
}

enum status ps_client_call(struct ps_client *client, const char *method,
	const ProtobufCMessage *body, uint32_t deadline_ms, struct rpc_reply *ret,
	struct error *err)
{
	struct rpc_request request = request_of(client, method, body, deadline_ms);
	struct rpc_reply reply = {0};
	enum status status = rpc_call_blocking(client->call, &request, &reply, err);
	client->raw_bytes = 0;
	if (ret)
		*ret = reply;
	return status;
}

enum status ps_client_join(struct ps_client *client, const struct ps_job *job, struct error *err)
{
	Marquee__Ps__V1__Optimizer optimizer = MARQUEE__PS__V1__OPTIMIZER__INIT;
	optimizer.name = (char *)job->optimizer;
	optimizer.learning_rate = 1;
	optimizer.epsilon = 1e-8f;
	Marquee__Ps__V1__TableSpec tables[2] = {
		MARQUEE__PS__V1__TABLE_SPEC__INIT, MARQUEE__PS__V1__TABLE_SPEC__INIT};
	tables[0].name = "user";
	tables[0].dim = PS_CLIENT_DIM;
	tables[0].init_limit = 0.5f;
	tables[0].optimizer = &optimizer;
	tables[1] = tables[0];
	tables[1].name = "movie";
	tables[1].dim = 3;
	tables[0].pooled = job->pooled;
	Marquee__Ps__V1__TableSpec *pointers[2] = {&tables[0], &tables[1]};
	Marquee__Ps__V1__JoinRequest request = MARQUEE__PS__V1__JOIN_REQUEST__INIT;
	request.job = (char *)job->name;
	request.worker = client->worker;
	request.workers = job->workers;
	request.lanes = job->lanes;
	request.mode = job->mode;
	request.staleness = job->staleness;
	request.seed = job->seed;
	request.first_step = job->first_step;
	request.generation = job->generation;
	request.after_incarnation = job->after_incarnation;
	request.n_tables = 2;
	request.tables = pointers;
	return ps_client_call(client, "Join", &request.base, QUICK_MS, NULL, err);
}

struct ps_server *ps_client_open_alone(struct ps_client *client, const struct ps_job *job)
{
	struct error err;
	struct ps_server *server;
	const struct ps_server_options options = {
		.listen_url = "tcp://127.0.0.1:0", .max_message_bytes = 1 << 20};
	assert_ok(ps_server_open(&server, &options, &err), &err);
	ps_client_open(client, ps_server_url(server), job->name, 0, 1);
	assert_ok(ps_client_join(client, job, &err), &err);
	return server;
}

void ps_client_leave(struct ps_client *client)
{
	struct error err;
	Marquee__Ps__V1__LeaveRequest request = MARQUEE__PS__V1__LEAVE_REQUEST__INIT;
	assert_ok(ps_client_call(client, "Leave", &request.base, QUICK_MS, NULL, &err), &err);
}

static void append(struct ps_client *client, const void *bytes, size_t size)
{
	ck_assert(size <= sizeof(client->raw) - client->raw_bytes);
	if (size > 0)
		memcpy(client->raw + client->raw_bytes, bytes, size);
	client->raw_bytes += size;
}

static void append_push(
	struct ps_client *client, const uint64_t *ids, const float *values, uint32_t n)
{
	append(client, ids, n * sizeof(*ids));
	for (uint32_t i = 0; i < n * PS_CLIENT_DIM; i++)
		append(client, &values[i / PS_CLIENT_DIM], sizeof(float));
}

static void start(struct ps_client *client, const char *method, const ProtobufCMessage *body,
	uint32_t deadline_ms)
{
	struct error err;
	struct rpc_request request = request_of(client, method, body, deadline_ms);
	assert_ok(rpc_call_start(client->call, &request, &err), &err);
}

void ps_client_start_pull(struct ps_client *client, uint64_t step, const uint64_t *ids, uint32_t n,
	uint32_t deadline_ms)
{
	Marquee__Ps__V1__TableIds table = MARQUEE__PS__V1__TABLE_IDS__INIT;
	Marquee__Ps__V1__TableIds *tables[] = {&table};
	Marquee__Ps__V1__PullRequest request = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	table.count = n;
	request.step = step;
	request.n_tables = 1;
	request.tables = tables;
	client->raw_bytes = 0;
	append(client, ids, n * sizeof(*ids));
	start(client, "Pull", &request.base, deadline_ms);
}

void ps_client_start_push(struct ps_client *client, uint64_t step, uint32_t slot,
	const uint64_t *ids, const float *values, uint32_t n, uint32_t deadline_ms)
{
	Marquee__Ps__V1__Segment segment = MARQUEE__PS__V1__SEGMENT__INIT;
	Marquee__Ps__V1__Segment *segments[] = {&segment};
	Marquee__Ps__V1__PushRequest request = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	segment.slot = slot;
	segment.count = n;
	request.step = step;
	request.n_segments = 1;
	request.segments = segments;
	client->raw_bytes = 0;
	append_push(client, ids, values, n);
	start(client, "Push", &request.base, deadline_ms);
}

void ps_client_start_push_pull(struct ps_client *client, uint64_t step, uint32_t slot,
	const uint64_t *ids, const float *values, uint32_t n, uint32_t deadline_ms)
{
	Marquee__Ps__V1__Segment segment = MARQUEE__PS__V1__SEGMENT__INIT;
	Marquee__Ps__V1__Segment *segments[] = {&segment};
	Marquee__Ps__V1__PushRequest push = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	segment.slot = slot;
	segment.count = n;
	push.step = step;
	push.n_segments = 1;
	push.segments = segments;
	Marquee__Ps__V1__TableIds table = MARQUEE__PS__V1__TABLE_IDS__INIT;
	Marquee__Ps__V1__TableIds *tables[] = {&table};
	Marquee__Ps__V1__PullRequest pull = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	table.count = n;
	pull.step = step + 1;
	pull.n_tables = 1;
	pull.tables = tables;
	Marquee__Ps__V1__PushPullRequest request = MARQUEE__PS__V1__PUSH_PULL_REQUEST__INIT;
	request.push = &push;
	request.pull = &pull;
	client->raw_bytes = 0;
	append_push(client, ids, values, n);
	append(client, ids, n * sizeof(*ids));
	start(client, "PushPull", &request.base, deadline_ms);
}

void ps_client_push_rows(struct ps_client *client, uint64_t step, uint32_t n)
{
	struct error err;
	uint64_t ids[PUSHED_MAX];
	float values[PUSHED_MAX];
	ck_assert_uint_le(n, PUSHED_MAX);
	for (uint32_t i = 0; i < n; i++) {
		ids[i] = i * i;
		values[i] = (float)i;
	}
	ps_client_start_push(client, step, 0, ids, values, n, QUICK_MS);
	assert_ok(ps_client_finish(client, NULL, n, &err), &err);
}

enum status ps_client_finish(struct ps_client *client, float *rows, uint32_t n, struct error *err)
{
	struct rpc_reply reply;
	enum status status = rpc_call_wait(client->call, &reply, err);
	client->raw_bytes = 0;
	if (status == STATUS_OK && rows) {
		ck_assert_uint_eq(reply.raw.size, n * PS_CLIENT_DIM * sizeof(float));
		memcpy(rows, reply.raw.data, reply.raw.size);
	}
	return status;
}

const Marquee__Ps__V1__StatsReply *ps_client_stats(struct ps_client *client)
{
	struct error err;
	struct rpc_reply reply;
	Marquee__Ps__V1__StatsRequest request = MARQUEE__PS__V1__STATS_REQUEST__INIT;
	assert_ok(ps_client_call(client, "Stats", &request.base, QUICK_MS, &reply, &err), &err);
	return (const void *)reply.body;
}

void ps_client_wait_for_parked(struct ps_client *client, uint32_t count)
{
	while (ps_client_stats(client)->parked_calls < count)
		sched_yield();
}

void ps_client_digest(struct ps_client *client, char text[33])
{
	struct error err;
	struct rpc_reply reply;
	Marquee__Ps__V1__DigestRequest request = MARQUEE__PS__V1__DIGEST_REQUEST__INIT;
	assert_ok(ps_client_call(client, "Digest", &request.base, QUICK_MS, &reply, &err), &err);
	const Marquee__Ps__V1__DigestReply *digest = (const void *)reply.body;
	snprintf(text, 33, "%016llx%016llx", (unsigned long long)digest->high,
		(unsigned long long)digest->low);
}
