/*
 * Messages out of the bytes that come over a connection.
 *
 * Bytes go to where inbox_pieces() says: what is missing of a message that has begun, in its final
 * place, and behind it a store, where the next ones begin; so one call of the system's brings
 * several small messages or the rest of a large one. Bytes from the peer are data: every length is
 * checked before memory is taken for it, and before the greeting none is. Inside this room only (it
 * shows nng's errors and iov).
 *
 * Threads: externally locked; inbox_greeted() from any.
 */
#ifndef MARQUEE_RPC_INBOX_H
#define MARQUEE_RPC_INBOX_H

#include "common/base/status.h"
#include "common/rpc/buffer.h"
#include "common/rpc/link_wire.h"

#include <nng/nng.h>
#include <stdatomic.h>

#define INBOX_PIECES 2u
#define INBOX_SMALL  ((size_t)32 << 10)

struct inbox {
	/* Immutable. */
	enum link_side peer;
	bool ipc;
	size_t max_message_bytes;
	struct buffer_pool *pool; /* borrowed */

	/*
	 * NULL, or: whether a message may begin that is larger than INBOX_SMALL, before memory is
	 * taken for it. Gets what is there of it behind the route; NNG_EAGAIN: that is too little
	 * to tell. Not asked again when it has said yes, with 0.
	 */
	int (*may_begin)(void *context, const unsigned char *message, size_t bytes);
	void *context;

	atomic_bool greeted;
	unsigned char greeting[LINK_GREETING_BYTES]; /* in place of the store until then */
	unsigned char *store;
	size_t begin, end; /* of what is in it */
	struct buffer *partial;
	unsigned char *payload; /* where its route begins, then the message */
	size_t payload_bytes, have;
};

void inbox_init(struct inbox *inbox, enum link_side peer, bool ipc, size_t max_message_bytes,
	struct buffer_pool *pool);
void inbox_fini(struct inbox *inbox);

/* Where the next bytes go, at least one; how many places. After inbox_next() has given NULL. */
unsigned int inbox_pieces(struct inbox *inbox, nng_iov ret[INBOX_PIECES]);
/* So many have come. */
void inbox_fill(struct inbox *inbox, size_t bytes);
/*
 * The next whole message, owned, or NULL when there is none yet. NNG_EPROTO, NNG_EMSGSIZE or
 * NNG_ENOMEM: the connection is of no more use.
 */
int inbox_next(struct inbox *inbox, struct buffer **ret, struct link_route *ret_route);
/* Whether the peer's greeting has come. */
bool inbox_greeted(const struct inbox *inbox);

#endif
