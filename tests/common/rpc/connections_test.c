/* A server's connections: how many, who is refused, and who loses a place. */
#include "common/rpc/connections.h"

#include "common/base/clock.h"
#include "proto/rpc.pb-c.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/common/rpc/raw_peer.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT	     4u
#define WAIT_MS	     10000u
#define ROOM_S	     5.0
#define QUESTION_MAX ((size_t)256)
#define LARGE	     ((size_t)1 << 20)
#define DESCRIPTORS  64 /* more than this process has */
#define NS_PER_S     UINT64_C(1000000000)

static struct echo_service echo;
static struct rpc_server *server;
static atomic_uint_fast64_t time_ns = NS_PER_S;
static atomic_uint refused;
static char refused_peer[64];

static uint64_t now_ns(const struct clock *clock)
{
	(void)clock;
	return atomic_load(&time_ns);
}

static void on_refused(void *context, const char *peer, uint32_t limit)
{
	ck_assert_ptr_eq(context, &echo);
	ck_assert_uint_eq(limit, LIMIT);
	if (atomic_load(&refused) == 0)
		snprintf(refused_peer, sizeof(refused_peer), "%s", peer);
	atomic_fetch_add(&refused, 1);
}

static void open_all(const char *url, const char *token)
{
	static const struct clock clock = {.now_ns = now_ns};
	const struct rpc_server_options options = {.url = url,
		.token = token,
		.token_bytes = token ? strlen(token) : 0,
		.max_connections = LIMIT,
		.on_refused = on_refused,
		.refused_context = &echo,
		.clock = &clock};
	atomic_store(&refused, 0);
	server = echo_open(&echo, &options);
}

static void close_all(void)
{
	echo_close(&echo, server);
}

static struct rpc_server_stats stats(void)
{
	struct rpc_server_stats found;
	rpc_server_stats(server, &found);
	return found;
}

static void wait_for_connections(uint64_t count)
{
	while (stats().connections != count)
		sched_yield();
}

static struct rpc_channel *connect_with(const char *token)
{
	const struct rpc_channel_options options = {
		.connect_ms = WAIT_MS, .token = token, .token_bytes = token ? strlen(token) : 0};
	return echo_connect(rpc_server_url(server), &options);
}

/* A connection that makes the transport's handshake and says nothing. */
static int connect_silent(void)
{
	return raw_connect_greeting(rpc_server_url(server));
}

static void is_refused(void)
{
	const unsigned int before = atomic_load(&refused);
	int silent = connect_silent();
	/* It gets the server's greeting, and the end. */
	raw_drain(silent);
	close(silent);
	ck_assert_uint_eq(atomic_load(&refused), before + 1);
	ck_assert_uint_eq(stats().connections_refused, before + 1);
	ck_assert_uint_eq(stats().connections, LIMIT);
}

static void works(struct rpc_channel *channel)
{
	struct error err;
	struct rpc_call *call = echo_call_new(channel);
	struct rpc_reply reply;
	struct rpc_call_traffic traffic;
	Marquee__Ps__V1__PullRequest body;
	const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
	assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
	rpc_call_traffic(call, &traffic);
	ck_assert_uint_eq(traffic.messages, 2); /* its connection was never lost */
	rpc_call_free(call);
}

static void check_limit(const char *url)
{
	struct rpc_channel *channels[LIMIT];
	open_all(url, NULL);
	for (uint32_t i = 0; i < LIMIT; i++)
		channels[i] = connect_with(NULL);
	/* However long they have been there: they are let in. */
	atomic_fetch_add(&time_ns, 3600 * NS_PER_S);
	is_refused();
	for (uint32_t i = 0; i < LIMIT; i++)
		works(channels[i]);
	/* One that goes makes room. */
	rpc_channel_close(channels[0]);
	channels[0] = connect_with(NULL);
	is_refused();
	for (uint32_t i = 0; i < LIMIT; i++)
		rpc_channel_close(channels[i]);
	wait_for_connections(0);
	close_all();
}

