#include "common/rpc/frame.h"

#include <endian.h>
#include <string.h>

static const unsigned char magic[4] = {'M', 'Q', 'R', 'P'};

static uint16_t load_u16(const unsigned char *bytes)
{
	uint16_t value;
	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static uint32_t load_u32(const unsigned char *bytes)
{
	uint32_t value;
	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

uint64_t rpc_load_u64(const unsigned char *bytes)
{
	uint64_t value;
	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static void store_u16(unsigned char *bytes, uint16_t value)
{
	value = htole16(value);
	memcpy(bytes, &value, sizeof(value));
}

static void store_u32(unsigned char *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

void rpc_store_u64(unsigned char *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

size_t rpc_frame_prefix_bytes(size_t header_bytes, size_t body_bytes)
{
	return (RPC_FRAME_FIXED_BYTES + header_bytes + body_bytes + 7) & ~(size_t)7;
}

void rpc_frame_write(unsigned char *out, enum rpc_frame_kind kind, size_t header_bytes,
	size_t body_bytes, uint64_t raw_bytes)
{
	memcpy(out, magic, sizeof(magic));
	store_u16(out + 4, RPC_FRAME_VERSION);
	store_u16(out + 6, (uint16_t)kind);
	store_u32(out + 8, (uint32_t)header_bytes);
	store_u32(out + 12, (uint32_t)body_bytes);
	rpc_store_u64(out + 16, raw_bytes);
	size_t used = RPC_FRAME_FIXED_BYTES + header_bytes + body_bytes;
	memset(out + used, 0, rpc_frame_prefix_bytes(header_bytes, body_bytes) - used);
}

/* The fixed part, which is there; both lengths are within their maxima. */
static enum status read_fixed(const unsigned char *in, enum rpc_frame_kind kind,
	size_t *ret_header_bytes, size_t *ret_body_bytes, struct error *err)
{
	if (memcmp(in, magic, sizeof(magic)) != 0)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"frame: starts with %02x %02x %02x %02x, not with \"MQRP\"", in[0], in[1],
			in[2], in[3]);
	unsigned int version = load_u16(in + 4);
	if (version != RPC_FRAME_VERSION)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"frame: the peer speaks version %u of the wire format, this side %u: run "
			"the same release on both sides",
			version, RPC_FRAME_VERSION);
	unsigned int found_kind = load_u16(in + 6);
	if (found_kind != (unsigned int)kind)
		return error_set(err, STATUS_INVALID_ARGUMENT, "frame: kind %u, expected %u",
			found_kind, (unsigned int)kind);
	size_t header_bytes = load_u32(in + 8);
	size_t body_bytes = load_u32(in + 12);
	if (header_bytes > RPC_HEADER_BYTES_MAX || body_bytes > RPC_BODY_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"frame: %zu bytes of header and %zu of body; at most %zu and %zu are "
			"allowed",
			header_bytes, body_bytes, RPC_HEADER_BYTES_MAX, RPC_BODY_BYTES_MAX);
	*ret_header_bytes = header_bytes;
	*ret_body_bytes = body_bytes;
	return STATUS_OK;
}

enum status rpc_frame_peek_header(struct rpc_bytes *ret, enum rpc_frame_kind kind,
	const void *bytes, size_t size, struct error *err)
{
	size_t header_bytes, body_bytes;
	*ret = (struct rpc_bytes){0};
	if (size < RPC_FRAME_FIXED_BYTES)
		return STATUS_OK;
	enum status status = read_fixed(bytes, kind, &header_bytes, &body_bytes, err);
	if (status == STATUS_OK && size - RPC_FRAME_FIXED_BYTES >= header_bytes)
		*ret = (struct rpc_bytes){
			(const unsigned char *)bytes + RPC_FRAME_FIXED_BYTES, header_bytes};
	return status;
}

enum status rpc_frame_parse(struct rpc_frame *ret, enum rpc_frame_kind kind, const void *bytes,
	size_t size, struct error *err)
{
	const unsigned char *in = bytes;
	size_t header_bytes, body_bytes;
	if (size < RPC_FRAME_FIXED_BYTES)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"frame: %zu bytes, fewer than the %zu of the fixed part", size,
			RPC_FRAME_FIXED_BYTES);
	enum status status = read_fixed(in, kind, &header_bytes, &body_bytes, err);
	if (status != STATUS_OK)
		return status;
	uint64_t raw_bytes = rpc_load_u64(in + 16);
	size_t prefix = rpc_frame_prefix_bytes(header_bytes, body_bytes);
	if (prefix > size || raw_bytes != size - prefix)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"frame: %zu bytes, but its lengths (%zu header, %zu body, %llu raw) need "
			"another size",
			size, header_bytes, body_bytes, (unsigned long long)raw_bytes);
	size_t used = RPC_FRAME_FIXED_BYTES + header_bytes + body_bytes;
	for (size_t i = used; i < prefix; i++) {
		if (in[i] != 0)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"frame: padding at byte %zu is not zero", i);
	}
	const unsigned char *header = in + RPC_FRAME_FIXED_BYTES;
	*ret = (struct rpc_frame){
		.header = {header, header_bytes},
		.body = {header + header_bytes, body_bytes},
		.raw = {in + prefix, (size_t)raw_bytes},
	};
	return STATUS_OK;
}
