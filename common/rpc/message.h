/*
 * Outgoing messages: the raw part is written once, at its final place, before or after the header
 * and body are known. Inside this room only.
 *
 * The message is made with `room` bytes in front of raw; rpc_message_seal() puts the frame, header
 * and body right in front of raw and cuts what is left of the room. Only when they do not fit is
 * raw copied.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_RPC_MESSAGE_H
#define MARQUEE_RPC_MESSAGE_H

#include "common/rpc/buffer.h"
#include "common/rpc/frame.h"

#include <protobuf-c/protobuf-c.h>

/* Enough for the header and body of a call that carries raw data. */
#define RPC_ROOM_DEFAULT ((size_t)512)

struct rpc_message {
	struct buffer *buffer; /* owned */
	size_t room;	       /* bytes in front of raw, a multiple of 8 */
	size_t raw_bytes;
};

/*
 * RESOURCE_EXHAUSTED when it would be larger than limit_bytes or memory is refused. Raw may hold
 * anything, and all of it is to be written.
 */
MUST_CHECK enum status rpc_message_new(struct rpc_message *ret, size_t room, size_t raw_bytes,
	size_t limit_bytes, struct buffer_pool *pool, struct error *err);
void rpc_message_free(struct rpc_message *message);
/* Borrowed until the message is sealed; 8-byte aligned. */
unsigned char *rpc_message_raw(struct rpc_message *message);

/*
 * Packs the header and gives the place of body_bytes for the body, borrowed, which the caller fills
 * (not NULL even when there are none).
 */
MUST_CHECK enum status rpc_message_seal(struct rpc_message *message, enum rpc_frame_kind kind,
	const ProtobufCMessage *header, size_t body_bytes, unsigned char **ret_body,
	struct error *err);

#endif
