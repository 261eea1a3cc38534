#include "common/rpc/frame.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER	     5u
#define BODY	     6u
#define RAW	     12u
#define PREFIX	     40u /* 24 + 5 + 6, up to a multiple of 8 */
#define FRAME	     (PREFIX + RAW)
#define MUTATIONS    20000
#define LENGTHS_AT   8
#define LENGTHS_SIZE 16u

static void make_frame(unsigned char frame[FRAME])
{
	rpc_frame_write(frame, RPC_FRAME_REQUEST, HEADER, BODY, RAW);
	memcpy(frame + RPC_FRAME_FIXED_BYTES, "headrbodies", HEADER + BODY);
	memset(frame + PREFIX, 0x5a, RAW);
}

START_TEST(a_frame_is_read_as_it_was_written)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME];
	make_frame(bytes);
	ck_assert_uint_eq(rpc_frame_prefix_bytes(HEADER, BODY), PREFIX);
	assert_ok(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, FRAME, &err), &err);
	ck_assert_uint_eq(frame.header.size, HEADER);
	ck_assert_mem_eq(frame.header.data, "headr", HEADER);
	ck_assert_uint_eq(frame.body.size, BODY);
	ck_assert_mem_eq(frame.body.data, "bodies", BODY);
	ck_assert_uint_eq(frame.raw.size, RAW);
	ck_assert_ptr_eq(frame.raw.data, bytes + PREFIX);
}
END_TEST

/* The layout of docs/wire.md, byte by byte. */
START_TEST(the_fixed_part_has_the_documented_bytes)
{
	const unsigned char expected[RPC_FRAME_FIXED_BYTES] = {
		'M', 'Q', 'R', 'P', 1, 0, 2, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0};
	unsigned char bytes[PREFIX];
	rpc_frame_write(bytes, RPC_FRAME_RESPONSE, HEADER, BODY, RAW);
	ck_assert_mem_eq(bytes, expected, sizeof(expected));
}
END_TEST

START_TEST(a_truncated_frame_is_refused_at_every_length)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME];
	make_frame(bytes);
	for (size_t size = 0; size < FRAME; size++) {
		/* A block of its own, so that reading beyond it is seen. */
		unsigned char *copy = malloc(size + 1);
		memcpy(copy, bytes, size);
		ck_assert_int_eq(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, copy, size, &err),
			STATUS_INVALID_ARGUMENT);
		free(copy);
	}
}
END_TEST

START_TEST(a_header_is_there_as_soon_as_its_last_byte_is)
{
	struct error err;
	struct rpc_bytes header;
	unsigned char bytes[FRAME];
	make_frame(bytes);
	for (size_t size = 0; size < FRAME; size++) {
		unsigned char *copy = malloc(size + 1);
		memcpy(copy, bytes, size);
		assert_ok(
			rpc_frame_peek_header(&header, RPC_FRAME_REQUEST, copy, size, &err), &err);
		if (size >= RPC_FRAME_FIXED_BYTES + HEADER)
			ck_assert_ptr_eq(header.data, copy + RPC_FRAME_FIXED_BYTES);
		else
			ck_assert_ptr_null(header.data);
		free(copy);
	}
	ck_assert_uint_eq(header.size, HEADER);
	ck_assert_int_eq(rpc_frame_peek_header(
				 &header, RPC_FRAME_RESPONSE, bytes, RPC_FRAME_FIXED_BYTES, &err),
		STATUS_INVALID_ARGUMENT);
	ck_assert_ptr_null(header.data);
}
END_TEST

START_TEST(bytes_behind_a_frame_are_refused)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME + 1] = {0};
	make_frame(bytes);
	assert_fails(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, FRAME + 1, &err),
		STATUS_INVALID_ARGUMENT, &err, "another size");
}
END_TEST

START_TEST(another_version_is_refused_with_both_numbers)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME];
	make_frame(bytes);
	bytes[4] = 9;
	assert_fails(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, FRAME, &err),
		STATUS_FAILED_PRECONDITION, &err, "version 9 of the wire format, this side 1");
}
END_TEST

START_TEST(a_response_is_no_request)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME];
	make_frame(bytes);
	assert_fails(rpc_frame_parse(&frame, RPC_FRAME_RESPONSE, bytes, FRAME, &err),
		STATUS_INVALID_ARGUMENT, &err, "kind 1, expected 2");
}
END_TEST

START_TEST(something_else_is_refused_with_its_first_bytes)
{
	struct error err;
	struct rpc_frame frame;
	assert_fails(rpc_frame_parse(&frame, RPC_FRAME_REQUEST,
			     "GET / HTTP/1.1\r\nHost: here\r\n\r\n", 30, &err),
		STATUS_INVALID_ARGUMENT, &err, "47 45 54 20");
}
END_TEST

START_TEST(lengths_beyond_the_maxima_are_refused_before_anything_is_read)
{
	struct error err;
	struct rpc_frame frame;
	unsigned char bytes[FRAME];
	for (size_t at = LENGTHS_AT; at < LENGTHS_AT + LENGTHS_SIZE; at++) {
		make_frame(bytes);
		bytes[at] = 0xff;
		ck_assert_int_eq(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, FRAME, &err),
			STATUS_INVALID_ARGUMENT);
	}
	/* All of them at once: the sum must not wrap to something that fits. */
	make_frame(bytes);
	memset(bytes + LENGTHS_AT, 0xff, LENGTHS_SIZE);
	ck_assert_int_eq(rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, FRAME, &err),
		STATUS_INVALID_ARGUMENT);
}
END_TEST

START_TEST(whatever_a_mutated_frame_says_its_parts_lie_inside_it)
{
	uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	struct random_sequence random;
	random_sequence_init(&random, seed, random_stream("mutations"));
	for (int i = 0; i < MUTATIONS; i++) {
		unsigned char *bytes = malloc(FRAME);
		make_frame(bytes);
		for (uint32_t n = random_below(&random, 4) + 1; n > 0; n--)
			bytes[random_below(&random, FRAME)] = (unsigned char)random_next(&random);
		size_t size = random_below(&random, 8) ? FRAME : random_below(&random, FRAME + 1);
		struct error err;
		struct rpc_frame frame;
		if (rpc_frame_parse(&frame, RPC_FRAME_REQUEST, bytes, size, &err) == STATUS_OK) {
			ck_assert_ptr_eq(frame.header.data, bytes + RPC_FRAME_FIXED_BYTES);
			ck_assert_ptr_eq(frame.body.data, frame.header.data + frame.header.size);
			ck_assert(frame.body.data + frame.body.size <= frame.raw.data);
			ck_assert_ptr_eq(frame.raw.data + frame.raw.size, bytes + size);
		}
		free(bytes);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_frame_is_read_as_it_was_written,
		the_fixed_part_has_the_documented_bytes,
		a_truncated_frame_is_refused_at_every_length, bytes_behind_a_frame_are_refused,
		a_header_is_there_as_soon_as_its_last_byte_is,
		another_version_is_refused_with_both_numbers, a_response_is_no_request,
		something_else_is_refused_with_its_first_bytes,
		lengths_beyond_the_maxima_are_refused_before_anything_is_read,
		whatever_a_mutated_frame_says_its_parts_lie_inside_it, NULL};
	return run_cases("rpc_frame", cases);
}
