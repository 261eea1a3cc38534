#include "pserver/crew.h"

#include "tests/support/suite.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PARTS = 37, ROUNDS = 300 };

struct work {
	atomic_uint calls[PARTS];
	uint32_t input, outputs[PARTS];
};

static void do_part(void *context, uint32_t i)
{
	struct work *work = context;
	atomic_fetch_add(&work->calls[i], 1);
	work->outputs[i] = work->input + i;
}

START_TEST(every_part_is_done_once_and_seen_when_the_work_is_over)
{
	for (uint32_t helpers = 1; helpers <= CREW_HELPERS_MAX; helpers += 3) {
		struct error err;
		struct crew *crew;
		struct work work = {0};
		assert_ok(crew_new(&crew, helpers, &err), &err);
		for (uint32_t round = 0; round < ROUNDS; round++) {
			const uint32_t parts = round % (PARTS + 1);
			work.input = round;
			ck_assert(crew_take(crew));
			crew_run(crew, parts, do_part, &work);
			crew_leave(crew);
			for (uint32_t i = 0; i < parts; i++)
				ck_assert_uint_eq(work.outputs[i], round + i);
		}
		for (uint32_t i = 0; i < PARTS; i++) {
			uint32_t wanted = 0;
			for (uint32_t round = 0; round < ROUNDS; round++)
				wanted += i < round % (PARTS + 1);
			ck_assert_uint_eq(atomic_load(&work.calls[i]), wanted);
		}
		crew_free(crew);
	}
}
END_TEST

START_TEST(a_crew_is_one_caller_s_at_a_time)
{
	struct error err;
	struct crew *crew;
	assert_ok(crew_new(&crew, 1, &err), &err);
	ck_assert(crew_take(crew));
	ck_assert(!crew_take(crew));
	crew_leave(crew);
	ck_assert(crew_take(crew));
	crew_leave(crew);
	ck_assert(!crew_take(NULL));
	crew_free(crew);
	crew_free(NULL);
}
END_TEST

/* Callers that find it taken do their work alone, as a store's do. */
struct caller {
	struct crew *crew;
	struct work work;
	uint32_t failures; /* Check's assertions are for the main thread */
};

static void *call(void *argument)
{
	struct caller *caller = argument;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		if (!crew_take(caller->crew))
			continue;
		caller->work.input = round;
		crew_run(caller->crew, PARTS, do_part, &caller->work);
		crew_leave(caller->crew);
		for (uint32_t i = 0; i < PARTS; i++)
			caller->failures += caller->work.outputs[i] != round + i;
	}
	return NULL;
}

START_TEST(callers_that_take_turns_do_not_mix)
{
	enum { CALLERS = 3 };
	struct error err;
	static struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	struct crew *crew;
	assert_ok(crew_new(&crew, 2, &err), &err);
	for (uint32_t c = 0; c < CALLERS; c++) {
		callers[c] = (struct caller){.crew = crew};
		ck_assert(pthread_create(&threads[c], NULL, call, &callers[c]) == 0);
	}
	for (uint32_t c = 0; c < CALLERS; c++)
		pthread_join(threads[c], NULL);
	for (uint32_t c = 0; c < CALLERS; c++)
		ck_assert_uint_eq(callers[c].failures, 0);
	crew_free(crew);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_part_is_done_once_and_seen_when_the_work_is_over,
		a_crew_is_one_caller_s_at_a_time, callers_that_take_turns_do_not_mix, NULL};
	return run_cases("crew", cases);
}
