/* The two towers of the fusion model; fusion.h has their formulas. */
#include "common/model/fusion.h"

#include "common/nn/fc.h"

#include <string.h>

/* Rows of a table in the plan's order, so that the products run over one contiguous matrix. */
static void fetch(float *out, const struct fusion_workspace *workspace, enum fusion_table table,
	const struct model_rows *rows)
{
	size_t dim = workspace->base.model->tables[table].dim;
	size_t count = workspace->base.ids[table].count;
	if (rows[table].index)
		nn_kernels()->gather(
			out, dim, rows[table].base, dim, rows[table].index, count, dim);
	else if (count > 0)
		memcpy(out, rows[table].base, count * dim * sizeof(float));
}

/* ---- a feature's linear layer, over the distinct ids ---- */

static struct fc_shape feature_shape(
	const struct fusion_workspace *workspace, enum fusion_table feature)
{
	const struct fusion_feature *f = &fusion_of(workspace)->features[feature];
	return (struct fc_shape){.rows = workspace->base.ids[feature].count,
		.in = f->dim,
		.out = f->out,
		.in_stride = f->dim,
		.weight_stride = f->dim};
}

static void feature_forward(struct fusion_workspace *workspace, enum fusion_table feature,
	const struct model_weights *weights, const struct model_rows *rows)
{
	const struct fusion *model = fusion_of(workspace);
	const enum fusion_layer layer = model->features[feature].layer;
	const struct fusion_feature_memory *memory = &workspace->features[feature];
	const struct fc_shape shape = feature_shape(workspace, feature);
	fetch(memory->rows, workspace, feature, rows);
	fc_forward(memory->out, memory->rows, weights->packed + layer_packed(model, layer),
		weights->dense + layer_bias(model, layer), &shape);
}

/* From d_out. */
static void feature_backward(struct fusion_workspace *workspace, enum fusion_table feature,
	const struct model_weights *weights)
{
	const struct fusion *model = fusion_of(workspace);
	const enum fusion_layer layer = model->features[feature].layer;
	const struct fusion_feature_memory *memory = &workspace->features[feature];
	const struct fc_shape shape = feature_shape(workspace, feature);
	float *gradient = workspace->base.dense_gradient;
	fc_backward(workspace->base.table_gradients[feature], gradient + layer_weight(model, layer),
		gradient + layer_bias(model, layer), memory->d_out, memory->rows,
		weights->dense + layer_weight(model, layer), &shape);
}

/* ---- columns of the combined layer ---- */

/* The columns [column, column + columns) of a tower's combined layer, as a layer of its own. */
struct part {
	const struct fusion_tower *tower;
	size_t column;
	struct fc_shape shape;
};

/* For an input [rows x columns] with this stride. */
static struct part part_of(const struct fusion_workspace *workspace,
	const struct fusion_tower *tower, size_t column, size_t columns, size_t rows, size_t stride)
{
	const struct fusion *model = fusion_of(workspace);
	return (struct part){.tower = tower,
		.column = column,
		.shape = {.rows = rows,
			.in = columns,
			.out = model->hidden,
			.in_stride = stride,
			.weight_stride = model->base.tensors[2 * tower->layer].cols}};
}

static const float *part_packed(const struct fusion_workspace *workspace, const struct part *part,
	const struct model_weights *weights)
{
	const struct fusion *model = fusion_of(workspace);
	return weights->packed + layer_packed(model, part->tower->layer) +
	       part->column * panel_stride(model->hidden);
}

/* d_in and the columns' part of the weight's gradient; d_bias may be NULL. */
static void part_backward(struct fusion_workspace *workspace, const struct part *part,
	const struct model_weights *weights, float *d_in, float *d_bias, const float *d_out,
	const float *in)
{
	const size_t at = layer_weight(fusion_of(workspace), part->tower->layer) + part->column;
	fc_backward(d_in, workspace->base.dense_gradient + at, d_bias, d_out, in,
		weights->dense + at, &part->shape);
}

/* ---- features that entities share ---- */

static struct part shared_part(const struct fusion_workspace *workspace,
	const struct fusion_tower *tower, enum fusion_table table)
{
	const struct fusion *model = fusion_of(workspace);
	const size_t ids = workspace->base.ids[table].count;
	if (table == TABLE_GENRE)
		return part_of(workspace, tower, model->genre_column, model->genre_dim, ids,
			model->genre_dim);
	const struct fusion_feature *f = &model->features[table];
	return part_of(workspace, tower, f->column, f->out, ids, panel_stride(f->out));
}

