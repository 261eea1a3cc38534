#include "common/data/ratings.h"

#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

static const struct data_options strict = {0};
static const struct data_options lenient = {.skip_bad_lines = true};

/* An invented directory of a layout, its catalog, and a file beside it. */
struct place {
	char directory[PATH_SIZE];
	char path[PATH_SIZE];
	struct catalog catalog;
};

static void open_place(struct place *place, void (*fixture)(char *))
{
	struct error err;
	fixture(place->directory);
	scratch_path(place->path, place->directory, "some.txt");
	assert_ok(catalog_load(&place->catalog, place->directory, &strict, NULL, &err), &err);
}

static void close_place(struct place *place)
{
	catalog_fini(&place->catalog);
	scratch_close(place->directory);
}

START_TEST(lines_of_both_layouts_are_recognised_whatever_the_catalog)
{
	static const char *const texts[] = {"3::2::5::1\n20::40::0.5::2\n7::9::3.75::-1",
		"3\t2\t5\t1\n20\t40\t0.5\t2\n7\t9\t3.75\t3\n"};
	struct place place;
	open_place(&place, fixture_ml_1m);
	for (size_t i = 0; i < 2; i++) {
		struct ratings ratings;
		struct error err;
		fixture_put(place.directory, "some.txt", texts[i]);
		assert_ok(ratings_load(&ratings, &place.catalog, place.path, &strict, NULL, &err),
			&err);
		ck_assert_uint_eq(ratings.count, 3);
		ck_assert_uint_eq(ratings.examples[0].user, 0);
		ck_assert_uint_eq(ratings.examples[0].movie, 0);
		ck_assert_float_eq(ratings.examples[0].stars, 5.0f);
		ck_assert_uint_eq(ratings.examples[1].user, 2);
		ck_assert_uint_eq(ratings.examples[1].movie, 3);
		ck_assert_float_eq(ratings.examples[1].stars, 0.5f);
		ck_assert_float_eq(ratings.examples[2].stars, 3.75f);
		ratings_fini(&ratings);
	}
	close_place(&place);
}
END_TEST

START_TEST(bad_lines_name_the_file_the_line_and_the_reason)
{
	static const char *const cases[][2] = {{"3::5::4", ""}, {"", ""}, {"rubbish", ""},
		{"3::5::4::1::2", ""}, {"3::5::4::", ""}, {"3::5::::1", ""}, {"3::5::4.::1", ""},
		{"3::5::.5::1", ""}, {"3::5::4::1 ", ""}, {"3::5::4e0::1", ""}, {"3:5:4:1", ""},
		{"3::5::nan::1", ""}, {" 3::5::4::1", "user id is not a number"},
		{"3::::4::1", "movie id is not a number"},
		{"+3::5::4::1", "user id is not a number"},
		{"3::5::0::1", "rating is not between 0.5 and 5"},
		{"3::5::5.5::1", "rating is not between 0.5 and 5"},
		{"3::5::99999999999999999999::1", ""}, {"3::5::-1::1", ""},
		{"99::5::4::1", "user 99 is not in users.dat"},
		{"3::99::4::1", "movie 99 is not in movies.dat"},
		{"18446744073709551616::5::4::1", "user id does not fit 64 bits"},
		{"3::99999999999999999999999::4::1", "movie id does not fit 64 bits"},
		{"18446744073709551615::5::4::1", "user id 18446744073709551615 is reserved"}};
	struct place place;
	open_place(&place, fixture_ml_1m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256], message[PATH_SIZE + 512];
		struct ratings ratings;
		struct error err;
		struct data_report report = {0};
		snprintf(text, sizeof(text), "3::2::5::1\n%s\r\n7::2::2::3\n", cases[i][0]);
		fixture_put(place.directory, "some.txt", text);
		snprintf(message, sizeof(message),
			"%s:2: %s%sexpected UserID::MovieID::Rating::Timestamp, found '%s'",
			place.path, cases[i][1], cases[i][1][0] ? ": " : "", cases[i][0]);
		assert_fails(
			ratings_load(&ratings, &place.catalog, place.path, &strict, &report, &err),
			STATUS_DATA_LOSS, &err, message);
		assert_ok(
			ratings_load(&ratings, &place.catalog, place.path, &lenient, &report, &err),
			&err);
		ck_assert_uint_eq(ratings.count, 2);
		ck_assert_uint_eq(report.skipped_lines, 1);
		ck_assert_str_eq(report.first_bad_line, message);
		ratings_fini(&ratings);
	}
	close_place(&place);
}
END_TEST

START_TEST(a_bad_line_between_tabs_is_shown_with_its_tabs)
{
	struct place place;
	struct ratings ratings;
	struct error err;
	open_place(&place, fixture_ml_100k);
	fixture_put(place.directory, "some.txt", "1\t3\t4\t1\n9\t3\t4\t1\n");
	assert_fails(ratings_load(&ratings, &place.catalog, place.path, &strict, NULL, &err),
		STATUS_DATA_LOSS, &err,
		"some.txt:2: user 9 is not in u.user: expected "
		"UserID<tab>MovieID<tab>Rating<tab>Timestamp, found '9\\t3\\t4\\t1'");
	close_place(&place);
}
END_TEST

START_TEST(a_file_without_ratings_says_so)
{
	static const char *const texts[] = {"", "\n", "\r\n\r\n"};
	struct place place;
	struct ratings ratings;
	struct error err;
	open_place(&place, fixture_ml_1m);
	for (size_t i = 0; i < 3; i++) {
		fixture_put(place.directory, "some.txt", texts[i]);
		assert_fails(
			ratings_load(&ratings, &place.catalog, place.path, &strict, NULL, &err),
			STATUS_FAILED_PRECONDITION, &err, "some.txt: no ratings");
	}
	fixture_put(place.directory, "some.txt", "rubbish\n");
	assert_fails(ratings_load(&ratings, &place.catalog, place.path, &lenient, NULL, &err),
		STATUS_FAILED_PRECONDITION, &err, "some.txt: no ratings");
	assert_fails(
		ratings_load(&ratings, &place.catalog, "/nonexistent.dat", &strict, NULL, &err),
		STATUS_NOT_FOUND, &err, "/nonexistent.dat: No such file");
	close_place(&place);
}
END_TEST

START_TEST(the_first_bad_line_is_kept_and_all_are_counted)
{
	struct place place;
	struct ratings ratings;
	struct error err;
	struct data_report report = {0};
	open_place(&place, fixture_ml_1m);
	fixture_put(place.directory, "some.txt", "one\n3::2::5::1\ntwo\n\nthree\n3::5::5::1\n");
	assert_ok(
		ratings_load(&ratings, &place.catalog, place.path, &lenient, &report, &err), &err);
	ck_assert_uint_eq(ratings.count, 2);
	ck_assert_uint_eq(report.skipped_lines, 4);
	ck_assert_ptr_nonnull(strstr(report.first_bad_line, "some.txt:1: expected"));
	ratings_fini(&ratings);
	close_place(&place);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {lines_of_both_layouts_are_recognised_whatever_the_catalog,
		bad_lines_name_the_file_the_line_and_the_reason,
		a_bad_line_between_tabs_is_shown_with_its_tabs, a_file_without_ratings_says_so,
		the_first_bad_line_is_kept_and_all_are_counted, NULL};
	return run_cases("ratings", cases);
}
