/* Catalogs with changed movies, against what each movie should be, id by id. */
#include "common/data/catalog_revise.h"

#include "common/base/random.h"
#include "common/data/title.h"
#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

#define IDS    120u /* that revisions are about */
#define MOVIES 60u  /* of the catalog: 1 .. MOVIES */

static struct catalog catalog;
static char root[PATH_SIZE];

static void open_catalog(void)
{
	struct error err;
	const struct data_options options = {0};
	fixture_grid(root, 5, MOVIES);
	fixture_put(root, "ratings.dat", "1::1::5::9\n");
	assert_ok(catalog_load(&catalog, root, &options, NULL, &err), &err);
}

static void close_catalog(void)
{
	catalog_fini(&catalog);
	scratch_close(root);
}

/* Some change of about a third of the ids. */
static size_t random_revisions(struct random_sequence *random, struct movie_revision *revisions,
	char titles[IDS][32], uint32_t lists[IDS][4])
{
	size_t count = 0;
	for (uint32_t id = 0; id < IDS; id++) {
		if (random_below(random, 3) != 0)
			continue;
		struct movie_revision *revision = &revisions[count];
		*revision = (struct movie_revision){.id = id};
		if (random_below(random, 3) != 0) {
			snprintf(titles[count], sizeof(titles[count]), "Changed %u", id);
			for (size_t i = 0; i < 4; i++)
				lists[count][i] =
					(uint32_t)random_below(random, catalog.words.count);
			revision->title = titles[count];
			revision->words = lists[count];
			revision->word_count = (uint32_t)random_below(random, 5);
			lists[count][0] %= catalog.genres.count;
			revision->genres = lists[count];
			revision->genre_count = (uint32_t)random_below(random, 2);
		}
		count++;
	}
	return count;
}

static void check_movie(
	const struct catalog *from, uint32_t at, const struct catalog *to, uint32_t m)
{
	ck_assert_str_eq(catalog_title(from, at), catalog_title(to, m));
	const uint32_t genres = from->genre_offsets[at + 1] - from->genre_offsets[at];
	const uint32_t words = from->word_offsets[at + 1] - from->word_offsets[at];
	ck_assert_uint_eq(genres, to->genre_offsets[m + 1] - to->genre_offsets[m]);
	ck_assert_uint_eq(words, to->word_offsets[m + 1] - to->word_offsets[m]);
	ck_assert(memcmp(from->genre_values + from->genre_offsets[at],
			  to->genre_values + to->genre_offsets[m], genres * sizeof(uint32_t)) == 0);
	ck_assert(memcmp(from->word_values + from->word_offsets[at],
			  to->word_values + to->word_offsets[m], words * sizeof(uint32_t)) == 0);
}

static void check_revised(const struct movie_revision *revisions, size_t count,
	const struct catalog *before, const struct catalog_numbers *numbers)
{
	uint32_t expected = 0;
	for (uint32_t id = 0; id < IDS; id++) {
		const struct movie_revision *revision = NULL;
		for (size_t r = 0; r < count; r++)
			if (revisions[r].id == id)
				revision = &revisions[r];
		const uint32_t at = catalog_find_movie(before, id);
		const uint32_t m = catalog_find_movie(&catalog, id);
		ck_assert_uint_eq(at, id >= 1 && id <= MOVIES ? id - 1 : UINT32_MAX);
		const bool there = revision ? revision->title != NULL : at != UINT32_MAX;
		ck_assert_uint_eq(m, there ? expected : UINT32_MAX);
		if (at != UINT32_MAX)
			ck_assert_uint_eq(numbers->now[at], m);
		if (!there)
			continue;
		ck_assert_uint_eq(numbers->before[m], at);
		expected++;
		if (!revision) {
			check_movie(before, at, &catalog, m);
			continue;
		}
		ck_assert_str_eq(catalog_title(&catalog, m), revision->title);
		ck_assert_uint_eq(catalog.word_offsets[m + 1] - catalog.word_offsets[m],
			revision->word_count);
		ck_assert(memcmp(catalog.word_values + catalog.word_offsets[m], revision->words,
				  revision->word_count * sizeof(uint32_t)) == 0);
		ck_assert_uint_eq(catalog.genre_offsets[m + 1] - catalog.genre_offsets[m],
			revision->genre_count);
	}
	ck_assert_uint_eq(catalog.movie_count, expected);
}

START_TEST(every_movie_is_what_its_last_change_says)
{
	struct error err;
	struct random_sequence random;
	random_sequence_init(&random, 11, 0);
	open_catalog();
	for (int round = 0; round < 200; round++) {
		static struct movie_revision revisions[IDS];
		static char titles[IDS][32];
		static uint32_t lists[IDS][4];
		struct catalog before;
		struct catalog_numbers numbers;
		const size_t count = random_revisions(&random, revisions, titles, lists);
		assert_ok(
			catalog_revise(&catalog, revisions, count, &before, &numbers, &err), &err);
		check_revised(revisions, count, &before, &numbers);
		/* Back to what it was. */
		struct catalog changed = {0};
		catalog_take_movies(&changed, &catalog);
		catalog_take_movies(&catalog, &before);
		catalog_fini(&changed);
		catalog_numbers_fini(&numbers);
	}
	close_catalog();
}
END_TEST

