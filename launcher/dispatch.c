#include "launcher/dispatch.h"

#include "common/base/flags.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 32 /* longest command name, with its terminator */
#define NEAR	  2  /* edits up to which a name counts as mistyped */

static const struct command *find(const struct command_set *set, const char *name)
{
	for (const struct command *command = set->commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

/* Insertions, deletions and replacements that turn a into b (Wagner, Fischer 1974), one row kept.
 */
static unsigned int edit_distance(const char *a, const char *b)
{
	size_t length = strnlen(b, NAME_SIZE);
	unsigned int row[NAME_SIZE + 1];
	for (size_t j = 0; j <= length; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 0; i < NAME_SIZE && a[i]; i++) {
		unsigned int diagonal = row[0];
		row[0] = (unsigned int)i + 1;
		for (size_t j = 0; j < length; j++) {
			unsigned int best = diagonal + (a[i] != b[j]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[length];
}

const struct command *dispatch_nearest(const struct command_set *set, const char *name)
{
	const struct command *nearest = NULL;
	unsigned int least = NEAR + 1;
	size_t length = strnlen(name, NAME_SIZE);
	for (const struct command *command = set->commands; command->name; command++) {
		unsigned int distance = edit_distance(name, command->name);
		if (length >= 3 && strncmp(command->name, name, length) == 0)
			distance = 1; /* "eval": the beginning of a name */
		if (distance < least) {
			least = distance;
			nearest = command;
		}
	}
	return nearest;
}

static void print_help(FILE *out, const struct command_set *set)
{
	fprintf(out, "usage: %s COMMAND [options]\n\n%s\n\ncommands:\n", set->program,
		set->summary);
	for (const struct command *command = set->commands; command->name; command++)
		fprintf(out, "  %-12s %s\n", command->name, command->description);
	fprintf(out, "  %-12s %s\n", "help", "print this, or the options of one command");
	fprintf(out,
		"\n'%s help COMMAND' prints a command's options, '%s --version' the version.\n",
		set->program, set->program);
}

static int unknown(const struct command_set *set, const char *name)
{
	const struct command *nearest = dispatch_nearest(set, name);
	fprintf(stderr, "%s: unknown command '%.80s'", set->program, name);
	if (nearest)
		fprintf(stderr, ": did you mean '%s %s'?\n", set->program, nearest->name);
	else
		fprintf(stderr, ": see '%s --help'\n", set->program);
	return EXIT_USAGE;
}

/* argv[0] is replaced by "program command", for the command's own messages. */
static int run(const struct command_set *set, const struct command *command, int argc, char **argv)
{
	char name[2 * NAME_SIZE];
	snprintf(name, sizeof(name), "%s %s", set->program, command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

int dispatch(const struct command_set *set, int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr, set);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--version") == 0) {
		printf("%s %s\n", set->program, set->version);
		return EXIT_OK;
	}
	if (strcmp(name, "--help") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
		print_help(stdout, set);
		return EXIT_OK;
	}
	bool help = strcmp(name, "help") == 0;
	const struct command *command = find(set, help ? argv[2] : name);
	if (!command)
		return unknown(set, help ? argv[2] : name);
	if (!help)
		return run(set, command, argc - 1, argv + 1);
	char option[] = "--help";
	char *help_argv[] = {NULL, option, NULL};
	return run(set, command, 2, help_argv);
}
