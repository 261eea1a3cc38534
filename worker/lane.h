/*
 * A lane: one virtual worker. It owns a disjoint block of the training examples (and of the
 * held-out ones), reads it in its own order, and turns the examples of a step into the distinct
 * users and movies that the model computes.
 *
 * What a lane produces depends on (seed, epoch, step, its examples) only, never on the thread or
 * the process that runs it.
 *
 * Threads: a lane is owner-thread only within a phase; different lanes run side by side.
 */
#ifndef MARQUEE_WORKER_LANE_H
#define MARQUEE_WORKER_LANE_H

#include "common/base/id_set.h"
#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/model/model.h"
#include "worker/shard.h"

#include <stdbool.h>
#include <stdint.h>

struct lane_options {
	uint64_t seed;
	double unknown_rate;
	bool shuffle;
};

/* Examples as the model takes them, their plan, and what the model makes of them. */
struct lane_batch {
	struct id_set user_set, movie_set;	/* keys: catalog index * 2 + is unknown */
	struct user_entity *users;		/* [capacity] */
	struct movie_entity *movies;		/* [capacity] */
	uint32_t *example_user, *example_movie; /* [capacity] */
	float *labels;				/* [capacity] */
	uint32_t capacity;
	struct model_batch examples;
	struct model_workspace *workspace; /* owned */
};

struct lane {
	/* immutable after init */
	uint32_t index;
	struct lane_options options;
	const struct catalog *catalog; /* borrowed */
	struct lane_shard train;
	struct lane_shard test;

	struct shard train_shard, test_shard;
	struct model_scratch
		*scratch; /* of both batches, of which one is trained at a time; owned */
	struct lane_batch batches[2]; /* take turns: one is trained while the next is loaded */
};

/* `capacity`: the most examples one batch may have. Copies the options, borrows the dataset. */
MUST_CHECK enum status lane_init(struct lane *lane, uint32_t index,
	const struct lane_options *options, const struct dataset *dataset,
	const struct model *model, uint32_t capacity, struct error *err);
void lane_fini(struct lane *lane);

/*
 * The examples [begin, begin + count) of the epoch's order (cut at the shard's end), and the
 * model's plan for them. scale: see struct model_batch.
 */
MUST_CHECK enum status lane_load_train(struct lane *lane, uint32_t turn, uint64_t epoch,
	uint64_t begin, uint32_t count, float scale, struct error *err);

/* The held-out examples [begin, begin + count), in file order, nobody unknown. */
MUST_CHECK enum status lane_load_test(
	struct lane *lane, uint32_t turn, uint64_t begin, uint32_t count, struct error *err);

/* The model's label of a rating in stars, and back: label = 2 * stars - 5. */
static inline float label_of_stars(float stars)
{
	return 2.0f * stars - 5.0f;
}

#endif
