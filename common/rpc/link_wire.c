#include "common/rpc/link_wire.h"

#include <string.h>

#define IPC_MESSAGE  1u
#define LENGTH_BYTES (LINK_PREFIX_MAX - 1)
#define LAST_WORD    0x80u /* in its first byte */

_Static_assert(LINK_PREFIX_MAX + LINK_WORD * LINK_ROUTE_MAX <= BUFFER_HEAD, "both fit the head");

/* "SP", a version of 0, the protocol's number, big endian. */
static const unsigned char greetings[][LINK_GREETING_BYTES] = {
	[LINK_CLIENT] = {0, 'S', 'P', 0, 0, 0x30, 0, 0},
	[LINK_SERVER] = {0, 'S', 'P', 0, 0, 0x31, 0, 0},
};

static uint64_t load_big_endian(const unsigned char *bytes, size_t n)
{
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void store_big_endian(unsigned char *bytes, size_t n, uint64_t value)
{
	for (size_t i = n; i-- > 0; value >>= 8)
		bytes[i] = (unsigned char)value;
}

const unsigned char *link_greeting(enum link_side side)
{
	return greetings[side];
}

struct link_route link_route_of(uint32_t number)
{
	struct link_route route = {.words = 1};
	store_big_endian(route.bytes, LINK_WORD, number);
	route.bytes[0] |= LAST_WORD;
	return route;
}

uint32_t link_route_number(const struct link_route *route)
{
	return (uint32_t)load_big_endian(route->bytes, LINK_WORD) & ~(LAST_WORD << 24);
}

bool link_route_read(struct link_route *ret, const unsigned char *payload, size_t payload_bytes)
{
	struct link_route route = {0};
	for (bool last = false; !last; route.words++) {
		const size_t at = LINK_WORD * route.words;
		if (route.words == LINK_ROUTE_MAX || payload_bytes - at < LINK_WORD)
			return false;
		memcpy(route.bytes + at, payload + at, LINK_WORD);
		last = (payload[at] & LAST_WORD) != 0;
	}
	*ret = route;
	return true;
}

size_t link_prefix_bytes(bool ipc)
{
	return ipc ? LINK_PREFIX_MAX : LENGTH_BYTES;
}

bool link_prefix_read(const unsigned char *prefix, bool ipc, uint64_t *ret_payload_bytes)
{
	if (ipc && *prefix++ != IPC_MESSAGE)
		return false;
	*ret_payload_bytes = load_big_endian(prefix, LENGTH_BYTES);
	return true;
}

void link_prefix_put(struct buffer *message, const struct link_route *route, bool ipc)
{
	const size_t route_bytes = LINK_WORD * route->words;
	unsigned char *at = message->data - route_bytes;
	memcpy(at, route->bytes, route_bytes);
	at -= LENGTH_BYTES;
	store_big_endian(at, LENGTH_BYTES, route_bytes + message->length);
	if (ipc)
		*--at = IPC_MESSAGE;
	message->length += (size_t)(message->data - at);
	message->data = at;
}
