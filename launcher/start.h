/*
 * How the processes of a job are started: the command lines of parameter servers and of mpirun with
 * the workers, and the line in which a server says that it is ready.
 *
 * Threads: as process.h.
 */
#ifndef MARQUEE_LAUNCHER_START_H
#define MARQUEE_LAUNCHER_START_H

#include "launcher/last_words.h"
#include "launcher/launch.h"
#include "launcher/process.h"

#include <stdbool.h>

#define START_URL_SIZE LAST_WORDS_URL_SIZE

/* Server number `server` of options->servers, at a port that the system chooses. */
MUST_CHECK enum status start_server(struct process *process, const struct launch_programs *programs,
	const struct launch_options *options, uint32_t server, struct error *err);

/*
 * mpirun and the workers, for the servers at urls[options->servers]. number: of the attempt; from 1
 * on they get the restart arguments.
 */
MUST_CHECK enum status start_workers(struct process *process,
	const struct launch_programs *programs, const struct launch_options *options,
	char (*urls)[START_URL_SIZE], uint32_t number, struct error *err);

/*
 * Takes the URL from a server's line "pserver: ready URL shard I/N"; false when it is another
 * line, or names another shard.
 */
bool start_heard_ready(
	const char *line, uint32_t server, uint32_t servers, char url[START_URL_SIZE]);

#endif
