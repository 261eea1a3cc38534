/*
 * Which users and movies come up most: counts over the examples of an epoch, on worker 0's lanes.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_HOT_ROWS_H
#define MARQUEE_WORKER_HOT_ROWS_H

#include "common/base/status.h"
#include "common/data/catalog.h"
#include "worker/lane.h"

#include <jansson.h>
#include <stdint.h>

#define HOT_ROWS_TOP	    15u
#define HOT_ROWS_COUNTS_MAX (1u << 24) /* larger catalogs are not counted: 4 bytes each */

/* All zeros counts nothing. */
struct hot_rows {
	const struct catalog *catalog;
	uint32_t *users, *movies; /* [catalog's] */
	uint64_t examples;
};

/* Borrows the catalog. Of a catalog that is too large nothing is counted. */
MUST_CHECK enum status hot_rows_init(
	struct hot_rows *hot, const struct catalog *catalog, struct error *err);
void hot_rows_fini(struct hot_rows *hot);

/* The batch's examples, those with unknown users and movies too. */
void hot_rows_count(struct hot_rows *hot, const struct lane_batch *batch);

/*
 * {"examples": N, "distinct_users": ..., "distinct_movies": ..., "users": [{"id", "count"}],
 * "movies": [{"id", "title", "count"}]}, the largest counts first. Owned; NULL when nothing was
 * counted, or without memory.
 */
json_t *hot_rows_to_json(const struct hot_rows *hot);

#endif
