#include "common/base/lane_tree.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <stdbool.h>
#include <string.h>

#define LANES  17
#define LENGTH 300 /* more than two strips, and no multiple of one */

struct lanes {
	float values[LANES][LENGTH];
	const float *slots[LANES];
};

/* Magnitudes from 1e-4 to 1e4, so that any other order of the additions rounds differently. */
static void fill(struct lanes *lanes, uint64_t seed)
{
	struct random_sequence sequence;
	random_sequence_init(&sequence, seed, random_stream("lane tree test"));
	for (size_t lane = 0; lane < LANES; lane++) {
		lanes->slots[lane] = lanes->values[lane];
		for (size_t i = 0; i < LENGTH; i++) {
			double scale = 1e-4 + 1e4 * random_double(&sequence) *
						      random_double(&sequence) *
						      random_double(&sequence);
			lanes->values[lane][i] = (float)(scale * random_normal(&sequence));
		}
	}
}

/* The definition in the header, word for word, for floats: what the fast form must reproduce. */
static void sum_by_definition(float *out, const float *const *slots, uint32_t lanes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		float value[LANES] = {0};
		bool present[LANES] = {false};
		for (uint32_t lane = 0; lane < lanes; lane++) {
			present[lane] = slots[lane] != NULL;
			value[lane] = present[lane] ? slots[lane][i] : 0.0f;
		}
		for (uint32_t stride = 1; stride < lanes; stride *= 2) {
			for (uint32_t at = 0; at + stride < lanes; at += 2 * stride) {
				uint32_t other = at + stride;
				if (present[at] && present[other])
					value[at] += value[other];
				else if (present[other])
					value[at] = value[other];
				present[at] |= present[other];
			}
		}
		out[i] = value[0];
	}
}

/* Every worker sums its spans; the spans' sums then meet at their first lanes. */
static void sum_by_workers(float *out, const float *const *slots, uint32_t lanes, uint32_t workers)
{
	static float partial[LANES][LENGTH];
	const float *span_slots[LANES] = {NULL};
	for (uint32_t worker = 0; worker < workers; worker++) {
		struct lane_span spans[LANES];
		struct lane_span block = lane_block(lanes, worker, workers);
		uint32_t count = lane_spans(lanes, block, spans);
		for (uint32_t s = 0; s < count; s++) {
			const float *own[LANES] = {NULL};
			bool any = false;
			for (uint32_t k = 0; k < spans[s].count; k++) {
				own[spans[s].first + k] = slots[spans[s].first + k];
				any |= slots[spans[s].first + k] != NULL;
			}
			if (!any)
				continue;
			lane_tree_sum(partial[spans[s].first], own, lanes, LENGTH);
			span_slots[spans[s].first] = partial[spans[s].first];
		}
	}
	lane_tree_sum(out, span_slots, lanes, LENGTH);
}

/* Through the form that takes the contributors alone. */
static void sum_contributors(float *out, const float *const *slots, uint32_t lanes, size_t n)
{
	const float *arrays[LANES];
	uint8_t numbers[LANES];
	uint32_t count = 0;
	for (uint32_t lane = 0; lane < lanes; lane++) {
		if (slots[lane]) {
			arrays[count] = slots[lane];
			numbers[count++] = (uint8_t)lane;
		}
	}
	lane_tree_sum_sparse(out, arrays, numbers, count, n);
}

START_TEST(every_number_of_workers_gives_the_direct_sum_bit_for_bit)
{
	static struct lanes lanes;
	fill(&lanes, 1);
	for (uint32_t count = 1; count <= LANES; count++) {
		float direct[LENGTH], defined[LENGTH];
		lane_tree_sum(direct, lanes.slots, count, LENGTH);
		sum_by_definition(defined, lanes.slots, count, LENGTH);
		ck_assert_mem_eq(direct, defined, sizeof(direct));
		for (uint32_t workers = 1; workers <= count; workers++) {
			float split[LENGTH];
			sum_by_workers(split, lanes.slots, count, workers);
			ck_assert_msg(memcmp(direct, split, sizeof(direct)) == 0,
				"%u workers of %u lanes sum differently", workers, count);
		}
	}
}
END_TEST

START_TEST(lanes_without_a_contribution_are_skipped_whichever_they_are)
{
	static struct lanes lanes;
	fill(&lanes, 2);
	for (uint32_t count = 1; count <= 10; count++) {
		for (uint32_t mask = 0; mask < 1u << count; mask++) {
			const float *slots[LANES] = {NULL};
			for (uint32_t lane = 0; lane < count; lane++)
				slots[lane] = mask & 1u << lane ? lanes.values[lane] : NULL;
			float sum[3], defined[3];
			lane_tree_sum(sum, slots, count, 3);
			sum_by_definition(defined, slots, count, 3);
			ck_assert_msg(memcmp(sum, defined, sizeof(sum)) == 0,
				"lanes %x of %u sum differently", mask, count);
			sum_contributors(sum, slots, count, 3);
			ck_assert_msg(memcmp(sum, defined, sizeof(sum)) == 0,
				"contributors %x of %u sum differently", mask, count);
		}
	}
}
END_TEST

