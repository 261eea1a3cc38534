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

static struct fc_shape feature_shape(
	const struct fusion_workspace *workspace, enum fusion_table feature)
{
	const struct fusion_feature *f = &fusion_of(workspace)->features[feature];
	return (struct fc_shape){.rows = workspace->base.ids[feature].count,
		.in = f->dim,
		.out = f->out,
		.in_stride = f->dim,
		.out_stride = panel_stride(f->out)};
}

/* A feature's linear layer over the distinct ids, then into its columns of the tower's input. */
static void feature_forward(struct fusion_workspace *workspace, enum fusion_table feature,
	const struct fusion_tower *tower, const float *dense, const struct model_rows *rows)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_feature *f = &model->features[feature];
	const struct fusion_feature_memory *memory = &workspace->features[feature];
	struct fc_shape shape = feature_shape(workspace, feature);
	fetch(memory->rows, workspace, feature, rows);
	fc_forward(memory->out, memory->rows, dense + layer_weight(model, f->layer),
		dense + layer_bias(model, f->layer), &shape);
	nn_kernels()->gather(tower->input + f->column, tower->shape.in_stride, memory->out,
		shape.out_stride, workspace->feature_index[feature], tower->shape.rows, f->out);
}

static void feature_backward(struct fusion_workspace *workspace, enum fusion_table feature,
	const struct fusion_tower *tower, const float *dense)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_feature *f = &model->features[feature];
	const struct fusion_feature_memory *memory = &workspace->features[feature];
	struct fc_shape shape = feature_shape(workspace, feature);
	float *gradient = workspace->base.dense_gradient;
	memset(memory->d_out, 0, shape.rows * shape.out_stride * sizeof(float));
	nn_kernels()->scatter_add(memory->d_out, shape.out_stride, tower->d_input + f->column,
		tower->shape.in_stride, workspace->feature_index[feature], tower->shape.rows,
		f->out);
	fc_backward(workspace->base.table_gradients[feature],
		gradient + layer_weight(model, f->layer), gradient + layer_bias(model, f->layer),
		memory->d_out, memory->rows, dense + layer_weight(model, f->layer), &shape);
}

/* vectors = tanh(input W^T + b) */
static void combined_forward(struct fusion_workspace *workspace, enum fusion_layer layer,
	const struct fusion_tower *tower, const float *dense)
{
	const struct fusion *model = fusion_of(workspace);
	fc_forward(tower->vectors, tower->input, dense + layer_weight(model, layer), NULL,
		&tower->shape);
	nn_kernels()->bias_tanh(tower->vectors, tower->shape.out_stride,
		dense + layer_bias(model, layer), tower->shape.rows, tower->shape.out);
}

static void combined_backward(struct fusion_workspace *workspace, enum fusion_layer layer,
	const struct fusion_tower *tower, const float *dense)
{
	const struct fusion *model = fusion_of(workspace);
	float *gradient = workspace->base.dense_gradient;
	nn_kernels()->tanh_backward(tower->d_vectors, tower->vectors, tower->shape.out_stride,
		tower->shape.rows, tower->shape.out);
	fc_backward(tower->d_input, gradient + layer_weight(model, layer),
		gradient + layer_bias(model, layer), tower->d_vectors, tower->input,
		dense + layer_weight(model, layer), &tower->shape);
}

void fusion_user_forward(
	struct fusion_workspace *workspace, const float *dense, const struct model_rows *rows)
{
	for (enum fusion_table f = TABLE_USER; f <= TABLE_OCCUPATION; f++)
		feature_forward(workspace, f, &workspace->user, dense, rows);
	combined_forward(workspace, LAYER_USER_COMBINED, &workspace->user, dense);
}

void fusion_user_backward(struct fusion_workspace *workspace, const float *dense)
{
	combined_backward(workspace, LAYER_USER_COMBINED, &workspace->user, dense);
	for (enum fusion_table f = TABLE_USER; f <= TABLE_OCCUPATION; f++)
		feature_backward(workspace, f, &workspace->user, dense);
}

/*
 * title_conv [F x W * dim] and its weights by window position [W * F16 x dim]: row k * F16 + f is
 * filter f's block k. Rows of padding are 0.
 */
static void title_weight_pack(float *packed, const float *weight, const struct fusion *model)
{
	size_t dim = model->word_dim;
	memset(packed, 0, model->filter_width * model->filter_stride * dim * sizeof(float));
	for (size_t f = 0; f < model->filters; f++)
		for (size_t k = 0; k < model->filter_width; k++, weight += dim)
			memcpy(packed + (k * model->filter_stride + f) * dim, weight,
				dim * sizeof(float));
}

