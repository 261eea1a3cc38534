#include "common/data/catalog.h"

#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

static const struct data_options strict = {0};
static const struct data_options lenient = {.skip_bad_lines = true};

static void load(const char *directory, struct catalog *ret)
{
	struct error err;
	struct data_report report = {0};
	assert_ok(catalog_load(ret, directory, &strict, &report, &err), &err);
	ck_assert_uint_eq(report.skipped_lines, 0);
}

/* The entries that values[first..end) name, joined. */
static const char *join(const struct vocabulary *vocabulary, const uint32_t *values, uint32_t first,
	uint32_t end, char separator)
{
	static char text[256];
	size_t used = 0;
	text[0] = '\0';
	for (uint32_t i = first; i < end; i++) {
		if (i > first)
			text[used++] = separator;
		const char *entry = vocabulary_entry(vocabulary, values[i]);
		ck_assert_uint_lt(used + strlen(entry), sizeof(text) - 2);
		memcpy(text + used, entry, strlen(entry) + 1);
		used += strlen(entry);
	}
	return text;
}

static const char *words_of(const struct catalog *catalog, uint32_t movie)
{
	return join(&catalog->words, catalog->word_values, catalog->word_offsets[movie],
		catalog->word_offsets[movie + 1], ' ');
}

static const char *genres_of(const struct catalog *catalog, uint32_t movie)
{
	return join(&catalog->genres, catalog->genre_values, catalog->genre_offsets[movie],
		catalog->genre_offsets[movie + 1], '|');
}

