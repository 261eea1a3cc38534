/*
 * The connections of a server: who comes, how many there may be, and who may stay.
 *
 * Each has a place from the transport's handshake on, for which it has CONNECTION_HANDSHAKE_MS, and
 * from its first message on a thread, which serves it (rpc_server_serve()). Beyond the limit it is
 * refused, which is told with its address. One that has not brought a request with the right token
 * within CONNECTION_SILENT_MS loses its place to the next that comes. Beyond four times the limit,
 * those without a place counted, and where descriptors are out, the oldest that has made no
 * handshake is closed without a word. Inside this room only (it shows nng).
 *
 * Threads: internally locked. Of the locks of others only a link's are taken under its own.
 */
#ifndef MARQUEE_RPC_CONNECTIONS_H
#define MARQUEE_RPC_CONNECTIONS_H

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/rpc/link.h"
#include "common/rpc/server.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CONNECTION_HANDSHAKE_MS 10000u
#define CONNECTION_SILENT_MS	5000u
#define CONNECTION_WATCH_MS	1000

struct connection {
	struct connections *connections; /* immutable, as are link and came_ns */
	uint64_t came_ns;
	struct link *link;    /* one reference, of whoever receives: a callback, then the thread */
	bool asked;	      /* for a place; the receiver's */
	struct buffer *first; /* the first message, for the thread */
	struct link_route first_route;
	atomic_bool admitted; /* it stays */

	/* Guarded by the lock of connections. */
	struct connection *previous, *next;
	bool has_place;
	uint64_t since_ns; /* it has its place */

	uint32_t unanswered; /* the server's, guarded by its lock */
};

struct connections {
	/* Immutable after init. */
	uint32_t limit;
	const struct clock *clock;
	rpc_refused *on_refused; /* NULL: nobody is told */
	void *refused_context;
	struct link_options link; /* of each, but for its context */
	struct rpc_server *server;

	nng_stream_listener *listener;
	nng_aio *accept_aio;
	nng_aio *watch_aio; /* NULL without TLS */

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t none; /* total has become 0 */
	struct connection *first;
	uint32_t total; /* those that are ending, too */
	uint32_t count; /* have a place */
	uint64_t refused;
};

/*
 * A zeroed one has nothing and is fine for connections_fini(). The options of links are those of
 * each connection, on_sent and may_begin with the struct connection as context.
 */
MUST_CHECK enum status connections_init(struct connections *connections, struct rpc_server *server,
	const struct rpc_server_options *options, const struct link_options *link,
	const struct clock *clock, struct error *err);
/* There is none any more. */
void connections_fini(struct connections *connections);

/*
 * Listens, and gives the port if the transport has one, else 0. ALREADY_EXISTS, INVALID_ARGUMENT:
 * of the address.
 */
MUST_CHECK enum status connections_listen(struct connections *connections, const char *url,
	const struct rpc_tls *tls, int *ret_port, struct error *err);
/* No more come. */
void connections_stop_listening(struct connections *connections);
/* Ends all, and waits until they are gone. */
void connections_close(struct connections *connections);

/* On its thread: the next message, owned, or an error (link_next()). NULL: none has come yet. */
int connection_next(
	struct connection *connection, struct buffer **ret, struct link_route *ret_route);
/* On its thread: waits for more. */
int connection_wait(struct connection *connection);
/* A request with the right token came by this connection: it stays. */
void connection_admit(struct connection *connection);

void connections_count(struct connections *connections, uint64_t *ret_open, uint64_t *ret_refused);

#endif
