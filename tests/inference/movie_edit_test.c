/* Movies added, updated and removed: what their scores are, who finds them, and what is refused. */
#include "inference/movie_edit.h"

#include "inference/lookup.h"
#include "inference/model_changes.h"
#include "inference/recommend.h"
#include "inference/title_search.h"
#include "tests/inference/sample.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

#define NEAR   1e-5
#define HIDDEN 7 /* floats of a vector */

static struct sample sample;
static struct model_directory directory;
static struct scorer *scorer;
static const struct movie_edit_options no_options = {0};

static struct movie_edit *open_edit(void)
{
	struct error err;
	struct movie_edit *edit;
	assert_ok(movie_edit_open(&edit, sample.model, &no_options, &err), &err);
	return edit;
}

static void commit(struct movie_edit *edit)
{
	struct error err;
	assert_ok(movie_edit_commit(edit, &err), &err);
	movie_edit_close(edit);
}

static void open_model(void)
{
	struct error err;
	assert_ok(model_directory_open(&directory, sample.model, &err), &err);
	assert_ok(scorer_new(&scorer, &directory, &err), &err);
}

static void close_model(void)
{
	scorer_free(scorer);
	model_directory_close(&directory);
}

/* Adds movies 2, 77 and one far away, updates 9 and the stranger, 12, removes 5. */
static void change_movies(void)
{
	struct error err;
	struct movie_edit *edit = open_edit();
	assert_ok(movie_edit_add(
			  edit, UINT64_MAX - 1, "Toy Bride (2005)", "drama|Comedy|DRAMA", &err),
		&err);
	assert_ok(movie_edit_add(edit, 2, "The Unheard-of Story (2003)", "", &err), &err);
	assert_ok(movie_edit_add(edit, 77, "(1999)", "Animation", &err), &err);
	assert_ok(movie_edit_update(edit, 9, "Toy Caf\xc3\xa9 (1988)", NULL, &err), &err);
	assert_ok(movie_edit_update(edit, 12, NULL, "Comedy", &err), &err);
	assert_ok(movie_edit_remove(edit, 5, &err), &err);
	const struct movie_edit_counts counts = movie_edit_counts(edit);
	ck_assert_uint_eq(counts.added, 3);
	ck_assert_uint_eq(counts.updated, 2);
	ck_assert_uint_eq(counts.removed, 1);
	ck_assert_uint_eq(counts.unknown_words, 1);
	commit(edit);
}

/* What change_movies() leaves. */
struct expected {
	uint64_t id;
	const char *title, *genres;
	bool added, unknown;
};

static void check_movie(const struct expected *expected)
{
	struct error err;
	const struct catalog *catalog = &directory.catalog;
	const uint32_t u = 1, m = catalog_find_movie(catalog, expected->id);
	char genres[64];
	float user[HIDDEN], movie[HIDDEN], score;
	ck_assert_uint_ne(m, UINT32_MAX);
	ck_assert_str_eq(catalog_title(catalog, m), expected->title);
	genres_format(catalog, m, genres, sizeof(genres));
	ck_assert_str_eq(genres, expected->genres);
	ck_assert(model_movie_is_added(&directory, m) == expected->added);
	ck_assert(scorer_movie_is_unknown(scorer, m) == expected->unknown);
	assert_ok(scorer_user_vectors(scorer, &u, 1, user, &err), &err);
	assert_ok(scorer_movie_vectors(scorer, &m, 1, movie, &err), &err);
	assert_ok(scorer_score(scorer, user, movie, &score, &err), &err);
	ck_assert_double_eq_tol((double)score,
		sample_score(&directory, catalog->user_ids[u], catalog->genders[u],
			catalog->ages[u], catalog->occupations[u], m, expected->unknown),
		NEAR);
}

