/* nng's own sockets as peers: what is on the wire is their protocol. */
#include "common/rpc/frame.h"
#include "proto/rpc.pb-c.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS	   10000u
#define RAW_BYTES  ((size_t)32 << 10)
#define FRAME_MAX  ((size_t)1024)
#define REQUESTS   50u
#define TRANSPORTS 2

static struct echo_service echo;
static struct rpc_server *server;

START_TEST(nngs_own_req_is_served)
{
	char directory[PATH_SIZE], urls[TRANSPORTS][PATH_SIZE + 16];
	static unsigned char pull[RAW_BYTES + FRAME_MAX];
	scratch_open(directory);
	snprintf(urls[0], sizeof(urls[0]), "tcp://127.0.0.1:0");
	snprintf(urls[1], sizeof(urls[1]), "ipc://%s/s", directory);
	for (int t = 0; t < TRANSPORTS; t++) {
		nng_socket peer;
		const struct rpc_server_options options = {.url = urls[t]};
		server = echo_open(&echo, &options);
		ck_assert_int_eq(nng_req0_open(&peer), 0);
		ck_assert_int_eq(nng_socket_set_ms(peer, NNG_OPT_RECVTIMEO, WAIT_MS), 0);
		ck_assert_int_eq(nng_dial(peer, rpc_server_url(server), NULL, 0), 0);
		for (size_t raw_bytes = 0; raw_bytes <= RAW_BYTES; raw_bytes += RAW_BYTES / 8) {
			struct error err;
			struct rpc_frame frame;
			nng_msg *msg;
			const size_t size = echo_pull_frame(pull, raw_bytes, WAIT_MS);
			memset(pull + size - raw_bytes, 7, raw_bytes);
			ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
			ck_assert_int_eq(nng_msg_append(msg, pull, size), 0);
			ck_assert_int_eq(nng_sendmsg(peer, msg, 0), 0);
			ck_assert_int_eq(nng_recvmsg(peer, &msg, 0), 0);
			assert_ok(rpc_frame_parse(&frame, RPC_FRAME_RESPONSE, nng_msg_body(msg),
					  nng_msg_len(msg), &err),
				&err);
			ck_assert_uint_eq(frame.raw.size, raw_bytes);
			ck_assert_mem_eq(frame.raw.data, pull + size - raw_bytes, raw_bytes);
			nng_msg_free(msg);
		}
		nng_close(peer);
		echo_close_in_time(&echo, server);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(requests_that_nngs_req_gives_up_disturb_nobody)
{
	static unsigned char pull[RAW_BYTES + FRAME_MAX];
	const size_t size = echo_pull_frame(pull, RAW_BYTES, WAIT_MS);
	nng_socket peer;
	nng_ctx contexts[REQUESTS];
	nng_aio *aios[REQUESTS];
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	ck_assert_int_eq(nng_req0_open(&peer), 0);
	ck_assert_int_eq(nng_dial(peer, rpc_server_url(server), NULL, 0), 0);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		nng_msg *msg;
		ck_assert_int_eq(nng_ctx_open(&contexts[i], peer), 0);
		ck_assert_int_eq(nng_aio_alloc(&aios[i], NULL, NULL), 0);
		ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
		ck_assert_int_eq(nng_msg_append(msg, pull, size), 0);
		nng_aio_set_msg(aios[i], msg);
		nng_ctx_send(contexts[i], aios[i]);
	}
	for (uint32_t i = 0; i < REQUESTS; i++)
		echo_works(channel);
	rpc_channel_close(channel);
	echo_close_in_time(&echo, server);
	nng_close(peer);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		nng_aio_wait(aios[i]);
		if (nng_aio_result(aios[i]) != 0)
			nng_msg_free(nng_aio_get_msg(aios[i]));
		nng_aio_free(aios[i]);
	}
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
			echo_works(channel);
		rpc_channel_close(channel);
		nng_close(rep);
		pthread_join(thread, NULL);
	}
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {nngs_own_req_is_served,
		requests_that_nngs_req_gives_up_disturb_nobody, nngs_own_rep_serves_a_channel,
		NULL};
	return run_cases("rpc_nng_peers", cases);
}
