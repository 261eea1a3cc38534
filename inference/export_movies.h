/*
 * The movies' vectors of a model directory in the formats of others.
 *
 * They are computed some thousand at a time. The .npy files are streamed; a FAISS index is held in
 * memory until it is written: movies x dim floats.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_MOVIES_H
#define MARQUEE_INFERENCE_EXPORT_MOVIES_H

#include "inference/model_directory.h"

#define MOVIE_VECTORS_NAME "movie_vectors.npy"
#define MOVIE_IDS_NAME	   "movie_ids.npy"
#define MOVIE_INDEX_NAME   "movies.faiss"

/* Writes the vectors and their ids into the directory's folder. */
MUST_CHECK enum status export_movies_npy(
	const struct model_directory *directory, struct error *err);

/*
 * Writes a flat index of the vectors, each over its length, under the movies' ids: the inner
 * product with a user's vector over its length is a fifth of the score. FAILED_PRECONDITION when
 * the training diverged.
 */
MUST_CHECK enum status export_movies_faiss(
	const struct model_directory *directory, struct error *err);

#endif
