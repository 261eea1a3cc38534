/* Facts of MovieLens 1M, where MARQUEE_ML1M names its directory; skipped elsewhere. */
#include "common/data/dataset.h"

#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(the_catalog_has_the_published_numbers)
{
	struct catalog catalog;
	struct error err;
	const struct data_options strict = {0};
	assert_ok(catalog_load(&catalog, getenv("MARQUEE_ML1M"), &strict, NULL, &err), &err);
	ck_assert_uint_eq(catalog.user_count, 6040);
	ck_assert_uint_eq(catalog.movie_count, 3883);
	ck_assert_uint_eq(catalog.words.count, 5174);
	ck_assert_uint_eq(catalog.genres.count, 18);
	ck_assert_uint_eq(catalog_user_rows(&catalog), 6041);
	ck_assert_uint_eq(catalog_movie_rows(&catalog), 3953);
	uint32_t longest = 0, most = 0;
	for (uint32_t m = 0; m < catalog.movie_count; m++) {
		uint32_t words = catalog.word_offsets[m + 1] - catalog.word_offsets[m];
		uint32_t genres = catalog.genre_offsets[m + 1] - catalog.genre_offsets[m];
		ck_assert_uint_ge(words, 1);
		ck_assert_uint_ge(genres, 1);
		longest = words > longest ? words : longest;
		most = genres > most ? genres : most;
	}
	ck_assert_uint_eq(longest, 15);
	ck_assert_uint_eq(most, 6);
	catalog_fini(&catalog);
}
END_TEST

START_TEST(the_ratings_have_the_published_number_and_a_tenth_is_held_out)
{
	struct dataset dataset;
	struct error err;
	struct dataset_options options = {.directory = getenv("MARQUEE_ML1M"),
		.holdout = HOLDOUT_DEFAULT,
		.seed = 1,
		.lanes = 8,
		.cache = {.off = true}};
	assert_ok(dataset_open(&dataset, &options, &err), &err);
	ck_assert_uint_eq(dataset.train_count + dataset.test_count, 1000209);
	ck_assert_double_eq_tol((double)dataset.test_count / 1000209.0, 0.1, 0.0015);
	ck_assert_uint_eq(dataset.report.skipped_lines, 0);
	dataset_fini(&dataset);
}
END_TEST

int main(void)
{
	if (!getenv("MARQUEE_ML1M")) {
		puts("skipped: MARQUEE_ML1M does not name a MovieLens 1M directory");
		return TEST_SKIPPED;
	}
	const TTest *const cases[] = {the_catalog_has_the_published_numbers,
		the_ratings_have_the_published_number_and_a_tenth_is_held_out, NULL};
	return run_cases("ml-1m", cases);
}
