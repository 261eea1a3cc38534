/* One connection against a plain socket: what it receives, however it is cut. */
#include "common/rpc/link.h"

#include "common/base/random.h"
#include "tests/common/rpc/link_pair.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LIMIT	    ((size_t)1 << 20)
#define ROUTE	    4u /* bytes of one word */
#define LARGE	    ((size_t)200 << 10)
#define MANY	    200u
#define MESSAGE_MAX 70000u
#define CHUNK_MAX   30000u
#define SHORT_MS    20
#define WHOLE	    ((size_t)64)
#define SIDES	    2
#define TRANSPORTS  2

static const struct link_pair_options server_side = {
	.side = LINK_SERVER, .max_message_bytes = LIMIT};

static unsigned char pattern(uint32_t message, size_t at)
{
	return (unsigned char)(message * 31 + at * 7 + (at >> 8));
}

/* A whole message with the request's number as its route; returns its size. */
static size_t put_message(
	unsigned char *at, bool ipc, uint32_t number, uint32_t message, size_t bytes)
{
	size_t size = raw_prefix(at, ipc, ROUTE + bytes);
	const struct link_route route = link_route_of(number);
	memcpy(at + size, route.bytes, ROUTE);
	size += ROUTE;
	for (size_t i = 0; i < bytes; i++)
		at[size + i] = pattern(message, i);
	return size + bytes;
}

static void is_message(const struct buffer *buffer, const struct link_route *route, uint32_t number,
	uint32_t message, size_t bytes)
{
	ck_assert_ptr_nonnull(buffer);
	ck_assert_uint_eq(route->words, 1);
	ck_assert_uint_eq(link_route_number(route), number);
	ck_assert_uint_eq(buffer->length, bytes);
	ck_assert_uint_eq((uintptr_t)buffer->data % 8, 0);
	size_t same = 0;
	while (same < bytes && buffer->data[same] == pattern(message, same))
		same++;
	ck_assert_uint_eq(same, bytes);
}

static void expect(struct link_pair *pair, uint32_t number, uint32_t message, size_t bytes)
{
	struct buffer *buffer;
	struct link_route route;
	ck_assert_int_eq(link_pair_next(pair, &buffer, &route), 0);
	is_message(buffer, &route, number, message, bytes);
	buffer_free(buffer);
}

/* Sends these bytes behind the handshake; the connection ends with this error, or takes them. */
static void expect_error(
	const struct link_pair_options *options, const void *bytes, size_t size, int wanted)
{
	struct link_pair pair;
	struct buffer *buffer;
	struct link_route route;
	link_pair_open(&pair, options);
	link_pair_greet(&pair);
	raw_send(pair.peer, bytes, size);
	ck_assert_int_eq(link_pair_next(&pair, &buffer, &route), wanted);
	ck_assert(wanted == 0 || !buffer);
	buffer_free(buffer);
	link_pair_close(&pair);
}

START_TEST(a_greeting_is_sent_and_may_come_in_single_bytes)
{
	const unsigned char *const greetings[SIDES] = {
		[LINK_CLIENT] = raw_req, [LINK_SERVER] = raw_rep};
	for (int side = 0; side < SIDES; side++) {
		struct link_pair pair;
		const struct link_pair_options options = {.side = (enum link_side)side};
		const unsigned char *theirs = greetings[1 - side];
		unsigned char greeting[RAW_GREETING_BYTES];
		link_pair_open(&pair, &options);
		raw_receive(pair.peer, greeting, sizeof(greeting));
		ck_assert_mem_eq(greeting, greetings[side], sizeof(greeting));
		for (size_t i = 0; i < RAW_GREETING_BYTES; i++) {
			struct buffer *none;
			struct link_route route;
			ck_assert(!link_greeted(pair.link));
			raw_send(pair.peer, theirs + i, 1);
			ck_assert_int_eq(link_wait(pair.link, RAW_WAIT_MS), 0);
			ck_assert_int_eq(link_next(pair.link, &none, &route), 0);
			ck_assert_ptr_null(none);
		}
		ck_assert(link_greeted(pair.link));
		link_pair_close(&pair);
	}
}
END_TEST