START_TEST(what_cannot_be_changes_nothing)
{
	struct error err;
	struct catalog before = {0};
	struct catalog_numbers numbers = {0};
	struct movie_revision all[MOVIES];
	const uint32_t large = 1000;
	open_catalog();
	const struct catalog was = catalog;
	const struct movie_revision order[] = {{.id = 9, .title = "a"}, {.id = 9, .title = "b"}};
	assert_fails(catalog_revise(&catalog, order, 2, &before, &numbers, &err), STATUS_DATA_LOSS,
		&err, "do not ascend at entry 1");
	const struct movie_revision genre = {
		.id = 9, .title = "a", .genres = &large, .genre_count = 1};
	assert_fails(catalog_revise(&catalog, &genre, 1, &before, &numbers, &err), STATUS_DATA_LOSS,
		&err, "1000 is not below");
	for (uint32_t m = 0; m < MOVIES; m++)
		all[m] = (struct movie_revision){.id = catalog.movie_ids[m]};
	assert_fails(catalog_revise(&catalog, all, MOVIES, &before, &numbers, &err),
		STATUS_FAILED_PRECONDITION, &err, "no movie would be left");
	const struct movie_revision reserved = {.id = UINT64_MAX, .title = "a"};
	assert_fails(catalog_revise(&catalog, &reserved, 1, &before, &numbers, &err),
		STATUS_DATA_LOSS, &err, "reserved");
	ck_assert_mem_eq(&was, &catalog, sizeof(was));
	close_catalog();
}
END_TEST

static void check_words(
	const char *title, const struct vocabulary *words, const char *wanted, uint32_t missing)
{
	struct error err;
	uint32_t numbers[64], count, not_there;
	char found[256] = "";
	assert_ok(title_number_words(title, words, numbers, &count, &not_there, &err), &err);
	for (uint32_t i = 0; i < count; i++) {
		strcat(found, i ? " " : "");
		strcat(found, vocabulary_entry(words, numbers[i]));
	}
	ck_assert_str_eq(found, wanted);
	ck_assert_uint_eq(not_there, missing);
}

START_TEST(a_titles_words_are_cut_as_the_reader_cuts_them)
{
	struct error err;
	struct vocabulary words;
	static const char *const sorted[] = {"(again)", "caf\xc3\xa9", "story", "story,", "toy"};
	assert_ok(vocabulary_from_words(&words, sorted, 5, &err), &err);
	check_words("Toy Story (1995)", &words, "toy story", 0);
	check_words("  TOY\tstory, Story  (Again)", &words, "toy story, story (again)", 0);
	check_words("CAF\xc3\x89 toys (7)", &words, "caf\xc3\xa9", 1);
	/* The no-break space is a blank; what ISO-8859-1 lacks is in no word. */
	check_words("toy\xc2\xa0story", &words, "toy story", 0);
	check_words("toy\xe4\xb8\xad story\xf0\x9f\x8e\xac \xe4\xb8\xad", &words, "", 3);
	/* Not UTF-8 at all. */
	check_words("\x80\xc3 toy \xff", &words, "toy", 2);
	check_words("(1995)", &words, "", 0);
	check_words("", &words, "", 0);
	vocabulary_fini(&words);
}
END_TEST

START_TEST(a_file_of_movies_alone_is_a_catalog_without_users)
{
	struct error err;
	char directory[PATH_SIZE], path[PATH_SIZE];
	const struct data_options options = {0};
	struct catalog movies;
	scratch_open(directory);
	scratch_path(path, directory, "new.dat");
	fixture_put(directory, "new.dat", "9::Caf\xe9 (1999)::Drama|Comedy\n2::Two::\n");
	assert_ok(catalog_load_movies(&movies, path, &options, NULL, &err), &err);
	ck_assert_uint_eq(movies.movie_count, 2);
	ck_assert_uint_eq(catalog_find_movie(&movies, 9), 1);
	ck_assert_str_eq(catalog_title(&movies, 1), "Caf\xc3\xa9 (1999)");
	ck_assert_uint_eq(movies.genre_offsets[2], 2);
	catalog_fini(&movies);
	fixture_put(directory, "new.dat", "9::A::\n9::B::\n");
	assert_fails(catalog_load_movies(&movies, path, &options, NULL, &err), STATUS_DATA_LOSS,
		&err, "new.dat:2: movie 9 came before");
	fixture_put(directory, "new.dat", "");
	assert_fails(catalog_load_movies(&movies, path, &options, NULL, &err),
		STATUS_FAILED_PRECONDITION, &err, "no movies");
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_movie_is_what_its_last_change_says,
		what_cannot_be_changes_nothing, a_titles_words_are_cut_as_the_reader_cuts_them,
		a_file_of_movies_alone_is_a_catalog_without_users, NULL};
	return run_cases("catalog_revise", cases);
}
