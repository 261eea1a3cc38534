#include "inference/actual.h"

#include "common/base/file.h"
#include "common/data/split.h"

#include <stdlib.h>
#include <string.h>

/* The first rating of the pair in a file. */
static enum status find_in(const struct catalog *catalog, uint32_t user, uint32_t movie,
	const char *path, const struct data_options *options, bool *ret_found, double *ret_stars,
	struct error *err)
{
	struct ratings_reader reader;
	struct rating rating;
	bool done = false, found = false;
	enum status status = ratings_reader_open(&reader, catalog, path, options, NULL, err);
	if (status != STATUS_OK)
		return status;
	while (status == STATUS_OK && !done && !found) {
		status = ratings_reader_next(&reader, &rating, &done, err);
		found = status == STATUS_OK && !done && rating.user == user &&
			rating.movie == movie;
	}
	ratings_reader_close(&reader);
	if (status == STATUS_OK) {
		*ret_found = found;
		*ret_stars = found ? (double)rating.stars : 0;
	}
	return status;
}

/* Whether both paths name the same existing file. */
static bool same_file(const char *a, const char *b)
{
	char *left = realpath(a, NULL), *right = realpath(b, NULL);
	const bool same = left && right && strcmp(left, right) == 0;
	free(left);
	free(right);
	return same;
}

/* The split of a rating that stands in the ratings file of the training. */
static enum actual_split split_of(
	const struct model_directory *directory, uint32_t user, uint32_t movie)
{
	const struct data_source *source = &directory->about.data;
	const struct catalog *catalog = &directory->catalog;
	const bool held_out =
		!source->test_ratings && split_is_held_out(source->seed, catalog->user_ids[user],
						 catalog->movie_ids[movie], source->holdout);
	return held_out ? ACTUAL_HELD_OUT : ACTUAL_TRAINED;
}

static enum status find_in_named(const struct model_directory *directory, uint32_t user,
	uint32_t movie, const char *ratings, const char *training, struct actual *ret,
	struct error *err)
{
	const struct data_source *source = &directory->about.data;
	const struct data_options strict = {.former = &directory->changes.exported};
	struct actual actual = {.split = ACTUAL_NOT_KNOWN};
	enum status status = find_in(&directory->catalog, user, movie, ratings, &strict,
		&actual.found, &actual.stars, err);
	if (status != STATUS_OK)
		return status;
	if (actual.found && same_file(ratings, training))
		actual.split = split_of(directory, user, movie);
	else if (actual.found && source->test_ratings && same_file(ratings, source->test_ratings))
		actual.split = ACTUAL_HELD_OUT;
	*ret = actual;
	return STATUS_OK;
}

enum status actual_find(const struct model_directory *directory, uint32_t user, uint32_t movie,
	const char *ratings, struct actual *ret, struct error *err)
{
	const struct data_source *source = &directory->about.data;
	const struct catalog *catalog = &directory->catalog;
	const struct data_options lenient = {.skip_bad_lines = true};
	struct actual actual = {.split = ACTUAL_HELD_OUT};
	char training[PATH_SIZE];
	enum status status =
		path_join(training, source->directory, layout_ratings_file(catalog->layout), err);
	if (status != STATUS_OK)
		return status;
	if (ratings)
		return find_in_named(directory, user, movie, ratings, training, ret, err);
	/* Best effort: that the data has moved or changed is nothing a prediction depends on. */
	if (source->test_ratings && file_exists(source->test_ratings) &&
		find_in(catalog, user, movie, source->test_ratings, &lenient, &actual.found,
			&actual.stars, NULL) != STATUS_OK)
		actual.found = false;
	if (!actual.found && file_exists(training)) {
		if (find_in(catalog, user, movie, training, &lenient, &actual.found, &actual.stars,
			    NULL) != STATUS_OK)
			actual.found = false;
		actual.split = split_of(directory, user, movie);
	}
	*ret = actual;
	return STATUS_OK;
}

enum status actual_seen(const struct catalog *catalog, uint32_t user, const char *ratings,
	const struct data_options *options, uint8_t *seen, struct error *err)
{
	struct ratings_reader reader;
	struct rating rating;
	bool done = false;
	enum status status = ratings_reader_open(&reader, catalog, ratings, options, NULL, err);
	if (status != STATUS_OK)
		return status;
	while (status == STATUS_OK && !done) {
		status = ratings_reader_next(&reader, &rating, &done, err);
		if (status == STATUS_OK && !done && rating.user == user)
			seen[rating.movie] = 1;
	}
	ratings_reader_close(&reader);
	return status;
}
