#include "tests/support/stage.h"

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void stage_write_script(const char *path, const char *body)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "#!/bin/sh\n%s", body);
	fclose(file);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

void stage_open(struct stage *stage, const char *pserver, const char *worker)
{
	*stage = (struct stage){.output = NULL};
	scratch_open(stage->directory);
	scratch_path(stage->pserver, stage->directory, "pserver");
	scratch_path(stage->worker, stage->directory, "worker");
	scratch_path(stage->mpirun, stage->directory, "mpirun");
	scratch_path(stage->output_path, stage->directory, "output");
	stage_write_script(stage->pserver, pserver);
	stage_write_script(stage->worker, worker);
	stage_write_script(stage->mpirun,
		"echo \"mpirun $*\" | sed \"s|$(dirname $0)/||\"\n"
		"while [ \"${1#-}\" != \"$1\" ]; do shift 2; done\nexec \"$@\"\n");
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

enum status stage_run(struct stage *stage, struct error *err)
{
	size_t size;
	enum status status = launch_run(&stage->programs, &stage->options, &stage->report, err);
	stage->output = scratch_read(stage->output_path, &size);
	return status;
}

void stage_close(struct stage *stage)
{
	free(stage->output);
	launch_report_fini(&stage->report);
	close(stage->options.output);
	scratch_close(stage->directory);
}

void stage_assert_printed(const struct stage *stage, const char *text)
{
	ck_assert_msg(
		strstr(stage->output, text) != NULL, "'%s' is not in:\n%s", text, stage->output);
}
