/* Jobs that fail and are started again: which ones, with what cause, and what is left of them. */
#include "launcher/launch.h"

#include "tests/support/stage.h"
#include "tests/support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A worker that says that it has begun, and what `then` does; the second one goes on and succeeds.
 */
static void stage_open_restarted(struct stage *stage, const char *then)
{
	static const char *const first[] = {"--data", "d"};
	static const char *const later[] = {"--data", "d", "--resume"};
	char worker[512];
	snprintf(worker, sizeof(worker),
		"for argument; do\n"
		"  [ \"$argument\" = --resume ] && echo 'went on' && exit 0\n"
		"done\n"
		"%s\n",
		then);
	stage_open(stage, STAGE_GOOD_SERVER, worker);
	stage->options.arguments = (struct launch_arguments){first, 2};
	stage->options.restart_arguments = (struct launch_arguments){later, 3};
	stage->options.began_line = "begins";
	stage->options.pause_ms = 1;
	stage->options.max_restarts = 2;
}

START_TEST(a_worker_that_fails_at_work_is_started_again_and_told_to_go_on)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "echo begins; exit 1");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	ck_assert_ptr_nonnull(strstr(
		stage.report.failures[0], "worker failed first: it exited with code 1 after "));
	stage_assert_printed(&stage, "; restart 1 of 2 in 0.0 s\n");
	stage_assert_printed(&stage, "worker | went on\n");
	stage_close(&stage);
}
END_TEST

START_TEST(what_the_workers_said_is_the_failures_cause_with_the_servers_names)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage,
		"echo begins\n"
		"echo 'worker: worker 0: step 7: tcp://test:1: no answer' >&2\n"
		"echo 'worker: warning: no checkpoint' >&2\n"
		"echo 'Abort(1)' >&2\nexit 1");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_ptr_nonnull(strstr(
		stage.report.failures[0], "it had said: worker 0: step 7: pserver 1: no answer"));
	stage_assert_printed(&stage, "pserver 1: no answer; restart 1 of 2 in 0.0 s\n");
	stage_assert_printed(&stage, "mpirun -n 2 worker --servers tcp://test:0,tcp://test:1 "
				     "--generation 1 --data d --resume\n");
	stage_close(&stage);
}
END_TEST

/*
 * In a session of its own, so that it is not killed with mpirun's group: goes on when mpirun has
 * ended and was waited for.
 */
#define AFTER_MPIRUN(body)                                                                         \
	"echo begins\n"                                                                            \
	"mkfifo \"$0.up\"\n"                                                                       \
	"setsid sh -c 'echo >\"$0.up\"; while kill -0 '$$' 2>&-; do sleep 0.01; done; " body       \
	"' \"$0\" &\n"                                                                             \
	"read -r line <\"$0.up\"\n"                                                                \
	"exit 1"

START_TEST(words_that_are_passed_on_after_mpirun_has_ended_are_heard)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(
		&stage, AFTER_MPIRUN("sleep 0.1; echo \"worker: step 7: no answer\" >&2"));
	stage.options.hear_ms = 20000; /* its end comes long before */
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_ptr_nonnull(strstr(stage.report.failures[0], "it had said: step 7: no answer"));
	stage_close(&stage);
}
END_TEST

/* Neither in silence nor with ever new lines. */
static void assert_let_go_of(const char *then)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, then);
	stage.options.hear_ms = 100;
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	stage_assert_printed(&stage, "worker | went on\n");
	stage_close(&stage);
}

START_TEST(who_holds_the_workers_streams_for_ever_does_not_hold_the_job)
{
	assert_let_go_of(AFTER_MPIRUN("exec sleep 600"));
	assert_let_go_of(AFTER_MPIRUN("while :; do echo noise; echo noise >&2; sleep 0.01; done"));
}
END_TEST

START_TEST(a_killed_worker_is_started_again_also_before_it_has_begun)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "kill -9 $$");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	stage_close(&stage);
}
END_TEST

START_TEST(a_killed_server_is_started_again_with_the_workers)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "while :; do sleep 0.05; done");
	/* The first servers end when their second one has announced itself. */
	stage_write_script(stage.pserver,
		"echo \"pserver: ready tcp://test:$$ shard $4\"\n"
		"mkdir \"$(dirname $0)/$(basename ${4%/*})\" 2>&- && [ $4 = 1/2 ] && kill -9 $$\n"
		"trap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	ck_assert_ptr_nonnull(strstr(
		stage.report.failures[0], "pserver 1 failed first: it was killed by signal 9"));
	stage_close(&stage);
}
END_TEST

START_TEST(what_fails_before_training_begins_is_not_tried_again)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "echo no such data >&2; exit 1");
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err, "worker failed first");
	ck_assert_uint_eq(stage.report.restarts, 0);
	stage_close(&stage);
}
END_TEST

START_TEST(restarts_come_to_an_end)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "echo begins; exit 1");
	stage.options.restart_arguments = stage.options.arguments;
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err, "worker failed first");
	ck_assert_uint_eq(stage.report.restarts, 2);
	stage_assert_printed(&stage, "; restart 2 of 2 in ");
	stage_close(&stage);
}
END_TEST

