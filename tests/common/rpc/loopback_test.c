/* A channel and a server that talk to each other, and what either refuses. */
#include "tests/common/rpc/echo_service.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS	  10000u
#define CALLS	  12
#define THREADS	  4
#define ROUNDS	  200
#define LARGE	  ((size_t)1 << 20)
#define TRANSPORT 3

static struct echo_service echo;
static struct rpc_server *server;

START_TEST(raw_data_comes_back_on_every_transport_and_in_every_size)
{
	char directory[PATH_SIZE], urls[TRANSPORT][PATH_SIZE + 16];
	scratch_open(directory);
	snprintf(urls[0], sizeof(urls[0]), "tcp://127.0.0.1:0");
	snprintf(urls[1], sizeof(urls[1]), "ipc://%s/socket", directory);
	snprintf(urls[2], sizeof(urls[2]), "inproc://echo");
	static const size_t sizes[] = {0, 4, 8, 12, 1000, LARGE, LARGE + 4};
	static unsigned char bytes[LARGE + 4];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	for (size_t t = 0; t < TRANSPORT; t++) {
		struct error err;
		struct rpc_server_options options = {.url = urls[t]};
		server = echo_open(&echo, &options);
		struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
		struct rpc_call *call = echo_call_new(channel);
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			Marquee__Ps__V1__PullRequest body;
			struct rpc_reply reply;
			struct rpc_request request = echo_request(&body, bytes, sizes[s], WAIT_MS);
			body.step = s;
			assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
			ck_assert_uint_eq(reply.raw.size, sizes[s]);
			ck_assert_mem_eq(reply.raw.data, bytes, sizes[s]);
			ck_assert_uint_eq((uintptr_t)reply.raw.data % sizeof(float), 0);
			ck_assert_uint_eq(
				((const Marquee__Ps__V1__PullReply *)reply.body)->step, s);
		}
		rpc_call_free(call);
		rpc_channel_close(channel);
		echo_close(&echo, server);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(an_unknown_method_or_service_is_unimplemented)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__PullRequest body;
	struct rpc_reply reply;
	struct rpc_request request = echo_request(&body, NULL, 0, WAIT_MS);
	request.method = "Pulll";
	assert_fails(rpc_call_start(call, &request, &err), STATUS_INVALID_ARGUMENT, &err,
		"no method Pulll");
	/* Services that only the client knows. */
	ProtobufCServiceDescriptor other = marquee__ps__v1__parameter_server__descriptor;
	other.name = "marquee.other.v1.Other";
	request.service = &other;
	request.method = "Pull";
	assert_fails(rpc_call_blocking(call, &request, &reply, &err), STATUS_UNIMPLEMENTED, &err,
		"no service 'marquee.other.v1.Other'");
	ProtobufCMethodDescriptor methods[16];
	memcpy(methods, other.methods, other.n_methods * sizeof(methods[0]));
	methods[1].name = "Pulk";
	other = marquee__ps__v1__parameter_server__descriptor;
	other.methods = methods;
	request.service = &other;
	request.method = "Pulk";
	assert_fails(rpc_call_blocking(call, &request, &reply, &err), STATUS_UNIMPLEMENTED, &err,
		"no method 'Pulk'");
	rpc_call_free(call);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(a_handlers_failure_arrives_with_its_status_and_words)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__DigestRequest body = MARQUEE__PS__V1__DIGEST_REQUEST__INIT;
	struct rpc_request request = {
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Digest",
		.body = &body.base,
		.deadline_ms = WAIT_MS,
	};
	struct rpc_reply reply;
	assert_fails(rpc_call_blocking(call, &request, &reply, &err), STATUS_DATA_LOSS, &err,
		"Digest: the disk is on fire");
	ck_assert_ptr_nonnull(strstr(err.message, rpc_server_url(server)));
	rpc_call_free(call);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

static void take_stats(const Marquee__Ps__V1__StatsReply *reply, void *closure_data)
{
	uint64_t *ret_sequence = closure_data;
	ck_assert_ptr_nonnull(reply);
	ck_assert_str_eq(reply->job, "the job");
	ck_assert_uint_eq(reply->shard_index, 3);
	*ret_sequence = reply->next_step;
}

START_TEST(generated_stubs_call_and_every_call_has_a_larger_sequence)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel_options options = {.job = "the job", .worker = 3};
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	struct rpc_stub stub;
	assert_ok(rpc_stub_init(&stub, channel, &marquee__ps__v1__parameter_server__descriptor,
			  WAIT_MS, &err),
		&err);
	Marquee__Ps__V1__StatsRequest request = MARQUEE__PS__V1__STATS_REQUEST__INIT;
	uint64_t last = 0;
	for (int i = 0; i < 5; i++) {
		uint64_t sequence = 0;
		marquee__ps__v1__parameter_server__stats(
			&stub.base, &request, take_stats, &sequence);
		ck_assert_int_eq(stub.error.status, STATUS_OK);
		ck_assert_uint_gt(sequence, last);
		last = sequence;
	}
	rpc_stub_fini(&stub);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(calls_answered_later_do_not_hold_up_others)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	struct rpc_call *calls[CALLS], *other = echo_call_new(channel);
	struct rpc_reply reply;
	Marquee__Ps__V1__PushRequest push;
	for (int i = 0; i < CALLS; i++) {
		calls[i] = echo_call_new(channel);
		struct rpc_request request = echo_push_request(&push, WAIT_MS);
		assert_ok(rpc_call_start(calls[i], &request, &err), &err);
	}
	echo_wait_for(&echo, CALLS);
	Marquee__Ps__V1__PullRequest pull;
	struct rpc_request request = echo_request(&pull, NULL, 0, WAIT_MS);
	assert_ok(rpc_call_blocking(other, &request, &reply, &err), &err);
	echo_release(&echo, false);
	for (int i = 0; i < CALLS; i++) {
		assert_ok(rpc_call_wait(calls[i], &reply, &err), &err);
		rpc_call_free(calls[i]);
	}
	rpc_call_free(other);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(a_token_is_asked_for_and_compared_whole)
{
	struct error err;
	struct rpc_server_options options = echo_any_port;
	options.token = "sesame";
	options.token_bytes = 6;
	server = echo_open(&echo, &options);
	static const char *const wrong[] = {"", "sesam", "sesames", "sesamE"};
	struct rpc_channel *channel;
	struct rpc_channel_options channel_options = {.connect_ms = WAIT_MS};
	for (size_t i = 0; i < 4; i++) {
		channel_options.token = wrong[i];
		channel_options.token_bytes = strlen(wrong[i]);
		assert_fails(
			rpc_channel_open(&channel, rpc_server_url(server), &channel_options, &err),
			STATUS_UNAUTHENTICATED, &err, "token");
		ck_assert_ptr_null(strstr(err.message, "sesam"));
	}
	channel_options.token = "sesame";
	channel_options.token_bytes = 6;
	rpc_channel_close(echo_connect(rpc_server_url(server), &channel_options));
	echo_close(&echo, server);
}
END_TEST

START_TEST(a_message_beyond_either_sides_limit_is_not_sent)
{
	struct error err;
	static unsigned char bytes[1 << 16];
	struct rpc_channel_options small = {.max_message_bytes = 1 << 15};
	for (int i = 0; i < 2; i++) {
		struct rpc_server_options options = echo_any_port;
		options.max_message_bytes = i == 0 ? 1 << 15 : 0;
		server = echo_open(&echo, &options);
		struct rpc_channel *channel =
			echo_connect(rpc_server_url(server), i == 0 ? NULL : &small);
		struct rpc_call *call = echo_call_new(channel);
		Marquee__Ps__V1__PullRequest body;
		struct rpc_request request = echo_request(&body, bytes, sizeof(bytes), WAIT_MS);
		struct rpc_reply reply;
		assert_fails(rpc_call_blocking(call, &request, &reply, &err),
			STATUS_RESOURCE_EXHAUSTED, &err, "larger than the limit of 32768");
		request.raw_bytes = 1 << 14;
		assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
		rpc_call_free(call);
		rpc_channel_close(channel);
		echo_close(&echo, server);
	}
}
END_TEST

START_TEST(addresses_that_others_reach_need_a_token)
{
	struct error err;
	static const char *const open[] = {"tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://10.1.2.3:0",
		"tcp://:0", "tcp://*:0", "tcp://127.0.0.1.example.com:0", "tls+tcp://0.0.0.0:0"};
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		struct rpc_server_options options = {.url = open[i]};
		assert_fails(rpc_server_open(&server, &options, NULL, 0, &err),
			STATUS_PERMISSION_DENIED, &err, "give a token");
	}
	struct rpc_server_options options = {
		.url = "tcp://0.0.0.0:0", .token = "x", .token_bytes = 1};
	assert_ok(rpc_server_open(&server, &options, NULL, 0, &err), &err);
	rpc_server_close(server);
}
END_TEST

