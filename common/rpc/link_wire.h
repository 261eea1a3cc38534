/*
 * What nng's request and reply protocol puts around a message (docs/wire.md, "Transport"). Inside
 * this room only.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_RPC_LINK_WIRE_H
#define MARQUEE_RPC_LINK_WIRE_H

#include "common/rpc/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words in front of a request that say how the answer finds back: its id and one for each relay. */
#define LINK_ROUTE_MAX 8u
#define LINK_WORD      ((size_t)4)

enum link_side { LINK_CLIENT, LINK_SERVER };

/* As it lies on the wire; the last word has its highest bit set. */
struct link_route {
	uint32_t words; /* 1..LINK_ROUTE_MAX */
	unsigned char bytes[LINK_WORD * LINK_ROUTE_MAX];
};
/* Of a request without relays. The number's highest bit is set for it. */
struct link_route link_route_of(uint32_t number);
/* The number that was given to link_route_of(), without its highest bit, where it came back. */
uint32_t link_route_number(const struct link_route *route);
/* Reads the route in front of a message; false: there is none, or a longer one. */
bool link_route_read(struct link_route *ret, const unsigned char *payload, size_t payload_bytes);

/* What each side says first. */
#define LINK_GREETING_BYTES ((size_t)8)
const unsigned char *link_greeting(enum link_side side);

/*
 * In front of the route stands how many bytes follow, and on sockets of one machine (`ipc`) a mark
 * before that.
 */
#define LINK_PREFIX_MAX ((size_t)9)
size_t link_prefix_bytes(bool ipc);
/* False: the mark is none. Of link_prefix_bytes(). */
bool link_prefix_read(const unsigned char *prefix, bool ipc, uint64_t *ret_payload_bytes);
/* Puts both in front of the message, into the buffer's head. */
void link_prefix_put(struct buffer *message, const struct link_route *route, bool ipc);

#endif
