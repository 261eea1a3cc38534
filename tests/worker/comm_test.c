/* What workers tell each other: sums and messages, the same for any number of them. */
#include "worker/comm.h"

#include "common/base/random.h"
#include "tests/support/suite.h"
#include "tests/support/thread_comm.h"
#include "worker/comm_shared.h"

#include <stdlib.h>
#include <string.h>

#define FLOATS 300

struct sums {
	uint32_t lanes;
	float lane_values[LANES_MAX][FLOATS];
	float expected[FLOATS];
};

/* The same with turns between start and finish, in which every worker adds its part. */
static void sum_in_parts(struct sums *sums, struct comm *comm, float **pointers,
	const struct lane_span *spans, uint32_t count)
{
	struct error error;
	for (uint32_t turns = 1; turns <= 2; turns++) {
		for (uint32_t s = 0; s < count; s++) {
			const float *slots[LANES_MAX] = {NULL};
			for (uint32_t l = 0; l < spans[s].count; l++)
				slots[l] = sums->lane_values[spans[s].first + l];
			lane_tree_sum(pointers[s], slots, spans[s].count, FLOATS);
		}
		assert_ok(comm_sum_start(comm, sums->lanes, spans, pointers, count, FLOATS, &error),
			&error);
		for (uint32_t t = 0; t < turns; t++) {
			const uint64_t turn = comm->shared->turn;
			comm_shared_announce(comm->shared);
			assert_ok(comm_shared_wait(comm->shared, turn, 10, "turn", &error), &error);
			if (t == 0)
				comm_shared_add_part(comm->shared);
		}
		assert_ok(comm_sum_finish(comm, &error), &error);
		ck_assert_mem_eq(pointers[0], sums->expected, sizeof(sums->expected));
	}
}

static void sum_as_worker(void *context, struct comm *comm)
{
	struct sums *sums = context;
	struct lane_span block = lane_block(sums->lanes, comm->rank, comm->workers);
	struct lane_span spans[LANES_MAX];
	static _Thread_local float buffers[16][FLOATS];
	float *pointers[16];
	struct error error;
	uint32_t count = lane_spans(sums->lanes, block, spans);
	for (uint32_t s = 0; s < count; s++) {
		const float *slots[LANES_MAX] = {NULL};
		for (uint32_t l = 0; l < spans[s].count; l++)
			slots[l] = sums->lane_values[spans[s].first + l];
		lane_tree_sum(buffers[s], slots, spans[s].count, FLOATS);
		pointers[s] = buffers[s];
	}
	assert_ok(
		comm_sum_start(comm, sums->lanes, spans, pointers, count, FLOATS, &error), &error);
	assert_ok(comm_sum_finish(comm, &error), &error);
	ck_assert_mem_eq(pointers[0], sums->expected, sizeof(sums->expected));
	if (comm->shared)
		sum_in_parts(sums, comm, pointers, spans, count);
}

START_TEST(the_tree_sum_has_the_same_bits_for_every_number_of_workers)
{
	static struct sums sums;
	const float *slots[LANES_MAX];
	for (sums.lanes = 1; sums.lanes <= 13; sums.lanes++) {
		for (uint32_t l = 0; l < sums.lanes; l++) {
			random_uniform_row(9, 1, l, 1.0f, sums.lane_values[l], FLOATS);
			slots[l] = sums.lane_values[l];
		}
		lane_tree_sum(sums.expected, slots, sums.lanes, FLOATS);
		for (uint32_t workers = 1; workers <= sums.lanes; workers++)
			thread_group_run(workers, sum_as_worker, &sums);
		struct comm local;
		comm_local_init(&local);
		sum_as_worker(&sums, &local);
	}
}
END_TEST

/* More than shared memory takes in one turn. */
#define MANY_FLOATS ((size_t)700000)
#define MANY_LANES  5u

static float expected_sum_at(size_t i)
{
	float values[MANY_LANES], sum;
	const float *slots[MANY_LANES];
	for (uint32_t l = 0; l < MANY_LANES; l++) {
		values[l] = 1.0f / (float)(i + l + 1);
		slots[l] = &values[l];
	}
	lane_tree_sum(&sum, slots, MANY_LANES, 1);
	return sum;
}

