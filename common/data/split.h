/*
 * Which ratings are held out for the test.
 *
 * A pure function of (seed, user id, movie id), so the same for every number of workers and every
 * order of lines.
 */
#ifndef MARQUEE_DATA_SPLIT_H
#define MARQUEE_DATA_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#define HOLDOUT_DEFAULT 0.1

/* True for a share of about holdout (0 <= holdout < 1) of all (user, movie) pairs. */
bool split_is_held_out(uint64_t seed, uint64_t user_id, uint64_t movie_id, double holdout);

#endif
