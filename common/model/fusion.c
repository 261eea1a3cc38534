/* The fusion model: its settings, tables, tensors and plan, and the score; fusion.h has the rest.
 */
#include "common/model/fusion.h"

#include "common/nn/loss.h"

#include <string.h>

static const char *const poolings[] = {"sum", "max", NULL};

/* In the order of enum setting. */
static const struct model_setting settings[] = {
	{"user_dim", 32, 1, 4096, NULL},
	{"gender_dim", 16, 1, 4096, NULL},
	{"age_dim", 16, 1, 4096, NULL},
	{"occupation_dim", 16, 1, 4096, NULL},
	{"movie_dim", 32, 1, 4096, NULL},
	{"genre_dim", 32, 1, 4096, NULL},
	{"word_dim", 32, 1, 4096, NULL},
	{"user_fc", 32, 1, 4096, NULL},
	{"gender_fc", 16, 1, 4096, NULL},
	{"age_fc", 16, 1, 4096, NULL},
	{"occupation_fc", 16, 1, 4096, NULL},
	{"movie_fc", 32, 1, 4096, NULL},
	{"filters", 32, 1, 4096, NULL},
	{"filter_width", 3, 1, 64, NULL},
	{"hidden", 200, 1, 4096, NULL},
	{"pooling", 0, 0, 1, poolings},
};

/* Those of the features stand at FEATURE_DIM + table and FEATURE_OUT + table. */
enum setting {
	FEATURE_DIM = 0,
	GENRE_DIM = 5,
	WORD_DIM = 6,
	FEATURE_OUT = 7,
	FILTERS = 12,
	FILTER_WIDTH = 13,
	HIDDEN = 14,
	POOLING = 15,
	SETTINGS = 16,
};

_Static_assert(sizeof(settings) / sizeof(settings[0]) == SETTINGS, "a name for every setting");
_Static_assert(SETTINGS <= MODEL_SETTINGS_MAX, "settings fit a configuration");
_Static_assert(2 * FUSION_LAYERS <= MODEL_TENSORS_MAX, "tensors fit a model");

#define SCORE_SCALE 5.0f

static void describe(struct model *base, const struct model_sizes *sizes)
{
	struct fusion *model = (struct fusion *)base;
	const uint32_t *values = base->config.values;
	static const enum fusion_layer feature_layers[FUSION_FEATURES] = {
		LAYER_USER, LAYER_GENDER, LAYER_AGE, LAYER_OCCUPATION, LAYER_MOVIE};
	for (uint32_t f = 0; f < FUSION_FEATURES; f++)
		model->features[f] = (struct fusion_feature){.layer = feature_layers[f],
			.dim = values[FEATURE_DIM + f],
			.out = values[FEATURE_OUT + f]};
	for (uint32_t f = TABLE_USER; f <= TABLE_OCCUPATION; f++) {
		model->features[f].column = model->user_input;
		model->user_input += model->features[f].out;
	}
	model->genre_dim = values[GENRE_DIM];
	model->word_dim = values[WORD_DIM];
	model->filters = values[FILTERS];
	model->filter_width = values[FILTER_WIDTH];
	model->filter_stride = panel_stride(model->filters);
	model->pool_max = values[POOLING] == 1;
	model->hidden = base->vector_dim = values[HIDDEN];
	model->genre_column = model->features[TABLE_MOVIE].out;
	model->title_column = model->genre_column + model->genre_dim;
	model->movie_input = model->title_column + model->filters;

	const struct fusion_feature *f = model->features;
	model_add_table(base, "user", sizes->users, f[TABLE_USER].dim, true);
	model_add_table(base, "gender", sizes->genders, f[TABLE_GENDER].dim, false);
	model_add_table(base, "age", sizes->ages, f[TABLE_AGE].dim, false);
	model_add_table(base, "occupation", sizes->occupations, f[TABLE_OCCUPATION].dim, false);
	model_add_table(base, "movie", sizes->movies, f[TABLE_MOVIE].dim, true);
	model_add_table(base, "genre", sizes->genres, model->genre_dim, false);
	model_add_table(base, "word", sizes->words, model->word_dim, false);

	model_add_layer(base, "user_fc", f[TABLE_USER].out, f[TABLE_USER].dim);
	model_add_layer(base, "gender_fc", f[TABLE_GENDER].out, f[TABLE_GENDER].dim);
	model_add_layer(base, "age_fc", f[TABLE_AGE].out, f[TABLE_AGE].dim);
	model_add_layer(base, "occupation_fc", f[TABLE_OCCUPATION].out, f[TABLE_OCCUPATION].dim);
	model_add_layer(base, "user_combined", model->hidden, model->user_input);
	model_add_layer(base, "movie_fc", f[TABLE_MOVIE].out, f[TABLE_MOVIE].dim);
	model_add_layer(base, "title_conv", model->filters, model->filter_width * model->word_dim);
	model_add_layer(base, "movie_combined", model->hidden, model->movie_input);
}

