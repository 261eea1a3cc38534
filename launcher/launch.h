/*
 * A training job on this machine: parameter servers, then workers under mpirun, watched until the
 * workers have ended.
 *
 * The job goes through phases: starting (every server announces its address), working, stopping
 * the workers, stopping the servers, draining the last output. The first thing that goes wrong, a
 * process that ends too early, a deadline, SIGINT or SIGTERM, decides the result; from then on
 * everything is only brought to its end: SIGTERM, and SIGKILL after a grace time. Workers always
 * go before servers, so that they do not complain about servers that were taken from them.
 *
 * Threads: call from the only thread. While it runs it owns SIGINT, SIGTERM, SIGCHLD and SIGPIPE;
 * it puts them back.
 */
#ifndef MARQUEE_LAUNCHER_LAUNCH_H
#define MARQUEE_LAUNCHER_LAUNCH_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LAUNCH_SERVERS_MAX 64u	/* the virtual shards */
#define LAUNCH_WORKERS_MAX 256u /* the lanes */

#define LAUNCH_READY_TIMEOUT_MS 30000u
#define LAUNCH_GRACE_MS		10000u

/* What is run; paths, or names to be found on PATH. */
struct launch_programs {
	const char *pserver;
	const char *worker;
	const char *mpirun;
};

struct launch_options {
	uint32_t workers, servers; /* at least 1 each */
	const char *server_host;   /* where the servers listen; NULL: 127.0.0.1 */
	const char *token_file;	   /* for servers and workers; NULL: no token */
	const char *hostfile;	   /* for mpirun; NULL: this machine */
	const char *const *worker_arguments;
	size_t worker_argument_count;
	uint32_t ready_timeout_ms; /* for all servers together; 0: LAUNCH_READY_TIMEOUT_MS */
	uint32_t grace_ms;	   /* between SIGTERM and SIGKILL; 0: LAUNCH_GRACE_MS */
	int output, errors;	   /* descriptors for the processes' lines */
	const struct clock *clock;
};

/*
 * Runs the job to its end; returns when no process of it is left. Borrows everything. OK: the
 * workers succeeded. Else err says who failed first, how, and when.
 */
MUST_CHECK enum status launch_run(const struct launch_programs *programs,
	const struct launch_options *options, struct error *err);

#endif
