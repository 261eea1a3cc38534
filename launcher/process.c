#include "launcher/process.h"

#include "common/base/flags.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_SIZE 65536 /* Linux's */

enum status process_stream_read(
	struct process_stream *stream, line_function on_line, void *context, struct error *err)
{
	char bytes[PIPE_SIZE];
	enum status status = STATUS_OK;
	ssize_t got = read(stream->descriptor, bytes, sizeof(bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return STATUS_OK;
	if (got > 0)
		status = lines_feed(&stream->lines, bytes, (size_t)got, on_line, context, err);
	else
		status = lines_flush(&stream->lines, on_line, context, err);
	if (got <= 0 || status != STATUS_OK) {
		close(stream->descriptor);
		stream->descriptor = -1;
	}
	return status;
}

void process_init(struct process *process, const char *name)
{
	memset(process, 0, sizeof(*process));
	snprintf(process->name, sizeof(process->name), "%s", name);
	process->output.descriptor = process->errors.descriptor = -1;
}

/* The pipes between parent and child; -1 where there is none. */
struct pipes {
	int output[2], errors[2];
	int failure[2]; /* closed by a successful exec, else carries its errno */
};

static void pipe_close(int ends[2])
{
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
}

static void pipes_close(struct pipes *pipes)
{
	pipe_close(pipes->output);
	pipe_close(pipes->errors);
	pipe_close(pipes->failure);
}

static enum status pipes_open(struct pipes *ret, struct error *err)
{
	struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}};
	if (pipe2(pipes.output, O_CLOEXEC) != 0 || pipe2(pipes.errors, O_CLOEXEC) != 0 ||
		pipe2(pipes.failure, O_CLOEXEC) != 0 ||
		fcntl(pipes.output[0], F_SETFL, O_NONBLOCK) != 0 ||
		fcntl(pipes.errors[0], F_SETFL, O_NONBLOCK) != 0) {
		enum status status = error_set_errno(err, errno, "pipe");
		pipes_close(&pipes);
		return status;
	}
	*ret = pipes;
	return STATUS_OK;
}

/* In the child: only calls that are safe after fork. Returns only when it could not become argv. */
static void become(const struct pipes *pipes, const char *const *argv, pid_t parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
		dup2(pipes->output[1], STDOUT_FILENO) >= 0 &&
		dup2(pipes->errors[1], STDERR_FILENO) >= 0)
		execvp(argv[0], (char *const *)(uintptr_t)argv);
}

/* Waits until the child runs its program; 0, or the errno that kept it from that. */
static int wait_for_exec(int descriptor)
{
	int failure = 0;
	ssize_t got;
	do
		got = read(descriptor, &failure, sizeof(failure));
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(failure) ? failure : 0;
}

enum status process_start(struct process *process, const char *const *argv, struct error *err)
{
	struct pipes pipes;
	enum status status = pipes_open(&pipes, err);
	if (status != STATUS_OK)
		return status;
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0) {
		status = error_set_errno(err, errno, "%s: fork", process->name);
		goto cleanup;
	}
	if (pid == 0) {
		become(&pipes, argv, parent);
		int failure = errno;
		ssize_t put = write(pipes.failure[1], &failure, sizeof(failure));
		(void)put;
		_exit(127);
	}
	setpgid(pid, pid); /* as the child does: whoever comes first */
	close(pipes.failure[1]);
	pipes.failure[1] = -1;
	int failure = wait_for_exec(pipes.failure[0]);
	if (failure) {
		waitpid(pid, NULL, 0);
		status = error_set_errno(err, failure, "%s: cannot run %s", process->name, argv[0]);
		goto cleanup;
	}
	process->pid = pid;
	process->running = true;
	process->output.descriptor = pipes.output[0];
	process->errors.descriptor = pipes.errors[0];
	pipes.output[0] = pipes.errors[0] = -1;
cleanup:
	pipes_close(&pipes);
	return status;
}

void process_signal(const struct process *process, int signal_number)
{
	if (process->running)
		kill(-process->pid, signal_number);
}

/* The child has ended and is not yet waited for, so that its number is still its own. */
static void collect(struct process *process)
{
	kill(-process->pid, SIGKILL);
	while (waitpid(process->pid, &process->wait_status, 0) < 0 && errno == EINTR)
		;
	process->running = false;
}

bool process_reap(struct process *process)
{
	siginfo_t info = {0};
	if (!process->running)
		return false;
	if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		info.si_pid == 0)
		return false;
	collect(process);
	return true;
}

bool process_succeeded(const struct process *process)
{
	return process->pid && !process->running && WIFEXITED(process->wait_status) &&
	       WEXITSTATUS(process->wait_status) == 0;
}

bool process_gave_up(const struct process *process)
{
	if (!process->pid || process->running || !WIFEXITED(process->wait_status))
		return false;
	int code = WEXITSTATUS(process->wait_status);
	return code == EXIT_FAILED || code == EXIT_USAGE;
}

void process_end_text(const struct process *process, char text[PROCESS_END_SIZE])
{
	if (WIFSIGNALED(process->wait_status)) {
		int number = WTERMSIG(process->wait_status);
		snprintf(text, PROCESS_END_SIZE, "was killed by signal %d (%s)", number,
			strsignal(number));
	} else {
		snprintf(text, PROCESS_END_SIZE, "exited with code %d",
			WEXITSTATUS(process->wait_status));
	}
}

void process_fini(struct process *process)
{
	if (process->running)
		collect(process);
	if (process->output.descriptor >= 0)
		close(process->output.descriptor);
	if (process->errors.descriptor >= 0)
		close(process->errors.descriptor);
	process->output.descriptor = process->errors.descriptor = -1;
	process->pid = 0;
}