static void workspace_fini(struct model_workspace *base)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	slab_fini(&workspace->plan_memory);
	slab_fini(&workspace->step_memory);
}

static void plan_layout(struct slab *slab, void *context)
{
	struct fusion_workspace *workspace = context;
	const struct model_batch *batch = workspace->base.batch;
	for (uint32_t f = 0; f < FUSION_FEATURES; f++)
		workspace->feature_index[f] =
			slab_take(slab, f == TABLE_MOVIE ? batch->movie_count : batch->user_count,
				sizeof(uint32_t));
	workspace->genre_offsets = slab_take(slab, batch->movie_count + 1u, sizeof(uint32_t));
	workspace->genre_values = slab_take(slab, workspace->genre_total, sizeof(uint32_t));
	workspace->word_offsets = slab_take(slab, batch->movie_count + 1u, sizeof(uint32_t));
	workspace->word_values = slab_take(slab, workspace->word_total, sizeof(uint32_t));
}

static float *take_panel(struct slab *slab, size_t rows, size_t columns)
{
	return slab_take(slab, rows * panel_stride(columns), sizeof(float));
}

static void tower_layout(struct slab *slab, struct fusion_tower *tower)
{
	const struct fc_shape *shape = &tower->shape;
	tower->input = take_panel(slab, shape->rows, shape->in);
	tower->d_input = take_panel(slab, shape->rows, shape->in);
	tower->vectors = take_panel(slab, shape->rows, shape->out);
	tower->d_vectors = take_panel(slab, shape->rows, shape->out);
	tower->inverse = slab_take(slab, shape->rows, sizeof(float));
	tower->own = slab_take(slab, shape->rows, sizeof(float));
}

static void step_layout(struct slab *slab, void *context)
{
	struct fusion_workspace *workspace = context;
	const struct fusion *model = fusion_of(workspace);
	const struct model_batch *batch = workspace->base.batch;
	for (uint32_t f = 0; f < FUSION_FEATURES; f++) {
		struct fusion_feature_memory *memory = &workspace->features[f];
		size_t count = workspace->base.ids[f].count;
		memory->rows = slab_take(slab, count * model->features[f].dim, sizeof(float));
		memory->out = take_panel(slab, count, model->features[f].out);
		memory->d_out = take_panel(slab, count, model->features[f].out);
	}
	tower_layout(slab, &workspace->user);
	tower_layout(slab, &workspace->movie);

	struct fusion_title *title = &workspace->title;
	size_t words = workspace->base.ids[TABLE_WORD].count;
	size_t projection = model->filter_width * model->filter_stride;
	workspace->genre_rows = slab_take(slab,
		(size_t)workspace->base.ids[TABLE_GENRE].count * model->genre_dim, sizeof(float));
	title->rows = slab_take(slab, words * model->word_dim, sizeof(float));
	title->weight = slab_take(slab, projection * model->word_dim, sizeof(float));
	title->d_weight = slab_take(slab, projection * model->word_dim, sizeof(float));
	title->projections = slab_take(slab, words * projection, sizeof(float));
	title->d_projections = slab_take(slab, words * projection, sizeof(float));
	title->windows = take_panel(slab, workspace->word_total, model->filters);
	title->winners = slab_take(slab,
		model->pool_max ? batch->movie_count * model->filter_stride : 0, sizeof(uint32_t));

	for (uint32_t t = 0; t < FUSION_TABLES; t++)
		workspace->base.table_gradients[t] = slab_take(slab,
			(size_t)workspace->base.ids[t].count * model->base.tables[t].dim,
			sizeof(float));
	workspace->cosines = slab_take(slab, batch->example_count, sizeof(float));
	workspace->d_cosines = slab_take(slab, batch->example_count, sizeof(float));
}

