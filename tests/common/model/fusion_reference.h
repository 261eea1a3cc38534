/*
 * The fusion model once more: naive, in double precision, pair by pair, straight from its formula.
 * And what tests of the model share: a random batch over a small universe with all its parameters.
 */
#ifndef MARQUEE_TESTS_FUSION_REFERENCE_H
#define MARQUEE_TESTS_FUSION_REFERENCE_H

#include "common/model/model.h"

#include <stdbool.h>

enum { FIXTURE_TABLES = 7, FIXTURE_LAYERS = 8 };

/* Parameters in double; row `rows` of a table (the one behind the last) is the unknown row. */
struct reference {
	const struct model *model; /* borrowed */
	bool pool_max;
	double *dense;
	double *tables[FIXTURE_TABLES];
	const struct model_tensor *weights[FIXTURE_LAYERS], *biases[FIXTURE_LAYERS];
};

/* The score of user u and movie m of the batch. */
double reference_score(const struct reference *reference, const struct user_entity *user,
	const struct movie_entity *movie);

/* scale * sum of (score - label)^2 over the batch. */
double reference_loss(const struct reference *reference, const struct model_batch *batch);

/* A model, parameters in float and the same in double, a batch, and a planned workspace. */
struct fixture {
	struct model *model;
	struct model_workspace *workspace;
	struct model_batch batch;
	float *dense;
	struct model_weights weights;  /* of dense */
	float *tables[FIXTURE_TABLES]; /* [rows + 1][dim] */
	uint32_t *index[FIXTURE_TABLES];
	struct model_rows rows[FIXTURE_TABLES];
	struct reference reference;
	void *owned[16];
	unsigned int owned_count;
};

struct fixture_options {
	const char *config; /* JSON */
	uint32_t users, movies, examples;
	uint64_t seed;
};

/* Aborts the test on failure. The batch has what is hard: see the .c file. */
void fixture_init(struct fixture *ret, const struct fixture_options *options);
/* Plans the batch (again) and points rows at the tables. */
void fixture_plan(struct fixture *fixture);
void fixture_fini(struct fixture *fixture);

/* The table row of an id: the id itself, or the one behind the last for UNKNOWN_ID. */
size_t fixture_row(const struct model *model, uint32_t table, uint64_t id);

#endif
