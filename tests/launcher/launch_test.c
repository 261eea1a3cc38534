/* A job that is attempted once: what its processes are given, and how it ends. */
#include "launcher/launch.h"

#include "tests/support/stage.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(workers_get_the_servers_addresses_and_their_options_unchanged)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, STAGE_GOOD_SERVER,
		"for argument; do echo \"<$argument>\"; done\necho 'digest 00ff'\n");
	const char *const arguments[] = {"--data", "a b", "--epochs=3"};
	stage.options.arguments = (struct launch_arguments){arguments, 3};
	assert_ok(stage_run(&stage, &err), &err);
	stage_assert_printed(&stage, "worker | mpirun -n 2 worker --servers "
				     "tcp://test:0,tcp://test:1 --data a b --epochs=3\n");
	stage_assert_printed(&stage, "worker | <--servers>\nworker | <tcp://test:0,tcp://test:1>\n"
				     "worker | <--data>\nworker | <a b>\nworker | <--epochs=3>\n"
				     "worker | digest 00ff\n");
	stage_assert_printed(&stage, "pserver 0 | pserver: ready tcp://test:0 shard 0/2\n");
	stage_assert_printed(&stage, "pserver 1 | pserver: ready tcp://test:1 shard 1/2\n");
	stage_assert_printed(&stage, "pserver 0 | server leaves\n");
	stage_assert_printed(&stage, "pserver 1 | server leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(hostfile_host_and_token_go_where_they_belong)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, "echo \"$*\"\n" STAGE_GOOD_SERVER,
		"for argument; do echo \"<$argument>\"; done\n");
	stage.options.hostfile = "hosts";
	stage.options.server_host = "10.0.0.7";
	stage.options.token_file = "secret";
	assert_ok(stage_run(&stage, &err), &err);
	stage_assert_printed(&stage, "worker | mpirun -f hosts -n 2 worker --servers ");
	stage_assert_printed(&stage, "worker | <--token-file>\nworker | <secret>\n");
	stage_assert_printed(
		&stage, "pserver 0 | --listen tcp://10.0.0.7:0 --shard 0/2 --token-file secret\n");
	stage_close(&stage);
}
END_TEST

START_TEST(both_streams_and_an_unfinished_last_line_are_forwarded)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, STAGE_GOOD_SERVER, "echo to errors >&2\nprintf 'no newline'\n");
	assert_ok(stage_run(&stage, &err), &err);
	stage_assert_printed(&stage, "worker | to errors\n");
	stage_assert_printed(&stage, "worker | no newline\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_failing_worker_ends_the_job_and_is_named)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, STAGE_GOOD_SERVER, "echo no such data >&2\nexit 3\n");
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"worker failed first: it exited with code 3 after ");
	stage_assert_printed(&stage, "worker | no such data\n");
	stage_assert_printed(&stage, "pserver 1 | server leaves\n");
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
	stage_assert_printed(&stage, "worker | worker leaves\n");
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

START_TEST(a_grandchild_does_not_outlive_the_job)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, STAGE_GOOD_SERVER, "sleep 600 &\necho \"child $!\"\nexit 0\n");
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

START_TEST(a_job_does_not_outlive_a_launcher_that_is_killed)
{
	struct stage stage;
	int ends[2];
	char text[4096] = "";
	size_t length = 0;
	stage_open(&stage, STAGE_GOOD_SERVER, "echo at work\nexec sleep 600\n");
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

START_TEST(sigterm_ends_the_job)
{
	struct stage stage;
	struct error err = {0};
	char worker[256];
	snprintf(worker, sizeof(worker),
		"trap 'echo worker leaves; exit 1' TERM\nkill -TERM %d\n"
		"while :; do sleep 0.05; done\n",
		(int)getpid());
	stage_open(&stage, STAGE_GOOD_SERVER, worker);
	assert_fails(stage_run(&stage, &err), STATUS_ABORTED, &err,
		"ended by signal 15 (Terminated) after ");
	stage_assert_printed(&stage, "worker | worker leaves\n");
	stage_assert_printed(&stage, "pserver 0 | server leaves\n");
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
	stage_close(&stage);
}
END_TEST

START_TEST(a_missing_program_is_named)
{
	struct stage stage;
	struct error err = {0};
	stage_open(&stage, STAGE_GOOD_SERVER, "exit 0\n");
	stage.programs.mpirun = "/nonexistent/mpirun";
	assert_fails(stage_run(&stage, &err), STATUS_NOT_FOUND, &err,
		"worker: cannot run /nonexistent/mpirun: No such file");
	stage_assert_printed(&stage, "pserver 0 | server leaves\n");
	stage_close(&stage);
}
END_TEST

START_TEST(a_reader_that_went_away_ends_the_job)
{
	struct stage stage;
	struct error err = {0};
	int ends[2];
	stage_open(&stage, STAGE_GOOD_SERVER, "while :; do echo noise; sleep 0.05; done\n");
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
		a_job_does_not_outlive_a_launcher_that_is_killed, sigterm_ends_the_job,
		a_missing_program_is_named, a_reader_that_went_away_ends_the_job, NULL};
	return run_cases("launch", cases);
}
