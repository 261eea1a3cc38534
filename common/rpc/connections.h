/*
 * The connections of a server: how many there may be, and who may stay.
 *
 * A connection has a place from the transport's handshake on. Beyond the limit it is refused, which
 * is told with its address. One that has not brought a request with the right token within
 * CONNECTION_SILENT_MS loses its place to the next that comes. What has not even made the handshake
 * is nng's: it ends that after 10 s. Inside this room only (it shows nng).
 *
 * Threads: internally locked. Its lock is taken last and calls nobody.
 */
#ifndef MARQUEE_RPC_CONNECTIONS_H
#define MARQUEE_RPC_CONNECTIONS_H

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/rpc/server.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>

#define CONNECTION_SILENT_MS 5000u

struct connections {
	/* Immutable after init. */
	uint32_t limit;
	const struct clock *clock;
	rpc_refused *on_refused; /* NULL: nobody is told */
	void *refused_context;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct connection *places; /* [limit], owned; the first count are taken */
	uint32_t count;
	uint64_t refused;
};

/* A zeroed one has no memory and is fine for connections_fini(). */
MUST_CHECK enum status connections_init(struct connections *connections,
	const struct rpc_server_options *options, const struct clock *clock, struct error *err);
/* The socket is closed. */
void connections_fini(struct connections *connections);

/* From now on the socket's connections are counted. Before it listens. */
MUST_CHECK enum status connections_watch(
	struct connections *connections, nng_socket socket, struct error *err);
/* A request with the right token came by this connection: it stays. */
void connections_admit(struct connections *connections, nng_pipe pipe);

void connections_count(struct connections *connections, uint64_t *ret_open, uint64_t *ret_refused);

#endif