static void check_scores(const struct sample_options *options)
{
	const bool known = options->without_unknown;
	const struct expected expected[] = {
		{1, "Toy Story (1995)", "Animation|Children's|Comedy", false, false},
		{2, "The Unheard-of Story (2003)", "", true, true},
		{9, "Toy Caf\xc3\xa9 (1988)", "Drama", false, false},
		{12, "The Bride of the Story (2000)", "Comedy", false, !known},
		{options->far_movie ? SAMPLE_FAR_MOVIE : 30, "(1931)", "Drama", false, false},
		{77, "(1999)", "Animation", true, true},
		{UINT64_MAX - 1, "Toy Bride (2005)", "Drama|Comedy", true, true},
	};
	const size_t count = sizeof(expected) / sizeof(expected[0]);
	sample_open(&sample, options);
	sample_export(&sample);
	change_movies();
	open_model();
	ck_assert_uint_eq(directory.catalog.movie_count, count);
	for (size_t i = 0; i < count; i++)
		check_movie(&expected[i]);
	ck_assert_uint_eq(movie_year(&directory.catalog, 2), 1988);
	close_model();
	sample_close(&sample);
}

START_TEST(added_movies_score_by_genres_and_title_and_updated_ones_keep_their_row)
{
	check_scores(&(struct sample_options){0});
	check_scores(&(struct sample_options){.max_pooling = true});
	check_scores(&(struct sample_options){.far_movie = true});
	check_scores(&(struct sample_options){.without_unknown = true});
	check_scores(&(struct sample_options){.without_unknown = true, .far_movie = true});
}
END_TEST

static void open_changed(void)
{
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	change_movies();
	open_model();
}

static void close_changed(void)
{
	close_model();
	sample_close(&sample);
}

/* Among all that may be named, in the order of what they are asked for. */
static size_t found_by(uint32_t like, uint64_t ids[16])
{
	struct error err;
	struct top_k top;
	const uint32_t u = 0;
	float user[HIDDEN];
	const struct movie_filter filter = FILTER_NOTHING;
	assert_ok(top_k_init(&top, 16, &err), &err);
	assert_ok(scorer_user_vectors(scorer, &u, 1, user, &err), &err);
	assert_ok(like == UINT32_MAX ? recommend(scorer, user, &filter, &top, &err)
				     : similar(scorer, like, &filter, &top, &err),
		&err);
	for (size_t i = 0; i < top.count; i++)
		ids[i] = directory.catalog.movie_ids[top.entries[i].item];
	const size_t count = top.count;
	top_k_fini(&top);
	return count;
}

static bool has(const uint64_t *ids, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

START_TEST(changed_movies_are_named_and_removed_ones_are_not)
{
	struct error err;
	uint64_t ids[16];
	uint32_t number, found[16];
	open_changed();
	const struct catalog *catalog = &directory.catalog;
	/* The stranger, too, which training never met and somebody has updated. */
	ck_assert_uint_eq(found_by(UINT32_MAX, ids), 7);
	assert_ok(lookup_movie(catalog, 77, &number, &err), &err);
	const size_t count = found_by(number, ids);
	ck_assert_uint_eq(count, 6);
	ck_assert(has(ids, count, 12) && has(ids, count, UINT64_MAX - 1) && !has(ids, count, 5));
	assert_fails(lookup_movie(catalog, 5, &number, &err), STATUS_NOT_FOUND, &err, "movie 5");
	const struct movie_filter filter = FILTER_NOTHING;
	ck_assert_uint_eq(title_search(catalog, "bride", &filter, found, 16), 2);
	ck_assert_uint_eq(catalog->movie_ids[found[0]], 12);
	ck_assert_uint_eq(catalog->movie_ids[found[1]], UINT64_MAX - 1);
	struct movie_filter years;
	const struct filter_text text = {.years = "1980-1989"};
	assert_ok(movie_filter_init(&years, catalog, &text, &err), &err);
	ck_assert_uint_eq(title_search(catalog, NULL, &years, found, 16), 1);
	ck_assert_uint_eq(catalog->movie_ids[found[0]], 9);
	movie_filter_fini(&years);
	close_changed();
}
END_TEST

START_TEST(the_model_as_it_was_exported_is_still_to_be_had)
{
	struct model_directory exported;
	struct error err;
	struct scorer *other;
	const float *vectors;
	float *wanted[SAMPLE_MOVIES];
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	open_model();
	assert_ok(scorer_all_movies(scorer, &vectors, &err), &err);
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
		wanted[m] = malloc(HIDDEN * sizeof(float));
		memcpy(wanted[m], vectors + m * HIDDEN, HIDDEN * sizeof(float));
	}
	close_model();
	change_movies();
	open_model();
	model_directory_as_exported(&directory, &exported);
	ck_assert_uint_eq(exported.catalog.movie_count, SAMPLE_MOVIES);
	ck_assert_uint_eq(catalog_find_movie(&exported.catalog, 5), 1);
	assert_ok(scorer_new(&other, &exported, &err), &err);
	assert_ok(scorer_all_movies(other, &vectors, &err), &err);
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
		ck_assert_mem_eq(wanted[m], vectors + m * HIDDEN, HIDDEN * sizeof(float));
		free(wanted[m]);
	}
	scorer_free(other);
	close_changed();
}
END_TEST

