/* What server.c and server_call.c share. Inside this room only. */
#ifndef MARQUEE_RPC_SERVER_INTERNAL_H
#define MARQUEE_RPC_SERVER_INTERNAL_H

#include "common/metrics/prometheus.h"
#include "common/rpc/connections.h"
#include "common/rpc/message.h"
#include "common/rpc/message_pool.h"
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
	nng_socket socket;
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
	struct message_pool spares;	/* internally locked */
	struct connections connections; /* the same */
	atomic_uint_fast64_t requests;
	atomic_uint_fast64_t refused;
	atomic_uint_fast64_t bytes_received;
	atomic_uint_fast64_t bytes_sent;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t idle;	       /* busy has become 0 */
	struct rpc_server_call *calls; /* all of them, until close */
	uint32_t call_count;
	uint32_t receiving; /* waiting for a request */
	uint32_t busy;	    /* have a request, or send its reply */
	bool closing;
};

/* Opens more receiving calls when few are left; the caller holds no lock. */
MUST_CHECK enum status rpc_server_add_calls(struct rpc_server *server, struct error *err);
/* Cancels all receives; those calls rest from then on. Closing, and nothing is busy. */
void rpc_server_stop_receiving(struct rpc_server *server);
/* nng's side is stopped; nothing runs any more. */
void rpc_server_free_calls(struct rpc_server *server);

#endif