static enum status plan_users(struct fusion_workspace *workspace, struct error *err)
{
	const struct model_batch *batch = workspace->base.batch;
	uint32_t **index = workspace->feature_index;
	enum status status = STATUS_OK;
	for (uint32_t u = 0; u < batch->user_count && status == STATUS_OK; u++) {
		const struct user_entity *user = &batch->users[u];
		status = id_set_add(
			&workspace->base.ids[TABLE_USER], user->id, &index[TABLE_USER][u], err);
		if (status == STATUS_OK)
			status = model_plan_value(&workspace->base, TABLE_GENDER, user->gender,
				&index[TABLE_GENDER][u], err);
		if (status == STATUS_OK)
			status = model_plan_value(
				&workspace->base, TABLE_AGE, user->age, &index[TABLE_AGE][u], err);
		if (status == STATUS_OK)
			status = model_plan_value(&workspace->base, TABLE_OCCUPATION,
				user->occupation, &index[TABLE_OCCUPATION][u], err);
	}
	return status;
}

static enum status plan_movies(struct fusion_workspace *workspace, struct error *err)
{
	const struct model_batch *batch = workspace->base.batch;
	uint32_t genre = 0, word = 0;
	for (uint32_t m = 0; m < batch->movie_count; m++) {
		const struct movie_entity *movie = &batch->movies[m];
		workspace->genre_offsets[m] = genre;
		workspace->word_offsets[m] = word;
		enum status status = id_set_add(&workspace->base.ids[TABLE_MOVIE], movie->id,
			&workspace->feature_index[TABLE_MOVIE][m], err);
		for (uint32_t i = 0; i < movie->genre_count && status == STATUS_OK; i++)
			status = model_plan_value(&workspace->base, TABLE_GENRE, movie->genres[i],
				&workspace->genre_values[genre++], err);
		for (uint32_t i = 0; i < movie->word_count && status == STATUS_OK; i++)
			status = model_plan_value(&workspace->base, TABLE_WORD, movie->words[i],
				&workspace->word_values[word++], err);
		if (status != STATUS_OK)
			return status;
	}
	workspace->genre_offsets[batch->movie_count] = genre;
	workspace->word_offsets[batch->movie_count] = word;
	return STATUS_OK;
}

/* The numbers of genres and words over all movies of the batch. */
static enum status count_features(struct fusion_workspace *workspace, struct error *err)
{
	const struct model_batch *batch = workspace->base.batch;
	uint64_t genres = 0, words = 0;
	for (uint32_t m = 0; m < batch->movie_count; m++) {
		genres += batch->movies[m].genre_count;
		words += batch->movies[m].word_count;
	}
	if (genres > INT32_MAX || words > INT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"model batch: %llu genres and %llu title words are too many",
			(unsigned long long)genres, (unsigned long long)words);
	workspace->genre_total = (uint32_t)genres;
	workspace->word_total = (uint32_t)words;
	return STATUS_OK;
}

static struct fc_shape combined_shape(size_t rows, size_t in, size_t out)
{
	return (struct fc_shape){.rows = rows,
		.in = in,
		.out = out,
		.in_stride = panel_stride(in),
		.out_stride = panel_stride(out)};
}

static enum status plan(struct model_workspace *base, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	const struct fusion *model = fusion_of(workspace);
	enum status status = count_features(workspace, err);
	if (status == STATUS_OK)
		status = slab_layout(
			&workspace->plan_memory, plan_layout, workspace, "model plan", err);
	if (status == STATUS_OK)
		status = plan_users(workspace, err);
	if (status == STATUS_OK)
		status = plan_movies(workspace, err);
	if (status != STATUS_OK)
		return status;
	workspace->user.shape =
		combined_shape(base->batch->user_count, model->user_input, model->hidden);
	workspace->movie.shape =
		combined_shape(base->batch->movie_count, model->movie_input, model->hidden);
	return slab_layout(&workspace->step_memory, step_layout, workspace, "model step", err);
}

