/* A server whose calls are few, whose clients do not read, or which ends while they are there. */
#include "common/base/clock.h"
#include "common/rpc/link_wire.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/common/rpc/raw_peer.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS	     10000u
#define CALLS	     20u
#define LIMIT	     2u
#define STRANGERS    (16u * LIMIT)
#define FEW_FLOODERS 3u
#define FLOODERS     24u /* so many that one of them is always being answered */
#define RAW_BYTES    ((size_t)32 << 10)
#define SILENT_MS    100
#define FRAME_MAX    ((size_t)1024)
#define REQUESTS     50u
#define TRANSPORTS   2

static struct echo_service echo;
static struct rpc_server *server;

/* ---- few calls at a time ---- */

/* Answers what waits until all have been answered. */
static void *release_all(void *context)
{
	const uint32_t *count = context;
	for (uint32_t answered = 0; answered < *count;) {
		echo_wait_for(&echo, 1);
		answered += echo_release(&echo, false);
	}
	return NULL;
}

static void check_max_calls(uint32_t max_calls, uint32_t channel_count)
{
	struct error err;
	struct rpc_channel *channels[2];
	struct rpc_call *calls[CALLS];
	struct rpc_reply reply;
	Marquee__Ps__V1__PushRequest push;
	struct rpc_server_options options = echo_any_port;
	pthread_t thread;
	uint32_t count = CALLS;
	options.max_calls = max_calls;
	server = echo_open(&echo, &options);
	for (uint32_t i = 0; i < channel_count; i++)
		channels[i] = echo_connect(rpc_server_url(server), NULL);
	for (uint32_t i = 0; i < CALLS; i++) {
		const struct rpc_request request = echo_push_request(&push, WAIT_MS);
		calls[i] = echo_call_new(channels[i % channel_count]);
		assert_ok(rpc_call_start(calls[i], &request, &err), &err);
	}
	echo_wait_for(&echo, max_calls);
	pthread_create(&thread, NULL, release_all, &count);
	for (uint32_t i = 0; i < CALLS; i++) {
		struct rpc_call_traffic traffic;
		assert_ok(rpc_call_wait(calls[i], &reply, &err), &err);
		rpc_call_traffic(calls[i], &traffic);
		ck_assert_uint_eq(traffic.messages, 2); /* no repeat was needed */
		rpc_call_free(calls[i]);
	}
	pthread_join(thread, NULL);
	for (uint32_t i = 0; i < channel_count; i++) {
		echo_works(channels[i]);
		rpc_channel_close(channels[i]);
	}
	echo_close_in_time(&echo, server);
}

START_TEST(calls_beyond_the_limit_wait_and_none_is_lost)
{
	for (uint32_t channels = 1; channels <= 2; channels++) {
		check_max_calls(1, channels);
		check_max_calls(3, channels);
	}
}
END_TEST

/* ---- clients that do not read ---- */

/* A request for Pull as it goes over TCP; returns its size. */
static size_t make_pull(unsigned char *at, uint32_t number, size_t raw_bytes)
{
	const struct link_route route = link_route_of(number);
	const size_t head = RAW_PREFIX_BYTES + sizeof(route.bytes);
	const size_t size = echo_pull_frame(at + head, raw_bytes, WAIT_MS);
	(void)raw_prefix(at, false, sizeof(route.bytes) + size);
	memcpy(at + RAW_PREFIX_BYTES, route.bytes, sizeof(route.bytes));
	return head + size;
}

