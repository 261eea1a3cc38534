#include "inference/movie_edit.h"

#include "common/base/id_set.h"
#include "common/base/memory.h"
#include "common/data/title.h"
#include "inference/lookup.h"
#include "inference/model_changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GENRES_SIZE (MOVIE_GENRES_MAX * MOVIE_GENRE_SIZE)

struct movie_edit {
	struct model_directory directory; /* with the changes that were there */
	struct model_directory exported;  /* without; borrows from it */
	int lock;
	bool accept_unknown_genres;
	struct movie_changes changes;
	struct id_set ids; /* of the changes, at the same places */
	uint64_t movies;   /* that there are now */
	struct movie_edit_counts counts;
	uint32_t *words; /* [MOVIE_TITLE_MAX] */
};

/* What there is of a movie. */
enum presence { NEVER_THERE, REMOVED, THERE };

static enum status index_changes(struct movie_edit *edit, struct error *err)
{
	enum status status = id_set_init(&edit->ids, 64, err);
	for (size_t i = 0; status == STATUS_OK && i < edit->changes.count; i++) {
		uint32_t position;
		status = id_set_add(&edit->ids, edit->changes.changes[i].id, &position, err);
	}
	return status;
}

enum status movie_edit_open(struct movie_edit **ret, const char *directory,
	const struct movie_edit_options *options, struct error *err)
{
	struct movie_edit *edit;
	enum status status = memory_zalloc(&edit, 1, sizeof(*edit), "changes", err);
	if (status != STATUS_OK)
		return status;
	edit->accept_unknown_genres = options->accept_unknown_genres;
	edit->lock = -1;
	if (!directory_exists(directory))
		status = error_set(err, STATUS_NOT_FOUND, "%s: no such directory", directory);
	if (status == STATUS_OK)
		status = movie_changes_lock(directory, options->wait_s, &edit->lock, err);
	if (status == STATUS_OK)
		status = model_directory_open(&edit->directory, directory, err);
	if (status == STATUS_OK)
		status = movie_changes_read(&edit->changes, directory, err);
	if (status == STATUS_OK)
		status = index_changes(edit, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&edit->words, MOVIE_TITLE_MAX, sizeof(*edit->words), "title", err);
	if (status != STATUS_OK) {
		movie_edit_close(edit);
		return status;
	}
	model_directory_as_exported(&edit->directory, &edit->exported);
	edit->movies = edit->directory.catalog.movie_count;
	*ret = edit;
	return STATUS_OK;
}

void movie_edit_close(struct movie_edit *edit)
{
	if (!edit)
		return;
	id_set_fini(&edit->ids);
	movie_changes_fini(&edit->changes);
	model_directory_close(&edit->directory);
	free(edit->words);
	if (edit->lock >= 0)
		close(edit->lock);
	free(edit);
}

/* The movie as it is now; `genres` is the caller's place for those of an exported one. */
static enum presence look(const struct movie_edit *edit, uint64_t id, const char **ret_title,
	const char **ret_genres, char genres[GENRES_SIZE])
{
	const struct catalog *catalog = &edit->exported.catalog;
	const uint32_t position = id_set_find(&edit->ids, id);
	const uint32_t movie = catalog_find_movie(catalog, id);
	if (position != UINT32_MAX) {
		*ret_title = edit->changes.changes[position].title;
		*ret_genres = edit->changes.changes[position].genres;
		return *ret_title ? THERE : REMOVED;
	}
	if (movie == UINT32_MAX)
		return NEVER_THERE;
	genres_format(catalog, movie, genres, GENRES_SIZE);
	*ret_title = catalog_title(catalog, movie);
	*ret_genres = genres;
	return THERE;
}

/* Title and genres are NULL for a movie that is removed. */
static enum status put(struct movie_edit *edit, uint64_t id, const char *title, const char *genres,
	struct error *err)
{
	struct movie_changes *changes = &edit->changes;
	uint32_t position = id_set_find(&edit->ids, id);
	enum status status = movie_changes_add(changes, id, title, genres, err);
	if (status != STATUS_OK)
		return status;
	if (position == UINT32_MAX) {
		status = id_set_add(&edit->ids, id, &position, err);
		if (status != STATUS_OK)
			movie_change_fini(&changes->changes[--changes->count]);
		return status;
	}
	/* The new one in place of the old. */
	struct movie_change *old = &changes->changes[position];
	movie_change_fini(old);
	*old = changes->changes[--changes->count];
	return STATUS_OK;
}

/* The genres by the model's own names, each once, into ret; counts those it does not know. */
static enum status name_genres(
	struct movie_edit *edit, const char *genres, char ret[GENRES_SIZE], struct error *err)
{
	const struct catalog *catalog = &edit->exported.catalog;
	char name[MOVIE_GENRE_SIZE];
	size_t used = 0;
	ret[0] = '\0';
	while (movie_genres_next(&genres, name)) {
		const char *known = name, *so_far = ret;
		char other[MOVIE_GENRE_SIZE];
		uint32_t genre;
		bool repeated = false;
		enum status status = lookup_genre(catalog, name, &genre, err);
		if (status == STATUS_OK)
			known = vocabulary_entry(&catalog->genres, genre);
		else if (status == STATUS_NOT_FOUND && edit->accept_unknown_genres)
			edit->counts.unknown_genres++;
		else
			return status;
		while (movie_genres_next(&so_far, other))
			repeated = repeated || strcmp(known, other) == 0;
		if (!repeated && used < GENRES_SIZE)
			used += (size_t)snprintf(
				ret + used, GENRES_SIZE - used, "%s%s", used ? "|" : "", known);
	}
	return STATUS_OK;
}

