/*
 * What a kind of model provides, and the parts of struct model and struct model_workspace that all
 * kinds share. Private to common/model.
 *
 * A kind is one constant struct model_kind in its own file and one row in config.c. Its model and
 * its workspace embed the shared structs as their first member.
 */
#ifndef MARQUEE_MODEL_KIND_H
#define MARQUEE_MODEL_KIND_H

#include "common/base/id_set.h"
#include "common/model/model.h"
#include "common/model/slab.h"

#define MODEL_TENSORS_MAX 32

/* A number, or one of some words when `choices` is set (then the value is the word's position). */
struct model_setting {
	const char *key;
	uint32_t initial, min, max;
	const char *const *choices; /* NULL-terminated */
};

struct model {
	const struct model_kind *kind;
	struct model_config config;
	uint32_t table_count;
	struct model_table tables[MODEL_TABLES_MAX];
	uint32_t tensor_count;
	struct model_tensor tensors[MODEL_TENSORS_MAX];
	size_t dense_size, packed_size;
	uint32_t vector_dim;
};

struct model_scratch {
	struct slab step;      /* laid out by the kind at the beginning of each step */
	float *dense_gradient; /* [dense_size], owned */
};

struct model_workspace {
	const struct model *model;	 /* borrowed */
	const struct model_batch *batch; /* borrowed; NULL: no plan */
	struct id_set ids[MODEL_TABLES_MAX];
	struct model_scratch *scratch;
	bool owns_scratch;
	float *table_gradients[MODEL_TABLES_MAX]; /* borrowed from the scratch, as is the next */
	float *dense_gradient;
	double cost;
};

struct model_kind {
	const char *name;
	const struct model_setting *settings;
	uint32_t setting_count;
	size_t model_size;     /* of the struct that embeds struct model */
	size_t workspace_size; /* of the struct that embeds struct model_workspace */

	/* Declares tables, tensors, packed_size and vector_dim; config is set. */
	void (*describe)(struct model *model, const struct model_sizes *sizes);
	/* model_pack() */
	void (*pack)(const struct model *model, float *packed, const float *dense, size_t begin,
		size_t end);
	/* Frees what the workspace's own part holds; it may be half-built, but zeroed. */
	void (*workspace_fini)(struct model_workspace *workspace);
	/* ids are empty, batch is set, and its counts and example indexes are checked. */
	enum status (*plan)(struct model_workspace *workspace, struct error *err);
	enum status (*train)(struct model_workspace *workspace, const struct model_weights *weights,
		const struct model_rows *rows, struct error *err);
	enum status (*score)(struct model_workspace *workspace, const struct model_weights *weights,
		const struct model_rows *rows, float *scores, struct error *err);
	enum status (*user_vectors)(struct model_workspace *workspace,
		const struct model_weights *weights, const struct model_rows *rows, float *vectors,
		struct error *err);
	enum status (*movie_vectors)(struct model_workspace *workspace,
		const struct model_weights *weights, const struct model_rows *rows, float *vectors,
		struct error *err);
	float (*pair_score)(const struct model *model, const float *user, const float *movie);
	float (*user_factor)(const struct model *model, const float *user);
	float (*movie_factor)(const struct model *model, const float *movie);
};

extern const struct model_kind model_kind_fusion;

/* For describe(): appends a table, a layer's weight and bias. */
void model_add_table(
	struct model *model, const char *name, uint64_t rows, uint32_t dim, bool has_unknown);
void model_add_layer(struct model *model, const char *name, uint32_t out, uint32_t in);

/* For plan(): the position of an id that must be below the table's rows (OUT_OF_RANGE). */
MUST_CHECK enum status model_plan_value(struct model_workspace *workspace, uint32_t table,
	uint32_t value, uint32_t *ret_position, struct error *err);

#endif
