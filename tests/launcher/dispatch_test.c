#include "launcher/dispatch.h"

#include "common/base/flags.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

static struct {
	int argc;
	char program[64];
	char first[64];
} called;

static int record(int argc, char **argv)
{
	called.argc = argc;
	snprintf(called.program, sizeof(called.program), "%s", argv[0]);
	snprintf(called.first, sizeof(called.first), "%s", argc > 1 ? argv[1] : "");
	ck_assert_ptr_null(argv[argc]);
	return 42;
}

static const struct command commands[] = {
	{"train", record, "train"},
	{"evaluate", record, "evaluate"},
	{"export", record, "export"},
	{0},
};

static const struct command_set set = {
	.program = "prog", .version = "1", .summary = "A test.", .commands = commands};

static int call(const char *first, const char *second)
{
	char words[3][64] = {"./prog", "", ""};
	char *argv[4] = {words[0], NULL, NULL, NULL};
	int argc = 1;
	if (first) {
		snprintf(words[1], sizeof(words[1]), "%s", first);
		argv[argc++] = words[1];
	}
	if (second) {
		snprintf(words[2], sizeof(words[2]), "%s", second);
		argv[argc++] = words[2];
	}
	memset(&called, 0, sizeof(called));
	return dispatch(&set, argc, argv);
}

START_TEST(a_command_gets_its_full_name_and_its_options)
{
	ck_assert_int_eq(call("train", "--epochs"), 42);
	ck_assert_int_eq(called.argc, 2);
	ck_assert_str_eq(called.program, "prog train");
	ck_assert_str_eq(called.first, "--epochs");
}
END_TEST

START_TEST(help_of_a_command_is_that_commands_own)
{
	ck_assert_int_eq(call("help", "evaluate"), 42);
	ck_assert_str_eq(called.program, "prog evaluate");
	ck_assert_str_eq(called.first, "--help");
}
END_TEST

START_TEST(help_and_version_succeed_without_running_anything)
{
	ck_assert_int_eq(call("--help", NULL), EXIT_OK);
	ck_assert_int_eq(call("help", NULL), EXIT_OK);
	ck_assert_int_eq(call("--version", NULL), EXIT_OK);
	ck_assert_int_eq(called.argc, 0);
}
END_TEST

START_TEST(no_command_and_an_unknown_one_are_usage_errors)
{
	ck_assert_int_eq(call(NULL, NULL), EXIT_USAGE);
	ck_assert_int_eq(call("fly", NULL), EXIT_USAGE);
	ck_assert_int_eq(call("help", "fly"), EXIT_USAGE);
	ck_assert_int_eq(called.argc, 0);
}
END_TEST

START_TEST(a_mistyped_name_finds_its_neighbour)
{
	ck_assert_str_eq(dispatch_nearest(&set, "tran")->name, "train");
	ck_assert_str_eq(dispatch_nearest(&set, "exprot")->name, "export");
	ck_assert_str_eq(dispatch_nearest(&set, "eval")->name, "evaluate");
	ck_assert_ptr_null(dispatch_nearest(&set, "recommend"));
	ck_assert_ptr_null(dispatch_nearest(&set, ""));
	char longest[500];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_ptr_null(dispatch_nearest(&set, longest));
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_command_gets_its_full_name_and_its_options,
		help_of_a_command_is_that_commands_own,
		help_and_version_succeed_without_running_anything,
		no_command_and_an_unknown_one_are_usage_errors, a_mistyped_name_finds_its_neighbour,
		NULL};
	return run_cases("dispatch", cases);
}
