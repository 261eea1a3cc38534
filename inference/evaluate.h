/*
 * How far a model's stars are from given ratings.
 *
 * Threads: as the scorer.
 */
#ifndef MARQUEE_INFERENCE_EVALUATE_H
#define MARQUEE_INFERENCE_EVALUATE_H

#include "common/data/ratings.h"
#include "inference/scorer.h"

struct evaluation {
	double rmse, mae; /* stars */
	uint64_t ratings;
	uint64_t unknown; /* of these, with an unknown row in place of an untrained one */
};

/*
 * Scores every rating with vectors that are computed once for each user and movie. Users and movies
 * that training never met are scored as the scorer says. FAILED_PRECONDITION: no ratings.
 */
MUST_CHECK enum status evaluate(struct scorer *scorer, const struct ratings *ratings,
	struct evaluation *ret, struct error *err);

#endif
