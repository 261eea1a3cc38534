#include "common/data/synth.h"

#include "common/base/file.h"
#include "common/base/random.h"
#include "common/data/dataset.h"
#include "common/data/synth_world.h"
#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct synth_options small_options(const char *out)
{
	return (struct synth_options){
		.out = out, .users = 500, .movies = 300, .ratings = 30000, .seed = 11};
}

static uint64_t digest_of(const char *directory, const char *name)
{
	char path[PATH_SIZE];
	uint64_t hash, size;
	struct error err;
	assert_ok(file_digest(scratch_path(path, directory, name), &hash, &size, &err), &err);
	return hash;
}

static void open_all(const char *directory, struct dataset *ret)
{
	struct error err;
	struct dataset_options options = {
		.directory = directory, .lanes = 1, .cache = {.off = true}};
	assert_ok(dataset_open(ret, &options, &err), &err);
}

START_TEST(the_files_are_a_function_of_the_four_numbers)
{
	static const char *const names[] = {"users.dat", "movies.dat", "ratings.dat", "README"};
	/* Written down once: another compiler or machine must give the same bytes. */
	static const uint64_t golden[] = {UINT64_C(0xc44af92ac937aeb5),
		UINT64_C(0xdf89ea90e606954e), UINT64_C(0xb55c717050c10fe6)};
	char directory[PATH_SIZE], again[PATH_SIZE];
	struct synth_report report;
	struct error err;
	scratch_open(directory);
	scratch_open(again);
	struct synth_options options = small_options(directory);
	assert_ok(synth_generate(&options, &report, &err), &err);
	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(digest_of(directory, names[i]) == golden[i], "%s: %016llx", names[i],
			(unsigned long long)digest_of(directory, names[i]));
	options.out = again;
	assert_ok(synth_generate(&options, &report, &err), &err);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(digest_of(directory, names[i]), digest_of(again, names[i]));
	options.seed++;
	assert_ok(synth_generate(&options, &report, &err), &err);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_ne(digest_of(directory, names[i]), digest_of(again, names[i]));
	scratch_close(directory);
	scratch_close(again);
}
END_TEST

