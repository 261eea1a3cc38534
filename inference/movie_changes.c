#include "inference/movie_changes.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/sealed_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void movie_change_fini(struct movie_change *change)
{
	free(change->title);
	free(change->genres);
	*change = (struct movie_change){0};
}

void movie_changes_fini(struct movie_changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		movie_change_fini(&changes->changes[i]);
	free(changes->changes);
	*changes = (struct movie_changes){0};
}

bool movie_genres_next(const char **genres, char name[MOVIE_GENRE_SIZE])
{
	if (!**genres)
		return false;
	const size_t length = strcspn(*genres, "|");
	const size_t kept = length < MOVIE_GENRE_SIZE ? length : MOVIE_GENRE_SIZE - 1;
	memcpy(name, *genres, kept);
	name[kept] = '\0';
	*genres += length;
	*genres += **genres == '|';
	return true;
}

static enum status check_genres(const char *genres, struct error *err)
{
	uint32_t count = 0;
	for (const char *at = genres; *at || count > 0; at++) {
		const size_t length = strcspn(at, "|");
		if (length == 0 || length >= MOVIE_GENRE_SIZE || ++count > MOVIE_GENRES_MAX)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"genres '%.60s' are not up to %u names of up to "
				"%zu bytes, with | between them",
				genres, MOVIE_GENRES_MAX, MOVIE_GENRE_SIZE - 1);
		at += length;
		if (!*at)
			break;
	}
	return STATUS_OK;
}

enum status movie_change_check(
	uint64_t id, const char *title, const char *genres, struct error *err)
{
	if (id == UINT64_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "id %" PRIu64 " is reserved", id);
	if (!title)
		return STATUS_OK;
	if (!*title || strlen(title) > MOVIE_TITLE_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"its title has %zu bytes, expected 1 to %zu", strlen(title),
			MOVIE_TITLE_MAX);
	return check_genres(genres, err);
}

enum status movie_changes_add(struct movie_changes *changes, uint64_t id, const char *title,
	const char *genres, struct error *err)
{
	struct movie_change change = {.id = id};
	enum status status = movie_change_check(id, title, genres, err);
	if (status == STATUS_OK)
		status = memory_grow(&changes->changes, &changes->capacity, changes->count + 1,
			sizeof(change), "changed movies", err);
	if (status != STATUS_OK)
		return status;
	if (title) {
		change.title = strdup(title);
		change.genres = strdup(genres);
		if (!change.title || !change.genres) {
			movie_change_fini(&change);
			return error_set(
				err, STATUS_RESOURCE_EXHAUSTED, "changed movies: no memory");
		}
	}
	changes->changes[changes->count++] = change;
	return STATUS_OK;
}

/* ---- the file ---- */

/* "Comedy|Drama" of ["Comedy", "Drama"]; owned. */
static enum status join_genres(const json_t *list, char **ret, struct error *err)
{
	size_t size = 1, used = 0, i;
	json_t *name;
	char *text;
	json_array_foreach(list, i, name)
	{
		if (!json_is_string(name) || strchr(json_string_value(name), '|'))
			return error_set(
				err, STATUS_DATA_LOSS, "'genres': entry %zu is not a name", i);
		size += json_string_length(name) + 1;
	}
	enum status status = memory_alloc(&text, size, 1, "genres", err);
	if (status != STATUS_OK)
		return status;
	json_array_foreach(list, i, name)
	{
		if (i > 0)
			text[used++] = '|';
		memcpy(text + used, json_string_value(name), json_string_length(name));
		used += json_string_length(name);
	}
	text[used] = '\0';
	*ret = text;
	return STATUS_OK;
}

static enum status read_change(struct movie_changes *changes, const json_t *json, struct error *err)
{
	uint64_t id;
	const char *title = NULL;
	char *genres = NULL;
	json_t *list;
	enum status status = json_field_u64(json, "id", &id, err);
	if (status == STATUS_OK && changes->count > 0 &&
		id <= changes->changes[changes->count - 1].id)
		status = error_set(err, STATUS_DATA_LOSS, "ids do not ascend at %" PRIu64, id);
	if (status == STATUS_OK && !json_is_true(json_object_get(json, "removed"))) {
		status = json_field_string(json, "title", &title, err);
		if (status == STATUS_OK)
			status = json_field_array(json, "genres", &list, err);
		if (status == STATUS_OK)
			status = join_genres(list, &genres, err);
	}
	if (status == STATUS_OK)
		status = movie_changes_add(changes, id, title, genres, err);
	free(genres);
	return status == STATUS_INVALID_ARGUMENT
		       ? error_wrap(err, STATUS_DATA_LOSS, "a movie that cannot be")
		       : status;
}