START_TEST(sparse_lanes_split_over_workers_give_the_direct_sum)
{
	static struct lanes lanes;
	fill(&lanes, 3);
	for (uint32_t mask = 1; mask < 1u << 8; mask += 5) {
		const float *slots[LANES] = {NULL};
		for (uint32_t lane = 0; lane < 8; lane++)
			slots[lane] = mask & 1u << lane ? lanes.values[lane] : NULL;
		float direct[LENGTH], split[LENGTH];
		lane_tree_sum(direct, slots, 8, LENGTH);
		for (uint32_t workers = 1; workers <= 8; workers++) {
			sum_by_workers(split, slots, 8, workers);
			ck_assert_mem_eq(direct, split, sizeof(direct));
		}
	}
}
END_TEST

START_TEST(the_sum_may_replace_one_of_its_slots)
{
	static struct lanes lanes;
	fill(&lanes, 4);
	float sum[LENGTH];
	lane_tree_sum(sum, lanes.slots, 8, LENGTH);
	lane_tree_sum(lanes.values[3], lanes.slots, 8, LENGTH);
	ck_assert_mem_eq(sum, lanes.values[3], sizeof(sum));
}
END_TEST

START_TEST(a_list_of_contributors_gives_the_sum_over_all_lanes)
{
	static struct lanes lanes;
	fill(&lanes, 5);
	struct random_sequence sequence;
	random_sequence_init(&sequence, 6, 6);
	for (uint32_t round = 0; round < 3000; round++) {
		/* From a few contributors in many lanes to all of few; the arrays are shared. */
		uint32_t count = 1 + random_below(&sequence, LANES_MAX);
		uint32_t sparseness = 1 + random_below(&sequence, 64);
		uint32_t n = round % 50 ? 3 : LENGTH - 2;
		const float *slots[LANES_MAX] = {NULL}, *arrays[LANES_MAX];
		uint8_t numbers[LANES_MAX];
		uint32_t contributors = 0;
		for (uint32_t lane = 0; lane < count; lane++) {
			if (random_below(&sequence, sparseness) != 0)
				continue;
			slots[lane] = lanes.values[lane % LANES] + lane / LANES % 3;
			arrays[contributors] = slots[lane];
			numbers[contributors++] = (uint8_t)lane;
		}
		float dense[LENGTH], sparse[LENGTH];
		lane_tree_sum(dense, slots, count, n);
		lane_tree_sum_sparse(sparse, arrays, numbers, contributors, n);
		ck_assert_msg(memcmp(dense, sparse, n * sizeof(float)) == 0,
			"%u contributors of %u lanes sum differently", contributors, count);
	}
}
END_TEST

START_TEST(blocks_tile_the_lanes_and_spans_tile_the_blocks)
{
	for (uint32_t lanes = 1; lanes <= LANES_MAX; lanes += lanes < 20 ? 1 : 59) {
		for (uint32_t workers = 1; workers <= lanes; workers++) {
			uint32_t at = 0;
			for (uint32_t worker = 0; worker < workers; worker++) {
				struct lane_span spans[LANES_MAX];
				struct lane_span block = lane_block(lanes, worker, workers);
				ck_assert_uint_eq(block.first, at);
				ck_assert_uint_ge(block.count, 1);
				uint32_t count = lane_spans(lanes, block, spans);
				ck_assert_uint_le(count, block.count);
				for (uint32_t s = 0; s < count; s++) {
					ck_assert_uint_eq(spans[s].first, at);
					at += spans[s].count;
				}
				ck_assert_uint_eq(at, block.first + block.count);
			}
			ck_assert_uint_eq(at, lanes);
		}
	}
}
END_TEST

START_TEST(scalars_are_summed_by_the_same_tree)
{
	double values[7] = {1e16, 1.0, -1e16, 1.0, 3.0, 4.0, 5.0};
	/* ((1e16 + 1) + (-1e16 + 1)) + ((3 + 4) + 5): the ones are lost in the big terms. */
	double expected = ((1e16 + 1.0) + (-1e16 + 1.0)) + ((3.0 + 4.0) + 5.0);
	ck_assert_double_eq(lane_tree_sum_double(values, 7), expected);
	ck_assert_double_eq(lane_tree_sum_double(values, 0), 0.0);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_number_of_workers_gives_the_direct_sum_bit_for_bit,
		lanes_without_a_contribution_are_skipped_whichever_they_are,
		sparse_lanes_split_over_workers_give_the_direct_sum,
		the_sum_may_replace_one_of_its_slots,
		a_list_of_contributors_gives_the_sum_over_all_lanes,
		blocks_tile_the_lanes_and_spans_tile_the_blocks,
		scalars_are_summed_by_the_same_tree, NULL};
	return run_cases("lane tree", cases);
}
