#include "worker/lane.h"

#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

static char data[PATH_SIZE];
static struct dataset dataset;
static struct model *model;

#define LANES 5u

static void open_lane(
	struct lane *lane, uint32_t index, struct lane_options options, uint32_t capacity)
{
	struct error error;
	assert_ok(lane_init(lane, index, &options, &dataset, model, capacity, &error), &error);
}

/* The position in the shard of example `at` of an epoch. */
static uint64_t position_at(struct lane *lane, uint64_t epoch, uint64_t at)
{
	struct error error;
	struct shard_run run;
	assert_ok(shard_read(&lane->train_shard, epoch, at, 1, &run, &error), &error);
	ck_assert_uint_eq(run.count, 1);
	return shard_position(&lane->train_shard, run.order[0]);
}

/* Owned: the positions of a whole epoch, in its order. */
static uint64_t *positions_of(struct lane *lane, uint64_t epoch)
{
	uint64_t *positions = malloc(lane->train.count * sizeof(*positions));
	for (uint64_t at = 0; at < lane->train.count; at++)
		positions[at] = position_at(lane, epoch, at);
	return positions;
}

/* The example at a position of the shard. */
static struct rating example_at(const struct lane *lane, uint64_t position)
{
	struct error error;
	struct rating example;
	struct rating *scratch = malloc(RATINGS_BLOCK * sizeof(*scratch));
	assert_ok(example_set_read(&dataset.train_set, lane->train.first + position, 1, &example,
			  scratch, &error),
		&error);
	free(scratch);
	return example;
}

/* Counts how often each (user, movie) of the lane's shard comes in the epoch. */
static void count_epoch(struct lane *lane, uint64_t epoch, uint32_t batch, uint32_t *counts)
{
	struct error error;
	for (uint64_t begin = 0; begin < lane->train.count; begin += batch) {
		assert_ok(lane_load_train(lane, 0, epoch, begin, batch, 1.0f, &error), &error);
		for (uint32_t i = 0; i < lane->batches[0].examples.example_count; i++)
			counts[position_at(lane, epoch, begin + i)]++;
	}
}

START_TEST(an_epoch_has_every_example_of_the_shard_once)
{
	for (uint32_t l = 0; l < LANES; l++) {
		struct lane lane;
		open_lane(&lane, l, (struct lane_options){.seed = 3, .shuffle = true}, 7);
		uint32_t *counts = calloc(lane.train.count, sizeof(*counts));
		count_epoch(&lane, 0, 7, counts);
		for (uint64_t i = 0; i < lane.train.count; i++)
			ck_assert_uint_eq(counts[i], 1);
		free(counts);
		lane_fini(&lane);
	}
}
END_TEST

START_TEST(epochs_are_shuffled_afresh_and_repeat_from_the_seed)
{
	struct lane a, b;
	struct error error;
	open_lane(&a, 2, (struct lane_options){.seed = 3, .shuffle = true}, 16);
	open_lane(&b, 2, (struct lane_options){.seed = 3, .shuffle = true}, 16);
	const size_t bytes = a.train.count * sizeof(uint64_t);
	assert_ok(lane_load_train(&a, 0, 0, 0, 16, 1.0f, &error), &error);
	uint64_t *first = positions_of(&a, 0);
	assert_ok(lane_load_train(&a, 0, 1, 0, 16, 1.0f, &error), &error);
	uint64_t *second = positions_of(&a, 1);
	ck_assert_mem_ne(first, second, bytes);
	assert_ok(lane_load_train(&b, 1, 1, 48, 16, 1.0f, &error), &error);
	uint64_t *third = positions_of(&b, 1);
	ck_assert_mem_eq(second, third, bytes);
	assert_ok(lane_load_train(&b, 1, 0, 0, 16, 1.0f, &error), &error);
	uint64_t *fourth = positions_of(&b, 0);
	ck_assert_mem_eq(first, fourth, bytes);
	free(second);
	free(third);
	free(fourth);
	free(first);
	lane_fini(&a);
	lane_fini(&b);
}
END_TEST