START_TEST(another_greeting_is_refused)
{
	/* Each byte matters; the own side's is wrong, too (its 0x31 against 0x30). */
	for (size_t i = 0; i < RAW_GREETING_BYTES; i++) {
		struct link_pair pair;
		struct buffer *none;
		struct link_route route;
		unsigned char greeting[RAW_GREETING_BYTES];
		memcpy(greeting, raw_req, sizeof(greeting));
		greeting[i] ^= 1;
		link_pair_open(&pair, &server_side);
		raw_send(pair.peer, greeting, sizeof(greeting));
		ck_assert_int_eq(link_pair_next(&pair, &none, &route), NNG_EPROTO);
		ck_assert(!link_greeted(pair.link));
		link_pair_close(&pair);
	}
}
END_TEST

START_TEST(messages_may_be_cut_at_every_byte)
{
	/* The handshake and three messages, one of them empty. */
	unsigned char bytes[4 * WHOLE];
	for (int ipc = 0; ipc < TRANSPORTS; ipc++) {
		const struct link_pair_options options = {
			.side = LINK_SERVER, .ipc = ipc, .max_message_bytes = LIMIT};
		memcpy(bytes, raw_req, RAW_GREETING_BYTES);
		size_t size = RAW_GREETING_BYTES;
		size += put_message(bytes + size, ipc, 1, 1, 13);
		size += put_message(bytes + size, ipc, 0x7fffffff, 2, 0);
		size += put_message(bytes + size, ipc, 3, 3, 24);
		for (size_t cut = 1; cut <= size; cut++) {
			struct link_pair pair;
			struct buffer *buffer = NULL;
			struct link_route route;
			uint32_t taken = 0;
			static const uint32_t numbers[] = {1, 0x7fffffff, 3};
			static const size_t sizes[] = {13, 0, 24};
			link_pair_open(&pair, &options);
			raw_send(pair.peer, bytes, cut);
			ck_assert_int_eq(link_wait(pair.link, RAW_WAIT_MS), 0);
			for (;;) {
				ck_assert_int_eq(link_next(pair.link, &buffer, &route), 0);
				if (!buffer)
					break;
				is_message(buffer, &route, numbers[taken], taken + 1, sizes[taken]);
				buffer_free(buffer);
				taken++;
			}
			raw_send(pair.peer, bytes + cut, size - cut);
			for (; taken < 3; taken++)
				expect(&pair, numbers[taken], taken + 1, sizes[taken]);
			link_pair_close(&pair);
		}
	}
}
END_TEST

struct writer {
	int peer;
	const unsigned char *bytes;
	size_t size;
	uint64_t seed; /* of its pieces' sizes; 0: in one piece */
};

static void *write_all(void *context)
{
	const struct writer *writer = context;
	struct random_sequence random;
	random_sequence_init(&random, writer->seed, random_stream("pieces"));
	for (size_t done = 0; done < writer->size;) {
		const size_t left = writer->size - done;
		size_t piece = writer->seed ? 1 + random_below(&random, CHUNK_MAX) : left;
		piece = piece < left ? piece : left;
		raw_send(writer->peer, writer->bytes + done, piece);
		done += piece;
	}
	return NULL;
}

START_TEST(a_message_longer_than_the_inbox_and_small_ones_around_it)
{
	struct link_pair pair;
	unsigned char *bytes = malloc(LARGE + 3 * WHOLE);
	ck_assert_ptr_nonnull(bytes);
	size_t size = put_message(bytes, false, 1, 1, 5);
	size += put_message(bytes + size, false, 2, 2, LARGE);
	size += put_message(bytes + size, false, 3, 3, 6);
	link_pair_open(&pair, &server_side);
	link_pair_greet(&pair);
	struct writer writer = {pair.peer, bytes, size, 0};
	pthread_t thread;
	pthread_create(&thread, NULL, write_all, &writer);
	expect(&pair, 1, 1, 5);
	expect(&pair, 2, 2, LARGE);
	expect(&pair, 3, 3, 6);
	pthread_join(thread, NULL);
	link_pair_close(&pair);
	free(bytes);
}
END_TEST

