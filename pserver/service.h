/*
 * A parameter server: one shard of the tables behind an address.
 *
 * Any number of them live in one process. A server holds one job at a time: it begins with the
 * first worker's Join and ends when all have left, or when nothing was heard of it for
 * PS_ABANDONED_S and another job asks. docs/wire.md says what the calls mean.
 *
 * Threads: internally locked. A server answers on nng's threads and has one thread of its own,
 * which ends parked calls at their deadlines.
 */
#ifndef MARQUEE_PSERVER_SERVICE_H
#define MARQUEE_PSERVER_SERVICE_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define PS_ABANDONED_S 30u

struct ps_server;
struct rpc_tls;

/* The zero value is the default, but for the address. Strings are borrowed until open returns. */
struct ps_server_options {
	const char *listen_url; /* "tcp://127.0.0.1:0": any port */
	uint32_t shard_index;
	uint32_t shard_count; /* 0: 1 */
	const void *token;    /* NULL: callers need none */
	size_t token_bytes;
	const struct rpc_tls *tls; /* common/rpc/transport.h; for tls+tcp */
	size_t max_message_bytes;  /* 0: RPC_MESSAGE_BYTES_DEFAULT */
	uint32_t max_connections;  /* 0: RPC_CONNECTIONS_DEFAULT */
	/* A connection beyond them was refused (common/rpc/server.h); NULL: nobody is told. */
	void (*on_refused)(void *context, const char *peer, uint32_t limit);
	void *refused_context;
	const struct clock *clock; /* NULL: the real one; borrowed for the server's life */
	uint32_t helpers;	   /* threads that take part in large calls, crew.h; at most 7 */
};

/* Returns an owned server that answers. Errors as rpc_server_open()'s. */
MUST_CHECK enum status ps_server_open(
	struct ps_server **ret, const struct ps_server_options *options, struct error *err);
/* Ends parked calls with UNAVAILABLE, answers what is under way, frees. Takes NULL. */
void ps_server_close(struct ps_server *server);

/*
 * A synchronous step without messages, for workers that share memory with this process: the pushes
 * of all of them for the step, applied at once, and then all their pulls of the step after it. What
 * has come here in messages is not mixed with it; calls of this job that wait for the step are
 * answered.
 *
 * Arrays are borrowed for the call: ids [count] raw u64, gradients and rows [count, dim] aligned to
 * 4 bytes. A push is one segment (aggregate.h). FAILED_PRECONDITION when there is no synchronous
 * job that is at this step, or messages have pushed a part of it; else as aggregate_add,
 * aggregate_apply and store_pull.
 */
struct ps_push {
	uint32_t table, slot, count, examples;
	const void *ids;
	const float *gradients;
};
struct ps_pull {
	uint32_t table, count;
	const void *ids;
	float *rows;
};
struct ps_step {
	uint64_t step;
	const struct ps_push *pushes;
	size_t push_count;
	const struct ps_pull *pulls;
	size_t pull_count;
};
MUST_CHECK enum status ps_server_step(
	struct ps_server *server, const struct ps_step *step, struct error *err);

/* The bound address. Borrowed. */
const char *ps_server_url(const struct ps_server *server);

#endif
