/* Messages from a peer that does not keep to the format: each gets a status, none harms. */
#include "common/base/clock.h"
#include "common/base/random.h"
#include "proto/rpc.pb-c.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/suite.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>

#define MUTATIONS  3000
#define FRAME_MAX  512
#define ANSWER_MS  10000
#define VERSION_AT 4

static struct echo_service echo;
static struct rpc_server *server;
static nng_socket peer;

static void open_peer(void)
{
	ck_assert_int_eq(nng_req0_open(&peer), 0);
	ck_assert_int_eq(nng_socket_set_ms(peer, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
	ck_assert_int_eq(nng_socket_set_ms(peer, NNG_OPT_RECVTIMEO, ANSWER_MS), 0);
	ck_assert_int_eq(nng_dial(peer, rpc_server_url(server), NULL, 0), 0);
}

static void open_all(void)
{
	server = echo_open(&echo, &echo_any_port);
	open_peer();
}

static void close_all(void)
{
	nng_close(peer);
	echo_close(&echo, server);
}

/* A good request for Pull, with eight raw bytes; returns its size. */
static size_t make_request(unsigned char frame[FRAME_MAX], const char *service, const char *method,
	uint32_t deadline_ms)
{
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = (char *)service;
	header.method = (char *)method;
	header.deadline_ms = deadline_ms;
	header.job = "job";
	header.worker = 1;
	header.sequence = 77;
	Marquee__Ps__V1__PullRequest body = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	body.step = 12345;
	size_t header_bytes = protobuf_c_message_get_packed_size(&header.base);
	size_t body_bytes = protobuf_c_message_get_packed_size(&body.base);
	rpc_frame_write(frame, RPC_FRAME_REQUEST, header_bytes, body_bytes, 8);
	protobuf_c_message_pack(&header.base, frame + RPC_FRAME_FIXED_BYTES);
	protobuf_c_message_pack(&body.base, frame + RPC_FRAME_FIXED_BYTES + header_bytes);
	size_t prefix = rpc_frame_prefix_bytes(header_bytes, body_bytes);
	memset(frame + prefix, 1, 8);
	return prefix + 8;
}

/* Sends the bytes and gives the status of the answer, which must be a whole response. */
static enum status exchange(const unsigned char *bytes, size_t size, char *message, size_t room)
{
	struct error err;
	nng_msg *msg;
	ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
	ck_assert_int_eq(nng_msg_append(msg, bytes, size), 0);
	ck_assert_int_eq(nng_sendmsg(peer, msg, 0), 0);
	ck_assert_int_eq(nng_recvmsg(peer, &msg, 0), 0);
	struct rpc_frame frame;
	assert_ok(rpc_frame_parse(
			  &frame, RPC_FRAME_RESPONSE, nng_msg_body(msg), nng_msg_len(msg), &err),
		&err);
	Marquee__Rpc__V1__ResponseHeader *header = marquee__rpc__v1__response_header__unpack(
		NULL, frame.header.size, frame.header.data);
	ck_assert_ptr_nonnull(header);
	enum status status = status_from_wire(header->status);
	if (message)
		snprintf(message, room, "%s", header->message);
	marquee__rpc__v1__response_header__free_unpacked(header, NULL);
	nng_msg_free(msg);
	return status;
}

static const char service_name[] = "marquee.ps.v1.ParameterServer";

START_TEST(a_good_request_by_hand_is_answered)
{
	unsigned char frame[FRAME_MAX];
	open_all();
	size_t size = make_request(frame, service_name, "Pull", 1000);
	ck_assert_int_eq(exchange(frame, size, NULL, 0), STATUS_OK);
	close_all();
}
END_TEST

START_TEST(another_version_is_answered_with_both_versions)
{
	unsigned char frame[FRAME_MAX];
	char message[256];
	open_all();
	size_t size = make_request(frame, service_name, "Pull", 1000);
	frame[VERSION_AT] = 2;
	ck_assert_int_eq(
		exchange(frame, size, message, sizeof(message)), STATUS_FAILED_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(message, "version 2 of the wire format, this side 1"));
	close_all();
}
END_TEST

START_TEST(a_request_without_a_deadline_is_refused)
{
	unsigned char frame[FRAME_MAX];
	char message[256];
	open_all();
	size_t size = make_request(frame, service_name, "Pull", 0);
	ck_assert_int_eq(exchange(frame, size, message, sizeof(message)), STATUS_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(message, "no deadline"));
	close_all();
}
END_TEST

START_TEST(names_of_any_length_are_unimplemented_and_quoted_in_part)
{
	unsigned char frame[FRAME_MAX];
	char name[300], message[512];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	open_all();
	size_t size = make_request(frame, service_name, name, 1000);
	ck_assert_int_eq(exchange(frame, size, message, sizeof(message)), STATUS_UNIMPLEMENTED);
	size = make_request(frame, name, "Pull", 1000);
	ck_assert_int_eq(exchange(frame, size, message, sizeof(message)), STATUS_UNIMPLEMENTED);
	ck_assert_uint_lt(strlen(message), 200);
	close_all();
}
END_TEST

START_TEST(an_empty_message_is_answered)
{
	open_all();
	ck_assert_int_eq(exchange((const unsigned char *)"", 0, NULL, 0), STATUS_INVALID_ARGUMENT);
	close_all();
}
END_TEST

START_TEST(a_message_that_is_too_long_ends_its_connection)
{
	static unsigned char bytes[(1 << 15) + 1];
	unsigned char frame[FRAME_MAX];
	nng_msg *msg;
	struct rpc_server_options options = {
		.url = "tcp://127.0.0.1:0", .max_message_bytes = sizeof(bytes) - 1};
	server = echo_open(&echo, &options);
	open_peer();
	ck_assert_int_eq(exchange(bytes, sizeof(bytes) - 1, NULL, 0), STATUS_INVALID_ARGUMENT);
	ck_assert_int_eq(nng_msg_alloc(&msg, sizeof(bytes)), 0);
	ck_assert_int_eq(nng_sendmsg(peer, msg, 0), 0);
	ck_assert_int_eq(nng_recvmsg(peer, &msg, 0), NNG_ECONNRESET);
	/* nng connects again. */
	size_t size = make_request(frame, service_name, "Pull", 1000);
	ck_assert_int_eq(exchange(frame, size, NULL, 0), STATUS_OK);
	close_all();
}
END_TEST

START_TEST(truncated_and_mutated_requests_are_answered_every_time)
{
	uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	struct random_sequence random;
	random_sequence_init(&random, seed, random_stream("hostile"));
	unsigned char frame[FRAME_MAX];
	open_all();
	for (size_t cut = 0; cut < make_request(frame, service_name, "Pull", 1000); cut++)
		ck_assert_int_ne(exchange(frame, cut, NULL, 0), STATUS_OK);
	for (int i = 0; i < MUTATIONS; i++) {
		size_t size = make_request(frame, service_name, "Pull", 1000);
		for (uint32_t n = random_below(&random, 4) + 1; n > 0; n--)
			frame[random_below(&random, (uint32_t)size)] =
				(unsigned char)random_next(&random);
		(void)exchange(frame, size, NULL, 0);
	}
	size_t size = make_request(frame, service_name, "Pull", 1000);
	ck_assert_int_eq(exchange(frame, size, NULL, 0), STATUS_OK);
	close_all();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_good_request_by_hand_is_answered,
		another_version_is_answered_with_both_versions,
		a_request_without_a_deadline_is_refused,
		names_of_any_length_are_unimplemented_and_quoted_in_part,
		an_empty_message_is_answered, a_message_that_is_too_long_ends_its_connection,
		truncated_and_mutated_requests_are_answered_every_time, NULL};
	return run_cases("rpc_hostile", cases);
}