START_TEST(what_is_there_already_is_harmless_and_what_cannot_be_is_refused)
{
	struct error err;
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	struct movie_edit *edit = open_edit();
	assert_ok(movie_edit_add(edit, 77, "New (2001)", "Drama", &err), &err);
	assert_ok(movie_edit_add(edit, 77, "New (2001)", "drama", &err), &err);
	assert_ok(movie_edit_add(edit, 5, "Father of the Bride (1995)", "Comedy", &err), &err);
	assert_fails(movie_edit_add(edit, 77, "Newer (2001)", "Drama", &err), STATUS_ALREADY_EXISTS,
		&err, "movie 77 is there already, as 'New (2001)': use update");
	assert_fails(movie_edit_add(edit, 5, "Other", "", &err), STATUS_ALREADY_EXISTS, &err,
		"as 'Father of the Bride (1995)'");
	assert_fails(movie_edit_add(edit, 78, "A", "Drama|Musical", &err), STATUS_NOT_FOUND, &err,
		"movie 78: genre 'Musical' is not known: one of Animation");
	assert_fails(movie_edit_add(edit, 78, "A", "Drama||Comedy", &err), STATUS_INVALID_ARGUMENT,
		&err, "movie 78: genres 'Drama||Comedy'");
	assert_fails(movie_edit_add(edit, 78, "A", "|", &err), STATUS_INVALID_ARGUMENT, &err, "");
	assert_fails(
		movie_edit_add(edit, 78, "A", "Drama|", &err), STATUS_INVALID_ARGUMENT, &err, "");
	assert_fails(movie_edit_add(edit, 78, "", "", &err), STATUS_INVALID_ARGUMENT, &err,
		"title has 0 bytes");
	assert_fails(movie_edit_add(edit, UINT64_MAX, "A", "", &err), STATUS_INVALID_ARGUMENT, &err,
		"reserved");
	assert_fails(movie_edit_update(edit, 78, "A", NULL, &err), STATUS_NOT_FOUND, &err,
		"movie 78 is not in this model: use add");
	assert_fails(movie_edit_remove(edit, 78, &err), STATUS_NOT_FOUND, &err,
		"movie 78 is not in this model");
	assert_ok(movie_edit_remove(edit, 77, &err), &err);
	assert_ok(movie_edit_remove(edit, 77, &err), &err);
	assert_fails(movie_edit_update(edit, 77, "A", NULL, &err), STATUS_NOT_FOUND, &err,
		"movie 77 was removed: use add");
	const uint64_t others[] = {1, 5, 9, 12};
	for (size_t i = 0; i < 4; i++)
		assert_ok(movie_edit_remove(edit, others[i], &err), &err);
	assert_fails(movie_edit_remove(edit, 30, &err), STATUS_FAILED_PRECONDITION, &err,
		"movie 30 is the last");
	commit(edit);
	/* And the same once more, in a later command. */
	edit = open_edit();
	assert_ok(movie_edit_remove(edit, 77, &err), &err);
	assert_fails(
		movie_edit_remove(edit, 30, &err), STATUS_FAILED_PRECONDITION, &err, "the last");
	ck_assert_uint_eq(movie_edit_counts(edit).unchanged, 1);
	commit(edit);
	sample_close(&sample);
}
END_TEST

