/*
 * A data directory cut for training: the catalog, the held-out test examples, and the lanes.
 *
 * The training examples are the lines of the ratings file, in file order, that are not held out;
 * lane l of L owns the block [l*N/L, (l+1)*N/L) of them. Test examples are cut over the lanes in
 * the same way. The examples themselves stay in their files (ratings_file.h): memory does not grow
 * with them, but for 24 bytes per RATINGS_BLOCK of them.
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
#include "common/data/example_set.h"
#include "common/data/ratings_cache.h"
#include "common/data/report.h"

#include <stdbool.h>
#include <stdint.h>

struct dataset_options {
	const char *directory;
	const char *test_ratings; /* a file, or NULL: hold out by hash */
	double holdout;		  /* share of the ratings, 0 <= holdout < 1; 0: no test set */
	uint64_t seed;		  /* of the split */
	uint32_t lanes;		  /* 1..LANES_MAX */
	bool skip_bad_lines;
	struct ratings_cache_options cache;
};

/* The examples [first, first + count) of a set. */
struct lane_shard {
	uint64_t first;
	uint64_t count;
};

enum { DATASET_RATINGS, DATASET_TEST_RATINGS, DATASET_FILES };

struct dataset {
	struct catalog catalog;
	struct example_set train_set;
	struct example_set test_set;
	uint64_t train_count; /* of all lanes; at least 1 */
	uint64_t test_count;
	struct lane_shard train[LANES_MAX];
	struct lane_shard test[LANES_MAX];
	struct data_report report; /* over every file, once */
	char *ratings_path;	   /* the ratings file read, owned */
	/* What a person may want to know of the caches, or empty. */
	char notes[DATASET_FILES][ERROR_MESSAGE_SIZE];
	struct ratings_file *files; /* [DATASET_FILES], those not used all zeros; owned */
};

/*
 * Reads the directory. Borrows nothing afterwards. INVALID_ARGUMENT: holdout or lanes out of
 * range; otherwise as catalog_load() and ratings_cache_open().
 */
MUST_CHECK enum status dataset_open(
	struct dataset *ret, const struct dataset_options *options, struct error *err);
/* Takes all zeros. */
void dataset_fini(struct dataset *dataset);

#endif
