/* Jobs of shell scripts that play parameter server, mpirun and worker. */
#include "launcher/launch.h"

#include "common/base/file.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Announces itself as "tcp://test:<shard>" and stays until it is told to go. */
#define GOOD_SERVER                                                                                \
	"trap 'echo server leaves; exit 0' TERM\n"                                                 \
	"echo \"pserver: ready tcp://test:${4%/*} shard $4\"\n"                                    \
	"while :; do sleep 0.05; done\n"

struct stage {
	char directory[64];
	char pserver[PATH_SIZE], worker[PATH_SIZE], mpirun[PATH_SIZE];
	char output_path[PATH_SIZE];
	struct launch_programs programs;
	struct launch_options options;
	struct launch_report report;
	char *output; /* what the job printed, both streams */
};

static void write_script(
	char path[PATH_SIZE], const char *directory, const char *name, const char *body)
{
	struct error err = {0};
	assert_ok(path_join(path, directory, name, &err), &err);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "#!/bin/sh\n%s", body);
	fclose(file);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

static void stage_open(struct stage *stage, const char *pserver, const char *worker)
{
	struct error err = {0};
	*stage = (struct stage){.directory = "/tmp/marquee-launch-XXXXXX"};
	ck_assert_ptr_nonnull(mkdtemp(stage->directory));
	write_script(stage->pserver, stage->directory, "pserver", pserver);
	write_script(stage->worker, stage->directory, "worker", worker);
	write_script(stage->mpirun, stage->directory, "mpirun",
		"echo \"mpirun $*\" | sed \"s|$(dirname $0)/||\"\n"
		"while [ \"${1#-}\" != \"$1\" ]; do shift 2; done\nexec \"$@\"\n");
	assert_ok(path_join(stage->output_path, stage->directory, "output", &err), &err);
	int output = open(stage->output_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(output, 0);
	stage->programs = (struct launch_programs){
		.pserver = stage->pserver, .worker = stage->worker, .mpirun = stage->mpirun};
	stage->options = (struct launch_options){.workers = 2,
		.servers = 2,
		.grace_ms = 20000,
		.output = output,
		.errors = output,
		.clock = clock_real()};
}

static enum status stage_run(struct stage *stage, struct error *err)
{
	struct error read_err = {0};
	size_t size;
	enum status status = launch_run(&stage->programs, &stage->options, &stage->report, err);
	assert_ok(file_read_all(stage->output_path, 1 << 20, &stage->output, &size, &read_err),
		&read_err);
	return status;
}

static void stage_close(struct stage *stage)
{
	struct error err = {0};
	free(stage->output);
	launch_report_fini(&stage->report);
	close(stage->options.output);
	assert_ok(directory_remove(stage->directory, &err), &err);
}

static void assert_printed(const struct stage *stage, const char *text)
{
	ck_assert_msg(
		strstr(stage->output, text) != NULL, "'%s' is not in:\n%s", text, stage->output);
}

START_TEST(workers_get_the_servers_addresses_and_their_options_unchanged)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, GOOD_SERVER,
		"for argument; do echo \"<$argument>\"; done\necho 'digest 00ff'\n");
	const char *const arguments[] = {"--data", "a b", "--epochs=3"};
	stage.options.arguments = (struct launch_arguments){arguments, 3};
	assert_ok(stage_run(&stage, &err), &err);
	assert_printed(&stage, "worker | mpirun -n 2 worker --servers "
			       "tcp://test:0,tcp://test:1 --data a b --epochs=3\n");
	assert_printed(&stage, "worker | <--servers>\nworker | <tcp://test:0,tcp://test:1>\n"
			       "worker | <--data>\nworker | <a b>\nworker | <--epochs=3>\n"
			       "worker | digest 00ff\n");
	assert_printed(&stage, "pserver 0 | pserver: ready tcp://test:0 shard 0/2\n");
	assert_printed(&stage, "pserver 1 | pserver: ready tcp://test:1 shard 1/2\n");
	assert_printed(&stage, "pserver 0 | server leaves\n");
	assert_printed(&stage, "pserver 1 | server leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(hostfile_host_and_token_go_where_they_belong)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, "echo \"$*\"\n" GOOD_SERVER,
		"for argument; do echo \"<$argument>\"; done\n");
	stage.options.hostfile = "hosts";
	stage.options.server_host = "10.0.0.7";
	stage.options.token_file = "secret";
	assert_ok(stage_run(&stage, &err), &err);
	assert_printed(&stage, "worker | mpirun -f hosts -n 2 worker --servers ");
	assert_printed(&stage, "worker | <--token-file>\nworker | <secret>\n");
	assert_printed(
		&stage, "pserver 0 | --listen tcp://10.0.0.7:0 --shard 0/2 --token-file secret\n");
	stage_close(&stage);
}
END_TEST

