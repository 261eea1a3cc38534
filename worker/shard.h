/*
 * A lane's shard, read in the order of an epoch, a window of it in memory at a time.
 *
 * A shard of at most SHARD_WINDOW examples is one window. A larger one is cut where the blocks of
 * its ratings file (common/data/ratings_file.h) end; SHARD_WINDOW_BLOCKS blocks are a window.
 * Shuffled, an epoch
 *   - takes the blocks in a permuted order of the epoch, drawn from (seed, epoch, lane);
 *   - permutes the examples of a window over all of it, drawn from (seed, epoch, lane, window).
 * So every example comes once an epoch, two examples of a window come in any order, and any place
 * of an epoch is found without reading what comes before it. Not shuffled, everything stays in the
 * file's order.
 *
 * Memory: 16 bytes for each example of a window, and 12 for each block of the shard.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_SHARD_H
#define MARQUEE_WORKER_SHARD_H

#include "common/base/status.h"
#include "common/data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

#define SHARD_WINDOW_BLOCKS 64u
#define SHARD_WINDOW	    (SHARD_WINDOW_BLOCKS * RATINGS_BLOCK)

struct shard_options {
	uint64_t seed;
	uint32_t lane;
	bool shuffle;
};

struct shard {
	/* immutable after init */
	const struct example_set *set; /* borrowed */
	struct lane_shard examples;
	struct shard_options options;
	bool whole;	      /* one window holds all of it */
	uint64_t first_block; /* of the file: where its examples begin */
	uint32_t block_count;
	uint32_t window_count;

	/* the epoch's order */
	uint64_t epoch;	  /* UINT64_MAX: none yet */
	uint32_t *blocks; /* [block_count], counted from first_block; NULL when whole */
	uint64_t *starts; /* [window_count + 1] examples of the epoch before each window */

	/* the window in memory */
	uint32_t window;	/* UINT32_MAX: none */
	struct rating *loaded;	/* [SHARD_WINDOW], or all examples when whole */
	uint32_t *order;	/* [the same]: places in `loaded`, in the order of the epoch */
	bool is_loaded;		/* when whole: the examples do not change with the epoch */
	struct rating *scratch; /* [RATINGS_BLOCK] */
	uint64_t block_firsts[SHARD_WINDOW_BLOCKS]; /* position of each loaded block's first example
						     */
};

/* Examples that follow each other in the epoch: example i is loaded[order[i]]. */
struct shard_run {
	const struct rating *loaded;
	const uint32_t *order; /* [count] */
	uint32_t count;
};

/* Borrows the set. Reads nothing yet. */
void shard_init(struct shard *shard, const struct example_set *set,
	const struct lane_shard *examples, const struct shard_options *options);
/* Takes all zeros. */
void shard_fini(struct shard *shard);

/*
 * The examples of the epoch from number `begin` < count on, as many as the window has, at most
 * `count`. They stay until the next call.
 */
MUST_CHECK enum status shard_read(struct shard *shard, uint64_t epoch, uint64_t begin,
	uint32_t count, struct shard_run *ret, struct error *err);

/* The position in the shard, in file order, of the example at a place of `loaded`. */
static inline uint64_t shard_position(const struct shard *shard, uint32_t place)
{
	return shard->whole ? place
			    : shard->block_firsts[place / RATINGS_BLOCK] + place % RATINGS_BLOCK;
}

#endif
