#include "worker/shard.h"

#include "common/base/random.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two lanes of more than two windows each, and a test set of less than one. */
#define USERS  1000u
#define MOVIES 1300u

static char data[PATH_SIZE];
static struct dataset dataset;
static const struct shard_options shuffled = {.seed = 3, .lane = 1, .shuffle = true};

static void open_shard(struct shard *shard, const struct shard_options *options)
{
	shard_init(shard, &dataset.train_set, &dataset.train[options->lane], options);
	ck_assert(!shard->whole);
	ck_assert_uint_ge(shard->window_count, 3);
}

/* Owned: the positions of a whole epoch in its order; each one's example is compared, too. */
static uint32_t *positions_of(struct shard *shard, uint64_t epoch, uint32_t batch)
{
	const uint64_t n = shard->examples.count;
	uint32_t *positions = malloc(n * sizeof(*positions));
	struct rating *all = malloc(n * sizeof(*all));
	struct rating *scratch = malloc(RATINGS_BLOCK * sizeof(*scratch));
	struct error err;
	assert_ok(example_set_read(shard->set, shard->examples.first, n, all, scratch, &err), &err);
	/* Counted, since Check writes to a file for every assertion. */
	uint64_t wrong = 0;
	for (uint64_t at = 0; at < n;) {
		struct shard_run run;
		enum status status = shard_read(shard, epoch, at, batch, &run, &err);
		if (status != STATUS_OK || run.count == 0 || run.count > batch)
			ck_abort_msg("%s, a run of %u", status_name(status), run.count);
		for (uint32_t i = 0; i < run.count; i++) {
			uint64_t position = shard_position(shard, run.order[i]);
			wrong += position >= n || memcmp(&run.loaded[run.order[i]], &all[position],
							  sizeof(*all)) != 0;
			positions[at++] = (uint32_t)position;
		}
	}
	ck_assert_uint_eq(wrong, 0);
	free(scratch);
	free(all);
	return positions;
}

static void expect_permutation(const uint32_t *positions, uint64_t n)
{
	uint8_t *seen = calloc(n, 1);
	uint64_t again = 0;
	for (uint64_t i = 0; i < n; i++)
		again += seen[positions[i]]++ > 0;
	ck_assert_uint_eq(again, 0);
	free(seen);
}

START_TEST(an_epoch_of_a_large_shard_has_every_example_once)
{
	for (uint32_t lane = 0; lane < 2; lane++) {
		struct shard shard;
		struct shard_options options = shuffled;
		options.lane = lane;
		open_shard(&shard, &options);
		for (uint64_t epoch = 0; epoch < 2; epoch++) {
			uint32_t *positions = positions_of(&shard, epoch, 1000);
			expect_permutation(positions, shard.examples.count);
			free(positions);
		}
		shard_fini(&shard);
	}
}
END_TEST

START_TEST(epochs_differ_and_repeat_from_seed_epoch_and_lane)
{
	struct shard a, b, other_seed;
	struct shard_options options = shuffled;
	open_shard(&a, &options);
	open_shard(&b, &options);
	options.seed = 4;
	open_shard(&other_seed, &options);
	const size_t bytes = a.examples.count * sizeof(uint32_t);
	uint32_t *first = positions_of(&a, 0, 512), *second = positions_of(&a, 1, 512);
	/* The other way round, and in batches of another size. */
	uint32_t *second_again = positions_of(&b, 1, 77),
		 *first_again = positions_of(&b, 0, 1 << 20);
	uint32_t *third = positions_of(&other_seed, 0, 512);
	ck_assert_mem_ne(first, second, bytes);
	ck_assert_mem_ne(first, third, bytes);
	ck_assert_mem_eq(first, first_again, bytes);
	ck_assert_mem_eq(second, second_again, bytes);
	free(first);
	free(second);
	free(third);
	free(first_again);
	free(second_again);
	shard_fini(&a);
	shard_fini(&b);
	shard_fini(&other_seed);
}
END_TEST

START_TEST(any_place_of_an_epoch_is_found_at_once)
{
	struct shard whole, jumping;
	struct random_sequence sequence;
	struct error err;
	open_shard(&whole, &shuffled);
	uint32_t *positions[2] = {positions_of(&whole, 0, 512), positions_of(&whole, 1, 512)};
	random_sequence_init(&sequence, 1, 1);
	open_shard(&jumping, &shuffled);
	for (int i = 0; i < 60; i++) {
		struct shard_run run;
		uint64_t epoch = random_below(&sequence, 2);
		uint64_t at = random_below(&sequence, (uint32_t)whole.examples.count);
		assert_ok(shard_read(&jumping, epoch, at, 40, &run, &err), &err);
		for (uint32_t j = 0; j < run.count; j++)
			ck_assert_uint_eq(
				shard_position(&jumping, run.order[j]), positions[epoch][at + j]);
	}
	free(positions[0]);
	free(positions[1]);
	shard_fini(&whole);
	shard_fini(&jumping);
}
END_TEST

