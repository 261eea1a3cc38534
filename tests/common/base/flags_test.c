#include "common/base/flags.h"

#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 16

static struct {
	bool verbose;
	uint64_t epochs;
	bool epochs_given;
	double rate;
	const char *data;
	const char *mode;
} options;

static const struct flag training[] = {
	{.name = "epochs",
		.kind = FLAG_U64,
		.target = &options.epochs,
		.value_name = "N",
		.help = "passes over the data (default 20)",
		.min = 1,
		.given = &options.epochs_given},
	{.name = "learning-rate",
		.kind = FLAG_DOUBLE,
		.target = &options.rate,
		.value_name = "X",
		.help = "step width",
		.min = 0,
		.max = 10},
	{.name = "mode",
		.kind = FLAG_CHOICE,
		.target = &options.mode,
		.value_name = "MODE",
		.help = "sync, ssp or async",
		.choices = "sync|ssp|async"},
};

static const struct flag general[] = {
	{.name = "data",
		.kind = FLAG_STRING,
		.target = &options.data,
		.value_name = "DIR",
		.help = "where the ratings are",
		.required = true},
	{.name = "verbose", .kind = FLAG_BOOL, .target = &options.verbose, .help = "say more"},
	{.name = "an-option-with-a-long-name",
		.kind = FLAG_BOOL,
		.target = &options.verbose,
		.help = "an explanation that is too long for one line of a terminal of a hundred "
			"columns and goes on in the next"},
};

static const struct flag_group groups[] = {
	{.title = "training", .flags = training, .count = 3},
	{.title = "general", .flags = general, .count = 3},
};

static const struct command_line line = {.program = "prog",
	.summary = "A test.",
	.operands = "DIR [DIR]",
	.max_operands = 2,
	.groups = groups,
	.group_count = 2};

