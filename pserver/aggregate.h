/*
 * One synchronous step's gradients: segments from all workers, summed per id and applied once.
 *
 * A segment is the gradient of one table from one span of lanes. Per id the segments that have it
 * are summed along the lanes' fixed tree, each standing in its span's first slot (lane_tree.h), so
 * the result is the same bit for bit however the lanes are spread over workers and in whatever
 * order the segments come. New rows are created in one order too.
 *
 * The tables must stay from aggregate_add() to aggregate_apply(): cut to 0 before store_reset().
 * Memory is kept from step to step: after warm-up a step allocates nothing.
 * Threads: externally locked (the service's lock); the store locks for itself.
 */
#ifndef MARQUEE_PSERVER_AGGREGATE_H
#define MARQUEE_PSERVER_AGGREGATE_H

#include "common/base/status.h"
#include "pserver/pool.h"
#include "pserver/store.h"

#include <stddef.h>
#include <stdint.h>

struct aggregate;

/* The gradient of one table from one span of lanes. Arrays are borrowed. */
struct aggregate_segment {
	uint32_t table;
	uint32_t slot;	   /* the first lane of the span */
	uint32_t examples; /* of the span, that it stands for: store_count_examples() */
	size_t n;
	const void *ids;	/* [n], raw u64 of any alignment */
	const float *gradients; /* [n, dim] */
};

/* Returns an owned, empty aggregate over a store that it borrows for its life. */
MUST_CHECK enum status aggregate_new(
	struct aggregate **ret, struct store *store, struct error *err);
/* Takes NULL. */
void aggregate_free(struct aggregate *aggregate);

/* What is applied to tables that pool_has() goes into the pool instead, which is borrowed, with
 * this weight. */
void aggregate_use_pool(struct aggregate *aggregate, struct pool *pool, float weight);

/*
 * Adds a segment, whose arrays are borrowed until aggregate_apply() or aggregate_cut().
 * INVALID_ARGUMENT for a slot that is no lane or has been here for this table, or a foreign id;
 * NOT_FOUND for a table that is not there. A failure leaves the aggregate as it was.
 */
MUST_CHECK enum status aggregate_add(
	struct aggregate *aggregate, const struct aggregate_segment *segment, struct error *err);

/* Segments so far: to go back to, when a later one of the same push is refused. */
size_t aggregate_count(const struct aggregate *aggregate);
/* Forgets the segments from number `count` on. */
void aggregate_cut(struct aggregate *aggregate, size_t count);

/*
 * Applies the sums to the store as step `step` (from 1), counts the examples of what is applied,
 * and forgets all segments, also when it fails. An id that a segment of several has twice is
 * INVALID_ARGUMENT, found before anything is applied. Else it fails only as store_apply() and
 * pool_add() do.
 */
MUST_CHECK enum status aggregate_apply(
	struct aggregate *aggregate, uint64_t step, struct error *err);

#endif