START_TEST(a_movie_that_is_put_back_is_no_change)
{
	struct error err;
	char path[PATH_SIZE];
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	scratch_path(path, sample.model, MOVIE_CHANGES_NAME);
	struct movie_edit *edit = open_edit();
	assert_ok(movie_edit_remove(edit, 5, &err), &err);
	assert_ok(movie_edit_update(edit, 9, "Other", "Comedy", &err), &err);
	commit(edit);
	ck_assert(file_exists(path));
	edit = open_edit();
	assert_ok(movie_edit_add(edit, 5, "Father of the Bride (1995)", "Comedy", &err), &err);
	assert_ok(movie_edit_update(edit, 9, "Caf\xc3\xa9 Story (1999)", "Drama", &err), &err);
	commit(edit);
	ck_assert(!file_exists(path));
	sample_close(&sample);
}
END_TEST

START_TEST(there_is_one_editor_at_a_time)
{
	struct error err;
	struct movie_edit *other;
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	struct movie_edit *edit = open_edit();
	assert_fails(movie_edit_open(&other, sample.model, &no_options, &err),
		STATUS_FAILED_PRECONDITION, &err, "being changed by another command");
	assert_ok(movie_edit_add(edit, 77, "New (2001)", "Drama", &err), &err);
	commit(edit);
	edit = open_edit();
	assert_ok(movie_edit_add(edit, 78, "Newer (2002)", "Drama", &err), &err);
	movie_edit_close(edit); /* forgotten */
	open_model();
	ck_assert_uint_eq(directory.catalog.movie_count, SAMPLE_MOVIES + 1);
	close_model();
	assert_fails(movie_edit_open(&other, "/nowhere", &no_options, &err), STATUS_NOT_FOUND, &err,
		"no such directory");
	sample_close(&sample);
}
END_TEST

START_TEST(changes_outlive_an_export_and_genres_that_the_new_model_lacks)
{
	struct error err;
	struct export_report report;
	const struct movie_edit_options accept = {.accept_unknown_genres = true};
	struct movie_edit *edit;
	open_changed();
	close_model();
	assert_ok(movie_edit_open(&edit, sample.model, &accept, &err), &err);
	assert_ok(movie_edit_add(edit, 99, "Odd (2020)", "Musical|Drama|Musical", &err), &err);
	ck_assert_uint_eq(movie_edit_counts(edit).unknown_genres, 2);
	commit(edit);
	const struct export_options options = {
		.checkpoint = sample.checkpoints, .out = sample.model, .npy = true, .onnx = true};
	assert_ok(export_model(&options, &report, &err), &err);
	ck_assert_uint_eq(report.kept_changes, 7);
	open_model();
	ck_assert_uint_eq(directory.catalog.movie_count, 8);
	check_movie(&(struct expected){99, "Odd (2020)", "Drama", true, true});
	check_movie(&(struct expected){9, "Toy Caf\xc3\xa9 (1988)", "Drama", false, false});
	close_changed();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		added_movies_score_by_genres_and_title_and_updated_ones_keep_their_row,
		changed_movies_are_named_and_removed_ones_are_not,
		the_model_as_it_was_exported_is_still_to_be_had,
		what_is_there_already_is_harmless_and_what_cannot_be_is_refused,
		a_movie_that_is_put_back_is_no_change, there_is_one_editor_at_a_time,
		changes_outlive_an_export_and_genres_that_the_new_model_lacks, NULL};
	return run_cases("movie_edit", cases);
}
