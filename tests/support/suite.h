/*
 * The main function of a Check program, and what tests share.
 *
 * A test file lists its cases in one static array; the names are sentences.
 *
 *     const TTest *const cases[] = {a_sentence, another_sentence, NULL};
 *     int main(void) { return run_cases("table", cases); }
 */
#ifndef MARQUEE_TESTS_SUITE_H
#define MARQUEE_TESTS_SUITE_H

#include "common/base/status.h"

#include <check.h>

#define TEST_SKIPPED 77 /* ctest's SKIP_RETURN_CODE */

/* Runs every case (a NULL-terminated array) in one suite; returns main's exit code. */
int run_cases(const char *name, const TTest *const *cases);

/* The same between setup() and teardown(), which run once each and may assert. */
int run_cases_around(
	const char *name, const TTest *const *cases, void (*setup)(void), void (*teardown)(void));

/* Fails the test with the error's own words when status is not OK. */
#define assert_ok(expression, err)                                                                 \
	do {                                                                                       \
		enum status assert_status_ = (expression);                                         \
		ck_assert_msg(assert_status_ == STATUS_OK, "%s: %s: %s", #expression,              \
			status_name(assert_status_), (err)->message);                              \
	} while (0)

/* Fails unless the expression has this status and its message contains this text. */
#define assert_fails(expression, wanted, err, text)                                                \
	do {                                                                                       \
		enum status assert_status_ = (expression);                                         \
		ck_assert_msg(assert_status_ == (wanted), "%s: %s, expected %s", #expression,      \
			status_name(assert_status_), status_name(wanted));                         \
		ck_assert_msg(strstr((err)->message, (text)) != NULL,                              \
			"'%s' does not contain '%s'", (err)->message, (text));                     \
	} while (0)

#endif