/* Counts the words that the model does not know. */
static enum status count_words(struct movie_edit *edit, const char *title, struct error *err)
{
	uint32_t count, missing;
	enum status status = title_number_words(
		title, &edit->exported.catalog.words, edit->words, &count, &missing, err);
	if (status == STATUS_OK)
		edit->counts.unknown_words += missing;
	return status;
}

static bool same_movie(
	const char *title, const char *genres, const char *other_title, const char *other_genres)
{
	return strcmp(title, other_title) == 0 && strcmp(genres, other_genres) == 0;
}

enum status movie_edit_add(struct movie_edit *edit, uint64_t id, const char *title,
	const char *genres, struct error *err)
{
	char given[GENRES_SIZE], exported[GENRES_SIZE];
	const char *title_now, *genres_now;
	enum status status = movie_change_check(id, title, genres, err);
	if (status == STATUS_OK)
		status = name_genres(edit, genres, given, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "movie %" PRIu64, id);
	if (look(edit, id, &title_now, &genres_now, exported) == THERE) {
		if (!same_movie(title, given, title_now, genres_now))
			return error_set(err, STATUS_ALREADY_EXISTS,
				"movie %" PRIu64 " is there already, as '%.100s': use update", id,
				title_now);
		edit->counts.unchanged++;
		return STATUS_OK;
	}
	status = count_words(edit, title, err);
	if (status == STATUS_OK)
		status = put(edit, id, title, given, err);
	if (status != STATUS_OK)
		return status;
	edit->counts.added++;
	edit->movies++;
	return STATUS_OK;
}

enum status movie_edit_update(struct movie_edit *edit, uint64_t id, const char *title,
	const char *genres, struct error *err)
{
	char given[GENRES_SIZE], exported[GENRES_SIZE];
	const char *title_now, *genres_now;
	const enum presence presence = look(edit, id, &title_now, &genres_now, exported);
	if (presence != THERE)
		return error_set(err, STATUS_NOT_FOUND, "movie %" PRIu64 " %s: use add", id,
			presence == REMOVED ? "was removed" : "is not in this model");
	const char *new_title = title ? title : title_now;
	enum status status = movie_change_check(id, new_title, genres ? genres : "", err);
	if (status == STATUS_OK && genres)
		status = name_genres(edit, genres, given, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "movie %" PRIu64, id);
	const char *new_genres = genres ? given : genres_now;
	if (same_movie(new_title, new_genres, title_now, genres_now)) {
		edit->counts.unchanged++;
		return STATUS_OK;
	}
	if (title)
		status = count_words(edit, title, err);
	if (status == STATUS_OK)
		status = put(edit, id, new_title, new_genres, err);
	if (status == STATUS_OK)
		edit->counts.updated++;
	return status;
}

enum status movie_edit_remove(struct movie_edit *edit, uint64_t id, struct error *err)
{
	char exported[GENRES_SIZE];
	const char *title, *genres;
	const enum presence presence = look(edit, id, &title, &genres, exported);
	if (presence == REMOVED) {
		edit->counts.unchanged++;
		return STATUS_OK;
	}
	if (presence == NEVER_THERE)
		return error_set(err, STATUS_NOT_FOUND,
			"movie %" PRIu64 " is not in this model: nothing to remove", id);
	if (edit->movies == 1)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"movie %" PRIu64 " is the last of this model: it has to keep one", id);
	enum status status = put(edit, id, NULL, NULL, err);
	if (status != STATUS_OK)
		return status;
	edit->counts.removed++;
	edit->movies--;
	return STATUS_OK;
}

struct movie_edit_counts movie_edit_counts(const struct movie_edit *edit)
{
	return edit->counts;
}

const struct model_directory *movie_edit_model(const struct movie_edit *edit)
{
	return &edit->directory;
}

/* Whether a change says what the export says. */
static bool is_as_exported(const struct movie_edit *edit, const struct movie_change *change)
{
	const struct catalog *catalog = &edit->exported.catalog;
	const uint32_t movie = catalog_find_movie(catalog, change->id);
	char genres[GENRES_SIZE];
	if (movie == UINT32_MAX || !change->title)
		return false;
	genres_format(catalog, movie, genres, GENRES_SIZE);
	return same_movie(change->title, change->genres, catalog_title(catalog, movie), genres);
}

enum status movie_edit_commit(struct movie_edit *edit, struct error *err)
{
	const struct movie_edit_counts *counts = &edit->counts;
	struct movie_changes *changes = &edit->changes;
	size_t kept = 0;
	if (counts->added + counts->updated + counts->removed == 0)
		return STATUS_OK;
	for (size_t i = 0; i < changes->count; i++) {
		struct movie_change *change = &changes->changes[i];
		if (is_as_exported(edit, change)) {
			movie_change_fini(change);
		} else {
			changes->changes[kept++] = *change;
		}
	}
	changes->count = kept;
	return movie_changes_write(changes, edit->directory.path, err);
}
