/*
 * The server's side: protobuf-c services behind one listening address.
 *
 * A handler is a function of the generated service struct. Its closure_data is the struct
 * rpc_server_call of the request: what came with it and where the reply goes. A handler answers
 * exactly once, either by the closure it was given (the same as rpc_server_call_reply) or by
 * rpc_server_call_fail, at once or later from any thread. It must not wait for another call: it
 * runs on one of the few threads that move all messages of the process.
 *
 * Calls from one client may run at the same time and in any order. The number of unanswered calls
 * is bounded (max_calls); beyond it requests stay in their connections, which slows their senders
 * down. The number of connections is bounded too; one that brings no request with the right token
 * does not keep its place for long (connections.h).
 *
 * Threads: internally locked. A struct rpc_server_call belongs to whoever has to answer it.
 */
#ifndef MARQUEE_RPC_SERVER_H
#define MARQUEE_RPC_SERVER_H

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/rpc/frame.h"
#include "common/rpc/transport.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_CALLS_DEFAULT	1024u
#define RPC_CONNECTIONS_DEFAULT 512u
#define RPC_CONNECTIONS_MAX	65536u

struct rpc_server;
struct rpc_server_call;

/*
 * A connection was refused, as `limit` are open: from where, for people. On one of nng's threads,
 * not to wait and not to call the server.
 */
typedef void rpc_refused(void *context, const char *peer, uint32_t limit);

struct rpc_server_options {
	const char *url;   /* port 0: any that is free */
	const void *token; /* copied; NULL: callers need none */
	size_t token_bytes;
	const struct rpc_tls *tls; /* for tls+tcp; used during open only */
	size_t max_message_bytes;  /* either way; 0: RPC_MESSAGE_BYTES_DEFAULT */
	uint32_t max_calls;	   /* unanswered at a time; 0: RPC_CALLS_DEFAULT */
	uint32_t max_connections;  /* open at a time; 0: RPC_CONNECTIONS_DEFAULT */
	rpc_refused *on_refused;   /* beyond it; NULL: nobody is told */
	void *refused_context;
	const struct clock *clock; /* NULL: the real one; borrowed */
};

/*
 * Listens and answers until it is closed. Borrows the services (their `base` members); a health
 * service is there in addition. PERMISSION_DENIED for an address that others can reach without a
 * token or mutual TLS. ALREADY_EXISTS when the address is in use.
 */
MUST_CHECK enum status rpc_server_open(struct rpc_server **ret,
	const struct rpc_server_options *options, ProtobufCService *const *services,
	size_t service_count, struct error *err);
/*
 * Stops taking requests, waits until every call has been answered (their handlers' owner sees to
 * that), and frees. Takes NULL.
 */
void rpc_server_close(struct rpc_server *server);

/* The address it is bound to, with the port. Borrowed. */
const char *rpc_server_url(const struct rpc_server *server);

struct rpc_server_stats {
	uint64_t requests;
	uint64_t refused;	      /* bad frames, unknown methods, wrong tokens */
	uint64_t connections;	      /* open */
	uint64_t connections_refused; /* beyond the limit */
	uint64_t bytes_received;
	uint64_t bytes_sent;
};
void rpc_server_stats(struct rpc_server *server, struct rpc_server_stats *ret);

/*
 * What was answered of one method, by status; and how long that took from the request's arrival on,
 * waiting included. The last method, with empty names, stands for requests that were refused before
 * their method was known.
 */
struct latency_histogram; /* common/metrics/prometheus.h */
struct rpc_method_stats {
	const char *service, *method; /* borrowed */
	uint64_t answered[STATUS_COUNT];
	struct latency_histogram *latency; /* borrowed, for reading */
};
size_t rpc_server_method_count(const struct rpc_server *server);
void rpc_server_method_stats(
	const struct rpc_server *server, size_t method, struct rpc_method_stats *ret);

struct rpc_server *rpc_server_call_server(const struct rpc_server_call *call);

/* Who calls. Lives as long as the call. */
struct rpc_caller {
	const char *job;
	uint32_t worker;
	uint64_t incarnation;
	uint64_t sequence;
};

const struct rpc_caller *rpc_server_call_caller(const struct rpc_server_call *call);
/* The request's raw part, 4-byte aligned. */
struct rpc_bytes rpc_server_call_raw(const struct rpc_server_call *call);
/* On the server's clock. */
uint64_t rpc_server_call_deadline_ns(const struct rpc_server_call *call);

/*
 * Takes the request's message and its unpacked body out of the call, so that they outlive the
 * answer. Returns the first reference to them, or NULL without memory; the pointers handed out
 * before stay valid until the last one is released, before the server is closed. Once per call.
 */
struct rpc_kept;
struct rpc_kept *rpc_server_call_keep(struct rpc_server_call *call);
struct rpc_kept *rpc_kept_hold(struct rpc_kept *kept);
/* Takes NULL. */
void rpc_kept_release(struct rpc_kept *kept);

/*
 * Room for the reply's raw part, 8-byte aligned, at its final place; borrowed until the call is
 * answered, dropped when it fails. It holds bytes of earlier messages: all of it is to be written,
 * or cut. Once per call. RESOURCE_EXHAUSTED beyond the message limit.
 */
MUST_CHECK enum status rpc_server_call_reserve(
	struct rpc_server_call *call, size_t raw_bytes, unsigned char **ret_raw, struct error *err);

/* Cuts the reserved raw part to its first raw_bytes. */
void rpc_server_call_shrink(struct rpc_server_call *call, size_t raw_bytes);

/* Answers, and ends the call. */
void rpc_server_call_reply(struct rpc_server_call *call, const ProtobufCMessage *body);
void rpc_server_call_fail(struct rpc_server_call *call, enum status status, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* The same with an error's status and message. */
void rpc_server_call_fail_with(struct rpc_server_call *call, const struct error *err);

#endif
