/*
 * Two checkpoints' parameters compared, record by record.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_CHECKPOINT_CHECKPOINT_DIFF_H
#define MARQUEE_CHECKPOINT_CHECKPOINT_DIFF_H

#include "common/checkpoint/directory.h"

/* One table (its records by id) or one dense tensor (its rows by number). */
struct checkpoint_difference {
	char name[TENSOR_NAME_SIZE];
	bool table;
	uint64_t same, different;	/* records in both */
	uint64_t only_left, only_right; /* records in one */
	bool other_shape;     /* different widths: every record in both counts as different */
	double largest;	      /* |left - right| over the weights of records in both */
	double largest_state; /* the same over the optimizer's state */
};

/* Bitwise: records are the same when weights and state are. Returns owned entries (for free()), the
 * tables in the order of the shards, then the tensors; those of the right alone last. */
MUST_CHECK enum status checkpoint_diff(const struct checkpoint *left,
	const struct checkpoint *right, struct checkpoint_difference **ret, size_t *ret_count,
	struct error *err);

#endif
