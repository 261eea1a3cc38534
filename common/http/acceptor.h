/*
 * A thread that accepts connections and hands them on.
 *
 * libmicrohttpd's own threads each accept up to ten connections in a row, so that few clients could
 * all end up with one of them while the others sleep.
 *
 * Threads: `take` runs on the acceptor's.
 */
#ifndef MARQUEE_HTTP_ACCEPTOR_H
#define MARQUEE_HTTP_ACCEPTOR_H

#include "common/base/status.h"

#include <sys/socket.h>

struct acceptor;

/* Takes over a connected socket that does not block. */
typedef void acceptor_take_fn(
	void *context, int connected, const struct sockaddr *from, socklen_t size);

/* Borrows the listening socket, which does not block, for its life. */
MUST_CHECK enum status acceptor_new(struct acceptor **ret, int listener, acceptor_take_fn *take,
	void *context, struct error *err);
/* Nothing is taken after this; the listening socket is shut down. NULL is fine. */
void acceptor_free(struct acceptor *acceptor);

#endif