START_TEST(without_shuffle_a_large_shard_keeps_the_order_of_the_file)
{
	struct shard shard;
	const struct shard_options options = {.seed = 3, .lane = 1};
	open_shard(&shard, &options);
	uint32_t *positions = positions_of(&shard, 5, 300);
	uint32_t moved = 0;
	for (uint32_t i = 0; i < shard.examples.count; i++)
		moved += positions[i] != i;
	ck_assert_uint_eq(moved, 0);
	free(positions);
	shard_fini(&shard);
}
END_TEST

/* Neighbours of the file end up far apart, over the shard's whole length. */
START_TEST(a_window_mixes_blocks_from_all_over_the_shard)
{
	struct shard shard;
	open_shard(&shard, &shuffled);
	uint32_t *positions = positions_of(&shard, 0, 512);
	const uint64_t n = shard.examples.count;
	double sum = 0;
	uint32_t near = 0;
	for (uint32_t i = 0; i + 1 < 100000; i++) {
		uint32_t a = positions[i], b = positions[i + 1];
		uint32_t distance = a > b ? a - b : b - a;
		sum += distance;
		near += distance < RATINGS_BLOCK;
	}
	/* A third of the length on average, as for places drawn at random. */
	double mean = sum / 100000 / (double)n;
	ck_assert_msg(mean > 0.25 && mean < 0.42, "mean distance %g of the shard", mean);
	ck_assert_msg(near < 4000, "%u of 100000 neighbours stayed close", near);
	free(positions);
	shard_fini(&shard);
}
END_TEST

/* The order of small shards is part of what digests of earlier versions depend on. */
START_TEST(a_shard_of_one_window_is_permuted_as_ever)
{
	struct shard shard;
	struct random_sequence sequence;
	const struct lane_shard small = {.first = 5000, .count = 20000};
	uint32_t *expected = malloc(small.count * sizeof(*expected));
	shard_init(&shard, &dataset.train_set, &small, &shuffled);
	ck_assert(shard.whole);
	for (uint64_t epoch = 0; epoch < 3; epoch++) {
		uint64_t stream = random_substream(random_stream("shuffle"), epoch);
		for (uint32_t i = 0; i < small.count; i++)
			expected[i] = i;
		random_sequence_init(&sequence, 3, random_substream(stream, 1));
		random_shuffle(&sequence, expected, (uint32_t)small.count);
		uint32_t *positions = positions_of(&shard, epoch, 333);
		ck_assert_mem_eq(positions, expected, small.count * sizeof(*expected));
		free(positions);
	}
	free(expected);
	shard_fini(&shard);
}
END_TEST

static void open_all(void)
{
	char path[PATH_SIZE];
	struct error err;
	const struct dataset_options options = {
		.directory = data, .holdout = 0.05, .seed = 1, .lanes = 2, .cache = {.threads = 2}};
	scratch_open(data);
	FILE *file = fopen(scratch_path(path, data, "users.dat"), "w");
	for (uint32_t i = 1; i <= USERS; i++)
		fprintf(file, "%u::M::25::3::00000\n", i);
	ck_assert_int_eq(fclose(file), 0);
	file = fopen(scratch_path(path, data, "movies.dat"), "w");
	for (uint32_t i = 1; i <= MOVIES; i++)
		fprintf(file, "%u::Reel %u (1950)::Drama\n", i, i);
	ck_assert_int_eq(fclose(file), 0);
	file = fopen(scratch_path(path, data, "ratings.dat"), "w");
	for (uint32_t i = 0; i < USERS * MOVIES; i++)
		fprintf(file, "%u::%u::%u::1\n", i / MOVIES + 1, i % MOVIES + 1, 1 + i % 5);
	ck_assert_int_eq(fclose(file), 0);
	assert_ok(dataset_open(&dataset, &options, &err), &err);
}

static void close_all(void)
{
	dataset_fini(&dataset);
	scratch_close(data);
}

int main(void)
{
	const TTest *const cases[] = {an_epoch_of_a_large_shard_has_every_example_once,
		epochs_differ_and_repeat_from_seed_epoch_and_lane,
		any_place_of_an_epoch_is_found_at_once,
		without_shuffle_a_large_shard_keeps_the_order_of_the_file,
		a_window_mixes_blocks_from_all_over_the_shard,
		a_shard_of_one_window_is_permuted_as_ever, NULL};
	return run_cases_around("shard", cases, open_all, close_all);
}
