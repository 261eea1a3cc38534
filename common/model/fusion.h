/*
 * The fusion model: two towers and a cosine.
 *
 *     user  = tanh(user_combined [user_fc u | gender_fc g | age_fc a | occupation_fc o])
 *     movie = tanh(movie_combined [movie_fc m | sum of genre vectors | pooled title])
 *     score = 5 cos(user, movie)
 *
 * u, g, a, o, m are rows of tables, the fc layers linear with bias. The title is a sequence
 * convolution over its words' rows with tanh, pooled over time. From PaddlePaddle's book, chapter
 * "Personalized recommendation".
 *
 * What an entity's tower needs is computed once: a linear layer runs over the distinct ids, a tower
 * over the distinct entities of the batch, and gradients are summed back the same way. Features
 * that entities share (gender, age, occupation, genres) go through their columns of the combined
 * layer id by id too, before its tanh, where everything is linear: an entity's sum of them is a bag
 * of rows. The title's convolution is linear before its tanh as well, so it runs over the distinct
 * words: each word times each of the window's W weight blocks is a row of projections, and a window
 * is a sum of W such rows.
 *
 * Packed weights: each layer's weight transposed, as fc_forward() takes it, at layer_packed(), its
 * row i at i * panel_stride(outputs). The title's stands there as [word_dim x W * F16], column
 * k * F16 + f being filter f's block k; behind it the same the other way round, for the backward
 * pass. Padding is 0.
 *
 * Shapes: U users, M movies, B examples, H hidden, N title words in all, D distinct of them,
 * S distinct ids of a tower's shared features, W filter width, F filters, F16 its panel stride.
 * Panels are those of kernels.h.
 *
 * Private to common/model.
 */
#ifndef MARQUEE_MODEL_FUSION_H
#define MARQUEE_MODEL_FUSION_H

#include "common/model/kind.h"
#include "common/nn/kernels.h"

/* The first five tables are features: one id per entity, through a linear layer. */
enum fusion_table {
	TABLE_USER,
	TABLE_GENDER,
	TABLE_AGE,
	TABLE_OCCUPATION,
	TABLE_MOVIE,
	TABLE_GENRE,
	TABLE_WORD,
	FUSION_TABLES,
	FUSION_FEATURES = TABLE_MOVIE + 1,
};

/* Layer l has tensors 2l (weight) and 2l + 1 (bias). */
enum fusion_layer {
	LAYER_USER,
	LAYER_GENDER,
	LAYER_AGE,
	LAYER_OCCUPATION,
	LAYER_USER_COMBINED,
	LAYER_MOVIE,
	LAYER_TITLE,
	LAYER_MOVIE_COMBINED,
	FUSION_LAYERS,
};

struct fusion {
	struct model base;
	struct fusion_feature {
		enum fusion_layer layer;
		uint32_t dim;	 /* of a row */
		uint32_t out;	 /* of the linear layer */
		uint32_t column; /* where its output enters the combined layer */
	} features[FUSION_FEATURES];
	uint32_t user_input, movie_input; /* columns of the combined layers */
	uint32_t genre_column, genre_dim;
	uint32_t title_column, word_dim;
	uint32_t filters, filter_width;
	size_t filter_stride; /* F16 */
	bool pool_max;
	uint32_t hidden;
	size_t packed[FUSION_LAYERS]; /* where a layer's packed weight begins */
};

struct fusion_workspace {
	struct model_workspace base;
	struct slab plan_memory;

	/* The plan: positions among the planned ids. */
	uint32_t *word_offsets, *word_values; /* [M + 1], [N] */
	uint32_t genre_total, word_total;
	uint32_t shared_first[FUSION_TABLES]; /* a shared feature's first row among the tower's S */

	struct fusion_feature_memory {
		float *rows;  /* [ids x dim] */
		float *out;   /* [ids x out], panel */
		float *d_out; /* the same */
	} features[FUSION_FEATURES];

	struct fusion_tower {
		/* the plan */
		enum fusion_layer layer; /* the combined one */
		size_t rows;		 /* U or M */
		uint32_t *id_index;	 /* [rows]: the entity's own id */
		struct bag_batch bags;	 /* the entity's rows of `shared` */
		uint32_t *bag_offsets, *bag_values;
		uint32_t shared_rows; /* S */
		/* the step */
		float *ids;	  /* [rows x out], panel: the own id's linear layer */
		float *d_ids;	  /* the same */
		float *shared;	  /* [S x H], panel: through the combined layer */
		float *d_shared;  /* the same */
		float *vectors;	  /* [rows x H], panel: the tower's output */
		float *d_vectors; /* the same; first of the output, then of what tanh takes */
		float *inverse;	  /* [rows]: 1 / |vector| */
		float *own;	  /* [rows]: scratch of cosine_backward */
	} user, movie;

	float *genre_rows; /* [ids x genre_dim] */

	struct fusion_title {
		float *rows;	      /* [D x word_dim] */
		float *d_weight;      /* [W * F16 x word_dim]: of title_conv by window position */
		float *projections;   /* [D x W * F16] */
		float *d_projections; /* the same */
		float *windows;	      /* [N x F], panel: after tanh */
		float *pooled;	      /* [M x F], panel */
		float *d_pooled;      /* the same */
		uint32_t *winners;    /* [M x F16], pooling by max only */
	} title;

	float *cosines;	  /* [B] */
	float *d_cosines; /* [B]; before that the scores */
};

static inline const struct fusion *fusion_of(const struct fusion_workspace *workspace)
{
	return (const struct fusion *)workspace->base.model;
}

static inline size_t layer_weight(const struct fusion *model, enum fusion_layer layer)
{
	return model->base.tensors[2 * layer].offset;
}

static inline size_t layer_bias(const struct fusion *model, enum fusion_layer layer)
{
	return model->base.tensors[2 * layer + 1].offset;
}

static inline size_t layer_packed(const struct fusion *model, enum fusion_layer layer)
{
	return model->packed[layer];
}

/* Lays out the packed weights of a model whose tensors are declared. */
void fusion_pack_layout(struct fusion *model);
/* model_pack() */
void fusion_pack(
	const struct model *base, float *packed, const float *dense, size_t begin, size_t end);

/*
 * A tower, forward: fills vectors. Backward: d_vectors holds d/dvector; leaves the gradients of the
 * tower's layers and tables.
 */
void fusion_user_forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows);
void fusion_user_backward(struct fusion_workspace *workspace, const struct model_weights *weights);
void fusion_movie_forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows);
void fusion_movie_backward(struct fusion_workspace *workspace, const struct model_weights *weights);

#endif
