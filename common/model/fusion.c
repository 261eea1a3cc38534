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

/* A user's shared features: gender, age, occupation. */
#define USER_SHARED (TABLE_OCCUPATION - TABLE_GENDER + 1u)

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
	fusion_pack_layout(model);
}

static void workspace_fini(struct model_workspace *base)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	slab_fini(&workspace->plan_memory);
}

static void tower_plan_layout(
	struct slab *slab, struct fusion_tower *tower, size_t rows, size_t bag_values)
{
	tower->id_index = slab_take(slab, rows, sizeof(uint32_t));
	tower->bag_offsets = slab_take(slab, rows + 1, sizeof(uint32_t));
	tower->bag_values = slab_take(slab, bag_values, sizeof(uint32_t));
}

static void plan_layout(struct slab *slab, void *context)
{
	struct fusion_workspace *workspace = context;
	const struct model_batch *batch = workspace->base.batch;
	tower_plan_layout(
		slab, &workspace->user, batch->user_count, (size_t)batch->user_count * USER_SHARED);
	tower_plan_layout(slab, &workspace->movie, batch->movie_count, workspace->genre_total);
	workspace->word_offsets = slab_take(slab, batch->movie_count + 1u, sizeof(uint32_t));
	workspace->word_values = slab_take(slab, workspace->word_total, sizeof(uint32_t));
}

static float *take_panel(struct slab *slab, size_t rows, size_t columns)
{
	return slab_take(slab, rows * panel_stride(columns), sizeof(float));
}

static void tower_layout(
	struct slab *slab, struct fusion_tower *tower, size_t id_out, size_t hidden)
{
	tower->ids = take_panel(slab, tower->rows, id_out);
	tower->d_ids = take_panel(slab, tower->rows, id_out);
	tower->shared = take_panel(slab, tower->shared_rows, hidden);
	tower->d_shared = take_panel(slab, tower->shared_rows, hidden);
	tower->vectors = take_panel(slab, tower->rows, hidden);
	tower->d_vectors = take_panel(slab, tower->rows, hidden);
	tower->inverse = slab_take(slab, tower->rows, sizeof(float));
	tower->own = slab_take(slab, tower->rows, sizeof(float));
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
	tower_layout(slab, &workspace->user, model->features[TABLE_USER].out, model->hidden);
	tower_layout(slab, &workspace->movie, model->features[TABLE_MOVIE].out, model->hidden);

	struct fusion_title *title = &workspace->title;
	size_t words = workspace->base.ids[TABLE_WORD].count;
	size_t projection = model->filter_width * model->filter_stride;
	workspace->genre_rows = slab_take(slab,
		(size_t)workspace->base.ids[TABLE_GENRE].count * model->genre_dim, sizeof(float));
	title->rows = slab_take(slab, words * model->word_dim, sizeof(float));
	title->d_weight = slab_take(slab, projection * model->word_dim, sizeof(float));
	title->projections = slab_take(slab, words * projection, sizeof(float));
	title->d_projections = slab_take(slab, words * projection, sizeof(float));
	title->windows = take_panel(slab, workspace->word_total, model->filters);
	title->pooled = take_panel(slab, batch->movie_count, model->filters);
	title->d_pooled = take_panel(slab, batch->movie_count, model->filters);
	title->winners = slab_take(slab,
		model->pool_max ? batch->movie_count * model->filter_stride : 0, sizeof(uint32_t));

	for (uint32_t t = 0; t < FUSION_TABLES; t++)
		workspace->base.table_gradients[t] = slab_take(slab,
			(size_t)workspace->base.ids[t].count * model->base.tables[t].dim,
			sizeof(float));
	workspace->cosines = slab_take(slab, batch->example_count, sizeof(float));
	workspace->d_cosines = slab_take(slab, batch->example_count, sizeof(float));
}