static struct pair_batch pairs_of(const struct fusion_workspace *workspace)
{
	const struct model_batch *batch = workspace->base.batch;
	return (struct pair_batch){.pairs = batch->example_count,
		.x_index = batch->example_user,
		.y_index = batch->example_movie,
		.x_rows = batch->user_count,
		.y_rows = batch->movie_count,
		.stride = workspace->user.shape.out_stride};
}

static void forward(struct fusion_workspace *workspace, const float *dense,
	const struct model_rows *rows, float *scores)
{
	const struct nn_kernels *kernels = nn_kernels();
	const struct fusion_tower *user = &workspace->user, *movie = &workspace->movie;
	struct pair_batch pairs = pairs_of(workspace);
	fusion_user_forward(workspace, dense, rows);
	fusion_movie_forward(workspace, dense, rows);
	kernels->inverse_norms(user->inverse, user->vectors, pairs.stride, pairs.x_rows);
	kernels->inverse_norms(movie->inverse, movie->vectors, pairs.stride, pairs.y_rows);
	kernels->cosine(workspace->cosines, user->vectors, movie->vectors, user->inverse,
		movie->inverse, &pairs);
	for (size_t e = 0; e < pairs.pairs; e++)
		scores[e] = SCORE_SCALE * workspace->cosines[e];
}

static void train(struct model_workspace *base, const float *dense, const struct model_rows *rows)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	const struct fusion_tower *user = &workspace->user, *movie = &workspace->movie;
	struct pair_batch pairs = pairs_of(workspace);
	float *scores = workspace->d_cosines;
	forward(workspace, dense, rows, scores);
	/* score = 5 z and its gradient, in the scores' place. */
	base->cost =
		squared_loss(scores, scores, base->batch->labels, base->batch->scale, pairs.pairs);
	for (size_t e = 0; e < pairs.pairs; e++)
		workspace->d_cosines[e] *= SCORE_SCALE;
	nn_kernels()->cosine_backward(user->d_vectors, movie->d_vectors, user->own, movie->own,
		workspace->d_cosines, workspace->cosines, user->vectors, movie->vectors,
		user->inverse, movie->inverse, &pairs);
	fusion_user_backward(workspace, dense);
	fusion_movie_backward(workspace, dense);
}

static void score(struct model_workspace *base, const float *dense, const struct model_rows *rows,
	float *scores)
{
	forward((struct fusion_workspace *)base, dense, rows, scores);
}

static void copy_vectors(float *out, const struct fusion_tower *tower)
{
	for (size_t r = 0; r < tower->shape.rows; r++)
		memcpy(out + r * tower->shape.out, tower->vectors + r * tower->shape.out_stride,
			tower->shape.out * sizeof(float));
}

static void user_vectors(struct model_workspace *base, const float *dense,
	const struct model_rows *rows, float *vectors)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	fusion_user_forward(workspace, dense, rows);
	copy_vectors(vectors, &workspace->user);
}

static void movie_vectors(struct model_workspace *base, const float *dense,
	const struct model_rows *rows, float *vectors)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	fusion_movie_forward(workspace, dense, rows);
	copy_vectors(vectors, &workspace->movie);
}

static float inverse_norm(const struct model *base, const float *vector)
{
	return cosine_inverse_norm(nn_kernels()->dot(vector, vector, base->vector_dim));
}

static float pair_score(const struct model *base, const float *user, const float *movie)
{
	float inverse = inverse_norm(base, user) * inverse_norm(base, movie);
	return SCORE_SCALE * (nn_kernels()->dot(user, movie, base->vector_dim) * inverse);
}

static float user_factor(const struct model *base, const float *user)
{
	return SCORE_SCALE * inverse_norm(base, user);
}

const struct model_kind model_kind_fusion = {
	.name = "fusion",
	.settings = settings,
	.setting_count = SETTINGS,
	.model_size = sizeof(struct fusion),
	.workspace_size = sizeof(struct fusion_workspace),
	.describe = describe,
	.workspace_fini = workspace_fini,
	.plan = plan,
	.train = train,
	.score = score,
	.user_vectors = user_vectors,
	.movie_vectors = movie_vectors,
	.pair_score = pair_score,
	.user_factor = user_factor,
	.movie_factor = inverse_norm,
};