/* A shared feature's rows in tower->shared, or in d_shared. */
static float *shared_rows(
	const struct fusion_workspace *workspace, float *shared, enum fusion_table table)
{
	return shared + workspace->shared_first[table] * panel_stride(fusion_of(workspace)->hidden);
}

/* in [ids x columns] through the combined layer. */
static void shared_forward(struct fusion_workspace *workspace, const struct fusion_tower *tower,
	enum fusion_table table, const float *in, const struct model_weights *weights)
{
	const struct part part = shared_part(workspace, tower, table);
	fc_forward(shared_rows(workspace, tower->shared, table), in,
		part_packed(workspace, &part, weights), NULL, &part.shape);
}

static void shared_backward(struct fusion_workspace *workspace, const struct fusion_tower *tower,
	enum fusion_table table, float *d_in, const float *in, const struct model_weights *weights)
{
	const struct part part = shared_part(workspace, tower, table);
	part_backward(workspace, &part, weights, d_in, NULL,
		shared_rows(workspace, tower->d_shared, table), in);
}

/* ---- the entity's own id ---- */

static struct part id_part(const struct fusion_workspace *workspace,
	const struct fusion_tower *tower, enum fusion_table feature)
{
	const struct fusion_feature *f = &fusion_of(workspace)->features[feature];
	return part_of(workspace, tower, f->column, f->out, tower->rows, panel_stride(f->out));
}

/* Begins vectors. */
static void id_forward(struct fusion_workspace *workspace, const struct fusion_tower *tower,
	enum fusion_table feature, const struct model_weights *weights,
	const struct model_rows *rows)
{
	const struct part part = id_part(workspace, tower, feature);
	const size_t stride = part.shape.in_stride;
	feature_forward(workspace, feature, weights, rows);
	nn_kernels()->gather(tower->ids, stride, workspace->features[feature].out, stride,
		tower->id_index, tower->rows, stride);
	fc_forward(tower->vectors, tower->ids, part_packed(workspace, &part, weights), NULL,
		&part.shape);
}

/* Of the combined layer's bias too. */
static void id_backward(struct fusion_workspace *workspace, const struct fusion_tower *tower,
	enum fusion_table feature, const struct model_weights *weights)
{
	const struct part part = id_part(workspace, tower, feature);
	const size_t stride = part.shape.in_stride;
	float *d_out = workspace->features[feature].d_out;
	part_backward(workspace, &part, weights, tower->d_ids,
		workspace->base.dense_gradient + layer_bias(fusion_of(workspace), tower->layer),
		tower->d_vectors, tower->ids);
	memset(d_out, 0, workspace->base.ids[feature].count * stride * sizeof(float));
	nn_kernels()->scatter_add(
		d_out, stride, tower->d_ids, stride, tower->id_index, tower->rows, part.shape.in);
	feature_backward(workspace, feature, weights);
}

/* ---- bias, shared features and tanh: the end of a tower, and the beginning of its backward pass
 * ---- */

static void finish_forward(struct fusion_workspace *workspace, const struct fusion_tower *tower,
	const struct model_weights *weights)
{
	nn_kernels()->bag_tanh(tower->vectors, tower->shared,
		weights->dense + layer_bias(fusion_of(workspace), tower->layer), &tower->bags);
}

static void begin_backward(struct fusion_workspace *workspace, const struct fusion_tower *tower)
{
	const size_t stride = panel_stride(fusion_of(workspace)->hidden);
	memset(tower->d_shared, 0, tower->shared_rows * stride * sizeof(float));
	nn_kernels()->bag_tanh_backward(
		tower->d_vectors, tower->d_shared, tower->vectors, &tower->bags);
}

/* ---- the user's tower ---- */

void fusion_user_forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows)
{
	const struct fusion_tower *tower = &workspace->user;
	id_forward(workspace, tower, TABLE_USER, weights, rows);
	for (enum fusion_table f = TABLE_GENDER; f <= TABLE_OCCUPATION; f++) {
		feature_forward(workspace, f, weights, rows);
		shared_forward(workspace, tower, f, workspace->features[f].out, weights);
	}
	finish_forward(workspace, tower, weights);
}

void fusion_user_backward(struct fusion_workspace *workspace, const struct model_weights *weights)
{
	const struct fusion_tower *tower = &workspace->user;
	begin_backward(workspace, tower);
	id_backward(workspace, tower, TABLE_USER, weights);
	for (enum fusion_table f = TABLE_GENDER; f <= TABLE_OCCUPATION; f++) {
		const struct fusion_feature_memory *memory = &workspace->features[f];
		shared_backward(workspace, tower, f, memory->d_out, memory->out, weights);
		feature_backward(workspace, f, weights);
	}
}

