/* Frames of either kind, and the headers in them. */
#include "common/rpc/frame.h"
#include "proto/rpc.pb-c.h"
#include "tests/fuzz/fuzz.h"

static bool inside(struct rpc_bytes part, const uint8_t *data, size_t size)
{
	return part.size == 0 || (part.data >= data && part.size <= size &&
					 (size_t)(part.data - data) <= size - part.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_frame frame;
	struct error err;
	for (enum rpc_frame_kind kind = RPC_FRAME_REQUEST; kind <= RPC_FRAME_RESPONSE; kind++) {
		if (rpc_frame_parse(&frame, kind, data, size, &err) != STATUS_OK)
			continue;
		FUZZ_CHECK(inside(frame.header, data, size));
		FUZZ_CHECK(inside(frame.body, data, size));
		FUZZ_CHECK(inside(frame.raw, data, size));
		const ProtobufCMessageDescriptor *descriptor =
			kind == RPC_FRAME_REQUEST ? &marquee__rpc__v1__request_header__descriptor
						  : &marquee__rpc__v1__response_header__descriptor;
		ProtobufCMessage *header = protobuf_c_message_unpack(
			descriptor, NULL, frame.header.size, frame.header.data);
		if (header)
			protobuf_c_message_free_unpacked(header, NULL);
	}
	return 0;
}