enum status movie_changes_from_json(
	struct movie_changes *ret, const json_t *json, struct error *err)
{
	struct movie_changes changes = {0};
	const char *format;
	json_t *movies, *movie;
	size_t i;
	enum status status = json_field_string(json, "format", &format, err);
	if (status == STATUS_OK && strcmp(format, MOVIE_CHANGES_FORMAT) != 0)
		status = error_set(err, STATUS_DATA_LOSS,
			"'format' is '%.40s', not '" MOVIE_CHANGES_FORMAT "'", format);
	if (status == STATUS_OK)
		status = json_field_array(json, "movies", &movies, err);
	if (status != STATUS_OK)
		return status;
	json_array_foreach(movies, i, movie)
	{
		status = read_change(&changes, movie, err);
		if (status != STATUS_OK) {
			movie_changes_fini(&changes);
			return error_wrap(err, status, "'movies': entry %zu", i);
		}
	}
	*ret = changes;
	return STATUS_OK;
}

enum status movie_changes_read(struct movie_changes *ret, const char *directory, struct error *err)
{
	char path[PATH_SIZE];
	json_t *json;
	enum status status = path_join(path, directory, MOVIE_CHANGES_NAME, err);
	if (status != STATUS_OK)
		return status;
	if (!file_exists(path)) {
		*ret = (struct movie_changes){0};
		return STATUS_OK;
	}
	status = sealed_json_read(path, MOVIE_CHANGES_FORMAT_VERSION, &json, err);
	if (status != STATUS_OK)
		return status;
	status = movie_changes_from_json(ret, json, err);
	json_decref(json);
	return status == STATUS_OK ? status : error_wrap(err, status, "%s", path);
}

static json_t *change_to_json(const struct movie_change *change)
{
	json_t *object = json_object();
	json_object_set_new(object, "id", json_from_u64(change->id));
	if (!change->title) {
		json_object_set_new(object, "removed", json_true());
		return object;
	}
	json_t *genres = json_array();
	char name[MOVIE_GENRE_SIZE];
	for (const char *at = change->genres; movie_genres_next(&at, name);)
		json_array_append_new(genres, json_string(name));
	json_object_set_new(object, "title", json_string(change->title));
	json_object_set_new(object, "genres", genres);
	return object;
}

static int compare_ids(const void *left, const void *right)
{
	const uint64_t a = ((const struct movie_change *)left)->id;
	const uint64_t b = ((const struct movie_change *)right)->id;
	return (a > b) - (a < b);
}

/* What an object without memory for all of it lacks is found by its counts. */
static bool is_whole(const json_t *movies, const struct movie_changes *changes)
{
	bool whole = json_array_size(movies) == changes->count;
	for (size_t i = 0; whole && i < changes->count; i++) {
		const struct movie_change *change = &changes->changes[i];
		const json_t *movie = json_array_get(movies, i);
		const json_t *list = json_object_get(movie, "genres");
		size_t genres = 0;
		char name[MOVIE_GENRE_SIZE];
		if (!change->title) {
			whole = json_object_size(movie) == 2;
			continue;
		}
		for (const char *at = change->genres; movie_genres_next(&at, name);)
			genres++;
		whole = json_object_size(movie) == 3 && json_array_size(list) == genres;
	}
	return whole;
}

json_t *movie_changes_to_json(const struct movie_changes *changes)
{
	json_t *movies = json_array();
	for (size_t i = 0; i < changes->count; i++)
		json_array_append_new(movies, change_to_json(&changes->changes[i]));
	if (!is_whole(movies, changes)) {
		json_decref(movies);
		return NULL;
	}
	return json_pack("{s:s, s:i, s:o}", "format", MOVIE_CHANGES_FORMAT, "format_version",
		(int)MOVIE_CHANGES_FORMAT_VERSION, "movies", movies);
}

enum status movie_changes_write(
	struct movie_changes *changes, const char *directory, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, directory, MOVIE_CHANGES_NAME, err);
	if (status != STATUS_OK)
		return status;
	if (changes->count == 0) {
		if (unlink(path) != 0 && errno != ENOENT)
			return error_set_errno(err, errno, "%s", path);
		return directory_sync(directory, err);
	}
	qsort(changes->changes, changes->count, sizeof(*changes->changes), compare_ids);
	json_t *json = movie_changes_to_json(changes);
	status = json ? sealed_json_write(path, json, err)
		      : error_set(err, STATUS_INVALID_ARGUMENT,
				"%s: a title or a genre is not UTF-8, or there is no memory", path);
	json_decref(json);
	return status;
}

/* ---- one writer ---- */

/* Whether the path still names what was opened: an export may have taken its place meanwhile. */
static bool is_still_there(int descriptor, const char *path)
{
	struct stat opened, named;
	return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

enum status movie_changes_lock(
	const char *directory, double wait_s, int *ret_descriptor, struct error *err)
{
	for (;;) {
		int descriptor;
		enum status status = directory_lock(directory, wait_s, &descriptor, err);
		if (status == STATUS_FAILED_PRECONDITION)
			return error_set(err, status,
				"%s: its movies are being changed by another command: try again "
				"when it has ended",
				directory);
		if (status != STATUS_OK)
			return status;
		if (is_still_there(descriptor, directory)) {
			*ret_descriptor = descriptor;
			return STATUS_OK;
		}
		close(descriptor);
	}
}
