/*
 * A child process with its own process group and both output streams on pipes.
 *
 * The child reads /dev/null, gets default signal handling and an empty mask, and is sent SIGTERM
 * when its parent dies. When it has ended, whatever is left of its group is killed before the
 * number is given back to the system, so that a signal never meets a stranger.
 *
 * Threads: owner-thread only; the process that starts children has one thread (fork).
 */
#ifndef MARQUEE_LAUNCHER_PROCESS_H
#define MARQUEE_LAUNCHER_PROCESS_H

#include "common/base/status.h"
#include "launcher/lines.h"

#include <stdbool.h>
#include <sys/types.h>

#define PROCESS_NAME_SIZE 32
#define PROCESS_END_SIZE  96

struct process_stream {
	int descriptor; /* read end, does not block; -1: ended or never opened */
	struct lines lines;
};

/*
 * Reads what is there, at most what a pipe holds, and hands on its lines. At the end, and when
 * on_line fails, the stream is closed; the failure is returned.
 */
MUST_CHECK enum status process_stream_read(
	struct process_stream *stream, line_function on_line, void *context, struct error *err);

struct process {
	char name[PROCESS_NAME_SIZE]; /* "pserver 0" */
	pid_t pid;		      /* and number of its group */
	bool running;
	int wait_status; /* once it has ended: waitpid's */
	struct process_stream output, errors;
};

/* A process that was never started; process_fini takes it. */
void process_init(struct process *process, const char *name);

/*
 * Starts argv[0] (looked up on PATH unless it has a slash) with the NULL-terminated argv. Borrows
 * argv for the call. NOT_FOUND, PERMISSION_DENIED: it cannot be run, nothing was started.
 */
MUST_CHECK enum status process_start(
	struct process *process, const char *const *argv, struct error *err);

/* To the whole group; nothing when it has ended. */
void process_signal(const struct process *process, int signal_number);

/* True once: when it has ended since the last call. */
bool process_reap(struct process *process);

/* It has ended, with exit code 0. */
bool process_succeeded(const struct process *process);

/* It has ended by itself, with exit code 1 or 2: it said why. */
bool process_gave_up(const struct process *process);

/* "exited with code 3", "was killed by signal 9 (Killed)". */
void process_end_text(const struct process *process, char text[PROCESS_END_SIZE]);

/* Kills and waits for it if it still runs; closes its streams. */
void process_fini(struct process *process);

#endif