/* ---- the movie's tower ---- */

/* The gradient of title_conv [F x W * dim] from that by window position [W * F16 x dim]. */
static void title_weight_unpack(float *weight, const float *by_position, const struct fusion *model)
{
	size_t dim = model->word_dim;
	for (size_t f = 0; f < model->filters; f++)
		for (size_t k = 0; k < model->filter_width; k++, weight += dim)
			memcpy(weight, by_position + (k * model->filter_stride + f) * dim,
				dim * sizeof(float));
}

static struct fc_shape title_shape(const struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	return (struct fc_shape){.rows = workspace->base.ids[TABLE_WORD].count,
		.in = model->word_dim,
		.out = model->filter_width * model->filter_stride,
		.in_stride = model->word_dim,
		.weight_stride = model->word_dim};
}

static struct sequence_batch title_batch(const struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	return (struct sequence_batch){.sequences = workspace->movie.rows,
		.offsets = workspace->word_offsets,
		.items = workspace->word_values,
		.width = model->filter_width,
		.filters = model->filters,
		.filter_stride = model->filter_stride};
}

static struct part title_part(const struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	return part_of(workspace, &workspace->movie, model->title_column, model->filters,
		workspace->movie.rows, model->filter_stride);
}

/* Adds to vectors. */
static void title_forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_title *title = &workspace->title;
	const struct fc_shape shape = title_shape(workspace);
	const struct sequence_batch batch = title_batch(workspace);
	const struct part part = title_part(workspace);
	const float *bias = weights->dense + layer_bias(model, LAYER_TITLE);
	fetch(title->rows, workspace, TABLE_WORD, rows);
	fc_forward(title->projections, title->rows,
		weights->packed + layer_packed(model, LAYER_TITLE), NULL, &shape);
	if (model->pool_max)
		nn_kernels()->sequence_max(title->pooled, model->filter_stride, title->winners,
			title->windows, title->projections, bias, &batch);
	else
		nn_kernels()->sequence_sum(title->pooled, model->filter_stride, title->windows,
			title->projections, bias, &batch);
	fc_forward_add(workspace->movie.vectors, title->pooled,
		part_packed(workspace, &part, weights), &part.shape);
}

static void title_backward(struct fusion_workspace *workspace, const struct model_weights *weights)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_title *title = &workspace->title;
	const struct fc_shape shape = title_shape(workspace);
	const struct sequence_batch batch = title_batch(workspace);
	const struct part part = title_part(workspace);
	const float *by_position = weights->packed + layer_packed(model, LAYER_TITLE) +
				   panel_stride(shape.in * shape.out);
	float *gradient = workspace->base.dense_gradient;
	float *d_bias = gradient + layer_bias(model, LAYER_TITLE);
	part_backward(workspace, &part, weights, title->d_pooled, NULL, workspace->movie.d_vectors,
		title->pooled);
	memset(title->d_projections, 0, shape.rows * shape.out * sizeof(float));
	if (model->pool_max)
		nn_kernels()->sequence_max_backward(title->d_projections, d_bias, title->d_pooled,
			model->filter_stride, title->winners, title->windows, &batch);
	else
		nn_kernels()->sequence_sum_backward(title->d_projections, d_bias, title->d_pooled,
			model->filter_stride, title->windows, &batch);
	fc_backward(workspace->base.table_gradients[TABLE_WORD], title->d_weight, NULL,
		title->d_projections, title->rows, by_position, &shape);
	title_weight_unpack(gradient + layer_weight(model, LAYER_TITLE), title->d_weight, model);
}

void fusion_movie_forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows)
{
	const struct fusion_tower *tower = &workspace->movie;
	id_forward(workspace, tower, TABLE_MOVIE, weights, rows);
	fetch(workspace->genre_rows, workspace, TABLE_GENRE, rows);
	shared_forward(workspace, tower, TABLE_GENRE, workspace->genre_rows, weights);
	title_forward(workspace, weights, rows);
	finish_forward(workspace, tower, weights);
}

void fusion_movie_backward(struct fusion_workspace *workspace, const struct model_weights *weights)
{
	const struct fusion_tower *tower = &workspace->movie;
	begin_backward(workspace, tower);
	id_backward(workspace, tower, TABLE_MOVIE, weights);
	shared_backward(workspace, tower, TABLE_GENRE, workspace->base.table_gradients[TABLE_GENRE],
		workspace->genre_rows, weights);
	title_backward(workspace, weights);
}