static enum status plan_user(struct fusion_workspace *workspace, uint32_t u, struct error *err)
{
	const struct user_entity *user = &workspace->base.batch->users[u];
	const uint32_t values[USER_SHARED] = {user->gender, user->age, user->occupation};
	struct fusion_tower *tower = &workspace->user;
	tower->bag_offsets[u] = u * USER_SHARED;
	enum status status =
		id_set_add(&workspace->base.ids[TABLE_USER], user->id, &tower->id_index[u], err);
	for (uint32_t i = 0; i < USER_SHARED && status == STATUS_OK; i++)
		status = model_plan_value(&workspace->base, TABLE_GENDER + i, values[i],
			&tower->bag_values[u * USER_SHARED + i], err);
	return status;
}

/* The ids of the users' shared features stand one feature behind the other. */
static void number_shared(struct fusion_workspace *workspace)
{
	struct fusion_tower *tower = &workspace->user;
	uint32_t *first = workspace->shared_first;
	tower->shared_rows = 0;
	for (enum fusion_table t = TABLE_GENDER; t <= TABLE_OCCUPATION; t++) {
		first[t] = tower->shared_rows;
		tower->shared_rows += workspace->base.ids[t].count;
	}
	for (size_t u = 0; u < tower->rows; u++)
		for (uint32_t i = 0; i < USER_SHARED; i++)
			tower->bag_values[u * USER_SHARED + i] += first[TABLE_GENDER + i];
	first[TABLE_GENRE] = 0;
	workspace->movie.shared_rows = workspace->base.ids[TABLE_GENRE].count;
}

static enum status plan_users(struct fusion_workspace *workspace, struct error *err)
{
	const uint32_t count = workspace->base.batch->user_count;
	enum status status = STATUS_OK;
	for (uint32_t u = 0; u < count && status == STATUS_OK; u++)
		status = plan_user(workspace, u, err);
	workspace->user.bag_offsets[count] = count * USER_SHARED;
	return status;
}

