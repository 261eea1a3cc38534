/*
 * The `worker` program: one rank of a training job, under mpirun or alone.
 *
 * With --servers the tables are on parameter servers. Without, the ranks host the shards
 * themselves, each in its own process on a loopback port; a single worker then needs no server at
 * all.
 */
#include "common/base/log.h"
#include "worker/comm_mpi.h"
#include "worker/connect.h"
#include "worker/options.h"
#include "worker/summary.h"
#include "worker/trainer.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRAM "worker"

/* Others may wait in a collective for as long as worker 0 writes a checkpoint. */
#define COMM_DEADLINE_FACTOR 10

struct worker_options {
	struct train_options train;
	struct connect_options connect;
};

static enum status parse(struct worker_options *options, int argc, char **argv, struct error *err)
{
	struct train_flags train;
	train_options_init(&options->train, &train);
	const struct flag servers[] = {
		{"servers", FLAG_STRING, &options->connect.servers, "URL,URL...",
			"parameter servers (default: the ranks host the shards)", 0, 0, NULL, NULL,
			false},
		{"embedded-servers", FLAG_U64, &options->connect.embedded_servers, "N",
			"without --servers: ranks that host a shard (default: all)", 1, 64, NULL,
			NULL, false},
		{"token-file", FLAG_STRING, &options->connect.token_file, "FILE",
			"secret that the servers ask for", 0, 0, NULL, NULL, false},
		{"connect-timeout", FLAG_DOUBLE, &options->connect.connect_timeout_s, "SECONDS",
			"how long to look for a server (default 10)", 0.1, 3600, NULL, NULL, false},
	};
	const struct flag_group groups[] = {
		{"Servers", servers, sizeof(servers) / sizeof(servers[0])},
		{"Training", train.flags, train.count},
	};
	const struct command_line line = {
		.program = PROGRAM,
		.summary = "Trains on its share of the data. Under mpirun one rank is one worker; "
			   "alone it is the only one.",
		.groups = groups,
		.group_count = 2,
	};
	options->connect.connect_timeout_s = 10;
	enum status status = flags_parse(&line, argc, argv, NULL, err);
	if (status == STATUS_OK)
		status = train_options_finish(&options->train, err);
	return status;
}

static enum status run(const struct worker_options *options, struct comm *comm, struct error *err)
{
	struct connector *connector;
	enum status status =
		connector_open(&connector, &options->connect, &options->train, comm, err);
	if (status != STATUS_OK)
		return status;
	struct trainer_setup setup = {
		.comm = comm,
		.clock = clock_real(),
		.connect = connector_connect,
		.connect_context = connector,
		.out = comm->rank == 0 ? stdout : NULL,
		.progress_descriptor = comm->rank == 0 ? STDERR_FILENO : -1,
	};
	struct train_result result;
	status = trainer_run(&options->train, &setup, &result, err);
	/* Nobody takes its shard away while another rank still reads from it. */
	if (status == STATUS_OK)
		status = comm_barrier(comm, err);
	connector_close(connector);
	if (status == STATUS_OK && comm->rank == 0)
		summary_print(stdout, &options->train, &result);
	return status;
}

int main(int argc, char **argv)
{
	struct worker_options options = {0};
	struct error error = {0};
	enum status status = parse(&options, argc, argv, &error);
	if (status != STATUS_OK)
		return flags_exit(PROGRAM, status, &error);
	struct comm local, *comm = &local;
	bool launched = comm_mpi_is_launched();
	comm_local_init(&local);
	if (launched)
		status = comm_mpi_open(&comm, clock_real(),
			options.train.deadline_s * COMM_DEADLINE_FACTOR, &error);
	if (status == STATUS_OK)
		status = run(&options, comm, &error);
	int code = flags_exit(PROGRAM, status, &error);
	if (launched && status != STATUS_OK)
		comm_mpi_abort(code);
	if (launched)
		comm_mpi_close(comm);
	return code;
}
