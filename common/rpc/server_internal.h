/* What server.c and server_call.c share. Inside this room only. */
#ifndef MARQUEE_RPC_SERVER_INTERNAL_H
#define MARQUEE_RPC_SERVER_INTERNAL_H

#include "common/metrics/prometheus.h"
#include "common/rpc/connections.h"
#include "common/rpc/message.h"
#include "common/rpc/server.h"

#include "proto/health.pb-c.h"
#include "proto/rpc.pb-c.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SERVICES_MAX 8

/* What was answered of one method. */
struct rpc_method_record {
	const char *service, *method;
	atomic_uint_fast64_t answered[STATUS_COUNT];
	struct latency_histogram latency;
};

struct rpc_server {
	/* Immutable after open. */
	char url[NNG_MAXADDRLEN + 16];
	unsigned char *token;
	size_t token_bytes;
	size_t max_message_bytes;
	uint32_t max_calls;
	const struct clock *clock;
	Marquee__Health__V1__Health_Service health;
	ProtobufCService *services[SERVICES_MAX];
	size_t service_count;
	struct rpc_method_record *methods; /* of all services in order; one more for unknown ones */
	size_t method_count;
	struct buffer_pool buffers;	/* internally locked */
	struct connections connections; /* the same */
	atomic_uint_fast64_t requests;
	atomic_uint_fast64_t refused;
	atomic_uint_fast64_t bytes_received;
	atomic_uint_fast64_t bytes_sent;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t idle;  /* running or unanswered has become 0 */
	pthread_cond_t fewer; /* calls are unanswered, or the server closes */
	uint32_t running;     /* calls that belong to a handler, and those about to be taken */
	uint32_t unanswered;  /* these, those refused, and those whose reply is not out yet */
	uint32_t waiting;     /* threads, for `fewer` */
	bool closing;
};

/* The time does not depend on where the bytes differ. A server without a token takes any. */
bool rpc_server_has_token(const struct rpc_server *server, const ProtobufCBinaryData *token);
/* What a connection's thread does, until the connection has ended. */
void rpc_server_serve(struct connection *connection);
/* So many replies of a connection are out, or dropped. */
void rpc_server_on_sent(void *connection, uint32_t count);

#endif
