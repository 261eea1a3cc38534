#include "common/base/log.h"

#include "tests/support/suite.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What one line on this log looks like to its reader. */
static const char *logged(const char *program, const char *message)
{
	static char text[8192];
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	const struct log log = {.program = program, .descriptor = ends[1]};
	log_line(&log, "%s", message);
	close(ends[1]);
	ssize_t got = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(got, 0);
	text[got] = '\0';
	close(ends[0]);
	return text;
}

START_TEST(a_line_says_who_speaks)
{
	ck_assert_str_eq(logged("pserver 1/3", "ready"), "pserver 1/3: ready\n");
	ck_assert_str_eq(logged("pserver", ""), "pserver: \n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_ends)
{
	char text[4000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	const char *line = logged("worker", text);
	ck_assert_int_eq(strncmp(line, "worker: xxx", 11), 0);
	ck_assert_uint_lt(strlen(line), 3000);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	line = logged(text, "message");
	ck_assert_uint_lt(strlen(line), 3000);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		a_line_says_who_speaks, a_long_line_is_cut_and_still_ends, NULL};
	return run_cases("log", cases);
}