static void terminate(void *context, uint32_t restart, const char *failure)
{
	(void)context, (void)restart, (void)failure;
	kill(getpid(), SIGTERM);
}

START_TEST(a_signal_during_the_pause_ends_the_job)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "echo begins; exit 1");
	stage.options.pause_ms = 20000;
	stage.options.on_restart = terminate;
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"ended by signal 15 (Terminated) before a restart");
	stage_close(&stage);
}
END_TEST

/*
 * A worker fails; 0.3 s later, from a session of its own, comes SIGTERM for the launcher. Who holds
 * a stream keeps the attempt from ending: the signal comes while it is drained.
 */
START_TEST(a_signal_while_an_attempt_ends_is_not_forgotten)
{
	struct stage stage;
	struct error err = {0};
	char then[256];
	snprintf(then, sizeof(then),
		"echo begins\n"
		"setsid sh -c 'echo >\"$0.up\"; sleep 0.3; kill -TERM %d' \"$0\" &\n"
		"while ! [ -e \"$0.up\" ]; do sleep 0.01; done\nexit 1",
		(int)getpid());
	stage_open_restarted(&stage, then);
	stage.options.pause_ms = 20000;
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err, "worker failed first");
	ck_assert_uint_eq(stage.report.restarts, 0);
	stage_close(&stage);
}
END_TEST

START_TEST(what_left_its_group_does_not_live_on_into_the_next_attempt)
{
	struct stage stage;
	struct error err = {0};
	/* As a rank does whose mpirun was killed: in a session of its own, deaf to SIGTERM. */
	stage_open(&stage, STAGE_GOOD_SERVER,
		"cd \"$(dirname \"$0\")\"\n"
		"if [ -e orphan ]; then\n"
		"  if kill -0 $(cat orphan) 2>/dev/null; then echo 'digest lives'; "
		"else echo 'digest gone'; fi\n"
		"  exit 0\n"
		"fi\n"
		"mkfifo started\n"
		"setsid sh -c 'trap \"\" TERM; echo $$ >orphan; echo >started; exec sleep 600' &\n"
		"read -r line <started\n"
		"kill -9 $$\n");
	stage.options.max_restarts = 1;
	stage.options.pause_ms = 1;
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	stage_assert_printed(&stage, "worker | digest gone\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_killed_rank_that_mpirun_has_lost_does_not_hold_the_job)
{
	struct stage stage;
	struct error err = {0};
	/* Nobody but the launcher is left to hear of it; mpirun, here the first of the two, waits.
	 */
	stage_open_restarted(&stage, "[ \"$1\" = rank ] && kill -9 $$\n"
				     "(\"$0\" rank &)\n"
				     "while :; do sleep 0.05; done");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	ck_assert_ptr_nonnull(strstr(stage.report.failures[0],
		"failed first, which mpirun had lost: it was killed by signal 9"));
	stage_close(&stage);
}
END_TEST

START_TEST(a_rank_that_an_ending_mpirun_killed_is_not_the_cause)
{
	struct stage stage;
	struct error err = {0};
	/* Its parent is gone before it, so the launcher hears of it before mpirun ends. */
	stage_open_restarted(&stage, "if [ \"$1\" = rank ]; then kill -9 $$; fi\n"
				     "echo begins\n"
				     "(\"$0\" rank &)\n"
				     "sleep 0.3; echo 'worker: worker 0: it was me' >&2\n"
				     "exit 1");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 1);
	ck_assert_ptr_null(strstr(stage.report.failures[0], "which mpirun had lost"));
	ck_assert_ptr_nonnull(strstr(stage.report.failures[0], "it was me"));
	stage_close(&stage);
}
END_TEST

/* A wrapper's helper is no rank, and a rank that has succeeded no failure. */
START_TEST(other_orphans_are_no_failure)
{
	struct stage stage;
	struct error err = {0};
	stage_open_restarted(&stage, "[ \"$1\" = rank ] && exit 0\n"
				     "(\"$0\" rank &)\n"
				     "(sh -c 'kill -9 $$' &)\n"
				     "sleep 0.2; echo digest; exit 0");
	assert_ok(stage_run(&stage, &err), &err);
	ck_assert_uint_eq(stage.report.restarts, 0);
	stage_close(&stage);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_killed_rank_that_mpirun_has_lost_does_not_hold_the_job,
		a_rank_that_an_ending_mpirun_killed_is_not_the_cause, other_orphans_are_no_failure,
		a_worker_that_fails_at_work_is_started_again_and_told_to_go_on,
		what_the_workers_said_is_the_failures_cause_with_the_servers_names,
		words_that_are_passed_on_after_mpirun_has_ended_are_heard,
		who_holds_the_workers_streams_for_ever_does_not_hold_the_job,
		a_killed_worker_is_started_again_also_before_it_has_begun,
		a_killed_server_is_started_again_with_the_workers,
		what_fails_before_training_begins_is_not_tried_again, restarts_come_to_an_end,
		a_signal_during_the_pause_ends_the_job,
		a_signal_while_an_attempt_ends_is_not_forgotten,
		what_left_its_group_does_not_live_on_into_the_next_attempt, NULL};
	return run_cases("launch restart", cases);
}
