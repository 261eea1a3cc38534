#include "worker/team.h"

#include "tests/support/suite.h"

#include <stdatomic.h>
#include <string.h>

struct work {
	atomic_uint calls[8];
	uint64_t sums[8];
	uint64_t values[1000];
};

static void add_share(void *context, uint32_t member, uint32_t members)
{
	struct work *work = context;
	uint64_t begin, end;
	atomic_fetch_add(&work->calls[member], 1);
	team_share(1000, member, members, &begin, &end);
	work->sums[member] = 0;
	for (uint64_t i = begin; i < end; i++)
		work->sums[member] += work->values[i];
}

START_TEST(every_member_runs_every_round_and_sees_what_was_written_before)
{
	for (uint32_t members = 1; members <= 8; members++) {
		struct error error;
		struct team *team;
		struct work work = {0};
		assert_ok(team_new(&team, members, &error), &error);
		for (uint64_t round = 0; round < 200; round++) {
			for (uint64_t i = 0; i < 1000; i++)
				work.values[i] = i + round;
			team_run(team, add_share, &work);
			uint64_t sum = 0;
			for (uint32_t m = 0; m < members; m++)
				sum += work.sums[m];
			ck_assert_uint_eq(sum, 499500 + 1000 * round);
		}
		for (uint32_t m = 0; m < members; m++)
			ck_assert_uint_eq(atomic_load(&work.calls[m]), 200);
		team_free(team);
	}
}
END_TEST

START_TEST(shares_cover_everything_once_whatever_the_numbers)
{
	for (uint64_t n = 0; n < 50; n++) {
		for (uint32_t members = 1; members < 12; members++) {
			uint64_t at = 0, begin, end;
			for (uint32_t m = 0; m < members; m++) {
				team_share(n, m, members, &begin, &end);
				ck_assert_uint_eq(begin, at);
				ck_assert_uint_ge(end, begin);
				at = end;
			}
			ck_assert_uint_eq(at, n);
		}
	}
}
END_TEST

START_TEST(a_team_of_nobody_is_refused)
{
	struct error error;
	struct team *team;
	assert_fails(team_new(&team, 0, &error), STATUS_INVALID_ARGUMENT, &error, "at least one");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		every_member_runs_every_round_and_sees_what_was_written_before,
		shares_cover_everything_once_whatever_the_numbers, a_team_of_nobody_is_refused,
		NULL};
	return run_cases("team", cases);
}
