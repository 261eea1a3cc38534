/*
 * Jobs of shell scripts that play parameter server, mpirun and worker.
 *
 * Threads: the only thread, as launch_run().
 */
#ifndef MARQUEE_TESTS_STAGE_H
#define MARQUEE_TESTS_STAGE_H

#include "common/base/file.h"
#include "launcher/launch.h"

/* A server: announces itself as "tcp://test:<shard>" and stays until it is told to go. */
#define STAGE_GOOD_SERVER                                                                          \
	"trap 'echo server leaves; exit 0' TERM\n"                                                 \
	"echo \"pserver: ready tcp://test:${4%/*} shard $4\"\n"                                    \
	"while :; do sleep 0.05; done\n"

struct stage {
	char directory[PATH_SIZE];
	char pserver[PATH_SIZE], worker[PATH_SIZE], mpirun[PATH_SIZE];
	char output_path[PATH_SIZE];
	struct launch_programs programs;
	struct launch_options options;
	struct launch_report report;
	char *output; /* what the job printed, both streams */
};

/*
 * A scratch directory with the scripts, and options for two of each; mpirun prints its arguments
 * and becomes the worker. pserver and worker: the scripts' bodies.
 */
void stage_open(struct stage *stage, const char *pserver, const char *worker);
void stage_close(struct stage *stage);

/* Replaces one script, by the path that stage has for it. */
void stage_write_script(const char *path, const char *body);

/* launch_run(); stage->output is what it printed. */
MUST_CHECK enum status stage_run(struct stage *stage, struct error *err);

/* Fails the test unless the job has printed this. */
void stage_assert_printed(const struct stage *stage, const char *text);

#endif
