/* A server whose calls are few, whose clients do not read, or which ends while they are there. */
#include "common/rpc/connections.h"

#include "common/base/clock.h"
#include "proto/rpc.pb-c.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/common/rpc/raw_peer.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS	   10000u
#define CLOSE_S	   5.0 /* a server that closes waits a second for its clients to read */
#define CALLS	   20u
#define LIMIT	   2u
#define STRANGERS  (16u * LIMIT)
#define FLOODERS   3u
#define RAW_BYTES  ((size_t)32 << 10)
#define SILENT_MS  100
#define FRAME_MAX  ((size_t)1024)
#define REQUESTS   50u
#define TRANSPORTS 2

static struct echo_service echo;
static struct rpc_server *server;

static void open_echo(const struct rpc_server_options *options)
{
	echo_init(&echo);
	server = echo_open(&echo, options);
}

/* Within a few seconds, whatever the clients do. */
static void close_echo(void)
{
	const uint64_t start_ns = clock_now_ns(clock_real());
	echo_stop(&echo);
	rpc_server_close(server);
	ck_assert(clock_seconds_since(clock_real(), start_ns) < CLOSE_S);
	echo_fini(&echo);
}

static const struct rpc_server_options any_port = {.url = "tcp://127.0.0.1:0"};

static struct rpc_call *new_call(struct rpc_channel *channel)
{
	struct error err;
	struct rpc_call *call;
	assert_ok(rpc_call_new(&call, channel, &err), &err);
	return call;
}

static struct rpc_request push_request(Marquee__Ps__V1__PushRequest *body)
{
	marquee__ps__v1__push_request__init(body);
	return (struct rpc_request){
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Push",
		.body = &body->base,
		.deadline_ms = WAIT_MS,
	};
}

static void works(struct rpc_channel *channel)
{
	struct error err;
	struct rpc_call *call = new_call(channel);
	struct rpc_reply reply;
	Marquee__Ps__V1__PullRequest body;
	const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
	assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
	ck_assert_uint_eq(reply.raw.size, 4);
	ck_assert_mem_eq(reply.raw.data, "here", 4);
	rpc_call_free(call);
}

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
	struct rpc_server_options options = any_port;
	pthread_t thread;
	uint32_t count = CALLS;
	options.max_calls = max_calls;
	open_echo(&options);
	for (uint32_t i = 0; i < channel_count; i++)
		channels[i] = echo_connect(rpc_server_url(server), NULL);
	for (uint32_t i = 0; i < CALLS; i++) {
		const struct rpc_request request = push_request(&push);
		calls[i] = new_call(channels[i % channel_count]);
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
		works(channels[i]);
		rpc_channel_close(channels[i]);
	}
	close_echo();
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
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = "marquee.ps.v1.ParameterServer";
	header.method = "Pull";
	header.deadline_ms = WAIT_MS;
	header.job = "";
	const size_t header_bytes = protobuf_c_message_get_packed_size(&header.base);
	const size_t frame = rpc_frame_prefix_bytes(header_bytes, 0);
	const size_t head = raw_prefix(at, false, 4 + frame + raw_bytes);
	const unsigned char route[4] = {(unsigned char)(0x80 | number >> 24),
		(unsigned char)(number >> 16), (unsigned char)(number >> 8), (unsigned char)number};
	memcpy(at + head, route, 4);
	unsigned char *out = at + head + 4;
	memset(out, 0, frame + raw_bytes);
	rpc_frame_write(out, RPC_FRAME_REQUEST, header_bytes, 0, raw_bytes);
	protobuf_c_message_pack(&header.base, out + RPC_FRAME_FIXED_BYTES);
	return head + 4 + frame + raw_bytes;
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

