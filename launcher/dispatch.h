/*
 * One table of subcommands drives a program's dispatch, its help and its hints.
 *
 * A command gets argv with the full name in front ("marquee train", "--data", ...), so that its
 * own messages start with it, and returns the process's exit code.
 *
 * Threads: call from main.
 */
#ifndef MARQUEE_LAUNCHER_DISPATCH_H
#define MARQUEE_LAUNCHER_DISPATCH_H

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *description; /* one line, no full stop */
};

struct command_set {
	const char *program;		/* "marquee" */
	const char *version;		/* "0.1.0" */
	const char *summary;		/* one or two sentences for --help */
	const struct command *commands; /* ends with a row without a name */
};

/*
 * Runs the command that argv[1] names and returns its exit code. Handles --help, --version and
 * `help [COMMAND]` itself; no command or an unknown one is a usage error, with the nearest name
 * as a hint. Borrows everything.
 */
int dispatch(const struct command_set *set, int argc, char **argv);

/* The command whose name is nearest to a mistyped one, or NULL when none is near. */
const struct command *dispatch_nearest(const struct command_set *set, const char *name);

#endif