START_TEST(any_sizes_in_any_pieces)
{
	static const uint64_t seed = 20240607;
	struct random_sequence random;
	random_sequence_init(&random, seed, random_stream("sizes"));
	size_t sizes[MANY], size = 0;
	for (uint32_t i = 0; i < MANY; i++)
		sizes[i] = random_below(&random, 3) == 0 ? random_below(&random, MESSAGE_MAX)
							 : random_below(&random, 100);
	unsigned char *bytes = malloc(MANY * (MESSAGE_MAX + WHOLE));
	ck_assert_ptr_nonnull(bytes);
	for (uint32_t i = 0; i < MANY; i++)
		size += put_message(bytes + size, false, i, i, sizes[i]);
	struct link_pair pair;
	link_pair_open(&pair, &server_side);
	link_pair_greet(&pair);
	struct writer writer = {pair.peer, bytes, size, seed};
	pthread_t thread;
	pthread_create(&thread, NULL, write_all, &writer);
	for (uint32_t i = 0; i < MANY; i++)
		expect(&pair, i, i, sizes[i]);
	pthread_join(thread, NULL);
	link_pair_close(&pair);
	free(bytes);
}
END_TEST

START_TEST(lengths_that_cannot_be_are_refused_before_anything_else_comes)
{
	static const struct {
		uint64_t bytes;
		int rv;
	} lengths[] = {{0, NNG_EPROTO}, {1, NNG_EPROTO}, {3, NNG_EPROTO},
		{LIMIT + ROUTE * LINK_ROUTE_MAX + 1, NNG_EMSGSIZE},
		{UINT64_C(1) << 32, NNG_EMSGSIZE}, {UINT64_C(1) << 63, NNG_EMSGSIZE},
		{UINT64_MAX, NNG_EMSGSIZE}, {UINT64_MAX - 3, NNG_EMSGSIZE}};
	unsigned char prefix[RAW_PREFIX_BYTES + 1];
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int ipc = 0; ipc < TRANSPORTS; ipc++) {
			const struct link_pair_options options = {
				.side = LINK_SERVER, .ipc = ipc, .max_message_bytes = LIMIT};
			const size_t size = raw_prefix(prefix, ipc, lengths[i].bytes);
			expect_error(&options, prefix, size, lengths[i].rv);
		}
}
END_TEST

START_TEST(the_limit_is_of_the_message_without_its_route)
{
	const struct link_pair_options options = {.side = LINK_SERVER, .max_message_bytes = 24};
	unsigned char bytes[2 * WHOLE];
	size_t size = put_message(bytes, false, 1, 1, 24);
	expect_error(&options, bytes, size, 0);
	size = put_message(bytes, false, 1, 1, 25);
	expect_error(&options, bytes, size, NNG_EMSGSIZE);
	/* All words there may be in front of it. */
	memset(bytes, 0, sizeof(bytes));
	size = raw_prefix(bytes, false, ROUTE * LINK_ROUTE_MAX + 24);
	bytes[size + ROUTE * (LINK_ROUTE_MAX - 1)] = 0x80;
	expect_error(&options, bytes, size + ROUTE * LINK_ROUTE_MAX + 24, 0);
}
END_TEST

START_TEST(an_answer_goes_back_by_the_requests_route)
{
	for (int ipc = 0; ipc < TRANSPORTS; ipc++) {
		const struct link_pair_options options = {
			.side = LINK_SERVER, .ipc = ipc, .max_message_bytes = LIMIT};
		struct link_pair pair;
		link_pair_open(&pair, &options);
		link_pair_greet(&pair);
		for (uint32_t words = 1; words <= LINK_ROUTE_MAX; words++) {
			unsigned char bytes[2 * WHOLE] = {0}, answer[2 * WHOLE];
			struct buffer *buffer;
			struct link_route route;
			const size_t prefix = raw_prefix(bytes, ipc, ROUTE * words + 5);
			for (size_t i = 0; i < ROUTE * words; i++)
				bytes[prefix + i] = (unsigned char)(i + 1);
			bytes[prefix + ROUTE * (words - 1)] |= 0x80;
			memcpy(bytes + prefix + ROUTE * words, "hello", 5);
			const size_t size = prefix + ROUTE * words + 5;
			raw_send(pair.peer, bytes, size);
			ck_assert_int_eq(link_pair_next(&pair, &buffer, &route), 0);
			ck_assert_uint_eq(route.words, words);
			ck_assert_mem_eq(route.bytes, bytes + prefix, ROUTE * words);
			ck_assert_uint_eq(buffer->length, 5);
			ck_assert_mem_eq(buffer->data, "hello", 5);
			buffer_free(buffer);
			link_send(pair.link, link_pair_buffer(&pair, "hello", 5), &route);
			raw_receive(pair.peer, answer, size);
			ck_assert_mem_eq(answer, bytes, size);
			link_pair_wait_sent(&pair, words);
		}
		link_pair_close(&pair);
	}
}
END_TEST