START_TEST(ml_1m_users_are_numbered_in_the_order_of_their_ids)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	load(directory, &catalog);
	ck_assert_int_eq(catalog.layout, LAYOUT_ML_1M);
	ck_assert_uint_eq(catalog.user_count, 3);
	ck_assert_mem_eq(catalog.user_ids, ((uint64_t[]){3, 7, 20}), 3 * sizeof(uint64_t));
	ck_assert_mem_eq(catalog.genders, ((uint8_t[]){0, 1, 0}), 3);
	ck_assert_mem_eq(catalog.ages, ((uint8_t[]){0, 2, 6}), 3);
	ck_assert_mem_eq(catalog.occupations, ((uint16_t[]){0, 20, 12}), 3 * sizeof(uint16_t));
	ck_assert_uint_eq(catalog.occupation_names.count, 21);
	ck_assert_str_eq(vocabulary_entry(&catalog.occupation_names, 20), "writer");
	ck_assert_uint_eq(catalog_find_user(&catalog, 7), 1);
	ck_assert_uint_eq(catalog_find_user(&catalog, 8), UINT32_MAX);
	ck_assert_uint_eq(catalog_find_user(&catalog, UINT64_MAX), UINT32_MAX);
	ck_assert_uint_eq(catalog_user_rows(&catalog), 21);
	ck_assert_uint_eq(catalog_movie_rows(&catalog), 41);
	ck_assert_uint_eq(catalog_occupation_rows(&catalog), 21);
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(titles_become_utf_8_and_lower_case_words_without_the_year)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	load(directory, &catalog);
	ck_assert_str_eq(catalog_title(&catalog, 0), "Été, L' (Summer, The) (1999)");
	ck_assert_str_eq(words_of(&catalog, 0), "été, l' (summer, the)");
	ck_assert_str_eq(words_of(&catalog, 1), "the quiet harbour");
	ck_assert_str_eq(words_of(&catalog, 2), "untitled");
	ck_assert_str_eq(words_of(&catalog, 3), "echo echo (again)");
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(vocabularies_are_sorted_bytewise_and_genres_keep_the_order_of_the_file)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	load(directory, &catalog);
	ck_assert_uint_eq(catalog.genres.count, 4);
	ck_assert_str_eq(vocabulary_entry(&catalog.genres, 0), "Action");
	ck_assert_str_eq(vocabulary_entry(&catalog.genres, 3), "Western");
	ck_assert_str_eq(genres_of(&catalog, 3), "Western|Drama|Action");
	ck_assert_uint_eq(vocabulary_find(&catalog.genres, "Drama"), 2);
	ck_assert_uint_eq(vocabulary_find(&catalog.genres, "drama"), UINT32_MAX);
	for (uint32_t i = 1; i < catalog.words.count; i++)
		ck_assert_int_lt(strcmp(vocabulary_entry(&catalog.words, i - 1),
					 vocabulary_entry(&catalog.words, i)),
			0);
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(every_latin_1_letter_is_lowered_as_unicode_says)
{
	/* 0xD7 is the multiplication sign, 0xDF and 0xFF have no capital here. */
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	fixture_put(
		directory, "movies.dat", "1::\xc0\xd6\xd7\xd8\xde\xdf\xff\xb5Z (1990)::Drama\n");
	load(directory, &catalog);
	ck_assert_str_eq(words_of(&catalog, 0), "àö×øþßÿµz");
	catalog_fini(&catalog);
	/* Blanks: the no-break space separates as well. */
	fixture_put(directory, "movies.dat", "1:: A\xa0 B\t(C)  (1990) ::Drama\n");
	load(directory, &catalog);
	ck_assert_str_eq(words_of(&catalog, 0), "a b (c)");
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(only_digits_in_parentheses_at_the_end_are_a_year)
{
	static const char *const cases[][2] = {{"Night (1990)", "night"}, {"(1990)", ""},
		{"Night ()", "night ()"}, {"Night (199x)", "night (199x)"},
		{"Night (1990) (V)", "night (1990) (v)"}, {"Night 1990)", "night 1990)"},
		{"1990)", "1990)"}, {"Night(1)", "night"}, {"", ""}, {")", ")"}, {"()", "()"}};
	char directory[PATH_SIZE], line[64];
	fixture_ml_1m(directory);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct catalog catalog;
		snprintf(line, sizeof(line), "1::%s::Drama\n", cases[i][0]);
		fixture_put(directory, "movies.dat", line);
		load(directory, &catalog);
		ck_assert_str_eq(words_of(&catalog, 0), cases[i][1]);
		ck_assert_str_eq(catalog_title(&catalog, 0), cases[i][0]);
		catalog_fini(&catalog);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(a_title_may_have_colons_and_a_movie_no_genre_or_one_twice)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	fixture_put(directory, "movies.dat",
		"1::Space::Time (1990)::Drama\n2::Blank (1991)::\n3::Twice (1992)::Drama|Drama\n");
	load(directory, &catalog);
	ck_assert_str_eq(catalog_title(&catalog, 0), "Space::Time (1990)");
	ck_assert_str_eq(genres_of(&catalog, 1), "");
	ck_assert_str_eq(genres_of(&catalog, 2), "Drama");
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(ml_100k_is_recognised_and_its_ages_names_and_flags_are_translated)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_100k(directory);
	load(directory, &catalog);
	ck_assert_int_eq(catalog.layout, LAYOUT_ML_100K);
	ck_assert_uint_eq(catalog.user_count, 4);
	ck_assert_mem_eq(catalog.ages, ((uint8_t[]){0, 0, 6, 4}), 4);
	ck_assert_mem_eq(catalog.genders, ((uint8_t[]){0, 1, 0, 1}), 4);
	ck_assert_mem_eq(catalog.occupations, ((uint16_t[]){0, 2, 2, 1}), 4 * sizeof(uint16_t));
	ck_assert_str_eq(vocabulary_entry(&catalog.occupation_names, 1), "clerk");
	ck_assert_uint_eq(catalog.genres.count, 3);
	ck_assert_str_eq(genres_of(&catalog, 0), "Drama|Action");
	ck_assert_str_eq(genres_of(&catalog, 1), "unknown");
	ck_assert_str_eq(genres_of(&catalog, 2), "");
	ck_assert_str_eq(words_of(&catalog, 0), "long road, the");
	ck_assert_str_eq(words_of(&catalog, 2), "old tale");
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

START_TEST(ages_fall_into_the_largest_bucket_that_is_not_above_them)
{
	static const uint8_t expected[][2] = {{0, 0}, {1, 0}, {17, 0}, {18, 1}, {24, 1}, {25, 2},
		{34, 2}, {35, 3}, {44, 3}, {45, 4}, {49, 4}, {50, 5}, {55, 5}, {56, 6}, {120, 6}};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_uint_eq(age_bucket_of(expected[i][0]), expected[i][1]);
	ck_assert_str_eq(age_bucket_name(age_bucket_of(30)), "25-34");
}
END_TEST

START_TEST(sparse_ids_up_to_the_reserved_one_are_found)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	fixture_ml_1m(directory);
	fixture_put(directory, "users.dat",
		"18446744073709551614::M::25::1::1\n0::M::25::1::1\n5000000000::F::25::1::1\n");
	load(directory, &catalog);
	ck_assert_uint_eq(catalog_find_user(&catalog, 0), 0);
	ck_assert_uint_eq(catalog_find_user(&catalog, 5000000000u), 1);
	ck_assert_uint_eq(catalog_find_user(&catalog, UINT64_MAX - 1), 2);
	ck_assert_uint_eq(catalog_find_user(&catalog, 17), UINT32_MAX);
	ck_assert_uint_eq(catalog_find_user(&catalog, UINT64_MAX), UINT32_MAX);
	ck_assert_uint_eq(catalog_user_rows(&catalog), UINT64_MAX);
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

/* Replaces a file of a layout by one line behind a good first one, and expects the message. */
static void expect_bad(void (*fixture)(char *), const char *name, const char *text,
	const char *place, const char *reason, const char *expected, const char *found)
{
	char directory[PATH_SIZE], message[PATH_SIZE + 512];
	struct catalog catalog;
	struct error err;
	struct data_report report = {0};
	fixture(directory);
	fixture_put(directory, name, text);
	snprintf(message, sizeof(message), "%s/%s:%s: %s%sexpected %s, found '%s'", directory, name,
		place, reason, reason[0] ? ": " : "", expected, found);
	assert_fails(catalog_load(&catalog, directory, &strict, &report, &err), STATUS_DATA_LOSS,
		&err, message);
	assert_ok(catalog_load(&catalog, directory, &lenient, &report, &err), &err);
	ck_assert_uint_eq(report.skipped_lines, 1);
	ck_assert_str_eq(report.first_bad_line, message);
	catalog_fini(&catalog);
	scratch_close(directory);
}

START_TEST(bad_lines_of_users_dat_say_what_is_wrong_and_may_be_skipped)
{
	static const char *const cases[][2] = {{"2::M::25::1", ""}, {"", ""},
		{"x::M::25::1::1", "user id is not a number"},
		{"::M::25::1::1", "user id is not a number"},
		{"-2::M::25::1::1", "user id is not a number"},
		{"18446744073709551616::M::25::1::1", "user id does not fit 64 bits"},
		{"18446744073709551615::M::25::1::1", "user id 18446744073709551615 is reserved"},
		{"1::M::25::1::1", "user 1 came before"},
		{"2::X::25::1::1", "gender is neither M nor F"},
		{"2::M::26::1::1", "age is none of 1, 18, 25, 35, 45, 50, 56"},
		{"2::M::25::21::1", "occupation is not a number from 0 to 20"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text), "1::F::25::1::1\n%s\n3::F::25::1::1\n", cases[i][0]);
		expect_bad(fixture_ml_1m, "users.dat", text, "2", cases[i][1],
			"UserID::Gender::Age::Occupation::Zip-code", cases[i][0]);
	}
}
END_TEST

START_TEST(bad_lines_of_movies_dat_say_what_is_wrong_and_may_be_skipped)
{
	static const char *const cases[][2] = {{"2::Night (1990)", ""}, {"2", ""},
		{"2:Night (1990):Drama", ""}, {"1::Night (1990)::Drama", "movie 1 came before"},
		{"99999999999999999999::Night (1990)::Drama", "movie id does not fit 64 bits"},
		{"2::Night (1990)::Drama||War", "a genre without a name"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text), "1::Day (1990)::War\n%s\n", cases[i][0]);
		expect_bad(fixture_ml_1m, "movies.dat", text, "2", cases[i][1],
			"MovieID::Title::Genres", cases[i][0]);
	}
}
END_TEST

