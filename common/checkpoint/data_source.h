/*
 * Where training data came from and how it was split, as a checkpoint and a model directory record
 * it, so that a later command can find an actual rating and say whether it was held out.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_CHECKPOINT_DATA_SOURCE_H
#define MARQUEE_CHECKPOINT_DATA_SOURCE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdint.h>

struct data_source {
	char *directory;    /* owned; as given to the trainer, made absolute */
	char *test_ratings; /* owned; NULL: the test set is held out by the hash */
	double holdout;	    /* share of the ratings held out, 0 with test_ratings */
	uint64_t seed;	    /* of the hash */
};

/* Copies; relative paths are made absolute when they exist. */
MUST_CHECK enum status data_source_init(struct data_source *ret, const char *directory,
	const char *test_ratings, double holdout, uint64_t seed, struct error *err);
/* Takes a zeroed struct. */
void data_source_fini(struct data_source *source);

/* A new reference; NULL when memory is refused. */
json_t *data_source_to_json(const struct data_source *source);
/* DATA_LOSS naming the member. */
MUST_CHECK enum status data_source_from_json(
	struct data_source *ret, const json_t *object, struct error *err);

#endif