START_TEST(connections_beyond_the_limit_are_refused_and_told_with_their_address)
{
	char directory[PATH_SIZE], url[128];
	check_limit("tcp://127.0.0.1:0");
	ck_assert_int_eq(strncmp(refused_peer, "127.0.0.1:", 10), 0);
	scratch_open(directory);
	snprintf(url, sizeof(url), "ipc://%.90s/s", directory);
	check_limit(url);
	ck_assert_str_eq(refused_peer, "a process of this machine");
	scratch_close(directory);
}
END_TEST

START_TEST(who_is_silent_keeps_a_place_for_five_seconds)
{
	int silent[2 * LIMIT];
	struct rpc_channel *worker, *another;
	open_all("tcp://127.0.0.1:0", "secret");
	for (uint32_t i = 0; i < LIMIT; i++)
		silent[i] = connect_silent();
	wait_for_connections(LIMIT);
	atomic_fetch_add(&time_ns, 4 * NS_PER_S);
	is_refused();
	atomic_fetch_add(&time_ns, NS_PER_S);
	worker = connect_with("secret");
	wait_for_connections(1);
	for (uint32_t i = 1; i < LIMIT; i++)
		silent[LIMIT + i] = connect_silent();
	wait_for_connections(LIMIT);
	is_refused();
	atomic_fetch_add(&time_ns, 5 * NS_PER_S);
	another = connect_with("secret");
	wait_for_connections(2);
	works(worker);
	works(another);
	rpc_channel_close(worker);
	rpc_channel_close(another);
	for (uint32_t i = 0; i < 2 * LIMIT; i++)
		if (i != LIMIT)
			close(silent[i]);
	close_all();
}
END_TEST

/* A question for the server's health with a token, and zeros behind it; returns what stands before
 * those. */
static size_t put_question(unsigned char at[QUESTION_MAX], const char *token, size_t raw_bytes)
{
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = "marquee.health.v1.Health";
	header.method = "Check";
	header.deadline_ms = WAIT_MS;
	header.job = "";
	header.token = (ProtobufCBinaryData){strlen(token), (uint8_t *)token};
	const size_t header_bytes = protobuf_c_message_get_packed_size(&header.base);
	const size_t size = rpc_frame_prefix_bytes(header_bytes, 0);
	const struct link_route route = link_route_of(1);
	const size_t head = raw_prefix(at, false, 4 + size + raw_bytes) + 4;
	ck_assert_uint_le(head + size, QUESTION_MAX);
	memcpy(at + head - 4, route.bytes, 4);
	rpc_frame_write(at + head, RPC_FRAME_REQUEST, header_bytes, 0, raw_bytes);
	protobuf_c_message_pack(&header.base, at + head + RPC_FRAME_FIXED_BYTES);
	return head + size;
}

/* A connection on which the server has spoken. */
static int connect_greeted(void)
{
	unsigned char greeting[RAW_GREETING_BYTES];
	int peer = connect_silent();
	raw_receive(peer, greeting, sizeof(greeting));
	return peer;
}

/* The answer is read. */
static void ask_with(int peer, const char *token)
{
	unsigned char question[QUESTION_MAX];
	raw_send(peer, question, put_question(question, token, 0));
	raw_receive(peer, question, RAW_PREFIX_BYTES + 4);
}

START_TEST(a_large_message_gets_no_memory_before_its_token_is_there)
{
	static const unsigned char zeros[LARGE];
	unsigned char question[QUESTION_MAX];
	open_all("tcp://127.0.0.1:0", "secret");
	int wrong = connect_greeted();
	raw_send(wrong, question, put_question(question, "secrex", LARGE));
	raw_drain(wrong);
	close(wrong);
	/* Nor one that is no request. */
	wrong = connect_greeted();
	raw_send(wrong, question, raw_prefix(question, false, LARGE));
	raw_send(wrong, zeros, QUESTION_MAX);
	raw_drain(wrong);
	close(wrong);
	/* However the head comes. */
	int right = connect_greeted();
	const size_t size = put_question(question, "secret", LARGE);
	for (size_t i = 0; i < size; i++)
		raw_send(right, question + i, 1);
	raw_send(right, zeros, LARGE);
	raw_receive(right, question, RAW_PREFIX_BYTES + 4);
	close(right);
	close_all();
}
END_TEST

