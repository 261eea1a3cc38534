/*
 * Changing the movies of a model directory: opened, edited, committed, by one editor at a time.
 *
 * An edit that is there already changes nothing, so that a command may be given again. A movie that
 * is put back to what the export said is no change any more.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_MOVIE_EDIT_H
#define MARQUEE_INFERENCE_MOVIE_EDIT_H

#include "inference/model_directory.h"

struct movie_edit;

struct movie_edit_options {
	double wait_s;		    /* for another editor */
	bool accept_unknown_genres; /* they are kept, and count for nothing */
};

/* What was done so far. */
struct movie_edit_counts {
	uint64_t added, updated, removed;
	uint64_t unchanged;
	uint64_t unknown_words, unknown_genres; /* of the titles and genres given */
};

/* Opens the model and waits for its lock. Borrows nothing. */
MUST_CHECK enum status movie_edit_open(struct movie_edit **ret, const char *directory,
	const struct movie_edit_options *options, struct error *err);
/* Forgets what was not committed. NULL is fine. */
void movie_edit_close(struct movie_edit *edit);

/* The title is UTF-8; genres are "Comedy|Drama", capitals do not matter. ALREADY_EXISTS: there is
 * another movie of this id; NOT_FOUND: a genre is not known. */
MUST_CHECK enum status movie_edit_add(struct movie_edit *edit, uint64_t id, const char *title,
	const char *genres, struct error *err);
/* NULL leaves title or genres as they are. NOT_FOUND: no movie of this id, or a genre. */
MUST_CHECK enum status movie_edit_update(struct movie_edit *edit, uint64_t id, const char *title,
	const char *genres, struct error *err);
/* NOT_FOUND: there never was a movie of this id. FAILED_PRECONDITION: it is the last. */
MUST_CHECK enum status movie_edit_remove(struct movie_edit *edit, uint64_t id, struct error *err);

struct movie_edit_counts movie_edit_counts(const struct movie_edit *edit);
/* The model as it was opened. */
const struct model_directory *movie_edit_model(const struct movie_edit *edit);
/* Makes the edits durable, all of them at once. Nothing may be edited afterwards. */
MUST_CHECK enum status movie_edit_commit(struct movie_edit *edit, struct error *err);

#endif