START_TEST(without_shuffle_examples_come_in_file_order)
{
	struct lane lane;
	struct error error;
	open_lane(&lane, 1, (struct lane_options){.seed = 3}, 10);
	assert_ok(lane_load_train(&lane, 0, 4, 20, 10, 1.0f, &error), &error);
	for (uint32_t i = 0; i < 10; i++) {
		const struct rating found = example_at(&lane, 20 + i), *rating = &found;
		const struct user_entity *user =
			&lane.batches[0].users[lane.batches[0].example_user[i]];
		const struct movie_entity *movie =
			&lane.batches[0].movies[lane.batches[0].example_movie[i]];
		ck_assert_uint_eq(user->id, dataset.catalog.user_ids[rating->user]);
		ck_assert_uint_eq(movie->id, dataset.catalog.movie_ids[rating->movie]);
		ck_assert_float_eq(lane.batches[0].labels[i], 2 * rating->stars - 5);
	}
	lane_fini(&lane);
}
END_TEST

START_TEST(users_and_movies_of_a_batch_are_distinct)
{
	struct lane lane;
	struct error error;
	open_lane(&lane, 0, (struct lane_options){.seed = 3, .unknown_rate = 0.3, .shuffle = true},
		300);
	assert_ok(lane_load_train(&lane, 0, 0, 0, 300, 1.0f, &error), &error);
	ck_assert_uint_lt(
		lane.batches[0].examples.user_count, lane.batches[0].examples.example_count);
	for (uint32_t i = 0; i < lane.batches[0].user_set.count; i++)
		for (uint32_t j = 0; j < i; j++)
			ck_assert(
				lane.batches[0].user_set.ids[i] != lane.batches[0].user_set.ids[j]);
	lane_fini(&lane);
}
END_TEST

START_TEST(the_wanted_share_of_ids_is_unknown_and_keeps_its_features)
{
	struct lane lane;
	struct error error;
	uint32_t unknown = 0, examples = 0;
	open_lane(&lane, 3, (struct lane_options){.seed = 3, .unknown_rate = 0.25, .shuffle = true},
		1);
	for (uint64_t i = 0; i < lane.train.count; i++) {
		assert_ok(lane_load_train(&lane, 0, 0, i, 1, 1.0f, &error), &error);
		const struct rating found = example_at(&lane, position_at(&lane, 0, i));
		const struct rating *rating = &found;
		ck_assert_uint_eq(
			lane.batches[0].users[0].gender, dataset.catalog.genders[rating->user]);
		ck_assert_uint_eq(lane.batches[0].users[0].age, dataset.catalog.ages[rating->user]);
		unknown += lane.batches[0].users[0].id == UNKNOWN_ID;
		unknown += lane.batches[0].movies[0].id == UNKNOWN_ID;
		examples++;
	}
	double share = unknown / (2.0 * examples);
	ck_assert_msg(share > 0.2 && share < 0.3, "share %g of %u examples", share, examples);
	lane_fini(&lane);
}
END_TEST

START_TEST(what_lies_behind_the_end_of_a_shard_is_an_empty_batch)
{
	struct lane lane;
	struct error error;
	open_lane(&lane, 0, (struct lane_options){.seed = 3}, 10);
	assert_ok(lane_load_train(&lane, 0, 0, lane.train.count + 5, 10, 1.0f, &error), &error);
	ck_assert_uint_eq(lane.batches[0].examples.example_count, 0);
	assert_ok(lane_load_test(&lane, 1, lane.test.count - 2, 10, &error), &error);
	ck_assert_uint_eq(lane.batches[1].examples.example_count, 2);
	lane_fini(&lane);
}
END_TEST

static void open_all(void)
{
	struct error error;
	struct dataset_options options = {.directory = data, .holdout = 0.1, .lanes = LANES};
	struct model_config config;
	struct model_sizes sizes = {.users = 100000,
		.genders = 2,
		.ages = 7,
		.occupations = 21,
		.movies = 100000,
		.genres = 100,
		.words = 100000};
	scratch_open(data);
	cluster_data(data, 200, 120, 5000);
	model_config_init(&config);
	assert_ok(dataset_open(&dataset, &options, &error), &error);
	assert_ok(model_new(&model, &config, &sizes, &error), &error);
}

static void close_all(void)
{
	model_free(model);
	dataset_fini(&dataset);
	scratch_close(data);
}

int main(void)
{
	const TTest *const cases[] = {an_epoch_has_every_example_of_the_shard_once,
		epochs_are_shuffled_afresh_and_repeat_from_the_seed,
		without_shuffle_examples_come_in_file_order,
		users_and_movies_of_a_batch_are_distinct,
		the_wanted_share_of_ids_is_unknown_and_keeps_its_features,
		what_lies_behind_the_end_of_a_shard_is_an_empty_batch, NULL};
	return run_cases_around("lane", cases, open_all, close_all);
}