START_TEST(everything_written_reads_back_and_counts_are_exact)
{
	static const uint64_t sizes[][3] = {{1, 2, 1}, {3, 2, 3}, {2, 3, 1}, {10, 7, 30},
		{100, 400, 20000}, {1000, 50, 500}, {7, 1000, 3500}};
	char directory[PATH_SIZE];
	scratch_open(directory);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct synth_options options = {.out = directory,
			.users = sizes[i][0],
			.movies = sizes[i][1],
			.ratings = sizes[i][2],
			.seed = i};
		struct synth_report report;
		struct dataset dataset;
		struct error err;
		assert_ok(synth_generate(&options, &report, &err), &err);
		ck_assert_uint_eq(report.ratings, options.ratings);
		open_all(directory, &dataset);
		ck_assert_uint_eq(dataset.catalog.user_count, options.users);
		ck_assert_uint_eq(dataset.catalog.movie_count, options.movies);
		ck_assert_uint_eq(dataset.train_count, options.ratings);
		dataset_fini(&dataset);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(no_pair_comes_twice_and_no_user_rates_more_than_half_of_the_movies)
{
	char directory[PATH_SIZE];
	struct synth_report report;
	struct dataset dataset;
	struct error err;
	scratch_open(directory);
	struct synth_options options = small_options(directory);
	assert_ok(synth_generate(&options, &report, &err), &err);
	open_all(directory, &dataset);
	uint8_t *seen = calloc(500 * 300, 1);
	uint32_t by_user[500] = {0}, by_movie[300] = {0}, least = UINT32_MAX, most = 0;
	struct rating *train = fixture_all(&dataset.train_set);
	for (uint64_t i = 0; i < dataset.train_count; i++) {
		const struct rating *rating = &train[i];
		ck_assert_uint_eq(seen[rating->user * 300 + rating->movie]++, 0);
		by_user[rating->user]++;
		by_movie[rating->movie]++;
	}
	for (uint32_t i = 0; i < 500; i++)
		ck_assert_msg(by_user[i] >= 20 && by_user[i] <= 150, "user %u: %u", i, by_user[i]);
	for (uint32_t i = 0; i < 300; i++) {
		least = by_movie[i] < least ? by_movie[i] : least;
		most = by_movie[i] > most ? by_movie[i] : most;
	}
	ck_assert_msg(most > 10 * least, "no long tail: %u to %u", least, most);
	free(seen);
	free(train);
	dataset_fini(&dataset);
	scratch_close(directory);
}
END_TEST

START_TEST(the_expectation_is_the_mean_of_the_rounded_noisy_score)
{
	struct synth_world world;
	struct error err;
	assert_ok(synth_world_init(&world, 1, 100, &err), &err);
	for (int step = 0; step < 10; step++) {
		const double score = -0.7 + 0.83 * step;
		struct random_sequence sequence;
		random_sequence_init(&sequence, 3, 4);
		const int n = 200000;
		double sum = 0.0, noise = 0.0, squares = 0.0;
		for (int i = 0; i < n; i++) {
			uint32_t word0 = random_next(&sequence), word1 = random_next(&sequence);
			double z = synth_noise(word0, word1);
			sum += synth_round(score + SYNTH_NOISE * z);
			noise += z;
			squares += z * z;
		}
		ck_assert_double_eq_tol(noise / n, 0.0, 0.01);
		ck_assert_double_eq_tol(squares / n, 1.0, 0.01);
		ck_assert_double_eq_tol(synth_expected(world.expected, score), sum / n, 0.01);
	}
	ck_assert_double_eq(synth_expected(world.expected, -100.0), 1.0);
	ck_assert_double_eq_tol(synth_expected(world.expected, 100.0), 5.0, 1e-12);
	synth_world_fini(&world);
}
END_TEST

/* RMSE of mean + damped user and movie deviations, fitted in a few rounds. */
static double fitted_bias_rmse(const struct dataset *dataset, double mean)
{
	const struct catalog *catalog = &dataset->catalog;
	struct rating *train = fixture_all(&dataset->train_set);
	double *user = calloc(catalog->user_count, sizeof(*user));
	double *movie = calloc(catalog->movie_count, sizeof(*movie));
	double *sums = calloc(catalog->user_count + catalog->movie_count, 2 * sizeof(*sums));
	for (int round = 0; round < 10; round++)
		for (int side = 0; side < 2; side++) {
			uint32_t count = side ? catalog->movie_count : catalog->user_count;
			memset(sums, 0, count * 2 * sizeof(*sums));
			for (uint64_t i = 0; i < dataset->train_count; i++) {
				const struct rating *rating = &train[i];
				uint32_t at = side ? rating->movie : rating->user;
				double other = side ? user[rating->user] : movie[rating->movie];
				sums[2 * at] += (double)rating->stars - mean - other;
				sums[2 * at + 1] += 1.0;
			}
			for (uint32_t i = 0; i < count; i++)
				(side ? movie : user)[i] = sums[2 * i] / (sums[2 * i + 1] + 5.0);
		}
	double squares = 0.0;
	for (uint64_t i = 0; i < dataset->train_count; i++) {
		const struct rating *rating = &train[i];
		double rest =
			(double)rating->stars - mean - user[rating->user] - movie[rating->movie];
		squares += rest * rest;
	}
	free(train);
	free(user);
	free(movie);
	free(sums);
	return sqrt(squares / (double)dataset->train_count);
}

START_TEST(the_truth_beats_biases_and_biases_beat_the_mean)
{
	char directory[PATH_SIZE];
	struct synth_report report;
	struct dataset dataset;
	struct error err;
	scratch_open(directory);
	struct synth_options options = {
		.out = directory, .users = 2000, .movies = 1000, .ratings = 200000, .seed = 1};
	assert_ok(synth_generate(&options, &report, &err), &err);
	open_all(directory, &dataset);
	double sum = 0.0, squares = 0.0;
	uint32_t stars[6] = {0};
	struct rating *train = fixture_all(&dataset.train_set);
	for (uint64_t i = 0; i < dataset.train_count; i++) {
		double value = (double)train[i].stars;
		sum += value;
		squares += value * value;
		stars[(int)value]++;
	}
	free(train);
	double n = (double)dataset.train_count, mean = sum / n;
	ck_assert_double_eq_tol(report.mean, mean, 1e-9);
	ck_assert_double_eq_tol(report.mean_rmse, sqrt(squares / n - mean * mean), 1e-9);
	for (int i = 1; i <= 5; i++)
		ck_assert_msg(stars[i] > 2000, "%d stars came %u times", i, stars[i]);
	ck_assert_double_gt(report.best_rmse, 0.82);
	ck_assert_double_lt(report.best_rmse, 0.90);
	ck_assert_double_gt(report.bias_rmse, report.best_rmse + 0.06);
	ck_assert_double_gt(report.mean_rmse, report.bias_rmse + 0.06);
	/* What can be fitted agrees with what is claimed. */
	double fitted = fitted_bias_rmse(&dataset, mean);
	ck_assert_msg(fabs(fitted - report.bias_rmse) < 0.03, "fitted %.4f, claimed %.4f", fitted,
		report.bias_rmse);
	dataset_fini(&dataset);
	scratch_close(directory);
}
END_TEST

START_TEST(users_with_the_same_features_agree_more_than_others)
{
	/* The features' part of the truth: vectors of one demographic lie closer together. */
	struct synth_world world;
	struct error err;
	assert_ok(synth_world_init(&world, 9, 100, &err), &err);
	static struct synth_user users[600];
	for (uint32_t i = 0; i < 600; i++)
		synth_world_user(&world, i, &users[i]);
	double same = 0.0, other = 0.0;
	uint32_t same_count = 0, other_count = 0;
	for (uint32_t i = 0; i < 600; i++)
		for (uint32_t j = 0; j < i; j++) {
			double distance = 0.0;
			for (uint32_t k = 0; k < SYNTH_LATENT; k++) {
				double d = (double)(users[i].latent.v[k] - users[j].latent.v[k]);
				distance += d * d;
			}
			if (users[i].age == users[j].age && users[i].gender == users[j].gender &&
				users[i].occupation == users[j].occupation) {
				same += distance;
				same_count++;
			} else if (users[i].age != users[j].age) {
				other += distance;
				other_count++;
			}
		}
	ck_assert_uint_gt(same_count, 100);
	ck_assert_double_lt(same / same_count, 0.8 * other / other_count);
	synth_world_fini(&world);
}
END_TEST

START_TEST(title_words_are_distinct_and_some_are_not_ascii)
{
	struct vocabulary_builder builder;
	struct error err;
	uint32_t number, accents = 0;
	assert_ok(vocabulary_builder_init(&builder, &err), &err);
	for (uint32_t i = 0; i < 20000; i++) {
		char word[SYNTH_WORD_SIZE];
		/* The last quarter has four syllables. */
		synth_word(i < 15000 ? i : i + 1000000, word);
		assert_ok(
			vocabulary_builder_add(&builder, word, strlen(word), &number, &err), &err);
		ck_assert_uint_eq(number, i);
		accents += (unsigned char)word[strlen(word) - 1] >= 0x80;
	}
	ck_assert_uint_gt(accents, 1000);
	vocabulary_builder_fini(&builder);
}
END_TEST

START_TEST(data_that_was_not_generated_is_not_replaced)
{
	char directory[PATH_SIZE];
	struct synth_report report;
	struct error err;
	fixture_ml_1m(directory);
	struct synth_options options = small_options(directory);
	assert_fails(synth_generate(&options, &report, &err), STATUS_ALREADY_EXISTS, &err,
		"users.dat: is there and was not generated: choose another directory");
	size_t size;
	char path[PATH_SIZE];
	char *text = scratch_read(scratch_path(path, directory, "users.dat"), &size);
	ck_assert_str_eq(text, fixture_users_dat);
	free(text);
	scratch_close(directory);
}
END_TEST

START_TEST(numbers_out_of_range_are_refused)
{
	static const struct {
		uint64_t users, movies, ratings;
		const char *message;
	} cases[] = {{0, 10, 5, "0 users: expected 1 to 1000000000"},
		{SYNTH_USERS_MAX + 1, 10, 5, "1000000001 users"},
		{10, 1, 5, "1 movies: expected 2 to 100000000"},
		{10, UINT64_MAX, 5, "movies: expected 2 to 100000000"},
		{10, 10, 0, "0 ratings: expected 1 to 50"},
		{10, 11, 51,
			"51 ratings: expected 1 to 50, half of all pairs of 10 users and 11 "
			"movies"}};
	struct synth_report report;
	struct error err;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct synth_options options = {.out = "/nonexistent/never",
			.users = cases[i].users,
			.movies = cases[i].movies,
			.ratings = cases[i].ratings};
		assert_fails(synth_generate(&options, &report, &err), STATUS_INVALID_ARGUMENT, &err,
			cases[i].message);
	}
}
END_TEST

