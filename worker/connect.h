/*
 * How the workers of a job find their tables: servers that were named, shards that the ranks host
 * themselves, or tables embedded in the only worker.
 *
 * Threads: owner-thread only; open, connect and close are collective over comm.
 */
#ifndef MARQUEE_WORKER_CONNECT_H
#define MARQUEE_WORKER_CONNECT_H

#include "common/rpc/transport.h"
#include "worker/comm.h"
#include "worker/options.h"
#include "worker/trainer.h"

struct connect_options {
	const char *servers;	   /* "URL,URL,..."; NULL: none */
	uint64_t embedded_servers; /* ranks that host a shard; 0: one a core */
	const char *token_file;	   /* NULL: no token */
	struct rpc_tls tls;	   /* for servers at tls+tcp addresses */
	double connect_timeout_s;
	uint64_t generation; /* which start of the job this is */
};

/* INVALID_ARGUMENT: `servers` is not understood. */
MUST_CHECK enum status connect_options_check(
	const struct connect_options *options, struct error *err);

struct connector;

/*
 * Reads the token, starts this rank's own server if it hosts one, and agrees with the other workers
 * on the addresses and on the job's name. Borrows comm and options until close.
 */
MUST_CHECK enum status connector_open(struct connector **ret, const struct connect_options *options,
	const struct train_options *train, struct comm *comm, struct error *err);

/* The trainer's connect_tables; context is the connector. */
enum status connector_connect(
	void *context, const struct job_tables *job, struct params **ret, struct error *err);

/* Ends this rank's server. Every worker has left the job before. Takes NULL. */
void connector_close(struct connector *connector);

#endif