START_TEST(both_streams_and_an_unfinished_last_line_are_forwarded)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, GOOD_SERVER, "echo to errors >&2\nprintf 'no newline'\n");
	assert_ok(stage_run(&stage, &err), &err);
	assert_printed(&stage, "worker | to errors\n");
	assert_printed(&stage, "worker | no newline\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_failing_worker_ends_the_job_and_is_named)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, GOOD_SERVER, "echo no such data >&2\nexit 3\n");
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"worker failed first: it exited with code 3 after ");
	assert_printed(&stage, "worker | no such data\n");
	assert_printed(&stage, "pserver 1 | server leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_killed_server_ends_the_job_before_its_workers_complain)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage,
		"echo \"pserver: ready tcp://test:$$ shard $4\"\n"
		"while :; do sleep 0.05; done\n",
		/* $2: tcp://test:PID,tcp://test:PID */
		"trap 'echo worker leaves; exit 1' TERM\nkill -9 \"${2##*:}\"\n"
		"while :; do sleep 0.05; done\n");
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"pserver 1 failed first: it was killed by signal 9 (Killed) after ");
	assert_printed(&stage, "worker | worker leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_server_that_ends_early_is_a_failure_even_with_code_0)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, "exit 0\n", "echo started\n");
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"failed first: it exited with code 0 after ");
	ck_assert_ptr_null(strstr(stage.output, "started"));
	stage_close(&stage);
}
END_TEST

START_TEST(a_server_that_never_gets_ready_is_named_at_the_deadline)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage,
		"[ $4 = 1/2 ] && echo 'pserver: ready tcp://test:1 shard 0/2'\n" /* not its shard */
		"[ $4 = 0/2 ] && echo 'pserver: ready tcp://test:0 shard 0/2'\n"
		"exec sleep 600\n",
		"echo started\n");
	stage.options.ready_timeout_ms = 500;
	assert_fails(stage_run(&stage, &err), STATUS_DEADLINE_EXCEEDED, &err,
		"pserver 1 did not announce its address within 0.5 s");
	ck_assert_ptr_null(strstr(stage.output, "started"));
	stage_close(&stage);
}
END_TEST

START_TEST(who_ignores_sigterm_is_killed_after_the_grace_time)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage,
		"trap '' TERM\necho \"pserver: ready tcp://test:0 shard $4\"\n"
		"while :; do sleep 0.05; done\n",
		"exit 1\n");
	stage.options.grace_ms = 100;
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err, "worker failed first");
	stage_close(&stage);
}
END_TEST

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
	stage_open(stage, GOOD_SERVER, worker);
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
	assert_printed(&stage, "; restart 1 of 2 in 0.0 s\n");
	assert_printed(&stage, "worker | went on\n");
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
	assert_printed(&stage, "pserver 1: no answer; restart 1 of 2 in 0.0 s\n");
	assert_printed(&stage, "mpirun -n 2 worker --servers tcp://test:0,tcp://test:1 "
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
	assert_printed(&stage, "worker | went on\n");
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
	write_script(stage.pserver, stage.directory, "pserver",
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
	assert_printed(&stage, "; restart 2 of 2 in ");
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

START_TEST(a_grandchild_does_not_outlive_the_job)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, GOOD_SERVER, "sleep 600 &\necho \"child $!\"\nexit 0\n");
	assert_ok(stage_run(&stage, &err), &err);
	const char *child = strstr(stage.output, "worker | child ");
	ck_assert_ptr_nonnull(child);
	pid_t pid = (pid_t)strtol(child + strlen("worker | child "), NULL, 10);
	ck_assert_int_gt(pid, 1);
	/* Waited for, too. */
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
	stage_close(&stage);
}
END_TEST