START_TEST(requests_that_nngs_req_gives_up_disturb_nobody)
{
	static unsigned char pull[RAW_BYTES + FRAME_MAX];
	const size_t head = RAW_PREFIX_BYTES + 4, size = make_pull(pull, 1, RAW_BYTES) - head;
	nng_socket peer;
	nng_ctx contexts[REQUESTS];
	nng_aio *aios[REQUESTS];
	open_echo(&any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	ck_assert_int_eq(nng_req0_open(&peer), 0);
	ck_assert_int_eq(nng_dial(peer, rpc_server_url(server), NULL, 0), 0);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		nng_msg *msg;
		ck_assert_int_eq(nng_ctx_open(&contexts[i], peer), 0);
		ck_assert_int_eq(nng_aio_alloc(&aios[i], NULL, NULL), 0);
		ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
		ck_assert_int_eq(nng_msg_append(msg, pull + head, size), 0);
		nng_aio_set_msg(aios[i], msg);
		nng_ctx_send(contexts[i], aios[i]);
	}
	for (uint32_t i = 0; i < REQUESTS; i++)
		works(channel);
	rpc_channel_close(channel);
	close_echo();
	nng_close(peer);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		nng_aio_wait(aios[i]);
		if (nng_aio_result(aios[i]) != 0)
			nng_msg_free(nng_aio_get_msg(aios[i]));
		nng_aio_free(aios[i]);
	}
}
END_TEST

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

START_TEST(who_floods_or_does_not_read_disturbs_nobody_else_and_no_close)
{
	struct flooder flooders[FLOODERS];
	struct rpc_server_stats stats = {0};
	open_echo(&any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	int peer = raw_connect_greeting(rpc_server_url(server));
	stuff(peer);
	for (uint32_t i = 0; i < REQUESTS; i++)
		works(channel);
	for (uint32_t i = 0; i < FLOODERS; i++) {
		flooders[i].peer = raw_connect_greeting(rpc_server_url(server));
		pthread_create(&flooders[i].threads[0], NULL, flood, &flooders[i]);
		pthread_create(&flooders[i].threads[1], NULL, drain, &flooders[i]);
	}
	while (stats.requests < 1000)
		rpc_server_stats(server, &stats);
	struct rpc_channel *later = echo_connect(rpc_server_url(server), NULL);
	works(later);
	works(channel);
	rpc_channel_close(later);
	rpc_channel_close(channel);
	close_echo();
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
		open_echo(&options);
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
		close_echo();
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
	open_echo(&any_port);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
		struct rpc_call *call = new_call(channel);
		Marquee__Ps__V1__PullRequest body;
		const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
		assert_ok(rpc_call_start(call, &request, &err), &err);
		rpc_call_free(call);
		rpc_channel_close(channel);
	}
	const uint64_t start_ns = clock_now_ns(clock_real());
	do {
		rpc_server_stats(server, &stats);
		ck_assert(clock_seconds_since(clock_real(), start_ns) < CLOSE_S);
	} while (stats.connections > 0);
	close_echo();
}
END_TEST

/* ---- who makes no handshake ---- */

START_TEST(many_that_make_no_handshake_keep_nobody_out)
{
	int strangers[STRANGERS];
	struct rpc_server_options options = any_port;
	options.max_connections = LIMIT;
	open_echo(&options);
	for (uint32_t i = 0; i < STRANGERS; i++)
		strangers[i] = raw_connect(rpc_server_url(server));
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	works(channel);
	rpc_channel_close(channel);
	/* The oldest had to go. */
	raw_drain(strangers[0]);
	close_echo();
	for (uint32_t i = 0; i < STRANGERS; i++)
		close(strangers[i]);
}
END_TEST

/* ---- nng's own sockets ---- */

