/*
 * The client's side: a channel to one server and the calls on it.
 *
 * A struct rpc_call is one slot for calls, used again and again. Starting it sends the request and
 * returns; waiting for it gives the reply. So a worker starts one call on each of its servers and
 * then waits for them one after the other, all under the deadlines they were started with:
 *
 *     for each server s: rpc_call_start(call[s], &request[s], err);
 *     for each server s: rpc_call_wait(call[s], &reply[s], err);
 *     ... use reply[s].raw where it lies ...
 *     for each server s: rpc_call_release(call[s]);
 *
 * Retries. nng's own resending is off. When the connection is lost, when the server says
 * UNAVAILABLE, or when an attempt stays without an answer for a while, rpc_call_wait() sends the
 * call again, with the same sequence number, until its deadline; but not while its message waits to
 * go out, as a server that does not read it reads no repeat either. The server answers a repeat
 * without doing it twice. A message that was handed to nng is gone with the connection, so a
 * repeat is written afresh: the raw part comes from a function that must write the same bytes each
 * time it is called. In a call that goes well it is called once, and writes to the place that is
 * sent.
 *
 * Deadlines are strict: a call ends when its deadline has passed; but an answer that has come is
 * taken, however late the caller waits for it. A tenth of it, at most 100 ms, is
 * kept for the server's answer that says what it was waiting for.
 *
 * Threads: a channel is internally locked (calls on it may run in any threads); a call and a stub
 * are owner-thread only. Calls are freed before their channel is closed.
 */
#ifndef MARQUEE_RPC_CHANNEL_H
#define MARQUEE_RPC_CHANNEL_H

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/rpc/frame.h"
#include "common/rpc/token.h"
#include "common/rpc/transport.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_CONNECT_MS_DEFAULT 10000u
#define RPC_ATTEMPT_MS_DEFAULT 20000u
#define RPC_JOB_BYTES_MAX      ((size_t)128)

struct rpc_channel;
struct rpc_call;

/* The zero value is the default; everything is copied. */
struct rpc_channel_options {
	const char *job;   /* NULL: "" */
	const void *token; /* NULL: none */
	size_t token_bytes;
	uint32_t worker;
	uint64_t incarnation;
	uint32_t connect_ms; /* how long open waits for a server to answer; 0: the default */
	uint32_t attempt_ms; /* a call is repeated when nothing came for so long; 0: the default */
	size_t max_message_bytes;  /* 0: RPC_MESSAGE_BYTES_DEFAULT; sent: also what the server takes
				    */
	const struct clock *clock; /* NULL: the real one; not copied */
	const struct rpc_tls *tls; /* for tls+tcp URLs; used during open only */
};

/*
 * Returns an owned channel once the server has answered a health check with our version and our
 * token. A server that is not there yet is tried again until connect_ms are over.
 */
MUST_CHECK enum status rpc_channel_open(struct rpc_channel **ret, const char *url,
	const struct rpc_channel_options *options, struct error *err);
/* Takes NULL. */
void rpc_channel_close(struct rpc_channel *channel);

const char *rpc_channel_url(const struct rpc_channel *channel);

struct rpc_channel_stats {
	uint64_t calls;
	uint64_t attempts; /* calls and their repeats */
	uint64_t bytes_sent;
	uint64_t bytes_received;
};
void rpc_channel_stats(const struct rpc_channel *channel, struct rpc_channel_stats *ret);

struct rpc_request {
	const ProtobufCServiceDescriptor *service;
	const char *method;	      /* "PushPull" */
	const ProtobufCMessage *body; /* borrowed until start returns */
	uint32_t deadline_ms;	      /* for the whole call, from its start; > 0 */
	size_t raw_bytes;
	/*
	 * Fills raw[raw_bytes], 8-byte aligned, during start and again in wait for every repeat:
	 * context and what it refers to stay unchanged until wait has returned. NULL when raw_bytes
	 * is 0. rpc_write_bytes copies raw_bytes from context.
	 */
	void (*write_raw)(void *context, unsigned char *raw, size_t raw_bytes);
	void *context;
};

void rpc_write_bytes(void *context, unsigned char *raw, size_t raw_bytes);

struct rpc_reply {
	const ProtobufCMessage *body; /* of the method's output type */
	struct rpc_bytes raw;	      /* 4-byte aligned: floats in place, u64 by rpc_load_u64() */
};

MUST_CHECK enum status rpc_call_new(
	struct rpc_call **ret, struct rpc_channel *channel, struct error *err);
/* Takes NULL. Cancels what is under way. */
void rpc_call_free(struct rpc_call *call);

/*
 * Sends. Releases the reply before. INVALID_ARGUMENT for an unknown method; RESOURCE_EXHAUSTED for
 * a message that is too large. FAILED_PRECONDITION when the last call was not waited for.
 */
MUST_CHECK enum status rpc_call_start(
	struct rpc_call *call, const struct rpc_request *request, struct error *err);
/*
 * Waits for the reply, which is borrowed until the call is released, started again or freed. The
 * status is the server's, or what happened on the way; the message names URL and method.
 */
MUST_CHECK enum status rpc_call_wait(
	struct rpc_call *call, struct rpc_reply *ret, struct error *err);
/* Start and wait. */
MUST_CHECK enum status rpc_call_blocking(struct rpc_call *call, const struct rpc_request *request,
	struct rpc_reply *ret, struct error *err);
/* Frees the reply, or gives up what is under way. The call can be started again. */
void rpc_call_release(struct rpc_call *call);

/* What the call has moved since it was started last, repeats included. */
struct rpc_call_traffic {
	uint64_t bytes_sent, bytes_received;
	uint64_t messages; /* both ways */
};
void rpc_call_traffic(const struct rpc_call *call, struct rpc_call_traffic *ret);

/*
 * A client for protobuf-c's generated functions, for the calls that are rare: each blocks, and
 * calls the closure with the reply, or with NULL when it failed and `error` says why.
 *
 *     struct rpc_stub stub;
 *     rpc_stub_init(&stub, channel, &marquee__ps__v1__parameter_server__descriptor, 5000, err);
 *     marquee__ps__v1__parameter_server__join(&stub.base, &request, on_reply, context);
 *     if (stub.error.status != STATUS_OK) ...
 *     rpc_stub_fini(&stub);
 */
struct rpc_stub {
	ProtobufCService base; /* first: the generated code gets a pointer to it */
	struct rpc_call *call; /* owned */
	uint32_t deadline_ms;
	const void *raw; /* sent with the next call, which resets it; borrowed */
	size_t raw_bytes;
	struct rpc_reply reply; /* of the last call; until the next one */
	struct error error;	/* of the last call */
};

MUST_CHECK enum status rpc_stub_init(struct rpc_stub *stub, struct rpc_channel *channel,
	const ProtobufCServiceDescriptor *service, uint32_t deadline_ms, struct error *err);
void rpc_stub_fini(struct rpc_stub *stub);

#endif
