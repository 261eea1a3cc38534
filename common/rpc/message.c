#include "common/rpc/message.h"

#include <string.h>

enum status rpc_message_new(struct rpc_message *ret, size_t room, size_t raw_bytes,
	size_t limit_bytes, struct buffer_pool *pool, struct error *err)
{
	if (raw_bytes > limit_bytes || room > limit_bytes - raw_bytes)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"a message with %zu bytes of raw data is larger than the limit of %zu: "
			"send fewer rows at a time",
			raw_bytes, limit_bytes);
	struct rpc_message message = {.room = room, .raw_bytes = raw_bytes};
	message.buffer = buffer_new(pool, room + raw_bytes);
	if (!message.buffer)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"no memory for a message of %zu bytes", room + raw_bytes);
	*ret = message;
	return STATUS_OK;
}

void rpc_message_free(struct rpc_message *message)
{
	buffer_free(message->buffer);
	*message = (struct rpc_message){0};
}

unsigned char *rpc_message_raw(struct rpc_message *message)
{
	return message->buffer->data + message->room;
}

static enum status move_raw(struct rpc_message *message, size_t room, struct error *err)
{
	struct rpc_message larger;
	enum status status = rpc_message_new(
		&larger, room, message->raw_bytes, SIZE_MAX, message->buffer->pool, err);
	if (status != STATUS_OK)
		return status;
	if (message->raw_bytes > 0)
		memcpy(rpc_message_raw(&larger), rpc_message_raw(message), message->raw_bytes);
	buffer_free(message->buffer);
	*message = larger;
	return STATUS_OK;
}

enum status rpc_message_seal(struct rpc_message *message, enum rpc_frame_kind kind,
	const ProtobufCMessage *header, size_t body_bytes, unsigned char **ret_body,
	struct error *err)
{
	size_t header_bytes = protobuf_c_message_get_packed_size(header);
	if (header_bytes > RPC_HEADER_BYTES_MAX || body_bytes > RPC_BODY_BYTES_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"a header of %zu bytes with a body of %zu bytes is larger than the frame "
			"allows",
			header_bytes, body_bytes);
	size_t prefix = rpc_frame_prefix_bytes(header_bytes, body_bytes);
	if (prefix > message->room) {
		enum status status = move_raw(message, prefix, err);
		if (status != STATUS_OK)
			return status;
	}
	size_t unused = message->room - prefix;
	message->buffer->data += unused;
	message->buffer->length -= unused;
	message->room = prefix;
	unsigned char *out = message->buffer->data;
	rpc_frame_write(out, kind, header_bytes, body_bytes, message->raw_bytes);
	protobuf_c_message_pack(header, out + RPC_FRAME_FIXED_BYTES);
	*ret_body = out + RPC_FRAME_FIXED_BYTES + header_bytes;
	return STATUS_OK;
}
