#include "common/base/flags.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_MAX    96
#define HELP_COLUMN  31 /* where the explanations begin */
#define HELP_COLUMNS 100

enum status parse_u64(const char *text, uint64_t *ret, struct error *err)
{
	uint64_t value = 0;
	if (*text == '\0')
		return error_set(err, STATUS_INVALID_ARGUMENT, "empty, expected a whole number");
	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9')
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"'%.40s' is not a whole number", text);
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return error_set(
				err, STATUS_OUT_OF_RANGE, "'%.40s' does not fit 64 bits", text);
	}
	*ret = value;
	return STATUS_OK;
}

enum status parse_double(const char *text, double *ret, struct error *err)
{
	char *end;
	errno = 0;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || isspace((unsigned char)*text))
		return error_set(err, STATUS_INVALID_ARGUMENT, "'%.40s' is not a number", text);
	if (!isfinite(value))
		return error_set(err, STATUS_OUT_OF_RANGE, "'%.40s' is not a finite number", text);
	*ret = value;
	return STATUS_OK;
}

static bool is_choice(const char *choices, const char *value)
{
	size_t length = strlen(value);
	const char *at = choices;
	while (*at) {
		size_t word = strcspn(at, "|");
		if (word == length && memcmp(at, value, word) == 0)
			return true;
		at += word;
		at += *at == '|';
	}
	return false;
}

static enum status check_range(
	const struct flag *flag, double value, const char *text, struct error *err)
{
	if (flag->min == 0 && flag->max == 0)
		return STATUS_OK;
	bool bounded = flag->max > flag->min;
	if (value >= flag->min && (!bounded || value <= flag->max))
		return STATUS_OK;
	if (bounded)
		return error_set(err, STATUS_OUT_OF_RANGE, "'%.40s' is not between %.15g and %.15g",
			text, flag->min, flag->max);
	return error_set(err, STATUS_OUT_OF_RANGE, "'%.40s' is less than %.15g", text, flag->min);
}

static enum status store_value(const struct flag *flag, const char *text, struct error *err)
{
	enum status status = STATUS_OK;
	uint64_t whole;
	double real;
	switch (flag->kind) {
	case FLAG_BOOL:
		*(bool *)flag->target = true;
		break;
	case FLAG_U64:
		status = parse_u64(text, &whole, err);
		if (status == STATUS_OK)
			status = check_range(flag, (double)whole, text, err);
		if (status == STATUS_OK)
			*(uint64_t *)flag->target = whole;
		break;
	case FLAG_DOUBLE:
		status = parse_double(text, &real, err);
		if (status == STATUS_OK)
			status = check_range(flag, real, text, err);
		if (status == STATUS_OK)
			*(double *)flag->target = real;
		break;
	case FLAG_STRING:
		*(const char **)flag->target = text;
		break;
	case FLAG_CHOICE:
		if (!is_choice(flag->choices, text))
			status = error_set(err, STATUS_INVALID_ARGUMENT, "'%.40s' is not one of %s",
				text, flag->choices);
		else
			*(const char **)flag->target = text;
		break;
	}
	if (status != STATUS_OK)
		return error_wrap(err, STATUS_INVALID_ARGUMENT, "--%s", flag->name);
	if (flag->given)
		*flag->given = true;
	return STATUS_OK;
}

