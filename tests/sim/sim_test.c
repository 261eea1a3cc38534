/*
 * Whole jobs under schedules of faults, each of them drawn from a seed.
 *
 *     MARQUEE_SIM_SCHEDULES=10000   how many schedules, instead of some hundred
 *     MARQUEE_SIM_SEED=4711         the first one's seed; 1 schedule: that one alone
 *     MARQUEE_SIM_TRACE=1           prints what happens
 *     MARQUEE_SIM_LIST=1            prints how each schedule goes, and its trace's hash
 */
#include "common/base/flags.h"
#include "tests/sim/schedule.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENOUGH 120u /* schedules, to have all kinds of trouble among them */
/* AddressSanitizer looks at the same schedules, five times as slowly. */
#if defined(__SANITIZE_ADDRESS__)
#define SCHEDULES 32u
#else
#define SCHEDULES ENOUGH
#endif
#define PLANT_SCHEDULES 8u
#define PLANT_RUNS_MAX	16
#define USERS		40u
#define MOVIES		30u
#define RATINGS		450u

static char data[PATH_SIZE];
static struct digest steps[SIM_STEPS + 1];

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t number = otherwise;
	if (text)
		ck_assert_msg(parse_u64(text, &number, NULL) == STATUS_OK, "%s=%s: no number", name,
			text);
	return number;
}

static struct sim_schedule schedules(unsigned int trouble)
{
	return (struct sim_schedule){.seed = number_from("MARQUEE_SIM_SEED", 1),
		.data = data,
		.trouble = trouble,
		.steps = steps};
}

static struct sim_report *run(const struct sim_schedule *like, uint64_t count)
{
	struct sim_report *reports = calloc(count, sizeof(*reports));
	ck_assert_ptr_nonnull(reports);
	sim_schedules_run(like, count, reports);
	return reports;
}

static void print(const struct sim_report *report)
{
	printf("seed %" PRIu64 ": %s\n  %u workers, %u servers, %u attempts, %u deaths, %u pauses, "
	       "%u losses of power, "
	       "%" PRIu64 " of %" PRIu64 " messages lost, %" PRIu64
	       " operations of the disk failed, %.3f s, trace %016" PRIx64
	       "\n  again: MARQUEE_SIM_SEED=%" PRIu64
	       " MARQUEE_SIM_SCHEDULES=1 MARQUEE_SIM_TRACE=1 tests/sim_test\n",
		report->seed, report->wrong[0] ? report->wrong : "ends well", report->workers,
		report->servers, report->attempts, report->deaths, report->pauses,
		report->power_losses, report->network.lost, report->network.sent,
		report->disk_failures, (double)report->time_ns * 1e-9, report->trace, report->seed);
}

/* What happened in all of them together: a simulation in which nothing happens finds nothing. */
static void print_sum(const struct sim_report *reports, uint64_t count)
{
	struct sim_network_counts all = {0};
	uint64_t attempts = 0, deaths = 0, pauses = 0, failures = 0, turns = 0, checkpoints = 0,
		 power = 0;
	for (uint64_t i = 0; i < count; i++) {
		const struct sim_network_counts *counts = &reports[i].network;
		all.sent += counts->sent;
		all.lost += counts->lost;
		all.doubled += counts->doubled;
		all.slow += counts->slow;
		all.stuck += counts->stuck;
		all.reset += counts->reset;
		attempts += reports[i].attempts;
		deaths += reports[i].deaths;
		pauses += reports[i].pauses;
		power += reports[i].power_losses;
		failures += reports[i].disk_failures;
		checkpoints += reports[i].checkpoints;
		turns += reports[i].turns;
	}
	printf("%" PRIu64 " schedules: %" PRIu64 " attempts, %" PRIu64 " turns, %" PRIu64
	       " deaths, %" PRIu64 " pauses, %" PRIu64 " losses of power; %" PRIu64
	       " messages, %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " slow, %" PRIu64
	       " stuck, %" PRIu64 " connections lost; %" PRIu64
	       " operations of the disk failed; %" PRIu64 " checkpoints left\n",
		count, attempts, turns, deaths, pauses, power, all.sent, all.lost, all.doubled,
		all.slow, all.stuck, all.reset, failures, checkpoints);
	if (count < ENOUGH)
		return;
	ck_assert_uint_gt(deaths, count / 10);
	ck_assert_uint_gt(pauses, count / 10);
	ck_assert_uint_gt(power, count / 10);
	ck_assert_uint_gt(failures, count / 10);
	ck_assert_uint_gt(checkpoints, count);
	ck_assert(all.lost > count / 10 && all.doubled > count && all.slow > count &&
		  all.stuck > count / 10 && all.reset > count / 10);
}

