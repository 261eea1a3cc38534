/*
 * The changes to a model's movies since it was exported, as they stand in movies.changes.json: what
 * a movie is from now on, or that it is gone. docs/model-directory.md has the format.
 *
 * Changes name genres and titles as people write them, not numbers, so they hold for any model.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_INFERENCE_MOVIE_CHANGES_H
#define MARQUEE_INFERENCE_MOVIE_CHANGES_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOVIE_CHANGES_NAME	     "movies.changes.json"
#define MOVIE_CHANGES_FORMAT	     "marquee-movie-changes"
#define MOVIE_CHANGES_FORMAT_VERSION 1u

#define MOVIE_TITLE_MAX	 ((size_t)1000) /* bytes */
#define MOVIE_GENRES_MAX 64u
#define MOVIE_GENRE_SIZE ((size_t)64) /* with its terminator */

struct movie_change {
	uint64_t id;
	char *title;  /* owned, UTF-8; NULL: the movie is removed */
	char *genres; /* owned, "Comedy|Drama", "" for none; NULL: removed */
};

struct movie_changes {
	struct movie_change *changes; /* owned */
	size_t count, capacity;
};

void movie_change_fini(struct movie_change *change);
/* Takes a zeroed struct. */
void movie_changes_fini(struct movie_changes *changes);

/* INVALID_ARGUMENT: not what a changes file may hold. Title and genres as below. */
MUST_CHECK enum status movie_change_check(
	uint64_t id, const char *title, const char *genres, struct error *err);

/* Adds a change with copies of title and genres, both NULL for a removed movie. INVALID_ARGUMENT:
 * they are not what a changes file may hold. */
MUST_CHECK enum status movie_changes_add(struct movie_changes *changes, uint64_t id,
	const char *title, const char *genres, struct error *err);

/* Cuts the next name off "Comedy|Drama"; false at the end. Longer ones were kept out before. */
bool movie_genres_next(const char **genres, char name[MOVIE_GENRE_SIZE]);

/* Changes as JSON, without the seal of their file; NULL when it cannot be made. In the order of
 * their ids, else it cannot be read. */
json_t *movie_changes_to_json(const struct movie_changes *changes);
/* The reverse: DATA_LOSS says what is wrong. */
MUST_CHECK enum status movie_changes_from_json(
	struct movie_changes *ret, const json_t *json, struct error *err);

/* Those of a model directory, in ascending order of their ids; none where it has no such file.
 * DATA_LOSS and FAILED_PRECONDITION (another version) name the file and the reason. */
MUST_CHECK enum status movie_changes_read(
	struct movie_changes *ret, const char *directory, struct error *err);
/* Sorts and writes them, atomically and durably; without any removes the file. */
MUST_CHECK enum status movie_changes_write(
	struct movie_changes *changes, const char *directory, struct error *err);

/*
 * Makes the caller the directory's one writer of changes, until close() of the descriptor. Waits
 * for another one up to wait_s, then FAILED_PRECONDITION. NOT_FOUND: no such directory.
 */
MUST_CHECK enum status movie_changes_lock(
	const char *directory, double wait_s, int *ret_descriptor, struct error *err);

#endif
