/*
 * Command-line options from a table: parsing, checking and --help come from the same rows.
 *
 * A program declares its options as one or more static arrays of struct flag (shared groups, such
 * as the training options, are arrays of their own) and gets GNU long options (--name VALUE,
 * --name=VALUE), --help, and messages that name the option, the value and what was expected.
 *
 * Threads: externally locked; call it from main.
 */
#ifndef MARQUEE_BASE_FLAGS_H
#define MARQUEE_BASE_FLAGS_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind {
	FLAG_BOOL,   /* bool *: --name sets it, --no-name clears it */
	FLAG_U64,    /* uint64_t *: decimal, min..max */
	FLAG_DOUBLE, /* double *: finite, min..max */
	FLAG_STRING, /* const char **: borrows argv */
	FLAG_CHOICE, /* const char **: one of the '|' separated words in `choices` */
};

struct flag {
	const char *name; /* without dashes */
	enum flag_kind kind;
	void *target; /* set only when the option is given: its value before is the default */
	const char *value_name; /* in help: "N", "DIR", "SECONDS"; NULL for FLAG_BOOL */
	const char *help;	/* one line, with units and the default */
	double min, max;	/* for numbers; both 0: no limit */
	const char *choices;
	bool *given; /* may be NULL; set true when the option is on the command line */
	bool required;
};

struct flag_group {
	const char *title; /* heading in --help */
	const struct flag *flags;
	size_t count;
};

struct command_line {
	const char *program;  /* "marquee train": starts every message */
	const char *summary;  /* one or two sentences for --help */
	const char *operands; /* "DIR [DIR]" in the usage line, or NULL when there are none */
	size_t min_operands, max_operands;
	const struct flag_group *groups;
	size_t group_count;
};

/*
 * Parses argv[1..argc). Operands are moved to the front of argv[1..] and their number is returned
 * in *ret_operands (may be NULL when there are none). STATUS_CANCELLED: --help was printed to
 * stdout, exit 0. INVALID_ARGUMENT: err says what is wrong, exit 2.
 */
MUST_CHECK enum status flags_parse(const struct command_line *line, int argc, char **argv,
	int *ret_operands, struct error *err);

/* Strict number parsing, the whole text: INVALID_ARGUMENT or OUT_OF_RANGE, without context. */
MUST_CHECK enum status parse_u64(const char *text, uint64_t *ret, struct error *err);
MUST_CHECK enum status parse_double(const char *text, double *ret, struct error *err);

/* Exit codes of every program. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/*
 * Prints "program: message" to stderr (plus a hint at --help for a usage error) and returns the
 * exit code for a status: 0 for OK and CANCELLED from flags_parse.
 */
int flags_exit(const char *program, enum status status, const struct error *err);

/* Appends the hint at --help to a usage error, for programs that print it themselves. */
void flags_add_hint(const char *program, struct error *err);

/*
 * Prints "program: message" and returns EXIT_FAILED: for what goes wrong after the command line was
 * understood, whatever its status. Flushes stdout before, so that results stand above the message.
 */
int program_failed(const char *program, const struct error *err);

/*
 * The last call of a program that prints a result: returns `code`, or EXIT_FAILED where that is
 * EXIT_OK and stdout did not take all of it (a full disk), which is said then.
 */
int program_end(const char *program, int code);

#endif
