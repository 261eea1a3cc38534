/*
 * Which ratings are held out for the test.
 *
 * A pure function of (seed, user id, movie id), so the same for every number of workers and every
 * order of lines.
 */
#ifndef MARQUEE_DATA_SPLIT_H
#define MARQUEE_DATA_SPLIT_H

#include "common/base/hash.h"

#include <stdbool.h>
#include <stdint.h>

#define HOLDOUT_DEFAULT 0.1

/* Seed and share, ready for many ratings. */
struct split {
	uint64_t seed;	/* hashed */
	uint64_t limit; /* of 2^53: a rating's hash below it is held out */
};

/* Holds out a share of about holdout (0 <= holdout < 1) of all (user, movie) pairs. */
struct split split_make(uint64_t seed, double holdout);

/* In two steps, since a user's ratings mostly stand together. */
static inline uint64_t split_user(const struct split *split, uint64_t user_id)
{
	return hash_u64(split->seed ^ user_id);
}

static inline bool split_holds_out(const struct split *split, uint64_t user, uint64_t movie_id)
{
	return hash_u64(user ^ movie_id) >> 11 < split->limit;
}

/* The same for one rating. */
bool split_is_held_out(uint64_t seed, uint64_t user_id, uint64_t movie_id, double holdout);

#endif
