/*
 * What a worker exchanges for a step: for each aligned span of its lanes, the unique ids of every
 * table, the rows that came for them, and the lanes' gradients summed along the tree.
 *
 * A worker whose lanes form one subtree (any power of two) has one span. The sum over a span is the
 * sum of that subtree, so the servers can go on with it whoever computed it.
 *
 * Two struct spans take turns as the lanes' batches do, so that the rows of the next step can be
 * asked for together with the gradients of this one. For each table of a step: spans_collect (the
 * lanes have loaded) - the exchange fills rows - the lanes train with spans_lane_rows - spans_merge
 * sums their gradients - the exchange takes them away.
 *
 * Threads: collect and merge of different tables may run side by side; everything else is
 * owner-thread only.
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
	uint32_t turn; /* of the lanes' batches */
	uint32_t count;
	uint32_t table_count;
	struct span *spans; /* [count] */
	/* Requests of table t and span s at [t * count + s]; made by spans_collect. */
	struct params_pull *pulls;
	struct params_push *pushes;
};

MUST_CHECK enum status spans_init(struct spans *spans, uint32_t turn, const struct model *model,
	uint32_t lanes, struct lane_span block, struct error *err);
void spans_fini(struct spans *spans);

/*
 * Reads the plans of the block's lanes (lanes[0] is the block's first) for one table, and makes its
 * requests, which stay valid until its next collect.
 */
MUST_CHECK enum status spans_collect(
	struct spans *spans, const struct lane *lanes, uint32_t table, struct error *err);

/* Rows over all tables and spans. */
uint64_t spans_row_count(const struct spans *spans);

/* Where a lane (its number within the block) finds its rows; ret_rows[table_count]. */
void spans_lane_rows(const struct spans *spans, uint32_t lane, struct model_rows *ret_rows);

/* Sums the lanes' gradients of one table along the tree, into its pushes. */
void spans_merge(struct spans *spans, const struct lane *lanes, uint32_t table);

#endif
