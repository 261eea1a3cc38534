/* What people type, and what users really gave. */
#include "inference/lookup.h"

#include "common/data/split.h"
#include "inference/actual.h"
#include "tests/inference/sample.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

static struct sample sample;
static struct model_directory directory;

static void open_sample(void)
{
	sample_open_model(&sample, &(struct sample_options){0}, &directory);
}

static void close_sample(void)
{
	sample_close_model(&sample, &directory);
}

START_TEST(names_are_found_and_what_is_unknown_gets_the_choice)
{
	struct error err;
	uint32_t number;
	uint16_t occupation;
	struct person person;
	open_sample();
	const struct catalog *catalog = &directory.catalog;
	assert_ok(lookup_user(catalog, 40, &number, &err), &err);
	ck_assert_uint_eq(number, 3);
	assert_fails(lookup_user(catalog, 99999, &number, &err), STATUS_NOT_FOUND, &err,
		"user 99999 is not in this model (known: 4 users, ids 1..40): a new person");
	assert_fails(lookup_movie(catalog, UINT64_MAX, &number, &err), STATUS_NOT_FOUND, &err,
		"movie 18446744073709551615 is not in this model (known: 5 movies, ids 1..30)");
	assert_ok(lookup_genre(catalog, "drama", &number, &err), &err);
	ck_assert_str_eq(vocabulary_entry(&catalog->genres, number), "Drama");
	assert_fails(lookup_genre(catalog, "Sci-Fi", &number, &err), STATUS_NOT_FOUND, &err,
		"genre 'Sci-Fi' is not known: one of Animation, Children's, Comedy, Drama");
	assert_ok(lookup_occupation(catalog, "12", &occupation, &err), &err);
	ck_assert_uint_eq(occupation, 12);
	assert_ok(lookup_occupation(catalog, "Programmer", &occupation, &err), &err);
	ck_assert_uint_eq(occupation, 12);
	assert_fails(lookup_occupation(catalog, "21", &occupation, &err), STATUS_NOT_FOUND, &err,
		"occupation 21 is not known: 0 to 20");
	assert_fails(lookup_occupation(catalog, "juggler", &occupation, &err), STATUS_NOT_FOUND,
		&err, "occupation 'juggler' is not known: one of other, ");
	assert_ok(lookup_person(catalog, 31, "f", "0", &person, &err), &err);
	ck_assert_uint_eq(person.age, 2);
	ck_assert_uint_eq(person.gender, 1);
	assert_ok(lookup_person(catalog, 56, "M", "0", &person, &err), &err);
	ck_assert_uint_eq(person.age, 6);
	assert_fails(lookup_person(catalog, 56, "x", "0", &person, &err), STATUS_INVALID_ARGUMENT,
		&err, "gender 'x'");
	close_sample();
}
END_TEST

START_TEST(an_actual_rating_says_whether_training_knew_it)
{
	struct error err;
	struct actual actual;
	char path[PATH_SIZE];
	open_sample();
	for (uint32_t u = 0; u < 2; u++) {
		const uint32_t m =
			1 - u; /* user 1 and movie 5 are not rated, user 3 and 1 neither */
		assert_ok(actual_find(&directory, u, m, NULL, &actual, &err), &err);
		ck_assert(!actual.found);
	}
	/* 1::9::2 and 3::5::4 */
	const uint32_t pairs[2][2] = {{0, 2}, {1, 1}};
	for (int i = 0; i < 2; i++) {
		const uint32_t u = pairs[i][0], m = pairs[i][1];
		assert_ok(actual_find(&directory, u, m, NULL, &actual, &err), &err);
		ck_assert(actual.found);
		ck_assert_double_eq(actual.stars, i == 0 ? 2 : 4);
		ck_assert_int_eq(actual.split, split_is_held_out(99, directory.catalog.user_ids[u],
						       directory.catalog.movie_ids[m], 0.25)
						       ? ACTUAL_HELD_OUT
						       : ACTUAL_TRAINED);
	}
	scratch_path(path, sample.root, "other.dat");
	scratch_write(path, "1::5::3::9\n", 11);
	assert_ok(actual_find(&directory, 0, 1, path, &actual, &err), &err);
	ck_assert(actual.found);
	ck_assert_double_eq(actual.stars, 3);
	ck_assert_int_eq(actual.split, ACTUAL_NOT_KNOWN);
	scratch_write(path, "1::5::3\n", 8);
	assert_fails(actual_find(&directory, 0, 1, path, &actual, &err), STATUS_DATA_LOSS, &err,
		"other.dat:1");

	uint8_t seen[SAMPLE_MOVIES] = {0};
	const struct data_options options = {0};
	scratch_path(path, sample.data, "ratings.dat");
	assert_ok(actual_seen(&directory.catalog, 0, path, &options, seen, &err), &err);
	ck_assert(seen[0] && !seen[1] && seen[2] && !seen[3] && !seen[4]);

	/* The data may go away without harm. */
	ck_assert_int_eq(remove(path), 0);
	assert_ok(actual_find(&directory, 0, 2, NULL, &actual, &err), &err);
	ck_assert(!actual.found);
	close_sample();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {names_are_found_and_what_is_unknown_gets_the_choice,
		an_actual_rating_says_whether_training_knew_it, NULL};
	return run_cases("lookup", cases);
}
