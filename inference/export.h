/*
 * Export: from a checkpoint to a model directory.
 *
 * Every table becomes one tensor in which row r belongs to id r; a row that training never touched
 * holds its initial value. Written next to its place and renamed there, so a model directory is
 * whole or not there. Memory is bounded by a chunk of a table besides what is mapped.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_H
#define MARQUEE_INFERENCE_EXPORT_H

#include "common/checkpoint/directory.h"
#include "inference/movie_index.h"
#include "inference/row_code.h"

struct export_options {
	const char *checkpoint; /* a checkpoint, or a directory of them */
	bool best;		/* of a directory: the best instead of the newest */
	const char *out;
	bool npy;		 /* also movie_vectors.npy and movie_ids.npy */
	bool faiss;		 /* also movies.faiss */
	bool onnx;		 /* also the towers and the score */
	enum row_type rows;	 /* how model.safetensors has the rows of its tables */
	enum index_choice index; /* which index for approximate search is made */
	uint32_t threads;	 /* that make it; 0: one */
	bool onnx_outside;	 /* its tables stay in model.safetensors however small they are */
};

struct export_report {
	char checkpoint[PATH_SIZE];	   /* the one that was exported */
	char notes[CHECKPOINT_NOTES_SIZE]; /* damaged ones that were passed over, one a line */
	char index[ERROR_MESSAGE_SIZE];	   /* which index was made, "" : none */
	uint64_t step;
	double test_rmse; /* NAN: not measured */
	uint64_t users, movies, trained_users, trained_movies;
	uint64_t kept_changes; /* of movies, from the directory that was replaced */
};

/*
 * Replaces a model directory at options->out, or creates it. Changes of movies that are in it stay
 * (movie_edit.h), and hold for the vectors of npy and faiss. FAILED_PRECONDITION: something else is
 * there; DATA_LOSS: the checkpoint is damaged.
 */
MUST_CHECK enum status export_model(
	const struct export_options *options, struct export_report *ret, struct error *err);

#endif