/* Sends requests until the other side takes no more; their answers are not read. */
static void stuff(int peer)
{
	static unsigned char pull[RAW_BYTES + FRAME_MAX];
	const size_t size = make_pull(pull, 1, RAW_BYTES);
	struct pollfd ready = {.fd = peer, .events = POLLOUT};
	size_t done = 0;
	ck_assert_int_eq(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
	/* It takes none for so long: the server has stopped reading. */
	while (poll(&ready, 1, SILENT_MS) == 1) {
		const ssize_t sent = send(peer, pull + done, size - done, MSG_NOSIGNAL);
		ck_assert(sent > 0 || errno == EAGAIN);
		done = sent > 0 ? (done + (size_t)sent) % size : done;
	}
}

/* ---- closing ---- */

struct flooder {
	pthread_t threads[2];
	int peer;
};

/* Until the server has closed. */
static void *flood(void *context)
{
	const struct flooder *flooder = context;
	unsigned char pulls[64 * FRAME_MAX];
	size_t size = 0;
	for (uint32_t i = 0; i < 64; i++)
		size += make_pull(pulls + size, i, 0);
	while (send(flooder->peer, pulls, size, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *drain(void *context)
{
	const struct flooder *flooder = context;
	raw_drain(flooder->peer);
	return NULL;
}

/* Of whom the server has answered some. */
static void start_flooders(struct flooder *flooders, uint32_t count)
{
	struct rpc_server_stats before, stats;
	rpc_server_stats(server, &before);
	for (uint32_t i = 0; i < count; i++) {
		flooders[i].peer = raw_connect_greeting(rpc_server_url(server));
		pthread_create(&flooders[i].threads[0], NULL, flood, &flooders[i]);
		pthread_create(&flooders[i].threads[1], NULL, drain, &flooders[i]);
	}
	do
		rpc_server_stats(server, &stats);
	while (stats.requests < before.requests + 1000);
}

START_TEST(who_floods_or_does_not_read_disturbs_nobody_else_and_no_close)
{
	struct flooder flooders[FLOODERS];
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	int peer = raw_connect_greeting(rpc_server_url(server));
	stuff(peer);
	for (uint32_t i = 0; i < REQUESTS; i++)
		echo_works(channel);
	start_flooders(flooders, FEW_FLOODERS);
	struct rpc_channel *later = echo_connect(rpc_server_url(server), NULL);
	echo_works(later);
	echo_works(channel);
	rpc_channel_close(later);
	rpc_channel_close(channel);
	start_flooders(flooders + FEW_FLOODERS, FLOODERS - FEW_FLOODERS);
	echo_close_in_time(&echo, server);
	for (uint32_t i = 0; i < FLOODERS; i++) {
		pthread_join(flooders[i].threads[0], NULL);
		pthread_join(flooders[i].threads[1], NULL);
		close(flooders[i].peer);
	}
	close(peer);
}
END_TEST

START_TEST(a_server_closes_whatever_its_clients_are_in_the_middle_of)
{
	char directory[PATH_SIZE], urls[TRANSPORTS][PATH_SIZE + 16];
	unsigned char pull[FRAME_MAX];
	const size_t size = make_pull(pull, 1, 8);
	scratch_open(directory);
	snprintf(urls[0], sizeof(urls[0]), "tcp://127.0.0.1:0");
	snprintf(urls[1], sizeof(urls[1]), "ipc://%s/s", directory);
	for (int t = 0; t < TRANSPORTS; t++) {
		int peers[6];
		unsigned char greeting[RAW_GREETING_BYTES];
		const struct rpc_server_options options = {.url = urls[t]};
		server = echo_open(&echo, &options);
		const char *url = rpc_server_url(server);
		struct rpc_channel *idle = echo_connect(url, NULL);
		peers[0] = raw_connect(url);
		peers[1] = raw_connect(url);
		raw_send(peers[1], raw_req, 3);
		for (int i = 2; i < 6; i++)
			peers[i] = raw_connect_greeting(url);
		/* The mark of a local socket stands in front. */
		for (int i = 3; t == 1 && i < 6; i++)
			raw_send(peers[i], "\1", 1);
		raw_send(peers[3], pull, 5);
		raw_send(peers[4], pull, size - 1);
		raw_send(peers[5], pull, size);
		for (int i = 0; i < 6; i++) /* the server knows them all */
			raw_receive(peers[i], greeting, sizeof(greeting));
		echo_close_in_time(&echo, server);
		for (int i = 0; i < 6; i++) {
			raw_drain(peers[i]);
			close(peers[i]);
		}
		rpc_channel_close(idle);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(a_client_that_goes_at_once_leaves_nothing_behind)
{
	struct error err;
	struct rpc_server_stats stats;
	server = echo_open(&echo, &echo_any_port);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
		struct rpc_call *call = echo_call_new(channel);
		Marquee__Ps__V1__PullRequest body;
		const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
		assert_ok(rpc_call_start(call, &request, &err), &err);
		rpc_call_free(call);
		rpc_channel_close(channel);
	}
	const uint64_t start_ns = clock_now_ns(clock_real());
	do {
		rpc_server_stats(server, &stats);
		ck_assert(clock_seconds_since(clock_real(), start_ns) < ECHO_CLOSE_S);
	} while (stats.connections > 0);
	echo_close_in_time(&echo, server);
}
END_TEST

/* ---- who makes no handshake ---- */

START_TEST(many_that_make_no_handshake_keep_nobody_out)
{
	int strangers[STRANGERS];
	struct rpc_server_options options = echo_any_port;
	options.max_connections = LIMIT;
	server = echo_open(&echo, &options);
	for (uint32_t i = 0; i < STRANGERS; i++)
		strangers[i] = raw_connect(rpc_server_url(server));
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	echo_works(channel);
	rpc_channel_close(channel);
	/* The oldest had to go. */
	raw_drain(strangers[0]);
	echo_close_in_time(&echo, server);
	for (uint32_t i = 0; i < STRANGERS; i++)
		close(strangers[i]);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {calls_beyond_the_limit_wait_and_none_is_lost,
		a_server_closes_whatever_its_clients_are_in_the_middle_of,
		a_client_that_goes_at_once_leaves_nothing_behind,
		many_that_make_no_handshake_keep_nobody_out,
		who_floods_or_does_not_read_disturbs_nobody_else_and_no_close, NULL};
	return run_cases("rpc_server_limits", cases);
}
