/*
 * Tables whose cut is read late, when training has gone on behind it, or not at all.
 *
 * Threads: a gate is internally locked; the wrapped tables are as the ones inside.
 */
#ifndef MARQUEE_TESTS_LATE_PARAMS_H
#define MARQUEE_TESTS_LATE_PARAMS_H

#include "worker/params.h"

#include <pthread.h>

#define LATE_EPOCH_STEPS 5u /* of the shared data, in batches of 1024 */

struct late_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t pushed;    /* steps, by worker 0 */
	uint64_t last_step; /* nothing is pushed after it */
	uint64_t cut_step;
	uint64_t fail_from, fail_until; /* cuts of these steps cannot be read */
	unsigned int late_reads;	/* of cuts behind which steps had been pushed */
};

void late_gate_init(struct late_gate *gate, uint64_t last_step);

/* For struct cluster's wrap, with the gate as context: what stands between a worker and its tables.
 */
struct params *late_params_wrap(void *gate, struct params *inner);

#endif
