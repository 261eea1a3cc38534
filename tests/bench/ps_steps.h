/*
 * What bench_ps times: steps of a worker's parameter client against a server, and the same bytes
 * over bare nng.
 *
 * A step pulls one batch of rows and pushes another one's gradients, in one call or in two, one
 * after the other. Rows are left where they arrive. The batches, distinct ids each, are drawn
 * before as universe * u^skew, and all of the universe's rows exist.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_PS_STEPS_H
#define MARQUEE_BENCH_PS_STEPS_H

#include "pserver/optimizer.h"
#include "tests/bench/bench.h"

enum steps_side { STEPS_MARQUEE, STEPS_BARE };
#define STEPS_SIDES 2u

struct steps_options {
	const struct clock *clock;
	const char *server_url, *bare_url; /* borrowed */
	uint64_t incarnation;		   /* larger for every steps of a server */
	uint32_t rows, dim;
	uint64_t universe;
	double skew;
	uint32_t in_flight;
	bool together; /* push and pull share a call */
	enum optimizer_kind optimizer;
};

struct steps;

/* Connects, makes the universe's rows, and learns the size of the messages. Copies the options. */
MUST_CHECK enum status steps_open(
	struct steps **ret, const struct steps_options *options, struct error *err);
/* Leaves the job and frees. */
MUST_CHECK enum status steps_close(struct steps *steps, struct error *err);

/* Keeps all slots busy for so long, each in its turn, and lets them run out. */
MUST_CHECK enum status steps_run(struct steps *steps, enum steps_side side, double seconds,
	double *ret_rows_per_second, struct error *err);

/* Microseconds of each step since the samples were emptied; the first ones that fit. Borrowed. */
struct bench_samples *steps_latencies(struct steps *steps, enum steps_side side);

/* Bytes that a step moves, both ways, without what nng and TCP add. */
double steps_wire_bytes(const struct steps *steps);

#endif