static void sum_much_as_worker(void *context, struct comm *comm)
{
	(void)context;
	struct lane_span spans[MANY_LANES];
	float *sums[MANY_LANES];
	struct error error;
	/* 3 workers of 1, 2 and 2 lanes: the last lanes are two spans, or one that is cut short. */
	struct lane_span block = lane_block(MANY_LANES, comm->rank, comm->workers);
	uint32_t count = lane_spans(MANY_LANES, block, spans);
	for (uint32_t s = 0; s < count; s++) {
		sums[s] = malloc(MANY_FLOATS * sizeof(float));
		ck_assert_ptr_nonnull(sums[s]);
		for (size_t i = 0; i < MANY_FLOATS; i++) {
			float values[MANY_LANES];
			const float *slots[MANY_LANES];
			for (uint32_t l = 0; l < spans[s].count; l++) {
				values[l] = 1.0f / (float)(i + spans[s].first + l + 1);
				slots[l] = &values[l];
			}
			lane_tree_sum(&sums[s][i], slots, spans[s].count, 1);
		}
	}
	assert_ok(
		comm_sum_start(comm, MANY_LANES, spans, sums, count, MANY_FLOATS, &error), &error);
	assert_ok(comm_sum_finish(comm, &error), &error);
	for (size_t i = 0; i < MANY_FLOATS; i += 997)
		ck_assert(sums[0][i] == expected_sum_at(i));
	ck_assert(sums[0][MANY_FLOATS - 1] == expected_sum_at(MANY_FLOATS - 1));
	for (uint32_t s = 0; s < count; s++)
		free(sums[s]);
}

START_TEST(a_sum_of_any_length_is_made)
{
	thread_group_run(3, sum_much_as_worker, NULL);
}
END_TEST

#define MANY_BYTES ((size_t)2500000)

static void tell_much_as_worker(void *context, struct comm *comm)
{
	(void)context;
	struct error error;
	size_t wrong = 0;
	unsigned char *mine = malloc(MANY_BYTES), *all = malloc(3 * MANY_BYTES);
	ck_assert(mine && all);
	memset(mine, (int)comm->rank + 1, MANY_BYTES);
	assert_ok(comm_all_gather(comm, mine, MANY_BYTES, all, &error), &error);
	for (size_t i = 0; i < 3 * MANY_BYTES; i++)
		wrong += all[i] != i / MANY_BYTES + 1;
	assert_ok(comm_broadcast(comm, mine, MANY_BYTES, &error), &error);
	for (size_t i = 0; i < MANY_BYTES; i++)
		wrong += mine[i] != 1;
	ck_assert_uint_eq(wrong, 0);
	free(mine);
	free(all);
}

START_TEST(messages_of_any_length_arrive)
{
	thread_group_run(3, tell_much_as_worker, NULL);
}
END_TEST

struct lane_numbers {
	uint32_t lanes;
	double values[LANES_MAX];
	double expected;
};

static void add_as_worker(void *context, struct comm *comm)
{
	const struct lane_numbers *numbers = context;
	double mine[LANES_MAX] = {0}, sum;
	struct error error;
	struct lane_span block = lane_block(numbers->lanes, comm->rank, comm->workers);
	for (uint32_t l = block.first; l < block.first + block.count; l++)
		mine[l] = numbers->values[l];
	assert_ok(comm_lane_sum(comm, mine, numbers->lanes, &sum, &error), &error);
	ck_assert(sum == numbers->expected);
}

START_TEST(lane_sums_have_the_same_bits_for_every_number_of_workers)
{
	struct lane_numbers numbers = {.lanes = 11};
	double copy[LANES_MAX];
	for (uint32_t l = 0; l < numbers.lanes; l++)
		numbers.values[l] = 1.0 / (3.0 + l);
	memcpy(copy, numbers.values, sizeof(copy));
	numbers.expected = lane_tree_sum_double(copy, numbers.lanes);
	for (uint32_t workers = 1; workers <= numbers.lanes; workers++)
		thread_group_run(workers, add_as_worker, &numbers);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_tree_sum_has_the_same_bits_for_every_number_of_workers,
		a_sum_of_any_length_is_made, messages_of_any_length_arrive,
		lane_sums_have_the_same_bits_for_every_number_of_workers, NULL};
	return run_cases("comm", cases);
}
