/*
 * Generated ratings: a directory in ml-1m's layout with a known truth behind it.
 *
 * Where there is no MovieLens (no network, no licence to pass it on) this data stands in: movies
 * have a long tail, users differ in how much they rate, and the stars come from a hidden two-tower
 * model of demographics, genres, title words and ids, plus noise. So the best error that any model
 * can reach is known, and is returned.
 *
 * The files are a pure function of the four numbers: the generator draws by counter (random.h) and
 * computes with + - * / and sqrt only, which round the same on every machine.
 * Memory is proportional to users + movies; ratings stream to the disk.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_DATA_SYNTH_H
#define MARQUEE_DATA_SYNTH_H

#include "common/base/status.h"

#include <stdint.h>

#define SYNTH_USERS_DEFAULT   UINT64_C(6000)
#define SYNTH_MOVIES_DEFAULT  UINT64_C(4000)
#define SYNTH_RATINGS_DEFAULT UINT64_C(1000000)
#define SYNTH_SEED_DEFAULT    UINT64_C(1)
#define SYNTH_USERS_MAX	      UINT64_C(1000000000)
#define SYNTH_MOVIES_MAX      UINT64_C(100000000)

struct synth_options {
	const char *out;  /* created when it is not there */
	uint64_t users;	  /* 1..SYNTH_USERS_MAX */
	uint64_t movies;  /* 2..SYNTH_MOVIES_MAX */
	uint64_t ratings; /* 1..users * (movies / 2) */
	uint64_t seed;
	/* Called now and then while ratings are written; may be NULL. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *progress_context;
};

/* In stars, over the ratings written. */
struct synth_report {
	uint64_t ratings;
	uint64_t bytes; /* of ratings.dat */
	double mean;
	double mean_rmse; /* of predicting the mean for everything */
	double bias_rmse; /* of the true user and movie biases alone, roughly */
	double best_rmse; /* of the conditional expectation given the truth: no model does better */
};

/*
 * Writes users.dat, movies.dat, ratings.dat and README. ALREADY_EXISTS: the directory holds data
 * that did not come from here (earlier generated data is replaced). INVALID_ARGUMENT: a number out
 * of range. What is written is complete or, on failure, absent.
 */
MUST_CHECK enum status synth_generate(
	const struct synth_options *options, struct synth_report *ret, struct error *err);

#endif