static void assert_all_end_well(const struct sim_schedule *like, uint64_t otherwise)
{
	const uint64_t count = number_from("MARQUEE_SIM_SCHEDULES", otherwise);
	struct sim_report *reports = run(like, count);
	uint64_t wrong = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (reports[i].wrong[0] && wrong++ < 20)
			print(&reports[i]);
		else if (count == 1)
			print(&reports[i]);
	}
	print_sum(reports, count);
	ck_assert_msg(wrong == 0, "%" PRIu64 " of %" PRIu64 " schedules went wrong", wrong, count);
	free(reports);
}

START_TEST(every_schedule_ends_as_if_nothing_had_happened)
{
	const struct sim_schedule like = schedules(SIM_EVERYTHING);
	assert_all_end_well(&like, SCHEDULES);
}
END_TEST

START_TEST(asynchronous_schedules_end_and_their_audit_holds)
{
	struct sim_schedule like = schedules(SIM_EVERYTHING);
	like.asynchronous = true;
	assert_all_end_well(&like, SCHEDULES / 4);
}
END_TEST

/* They show an error that once was. They hold as long as schedules are drawn as now. */
START_TEST(asynchronous_schedules_that_once_went_wrong_end_well)
{
	static const uint64_t seeds[] = {
		/* A repeat of Cut ended a pool's round, whose rest the audit did not have. */
		900006,
		900519,
		900574,
	};
	struct sim_schedule like = schedules(SIM_EVERYTHING);
	like.asynchronous = true;
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		like.seed = seeds[i];
		struct sim_report *report = run(&like, 1);
		ck_assert_msg(!report->wrong[0], "seed %" PRIu64 ": %s", seeds[i], report->wrong);
		free(report);
	}
}
END_TEST

START_TEST(a_seed_gives_the_same_events_again)
{
	const struct sim_schedule like = schedules(SIM_EVERYTHING);
	struct sim_report *once = run(&like, PLANT_SCHEDULES);
	struct sim_report *again = run(&like, PLANT_SCHEDULES);
	for (uint64_t i = 0; i < PLANT_SCHEDULES; i++) {
		ck_assert_msg(once[i].trace == again[i].trace && once[i].turns == again[i].turns,
			"seed %" PRIu64, once[i].seed);
		ck_assert(i == 0 || once[i].trace != once[i - 1].trace);
	}
	free(once);
	free(again);
}
END_TEST

/* One line each, in both modes: what one run of the program says is what every other one says. */
START_TEST(schedules_are_listed)
{
	const uint64_t count = number_from("MARQUEE_SIM_SCHEDULES", SCHEDULES);
	for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
		struct sim_schedule like = schedules(SIM_EVERYTHING);
		like.asynchronous = asynchronous;
		struct sim_report *reports = run(&like, count);
		for (uint64_t i = 0; i < count; i++)
			printf("seed %" PRIu64 " %s: trace %016" PRIx64 ", %" PRIu64
			       " turns, %u attempts, %u losses of power, %" PRIu64
			       " messages, %" PRIu64 " operations of the disk failed: %s\n",
				reports[i].seed, asynchronous ? "async" : "sync", reports[i].trace,
				reports[i].turns, reports[i].attempts, reports[i].power_losses,
				reports[i].network.sent, reports[i].disk_failures,
				reports[i].wrong[0] ? reports[i].wrong : "ends well");
		free(reports);
	}
}
END_TEST

