#include "common/base/status.h"

#include "tests/support/suite.h"

#include <errno.h>
#include <string.h>

START_TEST(context_goes_in_front_on_the_way_up)
{
	struct error err = {0};
	enum status status = error_set(&err, STATUS_DATA_LOSS, "truncated at byte %d", 40);
	status = error_wrap(&err, status, "header");
	status = error_wrap(&err, status, "load shard %d", 3);
	ck_assert_int_eq(status, STATUS_DATA_LOSS);
	ck_assert_int_eq(err.status, STATUS_DATA_LOSS);
	ck_assert_str_eq(err.message, "load shard 3: header: truncated at byte 40");
}
END_TEST

START_TEST(a_long_message_is_cut_and_terminated)
{
	struct error err = {0};
	char text[2 * ERROR_MESSAGE_SIZE];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)error_set(&err, STATUS_INTERNAL, "%s", text);
	ck_assert_uint_eq(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
	(void)error_wrap(&err, STATUS_INTERNAL, "context");
	ck_assert_uint_eq(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
	ck_assert_int_eq(strncmp(err.message, "context: xxx", 12), 0);
	(void)error_wrap(&err, STATUS_INTERNAL, "%s", text);
	ck_assert_uint_eq(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
	(void)error_set_errno(&err, ENOENT, "%s", text);
	ck_assert_uint_eq(strlen(err.message), ERROR_MESSAGE_SIZE - 1);
}
END_TEST

START_TEST(errno_chooses_the_status_and_ends_the_message)
{
	static const struct {
		int number;
		enum status status;
	} rows[] = {{ENOENT, STATUS_NOT_FOUND}, {EEXIST, STATUS_ALREADY_EXISTS},
		{EACCES, STATUS_PERMISSION_DENIED}, {ENOSPC, STATUS_RESOURCE_EXHAUSTED},
		{EISDIR, STATUS_INVALID_ARGUMENT}, {EIO, STATUS_INTERNAL}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err = {0};
		ck_assert_int_eq(error_set_errno(&err, rows[i].number, "a/b"), rows[i].status);
		ck_assert_int_eq(err.status, rows[i].status);
		ck_assert_int_eq(strncmp(err.message, "a/b: ", 5), 0);
		ck_assert_str_eq(err.message + 5, strerror(rows[i].number));
	}
}
END_TEST

START_TEST(an_error_nobody_wants_is_still_a_status)
{
	ck_assert_int_eq(error_set(NULL, STATUS_ABORTED, "x"), STATUS_ABORTED);
	ck_assert_int_eq(error_set_errno(NULL, ENOENT, "x"), STATUS_NOT_FOUND);
	ck_assert_int_eq(error_wrap(NULL, STATUS_ABORTED, "x"), STATUS_ABORTED);
}
END_TEST

START_TEST(numbers_from_the_wire_become_statuses_or_unknown)
{
	for (unsigned int number = 0; number <= 16; number++)
		ck_assert_int_eq((int)status_from_wire(number), (int)number);
	ck_assert_int_eq(status_from_wire(17), STATUS_UNKNOWN);
	ck_assert_int_eq(status_from_wire(0xFFFFFFFFu), STATUS_UNKNOWN);
	ck_assert_str_eq(status_name(STATUS_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
	ck_assert_str_eq(status_name((enum status)99), "UNKNOWN");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {context_goes_in_front_on_the_way_up,
		a_long_message_is_cut_and_terminated, errno_chooses_the_status_and_ends_the_message,
		an_error_nobody_wants_is_still_a_status,
		numbers_from_the_wire_become_statuses_or_unknown, NULL};
	return run_cases("status", cases);
}