START_TEST(a_failure_leaves_no_half_written_file)
{
	/* ratings.dat is a directory: the rename fails after everything was written. */
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct synth_report report;
	struct error err;
	scratch_open(directory);
	ck_assert_int_eq(mkdir(scratch_path(path, directory, "ratings.dat"), 0700), 0);
	struct synth_options options = small_options(directory);
	ck_assert_int_ne(synth_generate(&options, &report, &err), STATUS_OK);
	ck_assert_ptr_nonnull(strstr(err.message, "ratings.dat"));
	ck_assert(!file_exists(scratch_path(path, directory, "ratings.dat.tmp")));
	ck_assert(!file_exists(scratch_path(path, directory, "movies.dat.tmp")));
	ck_assert(!file_exists(scratch_path(path, directory, "movies.dat")));
	scratch_close(directory);
}
END_TEST

static void count_call(void *context, uint64_t done, uint64_t total)
{
	uint64_t *last = context;
	ck_assert_uint_gt(done, *last);
	ck_assert_uint_le(done, total);
	*last = done;
}

START_TEST(progress_is_told_in_ascending_order)
{
	char directory[PATH_SIZE];
	struct synth_report report;
	struct error err;
	uint64_t last = 0;
	scratch_open(directory);
	struct synth_options options = {.out = directory,
		.users = 2000,
		.movies = 1000,
		.ratings = 600000,
		.progress = count_call,
		.progress_context = &last};
	assert_ok(synth_generate(&options, &report, &err), &err);
	ck_assert_uint_gt(last, 500000);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_files_are_a_function_of_the_four_numbers,
		everything_written_reads_back_and_counts_are_exact,
		no_pair_comes_twice_and_no_user_rates_more_than_half_of_the_movies,
		the_expectation_is_the_mean_of_the_rounded_noisy_score,
		the_truth_beats_biases_and_biases_beat_the_mean,
		users_with_the_same_features_agree_more_than_others,
		title_words_are_distinct_and_some_are_not_ascii,
		data_that_was_not_generated_is_not_replaced, numbers_out_of_range_are_refused,
		a_failure_leaves_no_half_written_file, progress_is_told_in_ascending_order, NULL};
	return run_cases("synth", cases);
}
