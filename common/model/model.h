/*
 * Models: named tables of embedding rows, named dense tensors, and the arithmetic between them.
 *
 * A model says which tables and dense tensors it has, finds the rows that a batch needs, scores
 * (user, movie) pairs and forms the gradients. It knows nothing of where rows live, of optimizers
 * or of sockets. A step is: model_plan() - the caller fetches the planned rows - model_train() -
 * the caller sends the gradients away.
 *
 * Model kinds are rows of a table in config.c, one file of arithmetic each; "fusion" (fusion.c) is
 * the default.
 *
 * Results depend on a batch's values and order only: not on the thread, on other lanes, or on where
 * buffers lie.
 *
 * Threads: struct model is immutable after model_new and shared; a struct model_workspace is
 * owner-thread only, and so is its scratch.
 */
#ifndef MARQUEE_MODEL_MODEL_H
#define MARQUEE_MODEL_MODEL_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct model_kind;
struct model_workspace;

/* The id of the row that stands for an unknown user or movie. No data set may use it. */
#ifndef UNKNOWN_ID
#define UNKNOWN_ID UINT64_MAX
#endif

#define MODEL_SETTINGS_MAX 24
#define MODEL_TABLES_MAX   16u /* the most tables that a kind of model has */

/*
 * A kind of model and its settings, as a JSON object such as {"model": "fusion", "hidden": 100}.
 * Which settings a kind has, their bounds and defaults stand in its file.
 * Copied by assignment.
 */
struct model_config {
	const struct model_kind *kind;
	uint32_t values[MODEL_SETTINGS_MAX]; /* in the order of the kind's settings */
};

/* The default model with its default settings. */
void model_config_init(struct model_config *ret);

/*
 * Reads an object; keys that are absent keep their defaults. INVALID_ARGUMENT for an unknown key or
 * a value out of bounds, naming the key and what was expected.
 */
MUST_CHECK enum status model_config_from_json(
	struct model_config *ret, const json_t *json, struct error *err);

/* Returns an owned object with "model" and every setting; NULL when there is no memory. */
json_t *model_config_to_json(const struct model_config *config);

/* Sets a number by name, with the same checks as JSON. */
MUST_CHECK enum status model_config_set(
	struct model_config *config, const char *key, int64_t value, struct error *err);

/* The rows of the data's tables: max id + 1, or the number of values. They set Xavier's limits. */
struct model_sizes {
	uint64_t users, genders, ages, occupations, movies, genres, words;
};

struct model_table {
	char name[32];
	uint32_t dim;
	uint64_t rows;	  /* of struct model_sizes; the unknown row is not counted */
	float init_limit; /* sqrt(6 / (rows + dim)): rows start uniform in [-limit, limit) */
	bool has_unknown; /* ids may be UNKNOWN_ID */
};

struct model_tensor {
	char name[48]; /* "user_fc.weight" */
	uint32_t rank; /* 2: [rows, cols], row-major; 1: [rows], cols is 1 */
	uint32_t rows, cols;
	size_t offset;	  /* in floats, a multiple of 16 */
	float init_limit; /* sqrt(6 / (rows + cols)); 0 for a bias, which starts at 0 */
};

/* Copies config. */
MUST_CHECK enum status model_new(struct model **ret, const struct model_config *config,
	const struct model_sizes *sizes, struct error *err);
/* NULL is fine. */
void model_free(struct model *model);

const struct model_config *model_get_config(const struct model *model);
const char *model_name(const struct model *model);

/* The tables, in the model's fixed order; borrowed. */
uint32_t model_table_count(const struct model *model);
const struct model_table *model_table(const struct model *model, uint32_t table);

/*
 * The dense parameters are one vector of model_dense_size() floats, which the caller owns. Tensors
 * lie in it in order, each starting on a multiple of 16 floats; the padding between them is 0 and
 * stays 0, in parameters and in gradients.
 */
size_t model_dense_size(const struct model *model);
uint32_t model_tensor_count(const struct model *model);
const struct model_tensor *model_tensor(const struct model *model, uint32_t tensor);
/* Row r of tensor n starts as random_uniform_row(seed, random_stream(name), r, limit). */
void model_dense_init(const struct model *model, uint64_t seed, float *dense);

/*
 * The dense parameters as the arithmetic reads them: the vector itself and the same numbers in a
 * second order that products are faster with, model_packed_size() floats. The caller owns both.
 */
struct model_weights {
	const float *dense, *packed;
};

