/*
 * Changed movies in an open model: what movies.changes.json says, applied to its catalog.
 *
 * After it everybody who goes by the catalog sees the movies as they are now: numbers, titles,
 * genres, words, who was trained. Only what was written for the exported movies, tables in compact
 * form and the files of an index, goes by their numbers as exported.
 *
 * Threads: a model directory is immutable after open.
 */
#ifndef MARQUEE_INFERENCE_MODEL_CHANGES_H
#define MARQUEE_INFERENCE_MODEL_CHANGES_H

#include "inference/model_directory.h"
#include "inference/movie_changes.h"

/*
 * Applies the changes that lie in directory->path; a step of opening it. Genres and words that the
 * model does not know count for nothing.
 */
MUST_CHECK enum status model_changes_apply(struct model_directory *directory, struct error *err);
/* The same with changes that are at hand, to a directory without any. Borrows nothing. */
MUST_CHECK enum status model_changes_use(
	struct model_directory *directory, const struct movie_changes *changes, struct error *err);
/* Takes a zeroed struct. */
void model_changes_fini(struct model_changes *changes);

/* Whether the movie was added since the export: it has no row of its own. */
bool model_movie_is_added(const struct model_directory *directory, uint32_t movie);
/* Whether it was added or updated. */
bool model_movie_is_changed(const struct model_directory *directory, uint32_t movie);

/* The model as it was exported, which borrows everything: not for model_directory_close(). */
void model_directory_as_exported(
	const struct model_directory *directory, struct model_directory *ret);

#endif