/* The first report of something wrong among some schedules; NULL: none. */
static const struct sim_report *first_wrong(const struct sim_report *reports, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (reports[i].wrong[0])
			return &reports[i];
	return NULL;
}

/* Some seed finds the plant, says so, and finds it again in the same way. */
static void assert_caught(enum sim_plant plant, unsigned int trouble, bool asynchronous)
{
	struct sim_schedule like = schedules(trouble);
	struct sim_report *reports = NULL;
	const struct sim_report *first = NULL;
	like.plant = plant;
	like.asynchronous = asynchronous;
	for (int i = 0; i < PLANT_RUNS_MAX && !first; i++, like.seed += PLANT_SCHEDULES) {
		free(reports);
		reports = run(&like, PLANT_SCHEDULES);
		first = first_wrong(reports, PLANT_SCHEDULES);
	}
	ck_assert_msg(first != NULL, "planted error %d is not found", (int)plant);
	printf("planted error %d: ", (int)plant);
	print(first);
	like.seed = first->seed;
	struct sim_report *again = run(&like, 1);
	ck_assert_uint_eq(again->trace, first->trace);
	ck_assert_str_ne(again->wrong, "");
	free(again);
	free(reports);
}

START_TEST(a_push_that_is_applied_twice_is_caught)
{
	assert_caught(SIM_DOUBLE_APPLICATION, SIM_GENTLE, false);
	assert_caught(SIM_DOUBLE_APPLICATION, SIM_EVERYTHING, true);
}
END_TEST

START_TEST(a_push_that_is_lost_is_caught)
{
	assert_caught(SIM_LOST_PUSH, SIM_EVERYTHING, false);
	assert_caught(SIM_LOST_PUSH, SIM_EVERYTHING, true);
}
END_TEST

START_TEST(a_cut_of_different_steps_is_caught)
{
	assert_caught(SIM_TORN_CUT, SIM_EVERYTHING, false);
}
END_TEST

START_TEST(a_checkpoint_that_was_not_synced_is_caught)
{
	assert_caught(SIM_NO_SYNC, SIM_POWER, false);
}
END_TEST

/* The undisturbed job after each of its steps, by one worker with its own tables, in no simulation.
 */
static void make_data(void)
{
	struct train_result result;
	struct error error;
	scratch_open(data);
	cluster_data(data, USERS, MOVIES, RATINGS);
	struct cluster alone = {.workers = 1, .options = sim_job_options(data)};
	for (uint64_t step = 1; step <= SIM_STEPS; step++) {
		alone.options.max_steps = step;
		assert_ok(cluster_train(&alone, &result, &error), &error);
		ck_assert_uint_eq(result.steps, step);
		steps[step] = result.digest;
	}
	ck_assert_uint_eq(result.epochs, SIM_EPOCHS);
}

static void remove_data(void)
{
	scratch_close(data);
}

int main(void)
{
	const TTest *const cases[] = {every_schedule_ends_as_if_nothing_had_happened,
		asynchronous_schedules_that_once_went_wrong_end_well,
		a_seed_gives_the_same_events_again, a_push_that_is_applied_twice_is_caught,
		asynchronous_schedules_end_and_their_audit_holds, a_push_that_is_lost_is_caught,
		a_cut_of_different_steps_is_caught, a_checkpoint_that_was_not_synced_is_caught,
		NULL};
	const TTest *const listing[] = {schedules_are_listed, NULL};
	return run_cases_around(
		"simulation", getenv("MARQUEE_SIM_LIST") ? listing : cases, make_data, remove_data);
}
