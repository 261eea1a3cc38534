/*
 * One connection: nng's request and reply protocol on one of nng's byte streams.
 *
 * On the wire it is what nng's own REQ and REP sockets say (docs/wire.md, "Transport"), so either
 * side may be one of those. Done here because a stream moves the same bytes with fewer threads
 * woken and no pass of zeros over each message, and reads a message straight into memory that is
 * used again (docs/performance.md).
 *
 * Sending never waits: a message is queued, and what is queued goes out together. Receiving has one
 * owner, who asks for bytes, by link_receive() with a callback or by link_wait(), takes the whole
 * messages out with link_next() until there is none, and asks again (inbox.h). Inside this room
 * only (it shows nng).
 *
 * Threads: link_send(), link_close() and references from any thread; receiving is its owner's.
 * Callbacks come on nng's threads, without a lock held.
 */
#ifndef MARQUEE_RPC_LINK_H
#define MARQUEE_RPC_LINK_H

#include "common/base/status.h"
#include "common/rpc/buffer.h"
#include "common/rpc/link_wire.h"

#include <nng/nng.h>
#include <stdbool.h>
#include <stdint.h>

struct link;

struct link_options {
	enum link_side side; /* this one */
	bool ipc;	     /* messages are marked as nng marks them on local sockets */
	size_t max_message_bytes;
	struct buffer_pool *pool; /* borrowed */
	/*
	 * NULL, or: what link_receive() asked for has come, or an error ended it (nng_errno_enum).
	 * From within link_receive() where the link is closed already.
	 */
	void (*on_received)(void *context, struct link *link, int rv);
	/* As in inbox.h. */
	int (*may_begin)(void *context, const unsigned char *message, size_t bytes);
	/* So many messages are out, or were dropped since the connection is lost. NULL: nobody. */
	void (*on_sent)(void *context, uint32_t count);
	/* The last reference is gone, and no callback will come. NULL: nobody. */
	void (*on_gone)(void *context);
	void *context;
};

/*
 * Returns an owned link with one reference, and sends the greeting. The stream is the link's, also
 * when it fails.
 */
MUST_CHECK enum status link_new(struct link **ret, nng_stream *stream,
	const struct link_options *options, struct error *err);
struct link *link_hold(struct link *link);
/* Takes NULL. The last one closes. Also from the link's own callbacks. */
void link_release(struct link *link);
/* Ends what is under way, with NNG_ECLOSED. */
void link_close(struct link *link);

/* Sends the message behind the route. The buffer is the link's, and may be gone. */
void link_send(struct link *link, struct buffer *message, const struct link_route *route);
/* Whether a message with the route of this number (link_route_of()) is still to go out, or a part.
 */
bool link_is_queued(struct link *link, uint32_t number);

/*
 * For the receiver, who answers: corked, messages stay in the queue unless one is being sent;
 * uncorking sends all that is queued, and where it is little returns when it is out or dropped, so
 * that no other thread is woken for it. A peer that does not read is not read from meanwhile.
 */
void link_cork(struct link *link);
void link_uncork(struct link *link);

/*
 * Asks for bytes, within timeout_ms (NNG_DURATION_INFINITE: however long it takes). The caller has
 * a reference until on_received has come.
 */
void link_receive(struct link *link, nng_duration timeout_ms);
/*
 * The same on the caller's thread: waits, and gives what on_received would get. NNG_ETIMEDOUT: none
 * came. With TLS an end that comes while nobody receives is never heard of, nor does a timeout
 * strike then (nng 1.5.2).
 */
int link_wait(struct link *link, nng_duration timeout_ms);
/* inbox_next(). */
int link_next(struct link *link, struct buffer **ret, struct link_route *ret_route);
/* Whether the peer has said that it speaks the protocol. Any thread. */
bool link_greeted(const struct link *link);

/* The peer's address. */
nng_stream *link_stream(struct link *link);

#endif
