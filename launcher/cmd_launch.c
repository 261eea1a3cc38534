/* marquee launch: parameter servers and workers on this machine, watched to their end. */
#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "launcher/commands.h"
#include "launcher/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER_HOST_MAX 200

struct options {
	uint64_t workers, servers, max_restarts;
	const char *hostfile, *server_host, *token_file;
};

/* argv in two: what launch itself takes, and what goes to the workers as it stands. */
struct arguments {
	char **own;
	int own_count;
	const char **passed;
	size_t passed_count;
};

static const struct flag *find_own(const struct flag_group *group, const char *argument)
{
	size_t length = strcspn(argument, "=");
	for (size_t i = 0; i < group->count; i++) {
		const char *name = group->flags[i].name;
		if (length == strlen(name) + 2 && memcmp(argument, "--", 2) == 0 &&
			memcmp(argument + 2, name, length - 2) == 0)
			return &group->flags[i];
	}
	return NULL;
}

static enum status split(struct arguments *ret, const struct flag_group *group, int argc,
	char **argv, struct error *err)
{
	enum status status =
		memory_zalloc(&ret->own, (size_t)argc + 1, sizeof(*ret->own), "arguments", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&ret->passed, (size_t)argc, sizeof(*ret->passed), "arguments", err);
	if (status != STATUS_OK)
		return status;
	ret->own[ret->own_count++] = argv[0];
	for (int i = 1; i < argc; i++) {
		bool own = find_own(group, argv[i]) != NULL;
		if (!own && strcmp(argv[i], "--help") != 0) {
			ret->passed[ret->passed_count++] = argv[i];
			continue;
		}
		ret->own[ret->own_count++] = argv[i];
		if (own && !strchr(argv[i], '=') && i + 1 < argc)
			ret->own[ret->own_count++] = argv[++i];
	}
	return STATUS_OK;
}

static enum status check(const struct options *options, struct error *err)
{
	if (options->max_restarts != 0)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--max-restarts %llu: restarting comes with a later version",
			(unsigned long long)options->max_restarts);
	if (options->hostfile && access(options->hostfile, R_OK) != 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "--hostfile %.200s: %s",
			options->hostfile, strerror(errno));
	if (strlen(options->server_host) > SERVER_HOST_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "--server-host: name is too long");
	return STATUS_OK;
}

static void find_beside_us(char path[PATH_SIZE], const char *name)
{
	char own[PATH_SIZE];
	struct error err;
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	own[length > 0 ? length : 0] = '\0';
	char *slash = strrchr(own, '/');
	if (slash) {
		*slash = '\0';
		if (path_join(path, own, name, &err) == STATUS_OK && access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_SIZE, "%s", name); /* execvp looks along PATH */
}

/*
 * MPICH's mpirun: in the first directory on PATH that has one, "mpirun.mpich" before "mpirun",
 * which on Debian may be another MPI's.
 */
static void find_mpirun(char path[PATH_SIZE])
{
	static const char *const names[] = {"mpirun.mpich", "mpirun"};
	const char *directory = getenv("PATH");
	while (directory && *directory) {
		int length = (int)strcspn(directory, ":");
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			int used =
				snprintf(path, PATH_SIZE, "%.*s/%s", length, directory, names[i]);
			if (used > 0 && (size_t)used < PATH_SIZE && access(path, X_OK) == 0)
				return;
		}
		directory += length;
		directory += *directory == ':';
	}
	snprintf(path, PATH_SIZE, "mpirun");
}

static enum status run(
	const struct options *options, const struct arguments *arguments, struct error *err)
{
	char pserver[PATH_SIZE], worker[PATH_SIZE], mpirun[PATH_SIZE];
	find_beside_us(pserver, "pserver");
	find_beside_us(worker, "worker");
	find_mpirun(mpirun);
	const struct launch_programs programs = {
		.pserver = pserver, .worker = worker, .mpirun = mpirun};
	const struct launch_options launch = {
		.workers = (uint32_t)options->workers,
		.servers = (uint32_t)options->servers,
		.server_host = options->server_host,
		.token_file = options->token_file,
		.hostfile = options->hostfile,
		.worker_arguments = arguments->passed,
		.worker_argument_count = arguments->passed_count,
		.output = STDOUT_FILENO,
		.errors = STDERR_FILENO,
		.clock = clock_real(),
	};
	uint64_t start_ns = clock_now_ns(launch.clock);
	enum status status = launch_run(&programs, &launch, err);
	if (status == STATUS_OK)
		fprintf(stderr, "marquee launch: succeeded in %.1f s: %u worker%s, %u server%s\n",
			clock_seconds_since(launch.clock, start_ns), launch.workers,
			launch.workers == 1 ? "" : "s", launch.servers,
			launch.servers == 1 ? "" : "s");
	return status;
}

int cmd_launch(int argc, char **argv)
{
	struct options options = {.workers = 2, .servers = 1, .server_host = "127.0.0.1"};
	const struct flag flags[] = {
		{.name = "workers",
			.kind = FLAG_U64,
			.target = &options.workers,
			.value_name = "W",
			.help = "worker processes, under mpirun (default 2)",
			.min = 1,
			.max = LAUNCH_WORKERS_MAX},
		{.name = "servers",
			.kind = FLAG_U64,
			.target = &options.servers,
			.value_name = "S",
			.help = "parameter servers, on this machine (default 1)",
			.min = 1,
			.max = LAUNCH_SERVERS_MAX},
		{.name = "hostfile",
			.kind = FLAG_STRING,
			.target = &options.hostfile,
			.value_name = "FILE",
			.help = "hosts for the workers, handed to mpirun; other machines need "
				"--server-host"},
		{.name = "server-host",
			.kind = FLAG_STRING,
			.target = &options.server_host,
			.value_name = "ADDRESS",
			.help = "address the servers listen at (default 127.0.0.1); another one "
				"needs --token-file"},
		{.name = "token-file",
			.kind = FLAG_STRING,
			.target = &options.token_file,
			.value_name = "FILE",
			.help = "secret that servers ask of workers; readable at this path on "
				"every host"},
		{.name = "max-restarts",
			.kind = FLAG_U64,
			.target = &options.max_restarts,
			.value_name = "N",
			.help = "only 0 for now: a job that fails is not restarted"},
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee launch",
		.summary =
			"Starts parameter servers and workers, forwards what they print, and ends "
			"all of\nthem when one fails. Every other option goes to the workers: see "
			"'worker --help'.",
		.operands = NULL,
		.groups = &group,
		.group_count = 1,
	};
	struct arguments arguments = {0};
	struct error err = {0};
	enum status status = split(&arguments, &group, argc, argv, &err);
	if (status == STATUS_OK)
		status = flags_parse(&line, arguments.own_count, arguments.own, NULL, &err);
	if (status == STATUS_OK)
		status = check(&options, &err);
	if (status == STATUS_OK)
		status = run(&options, &arguments, &err);
	free(arguments.own);
	free(arguments.passed);
	return flags_exit(line.program, status, &err);
}
