/* Facts of MovieLens 100K, where MARQUEE_ML100K names its directory; skipped elsewhere. */
#include "common/data/dataset.h"

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(the_catalog_has_the_published_numbers)
{
	struct catalog catalog;
	struct error err;
	const struct data_options strict = {0};
	assert_ok(catalog_load(&catalog, getenv("MARQUEE_ML100K"), &strict, NULL, &err), &err);
	ck_assert_int_eq(catalog.layout, LAYOUT_ML_100K);
	ck_assert_uint_eq(catalog.user_count, 943);
	ck_assert_uint_eq(catalog.movie_count, 1682);
	ck_assert_uint_eq(catalog.genres.count, 19);
	ck_assert_uint_eq(catalog.occupation_names.count, 21);
	catalog_fini(&catalog);
}
END_TEST

START_TEST(the_published_splits_are_read_as_test_ratings)
{
	static const struct {
		const char *name;
		uint64_t count;
	} splits[] = {{"u1.test", 20000}, {"ua.test", 9430}};
	const char *directory = getenv("MARQUEE_ML100K");
	for (size_t i = 0; i < 2; i++) {
		char path[PATH_SIZE];
		struct dataset dataset;
		struct error err;
		struct dataset_options options = {.directory = directory,
			.test_ratings = scratch_path(path, directory, splits[i].name),
			.lanes = 3,
			.cache = {.off = true}};
		if (!file_exists(path))
			continue;
		assert_ok(dataset_open(&dataset, &options, &err), &err);
		ck_assert_uint_eq(dataset.train_count, 100000);
		ck_assert_uint_eq(dataset.test_count, splits[i].count);
		dataset_fini(&dataset);
	}
}
END_TEST

int main(void)
{
	if (!getenv("MARQUEE_ML100K")) {
		puts("skipped: MARQUEE_ML100K does not name a MovieLens 100K directory");
		return TEST_SKIPPED;
	}
	const TTest *const cases[] = {the_catalog_has_the_published_numbers,
		the_published_splits_are_read_as_test_ratings, NULL};
	return run_cases("ml-100k", cases);
}
