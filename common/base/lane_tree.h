/*
 * The fixed binary tree over the lanes.
 *
 * A sum over lanes 0..n-1 is always formed as: for stride 1, 2, 4, ...: slot[i] += slot[i + stride]
 * for every i that is a multiple of 2*stride. Whoever computes a part of it, the additions and
 * their order are the same, so the float result is the same bit for bit. A lane without a
 * contribution is skipped.
 *
 * An aligned span [first, first + width), width a power of two that divides first, is one subtree
 * (cut at n on the right). A worker that owns a contiguous block of lanes sums the maximal
 * aligned spans inside it; each span's sum then takes the slot of its first lane and the rest of
 * the tree goes on from there, the span's other slots being empty.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_BASE_LANE_TREE_H
#define MARQUEE_BASE_LANE_TREE_H

#include <stddef.h>
#include <stdint.h>

#define LANES_MAX     256u /* a slot fits a uint8_t */
#define LANES_DEFAULT 8u

struct lane_span {
	uint32_t first;
	uint32_t count;
};

/* The block of lanes of worker w of n: [w*lanes/n, (w+1)*lanes/n). */
struct lane_span lane_block(uint32_t lanes, uint32_t worker, uint32_t workers);

/*
 * Cuts a block into maximal aligned spans, in order. Returns their number (at most 2*log2(lanes)+1,
 * never more than block.count). ret_spans has room for block.count entries.
 */
uint32_t lane_spans(uint32_t lanes, struct lane_span block, struct lane_span *ret_spans);

/*
 * Sums n floats over the slots: slots[lanes] point to n floats each, or are NULL. The sum is
 * written to out (which may be one of the slots' arrays); all slots NULL gives zeros. The slots'
 * arrays are not changed otherwise.
 */
void lane_tree_sum(float *out, const float *const *slots, uint32_t lanes, size_t n);

/*
 * The same sum, bit for bit, from the contributors alone: arrays[count] point to n floats each,
 * slots[count] are their slots, strictly ascending. The cost does not grow with the number of
 * lanes. out may be one of the arrays; count 0 gives zeros.
 */
void lane_tree_sum_sparse(
	float *out, const float *const *arrays, const uint8_t *slots, uint32_t count, size_t n);

/* The same over scalars in double; absent lanes hold 0. values[lanes] is overwritten. */
double lane_tree_sum_double(double *values, uint32_t lanes);

#endif
