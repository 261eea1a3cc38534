#include "tests/support/suite.h"

#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
/*
 * nng counts the references to its dialers by atomics, which ThreadSanitizer does not see in a
 * library built without it: there the last one's destruction of the lock looks like a race with
 * whoever used it before.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:pthread_mutex_destroy\n";
}
#endif

int run_cases(const char *name, const TTest *const *cases)
{
	return run_cases_around(name, cases, NULL, NULL);
}

int run_cases_around(
	const char *name, const TTest *const *cases, void (*setup)(void), void (*teardown)(void))
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	tcase_add_unchecked_fixture(tcase, setup, teardown);
	for (; *cases; cases++)
		tcase_add_test(tcase, *cases);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
