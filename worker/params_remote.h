/*
 * The parameter client over the wire: every id goes to the server that owns its virtual shard.
 *
 * An exchange is one call per server, all in flight together. With a single server ids and rows are
 * copied as they stand; with several they are picked by position.
 */
#ifndef MARQUEE_WORKER_PARAMS_REMOTE_H
#define MARQUEE_WORKER_PARAMS_REMOTE_H

#include "common/base/clock.h"
#include "pserver/placement.h"
#include "worker/params.h"
#include "worker/trainer.h"

#define SERVERS_MAX VIRTUAL_SHARDS

struct comm_shared;
struct ps_server;

struct params_remote_options {
	const char *const *urls; /* [url_count], in any order; borrowed during new */
	uint32_t url_count;
	const char *job;	   /* the same for all workers of the job */
	const char *token;	   /* NULL: none */
	const struct rpc_tls *tls; /* for tls+tcp URLs; NULL: none of them is */
	uint32_t worker, workers;
	/* Larger at every start of this worker; one that is not beyond the checkpoint's, as after
	 * a clock was set back, is made so. */
	uint64_t incarnation;
	uint64_t generation; /* of the whole job: the same for all workers */
	double connect_timeout_s;
	double deadline_s; /* of every call */
	const struct clock *clock;
	/*
	 * sync: the servers are in the workers' own processes, shard s in worker s, and the workers
	 * share memory: steps then go through it. NULL: all goes in messages. Borrowed.
	 */
	struct comm_shared *shared;
	size_t shared_bytes;   /* of the longest step that does; 0: COMM_PLACE_BYTES */
	struct ps_server *own; /* this worker's; NULL: it hosts none */
};

/*
 * Connects and joins the job on every server. Errors name the server: nobody answers there,
 * another job, a shard that is missing or there twice.
 */
MUST_CHECK enum status params_remote_new(struct params **ret,
	const struct params_remote_options *options, const struct job_tables *job,
	struct error *err);

#endif
