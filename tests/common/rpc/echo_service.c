#include "tests/common/rpc/echo_service.h"

#include "common/base/clock.h"
#include "common/rpc/frame.h"
#include "proto/rpc.pb-c.h"
#include "tests/support/suite.h"

#include <string.h>

#define WAIT_MS 10000u

const struct rpc_server_options echo_any_port = {.url = "tcp://127.0.0.1:0"};

static void echo_pull(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PullRequest *input, Marquee__Ps__V1__PullReply_Closure closure,
	void *closure_data)
{
	struct echo_service *echo = (struct echo_service *)service;
	struct rpc_bytes raw = rpc_server_call_raw(closure_data);
	unsigned char *out;
	struct error err;
	pthread_mutex_lock(&echo->lock);
	echo->pulls++;
	pthread_mutex_unlock(&echo->lock);
	if (rpc_server_call_reserve(closure_data, raw.size, &out, &err) != STATUS_OK) {
		rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	if (raw.size > 0)
		memcpy(out, raw.data, raw.size);
	Marquee__Ps__V1__PullReply reply = MARQUEE__PS__V1__PULL_REPLY__INIT;
	reply.step = input->step;
	closure(&reply, closure_data);
}

static void echo_push(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PushRequest *input, Marquee__Ps__V1__PushReply_Closure closure,
	void *closure_data)
{
	(void)input;
	struct echo_service *echo = (struct echo_service *)service;
	pthread_mutex_lock(&echo->lock);
	if (echo->stopping) {
		pthread_mutex_unlock(&echo->lock);
		Marquee__Ps__V1__PushReply reply = MARQUEE__PS__V1__PUSH_REPLY__INIT;
		closure(&reply, closure_data);
		return;
	}
	ck_assert(echo->waiting_count < ECHO_WAITING_MAX);
	echo->waiting[echo->waiting_count++] = closure_data;
	pthread_cond_broadcast(&echo->changed);
	pthread_mutex_unlock(&echo->lock);
}

static void echo_digest(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__DigestRequest *input, Marquee__Ps__V1__DigestReply_Closure closure,
	void *closure_data)
{
	(void)service;
	(void)input;
	(void)closure;
	rpc_server_call_fail(closure_data, STATUS_DATA_LOSS, "the %s is on fire", "disk");
}

static void echo_stats(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__StatsRequest *input, Marquee__Ps__V1__StatsReply_Closure closure,
	void *closure_data)
{
	(void)service;
	(void)input;
	const struct rpc_caller *caller = rpc_server_call_caller(closure_data);
	Marquee__Ps__V1__StatsReply reply = MARQUEE__PS__V1__STATS_REPLY__INIT;
	reply.job = (char *)caller->job;
	reply.shard_index = caller->worker;
	reply.next_step = caller->sequence;
	closure(&reply, closure_data);
}

static void init(struct echo_service *echo)
{
	static const Marquee__Ps__V1__ParameterServer_Service service = {
		.base = {&marquee__ps__v1__parameter_server__descriptor,
			protobuf_c_service_invoke_internal, NULL},
		.pull = echo_pull,
		.push = echo_push,
		.digest = echo_digest,
		.stats = echo_stats,
	};
	*echo = (struct echo_service){.service = service};
	pthread_mutex_init(&echo->lock, NULL);
	pthread_cond_init(&echo->changed, NULL);
}

void echo_wait_for(struct echo_service *echo, uint32_t count)
{
	pthread_mutex_lock(&echo->lock);
	while (echo->waiting_count < count)
		pthread_cond_wait(&echo->changed, &echo->lock);
	pthread_mutex_unlock(&echo->lock);
}

uint32_t echo_release(struct echo_service *echo, bool fail)
{
	struct rpc_server_call *calls[ECHO_WAITING_MAX];
	pthread_mutex_lock(&echo->lock);
	uint32_t count = echo->waiting_count;
	memcpy(calls, echo->waiting, sizeof(calls));
	echo->waiting_count = 0;
	pthread_mutex_unlock(&echo->lock);
	Marquee__Ps__V1__PushReply reply = MARQUEE__PS__V1__PUSH_REPLY__INIT;
	for (uint32_t i = 0; i < count; i++) {
		if (fail)
			rpc_server_call_fail(calls[i], STATUS_UNAVAILABLE, "not now");
		else
			rpc_server_call_reply(calls[i], &reply.base);
	}
	return count;
}

struct rpc_server *echo_open(struct echo_service *echo, const struct rpc_server_options *options)
{
	struct error err;
	struct rpc_server *server;
	ProtobufCService *services[] = {&echo->service.base};
	init(echo);
	assert_ok(rpc_server_open(&server, options, services, 1, &err), &err);
	return server;
}

void echo_close(struct echo_service *echo, struct rpc_server *server)
{
	/* From now on every Push is answered at once: a late repeat must not stay. */
	pthread_mutex_lock(&echo->lock);
	echo->stopping = true;
	pthread_mutex_unlock(&echo->lock);
	(void)echo_release(echo, false);
	rpc_server_close(server);
	pthread_cond_destroy(&echo->changed);
	pthread_mutex_destroy(&echo->lock);
}

void echo_close_in_time(struct echo_service *echo, struct rpc_server *server)
{
	const uint64_t start_ns = clock_now_ns(clock_real());
	echo_close(echo, server);
	ck_assert(clock_seconds_since(clock_real(), start_ns) < ECHO_CLOSE_S);
}

struct rpc_channel *echo_connect(const char *url, const struct rpc_channel_options *options)
{
	struct error err;
	struct rpc_channel *channel;
	struct rpc_channel_options none = {0};
	assert_ok(rpc_channel_open(&channel, url, options ? options : &none, &err), &err);
	return channel;
}

struct rpc_request echo_request(
	Marquee__Ps__V1__PullRequest *body, const void *raw, size_t raw_bytes, uint32_t deadline_ms)
{
	marquee__ps__v1__pull_request__init(body);
	return (struct rpc_request){
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Pull",
		.body = &body->base,
		.deadline_ms = deadline_ms,
		.raw_bytes = raw_bytes,
		.write_raw = rpc_write_bytes,
		.context = (void *)raw,
	};
}

struct rpc_request echo_push_request(Marquee__Ps__V1__PushRequest *body, uint32_t deadline_ms)
{
	marquee__ps__v1__push_request__init(body);
	return (struct rpc_request){
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Push",
		.body = &body->base,
		.deadline_ms = deadline_ms,
	};
}

struct rpc_call *echo_call_new(struct rpc_channel *channel)
{
	struct error err;
	struct rpc_call *call;
	assert_ok(rpc_call_new(&call, channel, &err), &err);
	return call;
}

void echo_works(struct rpc_channel *channel)
{
	struct error err;
	struct rpc_call *call = echo_call_new(channel);
	struct rpc_reply reply;
	Marquee__Ps__V1__PullRequest body;
	const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
	assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
	ck_assert_uint_eq(reply.raw.size, 4);
	ck_assert_mem_eq(reply.raw.data, "here", 4);
	rpc_call_free(call);
}

size_t echo_pull_frame(unsigned char *at, size_t raw_bytes, uint32_t deadline_ms)
{
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = "marquee.ps.v1.ParameterServer";
	header.method = "Pull";
	header.deadline_ms = deadline_ms;
	header.job = "";
	const size_t header_bytes = protobuf_c_message_get_packed_size(&header.base);
	const size_t size = rpc_frame_prefix_bytes(header_bytes, 0) + raw_bytes;
	memset(at, 0, size);
	rpc_frame_write(at, RPC_FRAME_REQUEST, header_bytes, 0, raw_bytes);
	protobuf_c_message_pack(&header.base, at + RPC_FRAME_FIXED_BYTES);
	return size;
}
