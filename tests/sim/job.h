/*
 * A training job in the simulated world: servers, workers, and a launcher that starts them again.
 *
 * The processes run what the programs run: a server is ps_server_open() until it is told to end; a
 * worker is worker/main.c's way from the connector through trainer_run(). The launcher's rule is
 * launcher/attempt.c's: the first process that dies or fails ends the attempt, all others are
 * ended, and the next attempt is new processes that resume from the checkpoint directory.
 */
#ifndef MARQUEE_TESTS_SIM_JOB_H
#define MARQUEE_TESTS_SIM_JOB_H

#include "tests/sim/world.h"
#include "worker/options.h"
#include "worker/trainer.h"

#define SIM_WORKERS_MAX	 4u
#define SIM_SERVERS_MAX	 3u
#define SIM_ATTEMPTS_MAX 24u

struct sim_job {
	/* The user's. */
	struct train_options options;
	uint32_t workers, servers;

	/* Running. */
	uint32_t attempts;
	bool working; /* the workers of this attempt have begun */
	struct sim_server *server[SIM_SERVERS_MAX];
	struct sim_worker *worker[SIM_WORKERS_MAX];

	/* When it is over. */
	enum status status;
	struct error error;	  /* of the last attempt that failed */
	struct error inexcusable; /* of any attempt; OK: there was none */
	struct train_result result;
};

/* The launcher's main function: argument is the job. */
void *sim_job_main(void *job);

/* Process i of the running attempt, servers first; NULL: it is not there. */
struct sim_process *sim_job_process(const struct sim_job *job, uint32_t index);
/* Everybody's power is lost: all processes of the attempt die. */
void sim_job_kill_all(struct sim_job *job);
/* Somebody was killed: the launcher sees it. */
void sim_job_notice(struct sim_job *job);
/* A server's address gets a new, empty server, before the launcher acts. */
void sim_job_return_server(struct sim_job *job, uint32_t server);

#endif
