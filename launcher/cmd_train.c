/* marquee train: one process, the tables embedded in it. */
#include "common/base/file.h"
#include "common/metrics/report_page.h"
#include "launcher/commands.h"

#include "worker/options.h"
#include "worker/summary.h"
#include "worker/trainer.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REPORT_STEPS 100u /* between points of the report's curve of single steps */

static enum status connect_embedded(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	(void)context;
	return params_embedded_new(ret, job->seed, job->tables, job->table_count, err);
}

static void on_warning(void *context, const char *text)
{
	const char *program = context;
	fprintf(stderr, "%s: warning: %s\n", program, text);
}

/* A report that cannot be written is better heard of before the training. */
static enum status check_place(const char *report, struct error *err)
{
	const char *slash = strrchr(report, '/');
	char directory[PATH_SIZE] = ".";
	if (slash && slash - report >= (ptrdiff_t)sizeof(directory))
		return error_set(err, STATUS_INVALID_ARGUMENT, "--report: the path is too long");
	if (slash)
		snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - report), report);
	if (access(directory, W_OK | X_OK) != 0)
		return error_set_errno(err, errno, "--report: %.300s", directory);
	return STATUS_OK;
}

/* The metrics that a report is made of are kept beside it, so that a resumed run goes on with them.
 */
static enum status choose_metrics(
	struct train_options *options, const char *report, char path[PATH_SIZE], struct error *err)
{
	if (!report)
		return STATUS_OK;
	enum status status = check_place(report, err);
	if (status != STATUS_OK || options->dump_metrics)
		return status;
	if (snprintf(path, PATH_SIZE, "%s.jsonl", report) >= (int)PATH_SIZE)
		return error_set(err, STATUS_INVALID_ARGUMENT, "--report: the path is too long");
	options->dump_metrics = path;
	if (options->metrics_every == 0)
		options->metrics_every = REPORT_STEPS;
	return STATUS_OK;
}

static enum status write_report(
	const struct train_options *options, const char *path, struct error *err)
{
	if (!path)
		return STATUS_OK;
	char *files[] = {(char *)(uintptr_t)options->dump_metrics};
	enum status status = report_page_of_files(path, files, 1, true, MARQUEE_VERSION, err);
	if (status == STATUS_OK)
		printf("report in %s\n", path);
	return status;
}

int cmd_train(int argc, char **argv)
{
	const char *program = argv[0];
	struct train_options options;
	struct train_flags flags;
	struct error error = {0};
	train_options_init(&options, &flags);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (cores > 1)
		options.threads = (uint64_t)cores;
	const char *report = NULL;
	char metrics[PATH_SIZE];
	const struct flag watching[] = {
		{.name = "report",
			.kind = FLAG_STRING,
			.target = &report,
			.value_name = "FILE",
			.help = "write an HTML report at the end, as 'marquee plot' does; its "
				"metrics are kept in FILE.jsonl, or --dump-metrics"},
	};
	const struct flag_group groups[] = {
		{"Training", flags.flags, flags.count}, {"Report", watching, 1}};
	const struct command_line line = {
		.program = program,
		.summary = "Trains in one process, with the embedding tables inside it.",
		.groups = groups,
		.group_count = 2,
	};
	enum status status = flags_parse(&line, argc, argv, NULL, &error);
	if (status == STATUS_OK)
		status = train_options_finish(&options, &error);
	if (status == STATUS_OK)
		status = choose_metrics(&options, report, metrics, &error);
	if (status != STATUS_OK)
		return flags_exit(program, status, &error);
	struct comm comm;
	comm_local_init(&comm);
	struct trainer_setup setup = {
		.comm = &comm,
		.clock = clock_real(),
		.connect = connect_embedded,
		.on_warning = on_warning,
		.warning_context = (void *)(uintptr_t)program,
		.out = stdout,
		.progress_descriptor = STDERR_FILENO,
	};
	struct train_result result;
	if (trainer_run(&options, &setup, &result, &error) != STATUS_OK)
		return program_failed(program, &error);
	if (write_report(&options, report, &error) != STATUS_OK)
		return program_failed(program, &error);
	summary_print(stdout, &options, &result);
	return EXIT_OK;
}
