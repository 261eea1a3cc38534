/*
 * A data directory cut for training: the catalog, the held-out test examples, and the lanes.
 *
 * The training examples are the lines of the ratings file, in file order, that are not held out;
 * lane l of L owns the block [l*N/L, (l+1)*N/L) of them. Test examples are cut over the lanes in
 * the same way. A process keeps the examples of its own lanes only.
 *
 * With a test ratings file all of it is the test and nothing is held out from the ratings file.
 *
 * Threads: immutable after init.
 */
#ifndef MARQUEE_DATA_DATASET_H
#define MARQUEE_DATA_DATASET_H

#include "common/base/lane_tree.h"
#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/ratings.h"
#include "common/data/report.h"
#include "common/data/split.h"

#include <stdbool.h>
#include <stdint.h>

struct dataset_options {
	const char *directory;
	const char *test_ratings; /* a file, or NULL: hold out by hash */
	double holdout;		  /* share of the ratings, 0 <= holdout < 1; 0: no test set */
	uint64_t seed;		  /* of the split */
	uint32_t lanes;		  /* 1..LANES_MAX */
	struct lane_span own;	  /* the lanes to keep; may be none */
	bool skip_bad_lines;
};

/* Of a lane that is not own, `examples` is NULL; the numbers hold for every lane. */
struct lane_shard {
	uint64_t first; /* its first example among those of all lanes */
	uint64_t count; /* fits 32 bits */
	const struct rating *examples;
};

struct dataset {
	struct catalog catalog;
	uint64_t train_count; /* of all lanes; at least 1 */
	uint64_t test_count;
	struct lane_shard train[LANES_MAX];
	struct lane_shard test[LANES_MAX];
	struct data_report report;  /* over every file, once */
	char *ratings_path;	    /* the ratings file read, owned */
	struct rating *train_block; /* own lanes' examples, back to back; owned */
	struct rating *test_block;
};

/*
 * Reads the directory. Borrows nothing afterwards. INVALID_ARGUMENT: holdout or lanes out of
 * range; otherwise as catalog_load() and ratings_load().
 */
MUST_CHECK enum status dataset_open(
	struct dataset *ret, const struct dataset_options *options, struct error *err);
/* Takes all zeros. */
void dataset_fini(struct dataset *dataset);

#endif