static void title_weight_unpack(float *weight, const float *packed, const struct fusion *model)
{
	size_t dim = model->word_dim;
	for (size_t f = 0; f < model->filters; f++)
		for (size_t k = 0; k < model->filter_width; k++, weight += dim)
			memcpy(weight, packed + (k * model->filter_stride + f) * dim,
				dim * sizeof(float));
}

static struct fc_shape title_shape(const struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	size_t out = model->filter_width * model->filter_stride;
	return (struct fc_shape){.rows = workspace->base.ids[TABLE_WORD].count,
		.in = model->word_dim,
		.out = out,
		.in_stride = model->word_dim,
		.out_stride = out};
}

static struct sequence_batch title_batch(const struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	return (struct sequence_batch){.sequences = workspace->movie.shape.rows,
		.offsets = workspace->word_offsets,
		.items = workspace->word_values,
		.width = model->filter_width,
		.filters = model->filters,
		.filter_stride = model->filter_stride};
}

static void title_forward(
	struct fusion_workspace *workspace, const float *dense, const struct model_rows *rows)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_title *title = &workspace->title;
	const struct fusion_tower *tower = &workspace->movie;
	struct fc_shape shape = title_shape(workspace);
	struct sequence_batch batch = title_batch(workspace);
	const float *bias = dense + layer_bias(model, LAYER_TITLE);
	float *pooled = tower->input + model->title_column;
	fetch(title->rows, workspace, TABLE_WORD, rows);
	title_weight_pack(title->weight, dense + layer_weight(model, LAYER_TITLE), model);
	fc_forward(title->projections, title->rows, title->weight, NULL, &shape);
	if (model->pool_max)
		nn_kernels()->sequence_max(pooled, tower->shape.in_stride, title->winners,
			title->windows, title->projections, bias, &batch);
	else
		nn_kernels()->sequence_sum(pooled, tower->shape.in_stride, title->windows,
			title->projections, bias, &batch);
}

static void title_backward(struct fusion_workspace *workspace)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_title *title = &workspace->title;
	const struct fusion_tower *tower = &workspace->movie;
	struct fc_shape shape = title_shape(workspace);
	struct sequence_batch batch = title_batch(workspace);
	float *gradient = workspace->base.dense_gradient;
	float *d_bias = gradient + layer_bias(model, LAYER_TITLE);
	const float *d_pooled = tower->d_input + model->title_column;
	memset(title->d_projections, 0, shape.rows * shape.out_stride * sizeof(float));
	if (model->pool_max)
		nn_kernels()->sequence_max_backward(title->d_projections, d_bias, d_pooled,
			tower->shape.in_stride, title->winners, title->windows, &batch);
	else
		nn_kernels()->sequence_sum_backward(title->d_projections, d_bias, d_pooled,
			tower->shape.in_stride, title->windows, &batch);
	fc_backward(workspace->base.table_gradients[TABLE_WORD], title->d_weight, NULL,
		title->d_projections, title->rows, title->weight, &shape);
	title_weight_unpack(gradient + layer_weight(model, LAYER_TITLE), title->d_weight, model);
}

void fusion_movie_forward(
	struct fusion_workspace *workspace, const float *dense, const struct model_rows *rows)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_tower *tower = &workspace->movie;
	feature_forward(workspace, TABLE_MOVIE, tower, dense, rows);
	fetch(workspace->genre_rows, workspace, TABLE_GENRE, rows);
	nn_kernels()->bag_sum(tower->input + model->genre_column, tower->shape.in_stride,
		workspace->genre_rows, workspace->genre_offsets, workspace->genre_values,
		tower->shape.rows, model->genre_dim);
	title_forward(workspace, dense, rows);
	combined_forward(workspace, LAYER_MOVIE_COMBINED, tower, dense);
}

void fusion_movie_backward(struct fusion_workspace *workspace, const float *dense)
{
	const struct fusion *model = fusion_of(workspace);
	const struct fusion_tower *tower = &workspace->movie;
	float *d_genres = workspace->base.table_gradients[TABLE_GENRE];
	combined_backward(workspace, LAYER_MOVIE_COMBINED, tower, dense);
	feature_backward(workspace, TABLE_MOVIE, tower, dense);
	memset(d_genres, 0,
		workspace->base.ids[TABLE_GENRE].count * model->genre_dim * sizeof(float));
	nn_kernels()->bag_sum_backward(d_genres, tower->d_input + model->genre_column,
		tower->shape.in_stride, workspace->genre_offsets, workspace->genre_values,
		tower->shape.rows, model->genre_dim);
	title_backward(workspace);
}
