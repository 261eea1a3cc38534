#include "tests/bench/load_runs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS_MAX 40
#define DEADLINE_MS 120000

/* Starts marquee train with its output thrown away, and the options behind those of `first`. */
static enum status start(load_options first, load_options options, pid_t *ret, struct error *err)
{
	extern char **environ;
	char *arguments[OPTIONS_MAX] = {
		(char *)(uintptr_t)BENCH_MARQUEE, (char *)(uintptr_t) "train"};
	size_t count = 2;
	posix_spawn_file_actions_t actions;
	for (; first && *first && count + 1 < OPTIONS_MAX; first++)
		arguments[count++] = (char *)(uintptr_t)*first;
	for (; *options && count + 1 < OPTIONS_MAX; options++)
		arguments[count++] = (char *)(uintptr_t)*options;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int result = posix_spawn(ret, BENCH_MARQUEE, &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	return result == 0 ? STATUS_OK : error_set_errno(err, result, "%s", BENCH_MARQUEE);
}

/* Whether there is a line before the process ends. */
static bool wait_for_line(int descriptor)
{
	struct pollfd waited = {.fd = descriptor, .events = POLLIN};
	return poll(&waited, 1, DEADLINE_MS) == 1 && (waited.revents & POLLIN);
}

enum status load_first_step(const struct clock *clock, load_options options, const char *pipe_path,
	double *ret_ms, struct error *err)
{
	const char *const metrics[] = {
		"--max-steps", "1", "--metrics-every", "1", "--dump-metrics", pipe_path, NULL};
	pid_t process;
	if (mkfifo(pipe_path, 0600) != 0)
		return error_set_errno(err, errno, "%s", pipe_path);
	/* The writer would wait for a reader. */
	int descriptor = open(pipe_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const uint64_t begin = clock_now_ns(clock);
	enum status status = descriptor < 0 ? error_set_errno(err, errno, "%s", pipe_path)
					    : start(metrics, options, &process, err);
	if (status == STATUS_OK) {
		if (!wait_for_line(descriptor))
			status = error_set(
				err, STATUS_UNKNOWN, "marquee train ended without a first step");
		*ret_ms = 1e-6 * (double)(clock_now_ns(clock) - begin);
		kill(process, SIGKILL);
		waitpid(process, NULL, 0);
	}
	if (descriptor >= 0)
		close(descriptor);
	unlink(pipe_path);
	return status;
}

enum status load_whole_run(const struct clock *clock, load_options options,
	uint64_t *ret_peak_bytes, double *ret_seconds, struct error *err)
{
	pid_t process;
	int code;
	struct rusage usage;
	const uint64_t begin = clock_now_ns(clock);
	enum status status = start(NULL, options, &process, err);
	if (status != STATUS_OK)
		return status;
	if (wait4(process, &code, 0, &usage) != process || !WIFEXITED(code) ||
		WEXITSTATUS(code) != 0)
		return error_set(err, STATUS_UNKNOWN, "marquee train failed");
	*ret_seconds = clock_seconds_since(clock, begin);
	*ret_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
	return STATUS_OK;
}