START_TEST(a_wrong_token_keeps_a_place_no_longer_than_silence)
{
	int wrong[LIMIT];
	open_all("tcp://127.0.0.1:0", "secret");
	for (uint32_t i = 0; i < LIMIT; i++) {
		wrong[i] = connect_greeted();
		ask_with(wrong[i], "secrex");
	}
	wait_for_connections(LIMIT);
	atomic_fetch_add(&time_ns, 5 * NS_PER_S);
	struct rpc_channel *worker = connect_with("secret");
	wait_for_connections(1);
	works(worker);
	rpc_channel_close(worker);
	for (uint32_t i = 0; i < LIMIT; i++)
		close(wrong[i]);
	close_all();
}
END_TEST

START_TEST(a_handshake_in_pieces_has_no_more_time)
{
	unsigned char greeting[RAW_GREETING_BYTES];
	open_all("tcp://127.0.0.1:0", NULL);
	int slow = raw_connect(rpc_server_url(server));
	raw_receive(slow, greeting, sizeof(greeting));
	raw_send(slow, raw_req, 1);
	atomic_fetch_add(&time_ns, 10 * NS_PER_S);
	raw_send(slow, raw_req + 1, RAW_GREETING_BYTES - 1);
	raw_drain(slow);
	ck_assert_uint_eq(stats().connections, 0);
	close(slow);
	close_all();
}
END_TEST

/* There are no more descriptors, and somebody gets in all the same. */
static void comes_without_descriptors(void)
{
	struct rlimit before, few;
	int taken[DESCRIPTORS];
	uint32_t count = 0;
	unsigned char greeting[RAW_GREETING_BYTES];
	int late = raw_socket(rpc_server_url(server));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = DESCRIPTORS;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while ((taken[count] = dup(late)) >= 0)
		count++;
	const uint64_t start_ns = clock_now_ns(clock_real());
	raw_connect_socket(late, rpc_server_url(server));
	raw_send(late, raw_req, sizeof(raw_req));
	raw_receive(late, greeting, sizeof(greeting));
	/* Sooner than any handshake ends by itself. */
	ck_assert(clock_seconds_since(clock_real(), start_ns) < ROOM_S);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	while (count > 0)
		close(taken[--count]);
	close(late);
}

START_TEST(who_has_no_right_to_a_descriptor_gives_it_to_who_comes)
{
	int strangers[LIMIT];
	unsigned char greeting[RAW_GREETING_BYTES];
	open_all("tcp://127.0.0.1:0", NULL);
	/* They make no handshake. */
	for (uint32_t i = 0; i < LIMIT; i++) {
		strangers[i] = raw_connect(rpc_server_url(server));
		raw_receive(strangers[i], greeting, sizeof(greeting));
	}
	comes_without_descriptors();
	wait_for_connections(0);
	for (uint32_t i = 0; i < LIMIT; i++)
		close(strangers[i]);
	/* They make one, and say nothing. */
	for (uint32_t i = 0; i < LIMIT; i++)
		strangers[i] = connect_silent();
	wait_for_connections(LIMIT);
	atomic_fetch_add(&time_ns, 5 * NS_PER_S);
	comes_without_descriptors();
	for (uint32_t i = 0; i < LIMIT; i++)
		close(strangers[i]);
	close_all();
}
END_TEST

START_TEST(a_limit_that_cannot_be_is_refused)
{
	struct error err;
	struct rpc_server *none;
	const struct rpc_server_options options = {
		.url = "inproc://limits", .max_connections = RPC_CONNECTIONS_MAX + 1};
	assert_fails(rpc_server_open(&none, &options, NULL, 0, &err), STATUS_INVALID_ARGUMENT, &err,
		"at most 65536 connections");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		connections_beyond_the_limit_are_refused_and_told_with_their_address,
		who_is_silent_keeps_a_place_for_five_seconds,
		a_wrong_token_keeps_a_place_no_longer_than_silence,
		a_large_message_gets_no_memory_before_its_token_is_there,
		a_handshake_in_pieces_has_no_more_time,
		who_has_no_right_to_a_descriptor_gives_it_to_who_comes,
		a_limit_that_cannot_be_is_refused, NULL};
	return run_cases("connections", cases);
}