START_TEST(what_left_its_group_does_not_live_on_into_the_next_attempt)
{
	struct stage stage;
	struct error err = {0};
	/* As a rank does whose mpirun was killed: in a session of its own, deaf to SIGTERM. */
	stage_open(&stage, GOOD_SERVER,
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
	assert_printed(&stage, "worker | digest gone\n");
	stage_close(&stage);
}
END_TEST

START_TEST(sigterm_ends_the_job)
{
	struct stage stage;
	struct error err = {0};
	char worker[256];
	snprintf(worker, sizeof(worker),
		"trap 'echo worker leaves; exit 1' TERM\nkill -TERM %d\n"
		"while :; do sleep 0.05; done\n",
		(int)getpid());
	stage_open(&stage, GOOD_SERVER, worker);
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"ended by signal 15 (Terminated) after ");
	assert_printed(&stage, "worker | worker leaves\n");
	assert_printed(&stage, "pserver 0 | server leaves\n");
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
	stage_close(&stage);
}
END_TEST

START_TEST(a_job_does_not_outlive_a_launcher_that_is_killed)
{
	struct stage stage;
	int ends[2];
	char text[4096] = "";
	size_t length = 0;
	stage_open(&stage, GOOD_SERVER, "echo at work\nexec sleep 600\n");
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid_t launcher = fork();
	ck_assert_int_ge(launcher, 0);
	if (launcher == 0) {
		struct error err;
		stage.options.output = ends[1];
		_exit(launch_run(&stage.programs, &stage.options, &stage.report, &err) ==
			STATUS_OK);
	}
	close(ends[1]);
	while (!strstr(text, "worker | at work\n")) {
		ssize_t got = read(ends[0], text + length, sizeof(text) - 1 - length);
		ck_assert_int_gt(got, 0);
		length += (size_t)got;
	}
	kill(launcher, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	ck_assert_int_eq(errno, ECHILD);
	close(ends[0]);
	stage_close(&stage);
}
END_TEST

START_TEST(a_missing_program_is_named)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, GOOD_SERVER, "exit 0\n");
	stage.programs.mpirun = "/nonexistent/mpirun";
	assert_fails(stage_run(&stage, &err), STATUS_NOT_FOUND, &err,
		"worker: cannot run /nonexistent/mpirun: No such file");
	assert_printed(&stage, "pserver 0 | server leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_reader_that_went_away_ends_the_job)
{
	struct stage stage;
	struct error err = {0};
	int ends[2];
	stage_open(&stage, GOOD_SERVER, "while :; do echo noise; sleep 0.05; done\n");
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	close(stage.options.output);
	stage.options.output = ends[1];
	assert_fails(stage_run(&stage, &err), STATUS_INTERNAL, &err, "Broken pipe");
	stage_close(&stage);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {workers_get_the_servers_addresses_and_their_options_unchanged,
		hostfile_host_and_token_go_where_they_belong,
		both_streams_and_an_unfinished_last_line_are_forwarded,
		a_failing_worker_ends_the_job_and_is_named,
		a_killed_server_ends_the_job_before_its_workers_complain,
		a_server_that_ends_early_is_a_failure_even_with_code_0,
		a_server_that_never_gets_ready_is_named_at_the_deadline,
		who_ignores_sigterm_is_killed_after_the_grace_time,
		a_grandchild_does_not_outlive_the_job,
		what_left_its_group_does_not_live_on_into_the_next_attempt,
		a_job_does_not_outlive_a_launcher_that_is_killed, sigterm_ends_the_job,
		a_worker_that_fails_at_work_is_started_again_and_told_to_go_on,
		what_the_workers_said_is_the_failures_cause_with_the_servers_names,
		words_that_are_passed_on_after_mpirun_has_ended_are_heard,
		who_holds_the_workers_streams_for_ever_does_not_hold_the_job,
		a_killed_worker_is_started_again_also_before_it_has_begun,
		a_killed_server_is_started_again_with_the_workers,
		what_fails_before_training_begins_is_not_tried_again, restarts_come_to_an_end,
		a_signal_during_the_pause_ends_the_job,
		a_signal_while_an_attempt_ends_is_not_forgotten, a_missing_program_is_named,
		a_reader_that_went_away_ends_the_job, NULL};
	return run_cases("launch", cases);
}
