/*
 * A small catalog and a checkpoint of a small model over it, and the fusion model written plainly
 * over an exported model.safetensors.
 *
 * Users 1, 3, 7, 40 (or larger ids); movies 1, 5, 9, 12, 30. User 7 and movie 12 were never
 * trained.
 */
#ifndef MARQUEE_TESTS_INFERENCE_SAMPLE_H
#define MARQUEE_TESTS_INFERENCE_SAMPLE_H

#include "common/checkpoint/directory.h"
#include "inference/export.h"
#include "inference/model_directory.h"

#define SAMPLE_SEED	 UINT64_C(0xfedcba9876543210)
#define SAMPLE_USERS	 4u
#define SAMPLE_MOVIES	 5u
#define SAMPLE_UNTRAINED 2u /* number of user 7 in the catalog */
#define SAMPLE_FAR_MOVIE UINT64_C(30000000000000)
#define SAMPLE_STRANGER	 3u /* number of movie 12 */

struct sample_options {
	bool far_ids;	      /* users' ids are multiplied by 10^12: the compact form */
	bool far_movie;	      /* movie 30's id is SAMPLE_FAR_MOVIE: the movies' compact form */
	bool without_unknown; /* the unknown rows were never trained */
	bool nothing_trained; /* no row of any table was */
	bool max_pooling;
	float scale; /* of the trained values, 0: 0.5 */
};

struct sample {
	char root[PATH_SIZE]; /* scratch: data, checkpoints, model */
	char data[PATH_SIZE], checkpoints[PATH_SIZE], model[PATH_SIZE];
	struct catalog catalog;
};

/* Writes the data and one checkpoint of this step. */
void sample_open(struct sample *sample, const struct sample_options *options);
void sample_close(struct sample *sample);
/* Also exports it and opens the model. */
void sample_open_model(struct sample *sample, const struct sample_options *options,
	struct model_directory *ret_directory);
void sample_close_model(struct sample *sample, struct model_directory *directory);
/* Another checkpoint of the same catalog; the values depend on the step. */
void sample_checkpoint(
	const struct sample *sample, const struct sample_options *options, uint64_t step);
/* Exports the newest to sample->model. */
void sample_export(const struct sample *sample);

/* The score by the formulas of the fusion model, in double; ids UNKNOWN_ID take model.json's row.
 */
double sample_score(const struct model_directory *directory, uint64_t user_id, uint32_t gender,
	uint32_t age, uint32_t occupation, uint32_t movie, bool movie_unknown);
/* The cosine of two movies' vectors. */
double sample_similarity(const struct model_directory *directory, uint32_t a, uint32_t b,
	bool a_unknown, bool b_unknown);

#endif
