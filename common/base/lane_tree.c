#include "common/base/lane_tree.h"

#include <string.h>

/* Floats summed at a time, so that the partial sums of a tree stay in the L1 cache. */
#define STRIP 128

struct lane_span lane_block(uint32_t lanes, uint32_t worker, uint32_t workers)
{
	uint32_t first = (uint32_t)((uint64_t)worker * lanes / workers);
	uint32_t end = (uint32_t)(((uint64_t)worker + 1) * lanes / workers);
	return (struct lane_span){.first = first, .count = end - first};
}

uint32_t lane_spans(uint32_t lanes, struct lane_span block, struct lane_span *ret_spans)
{
	uint32_t count = 0;
	uint32_t at = block.first;
	uint32_t end = block.first + block.count;
	while (at < end) {
		uint32_t width = 1;
		while (at % (width * 2) == 0 && width < lanes &&
			(at + width * 2 <= end || end == lanes))
			width *= 2;
		uint32_t stop = at + width < end ? at + width : end;
		ret_spans[count++] = (struct lane_span){.first = at, .count = stop - at};
		at = stop;
	}
	return count;
}

/*
 * One strip of the subtree over [first, first + width): NULL when it is empty, else a slot's own
 * strip or scratch's first. An empty left half leaves that first strip to the right one, which
 * otherwise could come back in a strip that the next subtree overwrites.
 */
static const float *strip_sum(float *scratch, const float *const *slots, uint32_t lanes,
	uint32_t first, uint32_t width, size_t offset, size_t n)
{
	if (first >= lanes)
		return NULL;
	if (width == 1)
		return slots[first] ? slots[first] + offset : NULL;
	uint32_t half = width / 2;
	const float *left = strip_sum(scratch, slots, lanes, first, half, offset, n);
	const float *right = strip_sum(
		left ? scratch + STRIP : scratch, slots, lanes, first + half, half, offset, n);
	if (!left || !right)
		return left ? left : right;
	for (size_t i = 0; i < n; i++)
		scratch[i] = left[i] + right[i];
	return scratch;
}

void lane_tree_sum(float *out, const float *const *slots, uint32_t lanes, size_t n)
{
	/* A subtree of depth d writes its sum to strip d of its branch; LANES_MAX has depth 8. */
	float scratch[STRIP * 10];
	uint32_t width = 1;
	while (width < lanes)
		width *= 2;
	for (size_t offset = 0; offset < n; offset += STRIP) {
		size_t length = n - offset < STRIP ? n - offset : STRIP;
		const float *sum = strip_sum(scratch, slots, lanes, 0, width, offset, length);
		if (!sum)
			memset(out + offset, 0, length * sizeof(float));
		else if (sum != out + offset)
			memcpy(out + offset, sum, length * sizeof(float));
	}
}

/* Two slots meet in the tree at the highest bit in which they differ. */
static unsigned int meeting_bit(uint8_t a, uint8_t b)
{
	return 31u - (unsigned int)__builtin_clz((unsigned int)(a ^ b));
}

/*
 * The contributors come in slot order on a stack of finished subtrees, whose meeting bits fall
 * strictly from the bottom to the top (at most 8 of them). A contributor that meets its predecessor
 * at a higher bit completes every subtree below that bit. sums[d] is the sum at depth d: an array
 * itself or scratch strip d.
 */
static const float *sparse_strip_sum(float *scratch, const float *const *arrays,
	const uint8_t *slots, uint32_t count, size_t offset, size_t n)
{
	const float *sums[10];
	unsigned int bits[10]; /* bits[d]: where depth d meets depth d - 1 */
	unsigned int depth = 0;
	sums[0] = arrays[0] + offset;
	for (uint32_t i = 1; i <= count; i++) {
		/* Behind the last one everything is complete. */
		unsigned int bit = i < count ? meeting_bit(slots[i - 1], slots[i]) : 8;
		for (; depth > 0 && bits[depth] < bit; depth--) {
			float *sum = scratch + (size_t)(depth - 1) * STRIP;
			const float *left = sums[depth - 1], *right = sums[depth];
			for (size_t j = 0; j < n; j++)
				sum[j] = left[j] + right[j];
			sums[depth - 1] = sum;
		}
		if (i < count) {
			depth++;
			sums[depth] = arrays[i] + offset;
			bits[depth] = bit;
		}
	}
	return sums[0];
}

void lane_tree_sum_sparse(
	float *out, const float *const *arrays, const uint8_t *slots, uint32_t count, size_t n)
{
	float scratch[STRIP * 10];
	if (count == 0)
		memset(out, 0, n * sizeof(float));
	for (size_t offset = 0; count > 0 && offset < n; offset += STRIP) {
		size_t length = n - offset < STRIP ? n - offset : STRIP;
		const float *sum = sparse_strip_sum(scratch, arrays, slots, count, offset, length);
		if (sum != out + offset)
			memcpy(out + offset, sum, length * sizeof(float));
	}
}

double lane_tree_sum_double(double *values, uint32_t lanes)
{
	for (uint32_t stride = 1; stride < lanes; stride *= 2)
		for (uint32_t i = 0; i + stride < lanes; i += 2 * stride)
			values[i] += values[i + stride];
	return lanes ? values[0] : 0.0;
}
