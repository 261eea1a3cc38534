/*
 * The frame: what one message between a client and a server looks like. docs/wire.md is the
 * normative description; all numbers are little endian.
 *
 *     offset  bytes
 *          0      4  magic "MQRP"
 *          4      2  version
 *          6      2  kind: 1 request, 2 response
 *          8      4  header_bytes     protobuf marquee.rpc.v1.RequestHeader or ResponseHeader
 *         12      4  body_bytes       protobuf message of the method
 *         16      8  raw_bytes
 *         24         header, body, zeros up to a multiple of 8, raw
 *
 * Bytes from a peer are data: rpc_frame_parse() checks every length against the bytes that are
 * there and never reads beyond them.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_RPC_FRAME_H
#define MARQUEE_RPC_FRAME_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define RPC_FRAME_VERSION	  1u
#define RPC_FRAME_FIXED_BYTES	  ((size_t)24)
#define RPC_HEADER_BYTES_MAX	  ((size_t)1 << 14)
#define RPC_BODY_BYTES_MAX	  ((size_t)1 << 20)
#define RPC_MESSAGE_BYTES_DEFAULT ((size_t)1 << 28)
#define RPC_MESSAGE_BYTES_MAX	  ((size_t)1 << 31)

enum rpc_frame_kind {
	RPC_FRAME_REQUEST = 1,
	RPC_FRAME_RESPONSE = 2,
};

/* Bytes inside a message that somebody else owns. */
struct rpc_bytes {
	const unsigned char *data;
	size_t size;
};

/* A parsed frame; borrows the bytes it was parsed from. */
struct rpc_frame {
	struct rpc_bytes header;
	struct rpc_bytes body;
	struct rpc_bytes raw;
};

/*
 * INVALID_ARGUMENT when the bytes are not a whole frame of this kind with nothing behind it;
 * FAILED_PRECONDITION naming both versions when it is a frame of another version.
 */
MUST_CHECK enum status rpc_frame_parse(struct rpc_frame *ret, enum rpc_frame_kind kind,
	const void *bytes, size_t size, struct error *err);

/*
 * The header of a frame of which only the first bytes are there. NULL data: more have to come.
 * Errors as of rpc_frame_parse(), of what is there.
 */
MUST_CHECK enum status rpc_frame_peek_header(struct rpc_bytes *ret, enum rpc_frame_kind kind,
	const void *bytes, size_t size, struct error *err);

/* Bytes in front of raw: the fixed part, header, body, padding. Lengths within the maxima above. */
size_t rpc_frame_prefix_bytes(size_t header_bytes, size_t body_bytes);

/*
 * Writes the fixed part at out and the padding behind the body, and leaves the header (at out + 24)
 * and the body behind it to the caller.
 */
void rpc_frame_write(unsigned char *out, enum rpc_frame_kind kind, size_t header_bytes,
	size_t body_bytes, uint64_t raw_bytes);

/* Little-endian words of raw data, wherever they lie. */
uint64_t rpc_load_u64(const unsigned char *bytes);
void rpc_store_u64(unsigned char *bytes, uint64_t value);

#endif