START_TEST(an_address_in_use_is_refused_with_the_address)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_server *second;
	struct rpc_server_options options = {.url = rpc_server_url(server)};
	assert_fails(rpc_server_open(&second, &options, NULL, 0, &err), STATUS_ALREADY_EXISTS, &err,
		"address in use");
	ck_assert_ptr_nonnull(strstr(err.message, options.url));
	echo_close(&echo, server);
}
END_TEST

static void *call_many_times(void *context)
{
	struct rpc_channel *channel = context;
	struct rpc_call *call = echo_call_new(channel);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct error err;
		Marquee__Ps__V1__PullRequest body;
		struct rpc_reply reply;
		uint32_t words[64];
		for (uint32_t k = 0; k < 64; k++)
			words[k] = i * 64 + k;
		struct rpc_request request = echo_request(&body, words, sizeof(words), WAIT_MS);
		assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
		ck_assert_mem_eq(reply.raw.data, words, sizeof(words));
	}
	rpc_call_free(call);
	return NULL;
}

START_TEST(threads_share_a_channel)
{
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_many_times, channel);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(echo.pulls, THREADS * ROUNDS);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {raw_data_comes_back_on_every_transport_and_in_every_size,
		an_unknown_method_or_service_is_unimplemented,
		a_handlers_failure_arrives_with_its_status_and_words,
		generated_stubs_call_and_every_call_has_a_larger_sequence,
		calls_answered_later_do_not_hold_up_others, a_token_is_asked_for_and_compared_whole,
		a_message_beyond_either_sides_limit_is_not_sent,
		addresses_that_others_reach_need_a_token,
		an_address_in_use_is_refused_with_the_address, threads_share_a_channel, NULL};
	return run_cases("rpc_loopback", cases);
}