START_TEST(nngs_own_req_is_served)
{
	char directory[PATH_SIZE], urls[TRANSPORTS][PATH_SIZE + 16];
	static unsigned char pull[RAW_BYTES + FRAME_MAX];
	const size_t head = RAW_PREFIX_BYTES + 4;
	scratch_open(directory);
	snprintf(urls[0], sizeof(urls[0]), "tcp://127.0.0.1:0");
	snprintf(urls[1], sizeof(urls[1]), "ipc://%s/s", directory);
	for (int t = 0; t < TRANSPORTS; t++) {
		nng_socket peer;
		const struct rpc_server_options options = {.url = urls[t]};
		open_echo(&options);
		ck_assert_int_eq(nng_req0_open(&peer), 0);
		ck_assert_int_eq(nng_socket_set_ms(peer, NNG_OPT_RECVTIMEO, WAIT_MS), 0);
		ck_assert_int_eq(nng_dial(peer, rpc_server_url(server), NULL, 0), 0);
		for (size_t raw_bytes = 0; raw_bytes <= RAW_BYTES; raw_bytes += RAW_BYTES / 8) {
			struct error err;
			struct rpc_frame frame;
			nng_msg *msg;
			const size_t size = make_pull(pull, 1, raw_bytes) - head;
			memset(pull + head + size - raw_bytes, 7, raw_bytes);
			ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
			ck_assert_int_eq(nng_msg_append(msg, pull + head, size), 0);
			ck_assert_int_eq(nng_sendmsg(peer, msg, 0), 0);
			ck_assert_int_eq(nng_recvmsg(peer, &msg, 0), 0);
			assert_ok(rpc_frame_parse(&frame, RPC_FRAME_RESPONSE, nng_msg_body(msg),
					  nng_msg_len(msg), &err),
				&err);
			ck_assert_uint_eq(frame.raw.size, raw_bytes);
			ck_assert_mem_eq(frame.raw.data, pull + head + size - raw_bytes, raw_bytes);
			nng_msg_free(msg);
		}
		nng_close(peer);
		close_echo();
	}
	scratch_close(directory);
}
END_TEST

/* Answers every request with an empty body and its raw part, until the socket is closed. */
static void *serve_by_rep(void *context)
{
	const nng_socket *rep = context;
	nng_msg *msg;
	while (nng_recvmsg(*rep, &msg, 0) == 0) {
		struct error err;
		struct rpc_frame frame;
		Marquee__Rpc__V1__ResponseHeader header = MARQUEE__RPC__V1__RESPONSE_HEADER__INIT;
		ck_assert_uint_eq(protobuf_c_message_get_packed_size(&header.base), 0);
		assert_ok(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, nng_msg_body(msg),
				  nng_msg_len(msg), &err),
			&err);
		unsigned char start[RPC_FRAME_FIXED_BYTES];
		nng_msg *answer;
		rpc_frame_write(start, RPC_FRAME_RESPONSE, 0, 0, frame.raw.size);
		ck_assert_int_eq(nng_msg_alloc(&answer, 0), 0);
		ck_assert_int_eq(nng_msg_append(answer, start, sizeof(start)), 0);
		ck_assert_int_eq(nng_msg_append(answer, frame.raw.data, frame.raw.size), 0);
		nng_msg_free(msg);
		ck_assert_int_eq(nng_sendmsg(*rep, answer, 0), 0);
	}
	return NULL;
}

START_TEST(nngs_own_rep_serves_a_channel)
{
	char directory[PATH_SIZE], url[PATH_SIZE + 16] = "tcp://127.0.0.1:0";
	scratch_open(directory);
	for (int t = 0; t < TRANSPORTS; t++) {
		nng_socket rep;
		nng_listener listener;
		pthread_t thread;
		int port;
		if (t == 1)
			snprintf(url, sizeof(url), "ipc://%s/s", directory);
		ck_assert_int_eq(nng_rep0_open(&rep), 0);
		ck_assert_int_eq(nng_listen(rep, url, &listener, 0), 0);
		if (t == 0) {
			ck_assert_int_eq(
				nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
			snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
		}
		pthread_create(&thread, NULL, serve_by_rep, &rep);
		struct rpc_channel *channel = echo_connect(url, NULL);
		for (uint32_t i = 0; i < REQUESTS; i++)
			works(channel);
		rpc_channel_close(channel);
		nng_close(rep);
		pthread_join(thread, NULL);
	}
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {calls_beyond_the_limit_wait_and_none_is_lost,
		requests_that_nngs_req_gives_up_disturb_nobody,
		a_server_closes_whatever_its_clients_are_in_the_middle_of,
		a_client_that_goes_at_once_leaves_nothing_behind,
		many_that_make_no_handshake_keep_nobody_out, nngs_own_req_is_served,
		nngs_own_rep_serves_a_channel,
		who_floods_or_does_not_read_disturbs_nobody_else_and_no_close, NULL};
	return run_cases("rpc_server_limits", cases);
}