/* Parses words (NULL-terminated); operands[] gets what is left in front. */
static enum status parse(
	const char *const *words, const char **operands, int *ret_operands, struct error *err)
{
	static char storage[WORDS_MAX][128];
	char *argv[WORDS_MAX + 1];
	int argc = 0;
	snprintf(storage[argc], sizeof(storage[argc]), "prog");
	argv[argc] = storage[argc];
	argc++;
	for (; *words; words++, argc++) {
		snprintf(storage[argc], sizeof(storage[argc]), "%s", *words);
		argv[argc] = storage[argc];
	}
	argv[argc] = NULL;
	memset(&options, 0, sizeof(options));
	int count = 0;
	enum status status = flags_parse(&line, argc, argv, &count, err);
	for (int i = 0; operands && i < count; i++)
		operands[i] = argv[1 + i];
	if (ret_operands)
		*ret_operands = count;
	return status;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(values_come_with_a_blank_or_an_equals_sign)
{
	struct error err = {0};
	assert_ok(parse(WORDS("--data", "D", "--epochs=3", "--learning-rate", "0.5", "--mode=ssp",
				"--verbose"),
			  NULL, NULL, &err),
		&err);
	ck_assert_str_eq(options.data, "D");
	ck_assert_uint_eq(options.epochs, 3);
	ck_assert(options.epochs_given);
	ck_assert_double_eq(options.rate, 0.5);
	ck_assert_str_eq(options.mode, "ssp");
	ck_assert(options.verbose);
}
END_TEST

START_TEST(what_is_not_given_keeps_its_value)
{
	struct error err = {0};
	assert_ok(parse(WORDS("--data", "D", "--verbose", "--no-verbose"), NULL, NULL, &err), &err);
	ck_assert_uint_eq(options.epochs, 0);
	ck_assert(!options.epochs_given);
	ck_assert_ptr_null(options.mode);
	ck_assert(!options.verbose);
}
END_TEST

START_TEST(operands_may_stand_anywhere_and_come_first)
{
	struct error err = {0};
	const char *operands[WORDS_MAX];
	int count;
	assert_ok(parse(WORDS("one", "--data", "D", "two"), operands, &count, &err), &err);
	ck_assert_int_eq(count, 2);
	ck_assert_str_eq(operands[0], "one");
	ck_assert_str_eq(operands[1], "two");
	assert_ok(parse(WORDS("--data", "D", "--", "--two"), operands, &count, &err), &err);
	ck_assert_int_eq(count, 1);
	ck_assert_str_eq(operands[0], "--two");
	assert_fails(parse(WORDS("--data", "D", "1", "2", "3"), NULL, NULL, &err),
		STATUS_INVALID_ARGUMENT, &err, "unexpected argument '3'");
}
END_TEST

START_TEST(messages_name_the_option_the_value_and_what_was_expected)
{
	static const struct {
		const char *word;
		const char *message;
	} rows[] = {
		{"--epochs=0", "--epochs: '0' is less than 1"},
		{"--epochs=-3", "--epochs: '-3' is not a whole number"},
		{"--epochs=1e3", "--epochs: '1e3' is not a whole number"},
		{"--epochs=18446744073709551616",
			"--epochs: '18446744073709551616' does not fit 64 bits"},
		{"--epochs=", "--epochs: empty, expected a whole number"},
		{"--learning-rate=11", "--learning-rate: '11' is not between 0 and 10"},
		{"--learning-rate=nan", "--learning-rate: 'nan' is not a finite number"},
		{"--learning-rate=1e999", "--learning-rate: '1e999' is not a finite number"},
		{"--learning-rate=0.1x", "--learning-rate: '0.1x' is not a number"},
		{"--learning-rate= 1", "--learning-rate: ' 1' is not a number"},
		{"--mode=bsp", "--mode: 'bsp' is not one of sync|ssp|async"},
		{"--mode=sync|ssp", "--mode: 'sync|ssp' is not one of sync|ssp|async"},
		{"--mode=", "--mode: '' is not one of sync|ssp|async"},
		{"--epoch-count", "unknown option --epoch-count"},
		{"-xyz", "unknown option -x"},
		{"--verbose=1", "--verbose takes no value"},
		{"--no-verbose=1", "--no-verbose takes no value"},
		{"--help=me", "--help takes no value"},
		{"--epochs", "--epochs needs a value"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err = {0};
		ck_assert_int_eq(parse(WORDS("--data", "D", rows[i].word), NULL, NULL, &err),
			STATUS_INVALID_ARGUMENT);
		ck_assert_str_eq(err.message, rows[i].message);
	}
}
END_TEST

START_TEST(a_required_option_is_asked_for)
{
	struct error err = {0};
	assert_fails(parse(WORDS("--epochs", "2"), NULL, NULL, &err), STATUS_INVALID_ARGUMENT, &err,
		"--data DIR is missing");
}
END_TEST

/* Runs --help with stdout in a file; returns owned text. */
static char *help_text(void)
{
	struct error err = {0};
	char *text = calloc(1, 8192);
	FILE *file = tmpfile();
	fflush(stdout);
	int kept = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	enum status status = parse(WORDS("--help"), NULL, NULL, &err);
	fflush(stdout);
	dup2(kept, STDOUT_FILENO);
	close(kept);
	ck_assert_int_eq(status, STATUS_CANCELLED);
	rewind(file);
	ck_assert_uint_gt(fread(text, 1, 8191, file), 0);
	fclose(file);
	return text;
}

START_TEST(help_shows_every_option_within_a_hundred_columns)
{
	char *text = help_text();
	ck_assert_ptr_nonnull(strstr(text, "usage: prog [options] DIR [DIR]\n\nA test.\n"));
	ck_assert_ptr_nonnull(strstr(text, "\ntraining:\n  --epochs N                   passes "));
	ck_assert_ptr_nonnull(strstr(text, "--data DIR                   where the ratings are "
					   "(required)\n"));
	ck_assert_ptr_nonnull(strstr(text, "\n  --help                       print this"));
	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
		ck_assert_uint_le(strcspn(at, "\n"), 100);
	free(text);
}
END_TEST

START_TEST(exit_codes_tell_usage_from_failure)
{
	struct error err = {0};
	ck_assert_int_eq(flags_exit("prog", STATUS_OK, &err), EXIT_OK);
	ck_assert_int_eq(flags_exit("prog", STATUS_CANCELLED, &err), EXIT_OK);
	ck_assert_int_eq(flags_exit("prog", STATUS_INVALID_ARGUMENT, &err), EXIT_USAGE);
	ck_assert_int_eq(flags_exit("prog", STATUS_UNAVAILABLE, &err), EXIT_FAILED);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {values_come_with_a_blank_or_an_equals_sign,
		what_is_not_given_keeps_its_value, operands_may_stand_anywhere_and_come_first,
		messages_name_the_option_the_value_and_what_was_expected,
		a_required_option_is_asked_for, help_shows_every_option_within_a_hundred_columns,
		exit_codes_tell_usage_from_failure, NULL};
	return run_cases("flags", cases);
}