size_t model_packed_size(const struct model *model);
/*
 * Brings packed up to date with dense[begin, end), which may be any part of the vector. packed
 * starts out as zeros. Disjoint parts may be packed side by side.
 */
void model_pack(
	const struct model *model, float *packed, const float *dense, size_t begin, size_t end);

/* Parameters in tables (without the unknown rows) and in dense tensors (without padding). */
uint64_t model_table_parameters(const struct model *model);
uint64_t model_dense_parameters(const struct model *model);

struct user_entity {
	uint64_t id; /* or UNKNOWN_ID */
	uint32_t gender, age, occupation;
};

struct movie_entity {
	uint64_t id; /* or UNKNOWN_ID */
	const uint32_t *genres;
	uint32_t genre_count;
	const uint32_t *words; /* in the title's order */
	uint32_t word_count;
};

/*
 * Examples over entities. Towers are computed once for each entity, so the caller gives each
 * distinct user and movie once; different entities may share an id (UNKNOWN_ID).
 */
struct model_batch {
	uint32_t user_count;
	const struct user_entity *users;
	uint32_t movie_count;
	const struct movie_entity *movies;
	uint32_t example_count;
	const uint32_t *example_user;  /* [example_count] < user_count */
	const uint32_t *example_movie; /* [example_count] < movie_count */
	const float *labels; /* [example_count] 2 * stars - 5; may be NULL unless training */
	float scale;	     /* of the loss: 1 / examples of the whole step */
};

/* Rows of one table: row j of the plan is at base + index[j] * dim, at base + j * dim without
 * index. */
struct model_rows {
	const float *base;
	const uint32_t *index;
};

/*
 * The memory that a step computes in, its gradients with it. Workspaces whose steps follow one
 * another, such as batches that take turns, may share one: less of it falls out of the caches.
 */
struct model_scratch;

MUST_CHECK enum status model_scratch_new(
	struct model_scratch **ret, const struct model *model, struct error *err);
/* NULL is fine. */
void model_scratch_free(struct model_scratch *scratch);

/* Borrows the model and the scratch for its life; with NULL it has a scratch of its own. */
MUST_CHECK enum status model_workspace_new(struct model_workspace **ret, const struct model *model,
	struct model_scratch *scratch, struct error *err);
/* NULL is fine. */
void model_workspace_free(struct model_workspace *workspace);

/*
 * Checks the batch and finds the distinct ids it needs of every table, in order of first use.
 * Borrows the batch, and what it points to, until the next plan. INVALID_ARGUMENT for an index out
 * of range, OUT_OF_RANGE for a feature's value that its table does not have; then the workspace
 * holds no plan. Memory is kept between steps: it grows to the largest plan seen.
 */
MUST_CHECK enum status model_plan(
	struct model_workspace *workspace, const struct model_batch *batch, struct error *err);

/* The planned ids of a table; borrowed until the next plan. */
const uint64_t *model_plan_ids(
	const struct model_workspace *workspace, uint32_t table, uint32_t *ret_count);

/*
 * Forward and backward over the planned batch. weights and rows[model_table_count()] are borrowed
 * for the call. Afterwards, and until the next plan: model_cost() - the sum of (score - label)^2
 * over the examples, without scale; model_table_gradient() - [planned ids of the table x dim], row
 * j for planned id j; model_dense_gradient() - [model_dense_size()]; the gradients are those of
 * scale * cost. FAILED_PRECONDITION without a plan or labels.
 */
MUST_CHECK enum status model_train(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, struct error *err);
double model_cost(const struct model_workspace *workspace);
const float *model_table_gradient(const struct model_workspace *workspace, uint32_t table);
const float *model_dense_gradient(const struct model_workspace *workspace);

/* Forward only: scores[example_count], in the labels' scale. */
MUST_CHECK enum status model_score(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, float *scores,
	struct error *err);

/*
 * The towers alone: a vector of model_vector_dim() floats for each user, or movie, of the planned
 * batch, without padding. The rows of the other tower's tables are not read.
 */
uint32_t model_vector_dim(const struct model *model);
MUST_CHECK enum status model_user_vectors(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, float *vectors,
	struct error *err);
MUST_CHECK enum status model_movie_vectors(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, float *vectors,
	struct error *err);

/* The score of a user's and a movie's vector, the same number that model_score() gives. */
float model_pair_score(const struct model *model, const float *user, const float *movie);
/*
 * What makes inner products scores, so that movies can be searched by them: but for rounding,
 *
 *     score = user factor * movie factor * (user . movie)
 */
float model_user_factor(const struct model *model, const float *user);
float model_movie_factor(const struct model *model, const float *movie);

#endif