/* Prints words from HELP_COLUMN on, in as many lines as they need. */
static void print_wrapped(const char *text, size_t column)
{
	while (*text) {
		size_t blank = strspn(text, " ");
		size_t word = strcspn(text + blank, " ");
		if (column > HELP_COLUMN && column + blank + word > HELP_COLUMNS) {
			printf("\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
			text += blank;
			blank = 0;
		}
		printf("%.*s", (int)(blank + word), text);
		column += blank + word;
		text += blank + word;
	}
}

static void print_flag(const struct flag *flag)
{
	int used = printf("  --%s%s%s", flag->name, flag->value_name ? " " : "",
		flag->value_name ? flag->value_name : "");
	size_t column = used > 0 ? (size_t)used : 0;
	if (column >= HELP_COLUMN) { /* no room beside it */
		printf("\n");
		column = 0;
	}
	printf("%*s", (int)(HELP_COLUMN - column), "");
	print_wrapped(flag->help, HELP_COLUMN);
	printf("%s\n", flag->required ? " (required)" : "");
}

static void print_help(const struct command_line *line)
{
	printf("usage: %s%s%s%s\n\n%s\n", line->program, line->group_count ? " [options]" : "",
		line->operands ? " " : "", line->operands ? line->operands : "", line->summary);
	for (size_t g = 0; g < line->group_count; g++) {
		const struct flag_group *group = &line->groups[g];
		printf("\n%s:\n", group->title);
		for (size_t i = 0; i < group->count; i++)
			print_flag(&group->flags[i]);
	}
	printf("\n  %-28s %s\n", "--help", "print this and exit");
}

/* The flags of all groups in one list, beside getopt's copy of them. */
struct flag_list {
	const struct flag *flags[FLAGS_MAX];
	struct option options[2 * FLAGS_MAX + 2];
	char negated[FLAGS_MAX][48];
	bool seen[FLAGS_MAX];
	size_t count;
};

enum { OPTION_HELP = 1, OPTION_FLAG = 1000, OPTION_NEGATED = 1000 + FLAGS_MAX };

static void list_build(struct flag_list *list, const struct command_line *line)
{
	size_t at = 0;
	list->count = 0;
	for (size_t g = 0; g < line->group_count; g++) {
		for (size_t i = 0; i < line->groups[g].count && list->count < FLAGS_MAX; i++) {
			const struct flag *flag = &line->groups[g].flags[i];
			size_t index = list->count++;
			list->flags[index] = flag;
			list->seen[index] = false;
			list->options[at++] = (struct option){.name = flag->name,
				.has_arg =
					flag->kind == FLAG_BOOL ? no_argument : required_argument,
				.val = OPTION_FLAG + (int)index};
			if (flag->kind == FLAG_BOOL) {
				snprintf(list->negated[index], sizeof(list->negated[index]),
					"no-%s", flag->name);
				list->options[at++] = (struct option){.name = list->negated[index],
					.has_arg = no_argument,
					.val = OPTION_NEGATED + (int)index};
			}
		}
	}
	list->options[at++] = (struct option){.name = "help", .val = OPTION_HELP};
	list->options[at] = (struct option){0};
}

static enum status take_option(struct flag_list *list, int option, struct error *err)
{
	if (option >= OPTION_NEGATED) {
		const struct flag *flag = list->flags[option - OPTION_NEGATED];
		*(bool *)flag->target = false;
		if (flag->given)
			*flag->given = true;
		return STATUS_OK;
	}
	size_t index = (size_t)(option - OPTION_FLAG);
	list->seen[index] = true;
	return store_value(list->flags[index], optarg, err);
}

/* getopt_long said '?': optopt is an option's value, a letter, or 0 for a name that is none. */
static enum status unknown_option(
	const struct flag_list *list, const char *argument, struct error *err)
{
	int index = optopt - OPTION_FLAG;
	if (optopt >= OPTION_NEGATED)
		index = optopt - OPTION_NEGATED;
	if (optopt == OPTION_HELP || index >= 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "--%s%s takes no value",
			optopt >= OPTION_NEGATED ? "no-" : "",
			optopt == OPTION_HELP ? "help" : list->flags[index]->name);
	if (optopt > 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option -%c", optopt);
	return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option %.80s", argument);
}

enum status flags_parse(const struct command_line *line, int argc, char **argv, int *ret_operands,
	struct error *err)
{
	struct flag_list list;
	list_build(&list, line);
	optopt = 0;
	optind = 0; /* glibc: start afresh, a process may parse more than once */
	opterr = 0;
	for (;;) {
		int option = getopt_long(argc, argv, ":", list.options, NULL);
		if (option == -1)
			break;
		if (option == OPTION_HELP) {
			print_help(line);
			return STATUS_CANCELLED;
		}
		if (option == ':')
			return error_set(
				err, STATUS_INVALID_ARGUMENT, "%s needs a value", argv[optind - 1]);
		if (option == '?')
			return unknown_option(&list, argv[optind - 1], err);
		enum status status = take_option(&list, option, err);
		if (status != STATUS_OK)
			return status;
	}
	for (size_t i = 0; i < list.count; i++)
		if (list.flags[i]->required && !list.seen[i])
			return error_set(err, STATUS_INVALID_ARGUMENT, "--%s %s is missing",
				list.flags[i]->name,
				list.flags[i]->value_name ? list.flags[i]->value_name : "");
	size_t operands = (size_t)(argc - optind);
	if (operands < line->min_operands)
		return error_set(err, STATUS_INVALID_ARGUMENT, "expected %s", line->operands);
	if (operands > line->max_operands)
		return error_set(err, STATUS_INVALID_ARGUMENT, "unexpected argument '%.80s'",
			argv[(size_t)optind + line->max_operands]);
	for (size_t i = 0; i < operands; i++)
		argv[1 + i] = argv[(size_t)optind + i];
	if (ret_operands)
		*ret_operands = (int)operands;
	return STATUS_OK;
}

void flags_add_hint(const char *program, struct error *err)
{
	size_t used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": see '%s --help'", program);
}

int flags_exit(const char *program, enum status status, const struct error *err)
{
	if (status == STATUS_OK || status == STATUS_CANCELLED)
		return EXIT_OK;
	struct error message = *err;
	if (status == STATUS_INVALID_ARGUMENT)
		flags_add_hint(program, &message);
	int code = program_failed(program, &message);
	return status == STATUS_INVALID_ARGUMENT ? EXIT_USAGE : code;
}

int program_failed(const char *program, const struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", program, err->message);
	return EXIT_FAILED;
}

int program_end(const char *program, int code)
{
	struct error err;
	errno = 0;
	const bool written = fflush(stdout) == 0 && !ferror(stdout);
	if (code != EXIT_OK || written)
		return code;
	/* An earlier write may have failed, and why is not known any more. */
	if (errno != 0)
		(void)error_set_errno(&err, errno, "standard output: not all of it was written");
	else
		(void)error_set(
			&err, STATUS_UNAVAILABLE, "standard output: not all of it was written");
	return program_failed(program, &err);
}
