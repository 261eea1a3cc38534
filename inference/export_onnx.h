/*
 * A model directory's towers and score as ONNX files, for ONNX Runtime and others.
 *
 * docs/model-directory.md has the inputs and outputs. Users and movies are given by id, the unknown
 * row standing in as the scorer says; genres and words as numbers, padded to the longest of the
 * batch, with a mask.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_ONNX_H
#define MARQUEE_INFERENCE_EXPORT_ONNX_H

#include "inference/model_directory.h"

#define USER_TOWER_NAME	 "user_tower.onnx"
#define MOVIE_TOWER_NAME "movie_tower.onnx"
#define SCORE_NAME	 "score.onnx"

/* Tables of more bytes than these together stay in model.safetensors, to which the files then
 * point: an ONNX file has an end at 2 GiB. */
#define ONNX_INLINE_MAX ((uint64_t)1 << 30)

/*
 * Writes the three files into the directory's folder. Tables up to inline_max bytes together are
 * copied into them. UNIMPLEMENTED for another model than the fusion model; OUT_OF_RANGE for ids of
 * 2^63 and more, which ONNX has not.
 */
MUST_CHECK enum status export_onnx(
	const struct model_directory *directory, uint64_t inline_max, struct error *err);

#endif