static enum status plan_movies(struct fusion_workspace *workspace, struct error *err)
{
	const struct model_batch *batch = workspace->base.batch;
	struct fusion_tower *tower = &workspace->movie;
	uint32_t genre = 0, word = 0;
	for (uint32_t m = 0; m < batch->movie_count; m++) {
		const struct movie_entity *movie = &batch->movies[m];
		tower->bag_offsets[m] = genre;
		workspace->word_offsets[m] = word;
		enum status status = id_set_add(
			&workspace->base.ids[TABLE_MOVIE], movie->id, &tower->id_index[m], err);
		for (uint32_t i = 0; i < movie->genre_count && status == STATUS_OK; i++)
			status = model_plan_value(&workspace->base, TABLE_GENRE, movie->genres[i],
				&tower->bag_values[genre++], err);
		for (uint32_t i = 0; i < movie->word_count && status == STATUS_OK; i++)
			status = model_plan_value(&workspace->base, TABLE_WORD, movie->words[i],
				&workspace->word_values[word++], err);
		if (status != STATUS_OK)
			return status;
	}
	tower->bag_offsets[batch->movie_count] = genre;
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

static void begin_tower(struct fusion_tower *tower, enum fusion_layer layer, size_t rows)
{
	tower->layer = layer;
	tower->rows = rows;
}

static void finish_tower(struct fusion_tower *tower, uint32_t hidden)
{
	tower->bags = (struct bag_batch){.rows = tower->rows,
		.columns = hidden,
		.offsets = tower->bag_offsets,
		.values = tower->bag_values};
}

static enum status plan(struct model_workspace *base, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	const struct fusion *model = fusion_of(workspace);
	begin_tower(&workspace->user, LAYER_USER_COMBINED, base->batch->user_count);
	begin_tower(&workspace->movie, LAYER_MOVIE_COMBINED, base->batch->movie_count);
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
	number_shared(workspace);
	finish_tower(&workspace->user, model->hidden);
	finish_tower(&workspace->movie, model->hidden);
	return STATUS_OK;
}

static enum status begin_step(struct fusion_workspace *workspace, struct error *err)
{
	return slab_layout(
		&workspace->base.scratch->step, step_layout, workspace, "model step", err);
}

static struct pair_batch pairs_of(const struct fusion_workspace *workspace)
{
	const struct model_batch *batch = workspace->base.batch;
	return (struct pair_batch){.pairs = batch->example_count,
		.x_index = batch->example_user,
		.y_index = batch->example_movie,
		.x_rows = batch->user_count,
		.y_rows = batch->movie_count,
		.stride = panel_stride(fusion_of(workspace)->hidden)};
}

static void forward(struct fusion_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows, float *scores)
{
	const struct nn_kernels *kernels = nn_kernels();
	const struct fusion_tower *user = &workspace->user, *movie = &workspace->movie;
	struct pair_batch pairs = pairs_of(workspace);
	fusion_user_forward(workspace, weights, rows);
	fusion_movie_forward(workspace, weights, rows);
	kernels->inverse_norms(user->inverse, user->vectors, pairs.stride, pairs.x_rows);
	kernels->inverse_norms(movie->inverse, movie->vectors, pairs.stride, pairs.y_rows);
	kernels->cosine(workspace->cosines, user->vectors, movie->vectors, user->inverse,
		movie->inverse, &pairs);
	for (size_t e = 0; e < pairs.pairs; e++)
		scores[e] = SCORE_SCALE * workspace->cosines[e];
}

static enum status train(struct model_workspace *base, const struct model_weights *weights,
	const struct model_rows *rows, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	enum status status = begin_step(workspace, err);
	if (status != STATUS_OK)
		return status;
	const struct fusion_tower *user = &workspace->user, *movie = &workspace->movie;
	struct pair_batch pairs = pairs_of(workspace);
	float *scores = workspace->d_cosines;
	forward(workspace, weights, rows, scores);
	/* score = 5 z and its gradient, in the scores' place. */
	base->cost =
		squared_loss(scores, scores, base->batch->labels, base->batch->scale, pairs.pairs);
	for (size_t e = 0; e < pairs.pairs; e++)
		workspace->d_cosines[e] *= SCORE_SCALE;
	nn_kernels()->cosine_backward(user->d_vectors, movie->d_vectors, user->own, movie->own,
		workspace->d_cosines, workspace->cosines, user->vectors, movie->vectors,
		user->inverse, movie->inverse, &pairs);
	fusion_user_backward(workspace, weights);
	fusion_movie_backward(workspace, weights);
	return STATUS_OK;
}

static enum status score(struct model_workspace *base, const struct model_weights *weights,
	const struct model_rows *rows, float *scores, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	enum status status = begin_step(workspace, err);
	if (status == STATUS_OK)
		forward(workspace, weights, rows, scores);
	return status;
}

static void copy_vectors(float *out, const struct fusion_tower *tower)
{
	const size_t columns = tower->bags.columns, stride = panel_stride(columns);
	for (size_t r = 0; r < tower->rows; r++)
		memcpy(out + r * columns, tower->vectors + r * stride, columns * sizeof(float));
}

static enum status user_vectors(struct model_workspace *base, const struct model_weights *weights,
	const struct model_rows *rows, float *vectors, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	enum status status = begin_step(workspace, err);
	if (status != STATUS_OK)
		return status;
	fusion_user_forward(workspace, weights, rows);
	copy_vectors(vectors, &workspace->user);
	return STATUS_OK;
}

static enum status movie_vectors(struct model_workspace *base, const struct model_weights *weights,
	const struct model_rows *rows, float *vectors, struct error *err)
{
	struct fusion_workspace *workspace = (struct fusion_workspace *)base;
	enum status status = begin_step(workspace, err);
	if (status != STATUS_OK)
		return status;
	fusion_movie_forward(workspace, weights, rows);
	copy_vectors(vectors, &workspace->movie);
	return STATUS_OK;
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
	.pack = fusion_pack,
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