START_TEST(bad_lines_of_the_ml_100k_files_say_what_is_wrong_and_may_be_skipped)
{
	const char *const item = "id|title|release date|video release date|URL|genre flags";
	const char *const flags = "not 3 genre flags at the end, as u.genre has genres";
	expect_bad(fixture_ml_100k, "u.user", "1|30|M|baker|1\n2|old|M|baker|1\n", "2",
		"age is not a number of years", "id|age|gender|occupation|zip code",
		"2|old|M|baker|1");
	expect_bad(fixture_ml_100k, "u.user", "1|30|M|baker|1\n2|30|M||1\n", "2", "no occupation",
		"id|age|gender|occupation|zip code", "2|30|M||1");
	expect_bad(fixture_ml_100k, "u.item", "1|A (1990)||||0|1|0\n2|B (1990)||||0|1\n", "2",
		flags, item, "2|B (1990)||||0|1");
	expect_bad(fixture_ml_100k, "u.item", "1|A (1990)||||0|1|0\n2|B (1990)||||0|1|2\n", "2",
		flags, item, "2|B (1990)||||0|1|2");
	expect_bad(fixture_ml_100k, "u.genre", "unknown|0\nDrama|1\nAction|2\nWar|9\n", "4",
		"number 3 is next", "name|number", "War|9");
}
END_TEST

