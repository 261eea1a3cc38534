/*
 * The `worker` program: one rank of a training job, under mpirun or alone.
 *
 * With --servers the tables are on parameter servers. Without, the ranks host the shards
 * themselves, each in its own process on a loopback port, and exchange steps in shared memory; a
 * single worker then needs no server at all.
 */
#include "common/base/memory.h"
#include "worker/comm_mpi.h"
#include "worker/connect.h"
#include "worker/options.h"
#include "worker/summary.h"
#include "worker/trainer.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRAM "worker"

/*
 * How long a worker holds back a message of which another one is likely to have the cause: that one
 * speaks, leaves its servers and ends the job.
 */
#define HOLD_BACK_S 3

/*
 * Others may wait in a collective for as long as worker 0 writes or verifies a checkpoint. After
 * one deadline that is told, with who is missing.
 */
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
			"without --servers: ranks that host a shard (default: one a core)", 1, 64,
			NULL, NULL, false},
		{"token-file", FLAG_STRING, &options->connect.token_file, "FILE",
			"secret that the servers ask for", 0, 0, NULL, NULL, false},
		{"tls-ca", FLAG_STRING, &options->connect.tls.ca_file, "FILE",
			"PEM authority of the servers' certificates, for tls+tcp", 0, 0, NULL, NULL,
			false},
		{"tls-cert", FLAG_STRING, &options->connect.tls.cert_file, "FILE",
			"PEM certificate of this worker, where the servers ask for one", 0, 0, NULL,
			NULL, false},
		{"tls-key", FLAG_STRING, &options->connect.tls.key_file, "FILE",
			"PEM private key of the certificate", 0, 0, NULL, NULL, false},
		{"connect-timeout", FLAG_DOUBLE, &options->connect.connect_timeout_s, "SECONDS",
			"how long to look for a server (default 10)", 0.1, 3600, NULL, NULL, false},
		{"generation", FLAG_U64, &options->connect.generation, "N",
			"which start of the job this is, from 0: servers end what is left of an "
			"older one (marquee launch counts)",
			0, 1e9, NULL, NULL, false},
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
		status = connect_options_check(&options->connect, err);
	if (status == STATUS_OK)
		status = train_options_finish(&options->train, err);
	return status;
}

/* How this rank ends. */
struct ending {
	const struct comm *comm;
	bool launched; /* by mpirun: with other ranks to end */
	bool said;     /* the message is out */
};

/*
 * Prints why this worker failed. One message a cause: of what all workers know the speaker alone
 * tells, and who only noticed that another one failed gives it the time to tell and end the job.
 */
static void on_failure(void *context, enum status status, const struct error *err)
{
	struct ending *ending = context;
	const struct comm *comm = ending->comm;
	if (ending->said)
		return;
	ending->said = true;
	if (comm->failed && comm->speaker != comm->rank)
		return;
	/* Another worker gave up, or worker 0 waits in vain for the same server. */
	const bool likely_told = status == STATUS_ABORTED ||
				 (comm->rank != 0 && (status == STATUS_UNAVAILABLE ||
							     status == STATUS_DEADLINE_EXCEEDED));
	if (ending->launched && !comm->failed && likely_told)
		sleep(HOLD_BACK_S);
	struct error message = *err;
	/* What all of them have failed in alike is no one's own. */
	if (comm->workers > 1 && !(comm->failed && comm->speaker == 0))
		(void)!error_wrap(&message, status, "worker %u", comm->rank);
	program_failed(PROGRAM, &message);
	fflush(stderr);
}

static void on_warning(void *context, const char *text)
{
	(void)context;
	fprintf(stderr, PROGRAM ": warning: %s\n", text);
}

static enum status run(const struct worker_options *options, struct comm *comm,
	struct ending *ending, struct error *err)
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
		.restarts = options->connect.generation,
		.on_failure = on_failure,
		.failure_context = ending,
		.on_warning = on_warning,
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

/* A failure of this worker alone must end the others; of one that all know, all end by themselves.
 */
static int end_failed(
	struct ending *ending, struct comm *comm, int code, enum status status, struct error *err)
{
	on_failure(ending, status, err);
	if (!ending->launched)
		return code;
	if (!comm->failed)
		comm_mpi_abort(code);
	comm_mpi_close(comm);
	return code;
}

int main(int argc, char **argv)
{
	struct worker_options options = {0};
	struct error error = {0};
	memory_keep_freed();
	enum status status = parse(&options, argc, argv, &error);
	if (status == STATUS_CANCELLED)
		return program_end(PROGRAM, EXIT_OK);
	struct comm local, *comm = &local;
	struct error no_mpi;
	comm_local_init(&local);
	struct ending ending = {.comm = comm, .launched = comm_mpi_is_launched()};
	if (ending.launched &&
		comm_mpi_open(&comm, clock_real(), options.train.deadline_s * COMM_DEADLINE_FACTOR,
			&no_mpi) != STATUS_OK)
		return program_failed(PROGRAM, &no_mpi);
	comm->patience = (struct comm_patience){
		.patience_s = options.train.deadline_s, .on_late = on_warning};
	ending.comm = comm;
	int code = status == STATUS_INVALID_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
	if (status == STATUS_INVALID_ARGUMENT)
		flags_add_hint(PROGRAM, &error);
	/* What is wrong with the command line is so for all of them. */
	status = comm_agree_all(comm, status, &error);
	if (status != STATUS_OK)
		return end_failed(&ending, comm, code, status, &error);
	status = run(&options, comm, &ending, &error);
	if (status != STATUS_OK)
		return end_failed(&ending, comm, EXIT_FAILED, status, &error);
	if (ending.launched)
		comm_mpi_close(comm);
	return program_end(PROGRAM, EXIT_OK);
}