START_TEST(a_route_without_an_end_is_refused)
{
	unsigned char bytes[2 * WHOLE] = {0};
	/* One word too many. */
	size_t prefix = raw_prefix(bytes, false, ROUTE * (LINK_ROUTE_MAX + 1));
	bytes[prefix + ROUTE * LINK_ROUTE_MAX] = 0x80;
	expect_error(&server_side, bytes, prefix + ROUTE * (LINK_ROUTE_MAX + 1), NNG_EPROTO);
	/* The message ends before the route does, also within a word. */
	for (size_t size = ROUTE; size < ROUTE * 3; size++) {
		memset(bytes, 0, sizeof(bytes));
		prefix = raw_prefix(bytes, false, size);
		if (size % ROUTE != 0)
			bytes[prefix + size / ROUTE * ROUTE] = 0x80;
		expect_error(&server_side, bytes, prefix + size, NNG_EPROTO);
	}
}
END_TEST

START_TEST(a_message_on_a_local_socket_is_marked)
{
	const struct link_pair_options options = {
		.side = LINK_SERVER, .ipc = true, .max_message_bytes = LIMIT};
	unsigned char bytes[WHOLE];
	const size_t size = put_message(bytes, true, 1, 1, 4);
	ck_assert_uint_eq(bytes[0], 1);
	expect_error(&options, bytes, size, 0);
	bytes[0] = 0;
	expect_error(&options, bytes, size, NNG_EPROTO);
	bytes[0] = 2;
	expect_error(&options, bytes, size, NNG_EPROTO);
}
END_TEST

START_TEST(a_wait_that_is_over_loses_nothing)
{
	unsigned char bytes[2 * WHOLE];
	const size_t size = put_message(bytes, false, 5, 5, 100);
	for (size_t cut = 0; cut < size; cut += 11) {
		struct link_pair pair;
		struct buffer *none;
		struct link_route route;
		link_pair_open(&pair, &server_side);
		link_pair_greet(&pair);
		ck_assert_int_eq(link_wait(pair.link, 0), NNG_ETIMEDOUT);
		raw_send(pair.peer, bytes, cut);
		for (int rv = 0; rv != NNG_ETIMEDOUT;) {
			rv = link_wait(pair.link, SHORT_MS);
			ck_assert(rv == 0 || rv == NNG_ETIMEDOUT);
			ck_assert_int_eq(link_next(pair.link, &none, &route), 0);
			ck_assert_ptr_null(none);
		}
		raw_send(pair.peer, bytes + cut, size - cut);
		expect(&pair, 5, 5, 100);
		link_pair_close(&pair);
	}
}
END_TEST

START_TEST(a_peer_that_ends_within_a_message_gives_an_error)
{
	unsigned char bytes[WHOLE];
	const size_t size = put_message(bytes, false, 1, 1, 10);
	for (size_t cut = 0; cut < size; cut++) {
		struct link_pair pair;
		struct buffer *none;
		struct link_route route;
		link_pair_open(&pair, &server_side);
		link_pair_greet(&pair);
		raw_send(pair.peer, bytes, cut);
		ck_assert_int_eq(shutdown(pair.peer, SHUT_WR), 0);
		const int rv = link_pair_next(&pair, &none, &route);
		ck_assert(rv == NNG_ECONNSHUT || rv == NNG_ECONNRESET || rv == NNG_ECLOSED);
		ck_assert_ptr_null(none);
		link_pair_close(&pair);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_greeting_is_sent_and_may_come_in_single_bytes,
		another_greeting_is_refused, messages_may_be_cut_at_every_byte,
		a_message_longer_than_the_inbox_and_small_ones_around_it, any_sizes_in_any_pieces,
		lengths_that_cannot_be_are_refused_before_anything_else_comes,
		the_limit_is_of_the_message_without_its_route,
		an_answer_goes_back_by_the_requests_route, a_route_without_an_end_is_refused,
		a_message_on_a_local_socket_is_marked, a_wait_that_is_over_loses_nothing,
		a_peer_that_ends_within_a_message_gives_an_error, NULL};
	return run_cases("rpc_link", cases);
}