START_TEST(the_found_text_is_cut_and_its_unprintable_bytes_are_escaped)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct catalog catalog;
	struct error err;
	char text[300] = "1\x1b[2J\t\xe9";
	memset(text + 7, 'x', 200);
	fixture_ml_1m(directory);
	fixture_put(directory, "users.dat", text);
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err), STATUS_DATA_LOSS, &err,
		"found '1\\x1b[2J\\t\\xe9xxx");
	ck_assert_ptr_nonnull(strstr(err.message, "xxx...'"));
	scratch_write(scratch_path(path, directory, "users.dat"), "1::M::25\0::1::1\n", 16);
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err), STATUS_DATA_LOSS, &err,
		"users.dat:1: a zero byte: expected");
	scratch_close(directory);
}
END_TEST

START_TEST(missing_and_empty_files_are_named)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct catalog catalog;
	struct error err;
	assert_fails(catalog_load(&catalog, "/nonexistent/data", &strict, NULL, &err),
		STATUS_NOT_FOUND, &err, "/nonexistent/data: no such directory");
	scratch_open(directory);
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err), STATUS_NOT_FOUND, &err,
		"no MovieLens data in it: expected users.dat, movies.dat and ratings.dat");
	scratch_close(directory);
	fixture_ml_1m(directory);
	ck_assert_int_eq(remove(scratch_path(path, directory, "movies.dat")), 0);
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err), STATUS_NOT_FOUND, &err,
		"movies.dat: No such file");
	fixture_put(directory, "movies.dat", "\n\n");
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err),
		STATUS_FAILED_PRECONDITION, &err, "movies.dat: no movies");
	fixture_put(directory, "users.dat", "");
	assert_fails(catalog_load(&catalog, directory, &strict, NULL, &err),
		STATUS_FAILED_PRECONDITION, &err, "users.dat: no users");
	scratch_close(directory);
}
END_TEST

