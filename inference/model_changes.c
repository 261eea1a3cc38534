#include "inference/model_changes.h"

#include "common/base/memory.h"
#include "common/data/title.h"

#include <stdlib.h>
#include <string.h>

/* The changes with numbers in place of names. */
struct revisions {
	struct movie_revision *movies; /* [count], owned, as the following */
	uint32_t *genres, *words;
	size_t genre_count, word_count, genre_capacity, word_capacity;
};

static void revisions_fini(struct revisions *revisions)
{
	free(revisions->movies);
	free(revisions->genres);
	free(revisions->words);
}

/* Numbers the genres that the model knows, each once. */
static enum status add_genres(struct revisions *revisions, const struct catalog *catalog,
	const char *names, uint32_t *ret_count, struct error *err)
{
	char name[MOVIE_GENRE_SIZE];
	const size_t first = revisions->genre_count;
	while (movie_genres_next(&names, name)) {
		const uint32_t genre = vocabulary_find(&catalog->genres, name);
		bool wanted = genre != UINT32_MAX;
		for (size_t i = first; i < revisions->genre_count; i++)
			wanted = wanted && revisions->genres[i] != genre;
		if (!wanted)
			continue;
		enum status status = memory_grow(&revisions->genres, &revisions->genre_capacity,
			revisions->genre_count + 1, sizeof(uint32_t), "genres", err);
		if (status != STATUS_OK)
			return status;
		revisions->genres[revisions->genre_count++] = genre;
	}
	*ret_count = (uint32_t)(revisions->genre_count - first);
	return STATUS_OK;
}

static enum status add_words(struct revisions *revisions, const struct catalog *catalog,
	const char *title, uint32_t *ret_count, struct error *err)
{
	uint32_t missing;
	enum status status = memory_grow(&revisions->words, &revisions->word_capacity,
		revisions->word_count + strlen(title), sizeof(uint32_t), "title words", err);
	if (status == STATUS_OK)
		status = title_number_words(title, &catalog->words,
			revisions->words + revisions->word_count, ret_count, &missing, err);
	if (status == STATUS_OK)
		revisions->word_count += *ret_count;
	return status;
}

static enum status number(struct revisions *revisions, const struct catalog *catalog,
	const struct movie_changes *changes, struct error *err)
{
	enum status status = memory_zalloc(&revisions->movies, changes->count,
		sizeof(*revisions->movies), "changed movies", err);
	for (size_t i = 0; status == STATUS_OK && i < changes->count; i++) {
		const struct movie_change *change = &changes->changes[i];
		struct movie_revision *movie = &revisions->movies[i];
		movie->id = change->id;
		movie->title = change->title;
		if (!change->title)
			continue;
		status = add_genres(revisions, catalog, change->genres, &movie->genre_count, err);
		if (status == STATUS_OK)
			status = add_words(
				revisions, catalog, change->title, &movie->word_count, err);
	}
	/* The lists have their places only now. */
	size_t genre = 0, word = 0;
	for (size_t i = 0; status == STATUS_OK && i < changes->count; i++) {
		struct movie_revision *movie = &revisions->movies[i];
		if (movie->genre_count > 0)
			movie->genres = revisions->genres + genre;
		if (movie->word_count > 0)
			movie->words = revisions->words + word;
		genre += movie->genre_count;
		word += movie->word_count;
	}
	return status;
}

/* Everything about the new movies that is not in their catalog. */
static enum status describe(struct model_changes *ret, const struct catalog *catalog,
	const struct movie_changes *changes, const uint8_t *trained_before, uint8_t **ret_trained,
	struct error *err)
{
	const uint32_t count = catalog->movie_count;
	const uint32_t *before = ret->numbers.before;
	enum status status = memory_zalloc(ret_trained, count, 1, "movies", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&ret->changed, count, 1, "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&ret->list, changes->count, sizeof(uint32_t), "movies", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t m = 0; m < count; m++)
		if (before[m] != MOVIE_NOT_THERE)
			(*ret_trained)[m] = trained_before[before[m]];
	for (size_t i = 0; i < changes->count; i++) {
		if (!changes->changes[i].title)
			continue;
		const uint32_t m = catalog_find_movie(catalog, changes->changes[i].id);
		ret->changed[m] = 1;
		ret->list[ret->count++] = m;
		ret->added += before[m] == MOVIE_NOT_THERE;
	}
	ret->removed = ret->exported.movie_count + ret->added - count;
	return STATUS_OK;
}

enum status model_changes_use(
	struct model_directory *directory, const struct movie_changes *changes, struct error *err)
{
	struct revisions revisions = {0};
	struct model_changes made = {0};
	struct catalog *catalog = &directory->catalog;
	uint8_t *trained = NULL;
	enum status status = number(&revisions, catalog, changes, err);
	if (status == STATUS_OK)
		status = catalog_revise(catalog, revisions.movies, changes->count, &made.exported,
			&made.numbers, err);
	revisions_fini(&revisions);
	if (status != STATUS_OK)
		return status;
	status = describe(&made, catalog, changes, directory->trained.movies, &trained, err);
	made.exported_trained = directory->trained.movies;
	directory->trained.movies = trained;
	directory->changes = made;
	return status;
}

enum status model_changes_apply(struct model_directory *directory, struct error *err)
{
	struct movie_changes changes;
	enum status status = movie_changes_read(&changes, directory->path, err);
	if (status != STATUS_OK || changes.count == 0)
		return status;
	status = model_changes_use(directory, &changes, err);
	movie_changes_fini(&changes);
	return status == STATUS_OK
		       ? status
		       : error_wrap(err, status, "%s/" MOVIE_CHANGES_NAME, directory->path);
}

void model_changes_fini(struct model_changes *changes)
{
	catalog_fini(&changes->exported);
	catalog_numbers_fini(&changes->numbers);
	free(changes->exported_trained);
	free(changes->changed);
	free(changes->list);
	*changes = (struct model_changes){0};
}

bool model_movie_is_added(const struct model_directory *directory, uint32_t movie)
{
	const uint32_t *before = directory->changes.numbers.before;
	return before && before[movie] == MOVIE_NOT_THERE;
}

bool model_movie_is_changed(const struct model_directory *directory, uint32_t movie)
{
	return directory->changes.changed && directory->changes.changed[movie];
}

void model_directory_as_exported(
	const struct model_directory *directory, struct model_directory *ret)
{
	*ret = *directory;
	if (!directory->changes.changed)
		return;
	catalog_take_movies(&ret->catalog, &directory->changes.exported);
	ret->trained.movies = directory->changes.exported_trained;
	ret->changes = (struct model_changes){0};
}
