/*
 * The processes of an attempt, the parameter servers and the workers' mpirun, and what is heard of
 * them: every line is passed on behind its process's name, and some of them tell how far they are.
 *
 * Threads: as process.h.
 */
#ifndef MARQUEE_LAUNCHER_PROCESSES_H
#define MARQUEE_LAUNCHER_PROCESSES_H

#include "launcher/last_words.h"
#include "launcher/launch.h"
#include "launcher/process.h"
#include "launcher/start.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct processes {
	const struct launch_options *options;
	struct process *all;	 /* [count]: the servers, then mpirun */
	struct process *workers; /* mpirun */
	size_t count;		 /* options->servers + 1 */
	struct pollfd *polled;	 /* [1 + 2 * count] */

	/* Heard: */
	char (*urls)[START_URL_SIZE]; /* [servers]; empty until the server is ready */
	uint32_t ready;		      /* servers */
	bool began;		      /* the workers: their training */
	struct last_words said;	      /* by the workers */
};

/* None is started. Borrows options. */
MUST_CHECK enum status processes_init(
	struct processes *ret, const struct launch_options *options, struct error *err);
/* Kills and waits for those that still run. */
void processes_fini(struct processes *processes);

/* To every server that runs. */
void processes_signal_servers(const struct processes *processes, int signal_number);

/*
 * Waits until a process has said something or a signal has come, at most timeout_ms (-1: for ever).
 * True: there is a signal to be read from the descriptor.
 */
bool processes_wait(struct processes *processes, int signals, int timeout_ms);
/*
 * Passes on what was there when processes_wait() returned. What cannot be written for one process
 * does not keep back the others' lines; the first such failure is returned.
 */
MUST_CHECK enum status processes_forward(struct processes *processes, struct error *err);
/*
 * Passes on what the workers wrote before they ended: how far they came, and why not further. It is
 * in the pipes, and then comes their end, unless somebody else still holds them: a remote shell, or
 * what a wrapper of mpirun left behind. Such a one may have words to pass on, and is given some
 * time (options->hear_ms), or may never let go.
 */
void processes_hear_workers(struct processes *processes);

bool processes_any_running(const struct processes *processes);
/* There may be more to pass on. */
bool processes_any_open(const struct processes *processes);

#endif