START_TEST(crlf_and_a_missing_last_line_end_change_nothing)
{
	char directory[PATH_SIZE];
	struct catalog plain, crlf;
	fixture_ml_1m(directory);
	fixture_put(directory, "users.dat", "1::M::25::1::1\n2::F::1::3::1\n");
	fixture_put(directory, "movies.dat", "1::A (1990)::War\n2::B (1991)::Drama\n");
	load(directory, &plain);
	fixture_put(directory, "users.dat", "1::M::25::1::1\r\n2::F::1::3::1\r\n\r\n\n");
	fixture_put(directory, "movies.dat", "1::A (1990)::War\r\n2::B (1991)::Drama");
	load(directory, &crlf);
	ck_assert_uint_eq(crlf.user_count, 2);
	ck_assert_uint_eq(crlf.genres.count, 2);
	ck_assert_mem_eq(crlf.titles, plain.titles, plain.title_offsets[2]);
	ck_assert_mem_eq(crlf.genres.text, plain.genres.text, plain.genres.offsets[2]);
	catalog_fini(&plain);
	catalog_fini(&crlf);
	scratch_close(directory);
}
END_TEST

START_TEST(a_restored_catalog_is_checked_before_it_is_used)
{
	char directory[PATH_SIZE];
	struct catalog catalog;
	struct error err;
	fixture_ml_1m(directory);
	load(directory, &catalog);
	assert_ok(catalog_index(&catalog, &err), &err);

	catalog.genders[1] = 2;
	assert_fails(catalog_index(&catalog, &err), STATUS_DATA_LOSS, &err,
		"user 7: a feature is out of range");
	catalog.genders[1] = 1;
	catalog.movie_ids[1] = catalog.movie_ids[0];
	assert_fails(
		catalog_index(&catalog, &err), STATUS_DATA_LOSS, &err, "movie ids do not ascend");
	catalog.movie_ids[1] = 5;
	uint32_t kept = catalog.genre_values[2];
	catalog.genre_values[2] = catalog.genres.count;
	assert_fails(
		catalog_index(&catalog, &err), STATUS_DATA_LOSS, &err, "genres: 4 is not below 4");
	catalog.genre_values[2] = kept;
	kept = catalog.word_offsets[1];
	catalog.word_offsets[1] = UINT32_MAX;
	assert_fails(
		catalog_index(&catalog, &err), STATUS_DATA_LOSS, &err, "words: offset 2 descends");
	catalog.word_offsets[1] = kept;
	catalog.titles[0] = '\0';
	assert_fails(catalog_index(&catalog, &err), STATUS_DATA_LOSS, &err,
		"titles: entry 0 does not end where it should");
	catalog.titles[0] = 'E';
	assert_ok(catalog_index(&catalog, &err), &err);
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {ml_1m_users_are_numbered_in_the_order_of_their_ids,
		titles_become_utf_8_and_lower_case_words_without_the_year,
		vocabularies_are_sorted_bytewise_and_genres_keep_the_order_of_the_file,
		every_latin_1_letter_is_lowered_as_unicode_says,
		only_digits_in_parentheses_at_the_end_are_a_year,
		a_title_may_have_colons_and_a_movie_no_genre_or_one_twice,
		ml_100k_is_recognised_and_its_ages_names_and_flags_are_translated,
		ages_fall_into_the_largest_bucket_that_is_not_above_them,
		sparse_ids_up_to_the_reserved_one_are_found,
		bad_lines_of_users_dat_say_what_is_wrong_and_may_be_skipped,
		bad_lines_of_movies_dat_say_what_is_wrong_and_may_be_skipped,
		bad_lines_of_the_ml_100k_files_say_what_is_wrong_and_may_be_skipped,
		the_found_text_is_cut_and_its_unprintable_bytes_are_escaped,
		missing_and_empty_files_are_named, crlf_and_a_missing_last_line_end_change_nothing,
		a_restored_catalog_is_checked_before_it_is_used, NULL};
	return run_cases("catalog", cases);
}
