#include "common/data/dataset.h"

#include "common/base/file.h"
#include "common/data/ratings_layout.h"
#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRID_USERS  60u
#define GRID_MOVIES 50u
#define GRID_LINES  (GRID_USERS * GRID_MOVIES)

static struct dataset_options options_for(const char *directory)
{
	return (struct dataset_options){
		.directory = directory, .holdout = 0.1, .seed = 5, .lanes = 8};
}

/* Every pair of the grid once; stars encode the line so that a test can tell examples apart. */
static void write_grid_ratings(const char *directory, const char *name, bool backwards, bool padded)
{
	char path[PATH_SIZE];
	FILE *file = fopen(scratch_path(path, directory, name), "w");
	ck_assert_ptr_nonnull(file);
	for (uint32_t i = 0; i < GRID_LINES; i++) {
		uint32_t line = backwards ? GRID_LINES - 1 - i : i;
		uint32_t user = line / GRID_MOVIES, movie = line % GRID_MOVIES;
		fprintf(file, "%u::%u::%u.%04u::", user + 1, movie + 1, 1 + line / 1000,
			line % 1000);
		/* Long times make the file several pieces long. */
		fprintf(file, padded ? "%01000d\n" : "%d\n", 1);
	}
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(lanes_cut_the_examples_into_the_blocks_the_contract_names)
{
	char directory[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_grid(directory, GRID_USERS, GRID_MOVIES);
	write_grid_ratings(directory, "ratings.dat", false, false);
	for (uint32_t lanes = 1; lanes <= LANES_MAX; lanes = lanes * 3 + 1) {
		struct dataset_options options = options_for(directory);
		options.lanes = lanes;
		assert_ok(dataset_open(&dataset, &options, &err), &err);
		ck_assert_uint_eq(dataset.train_count + dataset.test_count, GRID_LINES);
		uint64_t n = dataset.train_count, t = dataset.test_count;
		for (uint64_t l = 0; l < lanes; l++) {
			const struct lane_shard *train = &dataset.train[l],
						*test = &dataset.test[l];
			ck_assert_uint_eq(train->first, l * n / lanes);
			ck_assert_uint_eq(train->first + train->count, (l + 1) * n / lanes);
			ck_assert_uint_eq(test->first, l * t / lanes);
			ck_assert_uint_eq(test->first + test->count, (l + 1) * t / lanes);
		}
		dataset_fini(&dataset);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(examples_stay_in_the_order_of_the_file)
{
	char directory[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_grid(directory, GRID_USERS, GRID_MOVIES);
	write_grid_ratings(directory, "ratings.dat", false, false);
	struct dataset_options options = options_for(directory);
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	struct rating *train_examples = fixture_all(&dataset.train_set);
	struct rating *test_examples = fixture_all(&dataset.test_set);
	uint64_t train = 0, test = 0;
	for (uint32_t line = 0; line < GRID_LINES; line++) {
		uint32_t user = line / GRID_MOVIES, movie = line % GRID_MOVIES;
		const struct rating *rating = split_is_held_out(5, user + 1, movie + 1, 0.1)
						      ? &test_examples[test++]
						      : &train_examples[train++];
		ck_assert_uint_eq(rating->user, user);
		ck_assert_uint_eq(rating->movie, movie);
		uint32_t whole = 1 + line / 1000;
		double stars = whole + (line % 1000) / 10000.0;
		ck_assert_float_eq(rating->stars, (float)stars);
	}
	ck_assert_uint_eq(train, dataset.train_count);
	ck_assert_uint_eq(test, dataset.test_count);
	free(train_examples);
	free(test_examples);
	dataset_fini(&dataset);
	scratch_close(directory);
}
END_TEST

/* The examples of one shard are those that stand there in the whole. */
static void compare_shard(const struct example_set *set, const struct lane_shard *shard,
	const struct example_set *whole_set)
{
	struct rating *whole = fixture_all(whole_set);
	struct rating *part = fixture_examples(set, shard->first, shard->count);
	if (shard->count > 0)
		ck_assert_mem_eq(part, whole + shard->first, shard->count * sizeof(struct rating));
	free(part);
	free(whole);
}

/* Opens once for every lane, with and without the cache, and compares with the whole. */
static void compare_with_whole(const struct dataset_options *whole_options)
{
	struct dataset whole, part;
	struct error err;
	struct dataset_options options = *whole_options;
	options.cache.off = true;
	assert_ok(dataset_open(&whole, &options, &err), &err);
	uint64_t kept = 0;
	for (uint32_t l = 0; l < options.lanes; l++) {
		options.cache.off = l % 3 == 0;
		options.cache.threads = l % 4;
		assert_ok(dataset_open(&part, &options, &err), &err);
		ck_assert_uint_eq(part.train_count, whole.train_count);
		ck_assert_uint_eq(part.test_count, whole.test_count);
		ck_assert_mem_eq(part.train, whole.train, sizeof(whole.train));
		ck_assert_mem_eq(part.test, whole.test, sizeof(whole.test));
		compare_shard(&part.train_set, &part.train[l], &whole.train_set);
		compare_shard(&part.test_set, &part.test[l], &whole.test_set);
		kept += part.train[l].count + part.test[l].count;
		dataset_fini(&part);
	}
	ck_assert_uint_eq(kept, whole.train_count + whole.test_count);
	dataset_fini(&whole);
}

START_TEST(shards_together_are_the_whole_with_and_without_the_cache)
{
	char directory[PATH_SIZE], test_path[PATH_SIZE];
	fixture_grid(directory, GRID_USERS, GRID_MOVIES);
	write_grid_ratings(directory, "ratings.dat", false, true);
	struct dataset_options options = options_for(directory);
	options.lanes = 7;
	compare_with_whole(&options);
	options.holdout = 0.0;
	compare_with_whole(&options);
	write_grid_ratings(directory, "test.dat", true, true);
	options.test_ratings = scratch_path(test_path, directory, "test.dat");
	compare_with_whole(&options);
	scratch_close(directory);
}
END_TEST

START_TEST(more_lanes_than_examples_leave_some_empty)
{
	char directory[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_1m(directory);
	struct dataset_options options = options_for(directory);
	options.lanes = 100;
	options.holdout = 0.0;
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	ck_assert_uint_eq(dataset.train_count, 6);
	uint64_t sum = 0;
	for (uint32_t l = 0; l < 100; l++)
		sum += dataset.train[l].count;
	ck_assert_uint_eq(sum, 6);
	dataset_fini(&dataset);
	scratch_close(directory);
}
END_TEST

START_TEST(the_split_holds_out_its_share_and_depends_on_the_seed)
{
	static const double shares[] = {0.0, 0.01, 0.1, 0.5, 0.9};
	const uint32_t n = 200000;
	for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
		uint32_t held = 0, both = 0;
		for (uint32_t i = 0; i < n; i++) {
			bool first = split_is_held_out(1, i % 600, i / 600, shares[s]);
			held += first;
			both += first && split_is_held_out(2, i % 600, i / 600, shares[s]);
		}
		double spread = 5.0 * sqrt(shares[s] * n) + 1e-9;
		ck_assert_msg(
			fabs(held - shares[s] * n) <= spread, "%u of %g", held, shares[s] * n);
		/* Another seed is independent. */
		ck_assert_msg(fabs(both - shares[s] * shares[s] * n) <= spread, "%u both", both);
	}
}
END_TEST

START_TEST(the_split_is_independent_across_users_and_movies)
{
	/* No user and no movie may be held out much more often than others. */
	uint32_t by_user[300] = {0}, by_movie[300] = {0};
	for (uint32_t user = 0; user < 300; user++)
		for (uint32_t movie = 0; movie < 300; movie++) {
			bool held = split_is_held_out(7, user, movie, 0.1);
			by_user[user] += held;
			by_movie[movie] += held;
		}
	for (uint32_t i = 0; i < 300; i++) {
		ck_assert_msg(by_user[i] > 4 && by_user[i] < 60, "user %u: %u", i, by_user[i]);
		ck_assert_msg(by_movie[i] > 4 && by_movie[i] < 60, "movie %u: %u", i, by_movie[i]);
	}
}
END_TEST

static int compare_ratings(const void *left, const void *right)
{
	const struct rating *a = left, *b = right;
	if (a->user != b->user)
		return a->user < b->user ? -1 : 1;
	return (a->movie > b->movie) - (a->movie < b->movie);
}

START_TEST(the_split_does_not_depend_on_the_order_of_lines)
{
	char directory[PATH_SIZE];
	struct dataset forwards, backwards;
	struct error err;
	fixture_grid(directory, GRID_USERS, GRID_MOVIES);
	struct dataset_options options = options_for(directory);
	write_grid_ratings(directory, "ratings.dat", false, false);
	assert_ok(dataset_open(&forwards, &options, &err), &err);
	write_grid_ratings(directory, "ratings.dat", true, false);
	assert_ok(dataset_open(&backwards, &options, &err), &err);
	ck_assert_uint_eq(forwards.test_count, backwards.test_count);
	struct rating *first = fixture_all(&forwards.test_set),
		      *second = fixture_all(&backwards.test_set);
	qsort(second, backwards.test_count, sizeof(*second), compare_ratings);
	ck_assert_mem_eq(first, second, forwards.test_count * sizeof(*first));
	free(first);
	free(second);
	dataset_fini(&forwards);
	dataset_fini(&backwards);
	scratch_close(directory);
}
END_TEST

START_TEST(a_test_file_is_the_whole_test_and_nothing_else_is_held_out)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_1m(directory);
	fixture_put(directory, "test.txt", "20\t2\t3\t1\n3\t9\t1\t2\n");
	struct dataset_options options = options_for(directory);
	options.test_ratings = scratch_path(path, directory, "test.txt");
	options.holdout = 0.5;
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	ck_assert_uint_eq(dataset.train_count, 6);
	ck_assert_uint_eq(dataset.test_count, 2);
	struct rating *test = fixture_all(&dataset.test_set);
	ck_assert_uint_eq(test[1].movie, 2);
	free(test);
	dataset_fini(&dataset);
	fixture_put(directory, "test.txt", "");
	assert_fails(dataset_open(&dataset, &options, &err), STATUS_FAILED_PRECONDITION, &err,
		"test.txt: no ratings");
	scratch_close(directory);
}
END_TEST

/* A cache has the first bad line, and behind it nothing of what lay in memory. */
static void assert_only_text_is_kept(const char *directory)
{
	char path[PATH_SIZE], *bytes;
	struct error err;
	size_t size;
	assert_ok(file_read_all(scratch_path(path, directory, "ratings.dat.cache"), 1 << 20, &bytes,
			  &size, &err),
		&err);
	ck_assert_uint_gt(size, sizeof(struct ratings_header));
	const char *line = bytes + offsetof(struct ratings_header, first_bad_line);
	size_t at = strnlen(line, ERROR_MESSAGE_SIZE);
	ck_assert_uint_gt(at, 0);
	while (at < ERROR_MESSAGE_SIZE)
		ck_assert_int_eq(line[at++], '\0');
	free(bytes);
}

START_TEST(skipped_lines_are_counted_once_over_all_files)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_1m(directory);
	fixture_put(directory, "users.dat", "7::F::25::20::1\nrubbish\n3::M::1::0::2\n");
	fixture_put(directory, "test.txt", "3::2::9::1\n3::9::1::2\n");
	struct dataset_options options = options_for(directory);
	options.test_ratings = scratch_path(path, directory, "test.txt");
	assert_fails(
		dataset_open(&dataset, &options, &err), STATUS_DATA_LOSS, &err, "users.dat:2:");
	options.skip_bad_lines = true;
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	/* The rubbish, two ratings of user 20, and nine stars. */
	ck_assert_uint_eq(dataset.report.skipped_lines, 4);
	ck_assert_ptr_nonnull(strstr(dataset.report.first_bad_line, "users.dat:2:"));
	ck_assert_uint_eq(dataset.train_count, 4);
	ck_assert_uint_eq(dataset.test_count, 1);
	dataset_fini(&dataset);
	assert_only_text_is_kept(directory);
	scratch_close(directory);
}
END_TEST

START_TEST(options_out_of_range_and_missing_ratings_are_refused)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_1m(directory);
	static const double holdouts[] = {1.0, 1.5, -0.1, NAN};
	for (size_t i = 0; i < 4; i++) {
		struct dataset_options options = options_for(directory);
		options.holdout = holdouts[i];
		assert_fails(dataset_open(&dataset, &options, &err), STATUS_INVALID_ARGUMENT, &err,
			"holdout");
	}
	struct dataset_options options = options_for(directory);
	options.lanes = LANES_MAX + 1;
	assert_fails(dataset_open(&dataset, &options, &err), STATUS_INVALID_ARGUMENT, &err,
		"257 lanes: expected 1 to 256");
	options = options_for(directory);
	fixture_put(directory, "ratings.dat", "");
	assert_fails(dataset_open(&dataset, &options, &err), STATUS_FAILED_PRECONDITION, &err,
		"ratings.dat: no ratings");
	ck_assert_int_eq(remove(scratch_path(path, directory, "ratings.dat")), 0);
	assert_fails(dataset_open(&dataset, &options, &err), STATUS_NOT_FOUND, &err,
		"ratings.dat: No such file");
	scratch_close(directory);
}
END_TEST

START_TEST(a_holdout_that_leaves_nothing_to_train_on_says_so)
{
	char directory[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_1m(directory);
	fixture_put(directory, "ratings.dat", "3::2::5::1\n");
	struct dataset_options options = options_for(directory);
	options.holdout = 0.999999999;
	assert_fails(dataset_open(&dataset, &options, &err), STATUS_FAILED_PRECONDITION, &err,
		"all 1 ratings are held out");
	scratch_close(directory);
}
END_TEST

START_TEST(ml_100k_directories_train_on_u_data)
{
	char directory[PATH_SIZE];
	struct dataset dataset;
	struct error err;
	fixture_ml_100k(directory);
	struct dataset_options options = options_for(directory);
	options.holdout = 0.0;
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	ck_assert_uint_eq(dataset.train_count, 2);
	ck_assert_uint_eq(dataset.test_count, 0);
	struct rating *train = fixture_all(&dataset.train_set);
	ck_assert_uint_eq(train[0].movie, 2);
	free(train);
	ck_assert_ptr_nonnull(strstr(dataset.ratings_path, "/u.data"));
	dataset_fini(&dataset);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {lanes_cut_the_examples_into_the_blocks_the_contract_names,
		examples_stay_in_the_order_of_the_file,
		shards_together_are_the_whole_with_and_without_the_cache,
		more_lanes_than_examples_leave_some_empty,
		the_split_holds_out_its_share_and_depends_on_the_seed,
		the_split_is_independent_across_users_and_movies,
		the_split_does_not_depend_on_the_order_of_lines,
		a_test_file_is_the_whole_test_and_nothing_else_is_held_out,
		skipped_lines_are_counted_once_over_all_files,
		options_out_of_range_and_missing_ratings_are_refused,
		a_holdout_that_leaves_nothing_to_train_on_says_so,
		ml_100k_directories_train_on_u_data, NULL};
	return run_cases("dataset", cases);
}
