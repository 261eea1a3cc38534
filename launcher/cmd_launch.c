/* marquee launch: parameter servers and workers on this machine, watched to their end. */
#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "launcher/commands.h"
#include "launcher/launch.h"
#include "worker/options.h"
#include "worker/trainer.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER_HOST_MAX 200
#define MAX_RESTARTS	1000

struct options {
	uint64_t workers, servers, max_restarts;
	const char *hostfile, *server_host, *token_file;
	struct launch_tls tls;
};

/* What goes to the workers as it stands, at the start and after a failure. */
struct arguments {
	char **all; /* a copy that parsing may reorder */
	const char **passed, **again;
	size_t passed_count, again_count;
};

/* The options' row of "--name" or "--name=value", or of an unambiguous beginning of the name. */
static const struct flag *find_own(const struct flag_group *group, const char *argument)
{
	const struct flag *found = NULL;
	if (strncmp(argument, "--", 2) != 0)
		return NULL;
	argument += 2;
	size_t length = strcspn(argument, "=");
	if (length == 0)
		return NULL;
	for (size_t i = 0; i < group->count; i++) {
		const char *name = group->flags[i].name;
		if (strncmp(argument, name, length) != 0)
			continue;
		found = &group->flags[i];
		if (name[length] == '\0')
			break;
	}
	return found;
}

/*
 * Leaves out launch's own options; what is left has been parsed, so every option has its value.
 * After a failure the job goes on from its checkpoints, also where it began by discarding older
 * ones; without a directory for them it begins anew.
 */
static enum status split(struct arguments *ret, const struct flag_group *group,
	const struct train_options *train, int argc, char **argv, struct error *err)
{
	const struct flag restart = {.name = "restart"};
	const struct flag_group restart_group = {NULL, &restart, 1};
	enum status status =
		memory_zalloc(&ret->passed, (size_t)argc, sizeof(*ret->passed), "arguments", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&ret->again, (size_t)argc + 1, sizeof(*ret->again), "arguments", err);
	for (int i = 1; i < argc && status == STATUS_OK; i++) {
		if (!find_own(group, argv[i]))
			ret->passed[ret->passed_count++] = argv[i];
		else if (!strchr(argv[i], '='))
			i++;
	}
	for (size_t i = 0; i < ret->passed_count && status == STATUS_OK; i++)
		if (!(train->restart && find_own(&restart_group, ret->passed[i])))
			ret->again[ret->again_count++] = ret->passed[i];
	if (status == STATUS_OK && train->checkpoint_dir && !train->resume)
		ret->again[ret->again_count++] = "--resume";
	return status;
}

static enum status check(const struct options *options, struct error *err)
{
	const struct launch_tls *tls = &options->tls;
	if ((tls->cert_file || tls->key_file || tls->ca_file) &&
		!(tls->cert_file && tls->key_file && tls->ca_file))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--tls-cert, --tls-key and --tls-ca belong together");
	if (options->hostfile && access(options->hostfile, R_OK) != 0)
		return error_set_errno(err, errno, "--hostfile %.200s", options->hostfile);
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

static void print_restarts(const struct launch_report *report)
{
	for (uint32_t i = 0; i < report->restarts; i++)
		fprintf(stderr, "marquee launch: restart %u: %s\n", i + 1, report->failures[i]);
}

/* Beside the workers' lines, in the file that --dump-metrics names; no worker runs now. */
static void note_restart(void *context, uint32_t restart, const char *failure)
{
	const char *path = context;
	FILE *file = path ? fopen(path, "ae") : NULL;
	json_t *line = json_pack("{s:s, s:I, s:s}", "event", "restart", "restart",
		(json_int_t)restart, "reason", failure);
	if (file && line && json_dumpf(line, file, JSON_COMPACT) == 0)
		fputc('\n', file);
	if (path && (!file || fclose(file) != 0))
		fprintf(stderr, "marquee launch: --dump-metrics: %s: restart %u is not noted: %s\n",
			path, restart, strerror(errno));
	json_decref(line);
}

static enum status run(const struct options *options, const struct arguments *arguments,
	const char *metrics, struct error *err)
{
	struct launch_report report;
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
		.tls = options->tls,
		.hostfile = options->hostfile,
		.arguments = {arguments->passed, arguments->passed_count},
		.restart_arguments = {arguments->again, arguments->again_count},
		.began_line = TRAINING_BEGINS,
		.max_restarts = (uint32_t)options->max_restarts,
		.on_restart = note_restart,
		.restart_context = (void *)(uintptr_t)metrics,
		.output = STDOUT_FILENO,
		.errors = STDERR_FILENO,
		.clock = clock_real(),
	};
	uint64_t start_ns = clock_now_ns(launch.clock);
	enum status status = launch_run(&programs, &launch, &report, err);
	print_restarts(&report);
	if (status == STATUS_OK)
		fprintf(stderr,
			"marquee launch: succeeded in %.1f s: %u worker%s, %u server%s, %u "
			"restart%s\n",
			clock_seconds_since(launch.clock, start_ns), launch.workers,
			launch.workers == 1 ? "" : "s", launch.servers,
			launch.servers == 1 ? "" : "s", report.restarts,
			report.restarts == 1 ? "" : "s");
	launch_report_fini(&report);
	return status;
}

