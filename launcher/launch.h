/*
 * A training job on this machine: parameter servers and workers under mpirun, watched until the
 * workers have ended, and started again when something fails.
 *
 * The job is attempted: attempt.h has what one attempt is. One that fails and may succeed another
 * time is followed by another, with servers and workers of its own, after a pause that doubles.
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
#define LAUNCH_HEAR_MS		300u /* below LAUNCH_PAUSE_MS: nobody notices */
#define LAUNCH_PAUSE_MS		500u /* before the first restart */
#define LAUNCH_PAUSE_MAX_MS	30000u

/* What is run; paths, or names to be found on PATH. */
struct launch_programs {
	const char *pserver;
	const char *worker;
	const char *mpirun;
};

struct launch_arguments {
	const char *const *values;
	size_t count;
};

/* PEM files for servers and workers alike; all or none. */
struct launch_tls {
	const char *cert_file, *key_file, *ca_file;
};

struct launch_options {
	uint32_t workers, servers; /* at least 1 each */
	const char *server_host;   /* where the servers listen; NULL: 127.0.0.1 */
	const char *token_file;	   /* for servers and workers; NULL: no token */
	struct launch_tls tls;
	const char *hostfile;			   /* for mpirun; NULL: this machine */
	struct launch_arguments arguments;	   /* of the workers */
	struct launch_arguments restart_arguments; /* of theirs in later attempts */
	const char
		*began_line; /* how the workers' line starts that says their training has begun */
	uint32_t max_restarts;
	uint32_t ready_timeout_ms; /* for all servers together; 0: LAUNCH_READY_TIMEOUT_MS */
	uint32_t pause_ms;	   /* before the first restart; 0: LAUNCH_PAUSE_MS */
	uint32_t grace_ms;	   /* between SIGTERM and SIGKILL; 0: LAUNCH_GRACE_MS */
	/* How long after mpirun has failed its streams are listened to while others hold them; 0:
	 * LAUNCH_HEAR_MS */
	uint32_t hear_ms;
	/* Called before each restart, counted from 1, with the failure that made it necessary. May
	 * be NULL. */
	void (*on_restart)(void *context, uint32_t restart, const char *failure);
	void *restart_context;
	int output, errors; /* descriptors for the processes' lines */
	const struct clock *clock;
};

/* What a job that has ended went through. */
struct launch_report {
	uint32_t restarts;
	char (*failures)[ERROR_MESSAGE_SIZE]; /* [restarts], owned: why each was necessary */
};

/*
 * Runs the job to its end; returns when no process of it is left. Borrows everything. Says each
 * failure that is followed by a restart on options->errors. OK: the workers of the last attempt
 * succeeded. Else err says who failed first, how, and when. *ret is the caller's, in any case, for
 * launch_report_fini.
 */
MUST_CHECK enum status launch_run(const struct launch_programs *programs,
	const struct launch_options *options, struct launch_report *ret, struct error *err);

void launch_report_fini(struct launch_report *report);

#endif
