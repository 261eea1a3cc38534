/*
 * A schedule: a job and what happens to it, all of it drawn from one seed.
 *
 * Disturbances come for a while and then cease, so that a correct job ends, and a sync job with the
 * bits of one that nobody disturbed.
 */
#ifndef MARQUEE_TESTS_SIM_SCHEDULE_H
#define MARQUEE_TESTS_SIM_SCHEDULE_H

#include "common/base/file.h"
#include "tests/sim/job.h"
#include "tests/sim/network.h"
#include "tests/sim/plant.h"

/* Kinds of trouble; a set of them. The first ones do not end an attempt. */
#define SIM_CALM	0u
#define SIM_MESSAGES	1u /* lost, doubled, delayed, reordered; connections lost */
#define SIM_PAUSES	2u /* processes that stand still */
#define SIM_GENTLE	(SIM_MESSAGES | SIM_PAUSES)
#define SIM_DEATHS	4u
#define SIM_DISK_FAULTS 8u
#define SIM_POWER	16u /* lost by everybody, and by the disk */
#define SIM_EVERYTHING	31u

#define SIM_EPOCHS 2u
#define SIM_STEPS  14u /* of the job */

struct sim_schedule {
	uint64_t seed;
	const char *data;	    /* with a ratings cache */
	unsigned int trouble;	    /* of which every schedule draws a part */
	const struct digest *steps; /* [SIM_STEPS + 1]: of the undisturbed job after each */
	bool asynchronous;	    /* ssp or async: the bits may differ, the audit holds */
	enum sim_plant plant;
};

struct sim_report {
	uint64_t seed;
	char wrong[ERROR_MESSAGE_SIZE + 64]; /* "": nothing */
	/* For people, and to see that things happened. */
	uint64_t trace, turns, time_ns;
	uint32_t workers, servers, attempts, deaths, pauses, power_losses;
	uint64_t disk_failures;
	uint32_t checkpoints; /* that were there at the end, all good */
	struct sim_network_counts network;
};

/* The small job of all schedules, over this data. */
struct train_options sim_job_options(const char *data);

/*
 * Runs `count` schedules from the seed on, in children of this process, and judges them: the job
 * ends, by itself and well, with the digest of the undisturbed one; every checkpoint that is there
 * at a death or at the end has the parameters of its step; no attempt ended by its audit; and what
 * is gentle does not end an attempt. reports[count].
 */
void sim_schedules_run(const struct sim_schedule *like, uint64_t count, struct sim_report *reports);

#endif