int cmd_launch(int argc, char **argv)
{
	struct options options = {
		.workers = 2, .servers = 1, .max_restarts = 3, .server_host = "127.0.0.1"};
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
				"needs --token-file or TLS"},
		{.name = "token-file",
			.kind = FLAG_STRING,
			.target = &options.token_file,
			.value_name = "FILE",
			.help = "secret that servers ask of workers; readable at this path on "
				"every host"},
		{.name = "tls-cert",
			.kind = FLAG_STRING,
			.target = &options.tls.cert_file,
			.value_name = "FILE",
			.help = "PEM certificate that servers and workers show each other; with "
				"--tls-key and --tls-ca"},
		{.name = "tls-key",
			.kind = FLAG_STRING,
			.target = &options.tls.key_file,
			.value_name = "FILE",
			.help = "PEM private key of the certificate"},
		{.name = "tls-ca",
			.kind = FLAG_STRING,
			.target = &options.tls.ca_file,
			.value_name = "FILE",
			.help = "PEM authority that must have signed the other side's certificate"},
		{.name = "max-restarts",
			.kind = FLAG_U64,
			.target = &options.max_restarts,
			.value_name = "N",
			.help = "how often a job that fails at work is started again, from its "
				"newest checkpoint if it writes any (default 3)",
			.max = MAX_RESTARTS},
	};
	/* Parsed here too: a wrong option ends one program, before any is started. */
	double connect_timeout_s;
	const struct flag worker_flags[] = {
		{.name = "connect-timeout",
			.kind = FLAG_DOUBLE,
			.target = &connect_timeout_s,
			.value_name = "SECONDS",
			.help = "how long a worker looks for a server (default 10)",
			.min = 0.1,
			.max = 3600},
	};
	struct train_options train;
	struct train_flags train_flags;
	train_options_init(&train, &train_flags);
	const struct flag_group groups[] = {
		{"options", flags, sizeof(flags) / sizeof(flags[0])},
		{"Training, handed to the workers", train_flags.flags, train_flags.count},
		{"Workers", worker_flags, 1},
	};
	const struct command_line line = {
		.program = "marquee launch",
		.summary =
			"Starts parameter servers and workers and forwards what they print. When "
			"one fails,\nall are ended and the job goes on from its newest checkpoint.",
		.groups = groups,
		.group_count = sizeof(groups) / sizeof(groups[0]),
	};
	struct arguments arguments = {0};
	struct error err = {0};
	bool usage = true;
	enum status status = memory_alloc(
		&arguments.all, (size_t)argc + 1, sizeof(*arguments.all), "arguments", &err);
	if (status == STATUS_OK) {
		memcpy(arguments.all, argv, ((size_t)argc + 1) * sizeof(*argv));
		status = flags_parse(&line, argc, arguments.all, NULL, &err);
	}
	if (status == STATUS_OK)
		status = train_options_finish(&train, &err);
	if (status == STATUS_OK)
		status = split(&arguments, &groups[0], &train, argc, argv, &err);
	if (status == STATUS_OK)
		status = check(&options, &err);
	if (status == STATUS_OK) {
		usage = false;
		status = run(&options, &arguments, train.dump_metrics, &err);
	}
	free(arguments.all);
	free(arguments.passed);
	free(arguments.again);
	if (status == STATUS_OK || usage)
		return flags_exit(line.program, status, &err);
	return program_failed(line.program, &err);
}
