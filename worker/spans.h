/*
 * What a worker exchanges for a step: for each aligned span of its lanes, the unique ids of every
 * table, the rows that came for them, and the lanes' gradients summed along the tree.
 *
 * A worker whose lanes form one subtree (any power of two) has one span. The sum over a span is the
 * sum of that subtree, so the servers can go on with it whoever computed it.
 *
 * Life of one step: spans_collect (the lanes' plans are made) -> exchange fills rows -> the lanes
 * train with spans_lane_rows -> spans_merge (gradients into the spans) -> exchange pushes them. Two
 * struct spans take turns, so that the rows of the next step can be asked for with the gradients of
 * this one.
 *
 * Threads: collect and merge are split by (table, share) and may run side by side as said below;
 * everything else is owner-thread only.
 */
#ifndef MARQUEE_WORKER_SPANS_H
#define MARQUEE_WORKER_SPANS_H

#include "common/base/id_set.h"
#include "common/base/lane_tree.h"
#include "common/base/status.h"
#include "common/model/model.h"
#include "worker/lane.h"
#include "worker/params.h"

#include <stdint.h>

/* One table of one span. Arrays grow only. */
struct span_table {
	struct id_set ids;
	uint32_t dim;
	/* rows[ids.count * dim] as pulled, gradients[ids.count * dim] as merged */
	float *rows, *gradients;
	size_t row_capacity;
	/* Contributions to id i: entries[starts[i] .. starts[i + 1]), in lane order. */
	uint32_t *starts;
	size_t start_capacity;
	struct span_entry {
		uint32_t lane;	   /* within the span */
		uint32_t position; /* in the lane's plan */
	} * entries;
	size_t entry_capacity;
	uint32_t entry_count;
	/* index[lane within the span]: position in the lane's plan -> position in ids */
	uint32_t *index;
	size_t index_capacity;
	uint32_t index_starts[LANES_MAX + 1];
};

struct span {
	struct lane_span lanes;
	struct span_table *tables; /* [table_count] */
};

struct spans {
	uint32_t count;
	uint32_t table_count;
	struct span *spans;	    /* [count] */
	struct params_pull *pulls;  /* [count * table_count] */
	struct params_push *pushes; /* [count * table_count] */
};

MUST_CHECK enum status spans_init(struct spans *spans, const struct model *model, uint32_t lanes,
	struct lane_span block, struct error *err);
void spans_fini(struct spans *spans);

/*
 * Reads the plans of the block's lanes (lanes[0] is the block's first) for one table. Different
 * tables may be collected side by side.
 */
MUST_CHECK enum status spans_collect(
	struct spans *spans, const struct lane *lanes, uint32_t table, struct error *err);

/* The pulls and pushes of all spans and tables; valid until the next collect. */
void spans_requests(struct spans *spans);

/* Where a lane (its number within the block) finds its rows; ret_rows[table_count]. */
void spans_lane_rows(const struct spans *spans, uint32_t lane, struct model_rows *ret_rows);

/*
 * Sums the lanes' gradients of the step along the tree: share `part` of `parts` of every table.
 * Different parts may run side by side.
 */
void spans_merge(struct spans *spans, const struct lane *lanes, uint32_t part, uint32_t parts);

#endif
