/* marquee train: one process, the tables embedded in it. */
#include "launcher/commands.h"

#include "worker/options.h"
#include "worker/summary.h"
#include "worker/trainer.h"

#include <unistd.h>

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
	const struct flag_group group = {"Training", flags.flags, flags.count};
	const struct command_line line = {
		.program = program,
		.summary = "Trains in one process, with the embedding tables inside it.",
		.groups = &group,
		.group_count = 1,
	};
	enum status status = flags_parse(&line, argc, argv, NULL, &error);
	if (status == STATUS_OK)
		status = train_options_finish(&options, &error);
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
	summary_print(stdout, &options, &result);
	return EXIT_OK;
}
