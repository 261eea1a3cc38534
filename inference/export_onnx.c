/*
 * Shapes: B the batch (U users, M movies in the score), G genres, T words of the longest movie of a
 * batch, D a row's numbers, F filters, H hidden.
 */
#include "inference/export_onnx.h"

#include "inference/onnx.h"

#include <inttypes.h>
#include <string.h>

/* A square of a length never counts for less in a cosine. */
#define SQUARE_FLOOR 1e-8f
#define SCORE_SCALE  5.0f

/* Below anything that tanh gives. */
#define BELOW_TANH -2.0f

/* A graph on its way. */
struct build {
	struct onnx_graph *graph;
	const struct model_directory *directory;
	uint64_t inline_max;
	const char *users, *movies; /* names of the batch's dimension */
};

static uint32_t table_of(const struct build *build, const char *name)
{
	const struct model *model = build->directory->model;
	uint32_t t = 0;
	while (strcmp(model_table(model, t)->name, name) != 0)
		t++;
	return t;
}

static const struct model_tensor *tensor_of(const struct build *build, const char *name)
{
	const struct model *model = build->directory->model;
	uint32_t i = 0;
	while (strcmp(model_tensor(model, i)->name, name) != 0)
		i++;
	return model_tensor(model, i);
}

/* Bytes of all tables of the directory. */
static uint64_t table_bytes(const struct model_directory *directory)
{
	uint64_t bytes = 0;
	for (uint32_t t = 0; t < model_table_count(directory->model); t++)
		bytes += directory->tables[t].weight->size;
	return bytes;
}

/* A tensor of model.safetensors as a constant: copied, or pointed to. */
static const char *stored(struct build *build, const struct tensor *tensor, enum onnx_type type)
{
	const struct safetensors *weights = &build->directory->weights;
	struct onnx_data data = {.name = tensor->name,
		.type = type,
		.rank = tensor->rank,
		.bytes = tensor->bytes,
		.size = tensor->size};
	for (uint32_t d = 0; d < tensor->rank; d++)
		data.dims[d] = (int64_t)tensor->shape[d];
	if (table_bytes(build->directory) > build->inline_max) {
		data.file = MODEL_WEIGHTS_NAME;
		data.offset = (uint64_t)((const unsigned char *)tensor->bytes - weights->map.bytes);
	}
	return onnx_constant(build->graph, &data);
}

static const char *with_axis(struct build *build, const char *value, int64_t axis)
{
	return ONNX_OPERATOR(
		build->graph, "Unsqueeze", value, onnx_integers(build->graph, &axis, 1));
}

/* Rows of a table by their numbers: float [.., D] for indexes [..]. */
static const char *rows(struct build *build, uint32_t t, const char *indexes)
{
	static const enum onnx_type types[ROW_TYPES] = {
		[ROWS_F32] = ONNX_FLOAT, [ROWS_BF16] = ONNX_BFLOAT16, [ROWS_INT8] = ONNX_INT8};
	const struct model_directory_table *table = &build->directory->tables[t];
	const enum row_type type = build->directory->rows;
	const char *weight = stored(build, table->weight, types[type]);
	const char *out = ONNX_OPERATOR(build->graph, "Gather", weight, indexes);
	if (type != ROWS_F32) {
		out = ONNX_OPERATOR(build->graph, "Cast", out);
		onnx_attribute_integer(build->graph, "to", ONNX_FLOAT);
	}
	if (type == ROWS_INT8) {
		const char *scale = stored(build, table->scale, ONNX_FLOAT);
		scale = ONNX_OPERATOR(build->graph, "Gather", scale, indexes);
		out = ONNX_OPERATOR(build->graph, "Mul", out, with_axis(build, scale, -1));
	}
	return out;
}

/* A dense tensor, as the model has it. */
static const char *dense(struct build *build, const char *name)
{
	const struct model_tensor *tensor = tensor_of(build, name);
	return onnx_constant(build->graph,
		&(struct onnx_data){.name = tensor->name,
			.type = ONNX_FLOAT,
			.rank = tensor->rank,
			.dims = {tensor->rows, tensor->cols},
			.bytes = build->directory->dense + tensor->offset,
			.size = (uint64_t)tensor->rows * tensor->cols * sizeof(float)});
}

/* W x + b for each row of x [B, in]. */
static const char *linear(struct build *build, const char *weight, const char *bias, const char *x)
{
	const char *out =
		ONNX_OPERATOR(build->graph, "Gemm", x, dense(build, weight), dense(build, bias));
	onnx_attribute_integer(build->graph, "transB", 1);
	return out;
}

static const char *concat(struct build *build, const char *const *parts)
{
	const char *out = onnx_operator(build->graph, "Concat", parts);
	onnx_attribute_integer(build->graph, "axis", 1);
	return out;
}

/* The sum along an axis, which is gone then. */
static const char *sum(struct build *build, const char *value, int64_t axis)
{
	const char *out = ONNX_OPERATOR(
		build->graph, "ReduceSum", value, onnx_integers(build->graph, &axis, 1));
	onnx_attribute_integer(build->graph, "keepdims", 0);
	return out;
}

/* bool [rows of the table]: whether a user, or movie, has a row of their own to be scored with. */
static const char *own_rows(struct build *build, uint32_t t)
{
	const struct model_directory *directory = build->directory;
	const struct catalog *catalog = &directory->catalog;
	const struct model_directory_table *table = &directory->tables[t];
	const bool user = table_entity_of(model_table(directory->model, t)) == ENTITY_USER;
	const uint64_t *ids = user ? catalog->user_ids : catalog->movie_ids;
	const uint8_t *trained = user ? directory->trained.users : directory->trained.movies;
	const uint32_t count = user ? catalog->user_count : catalog->movie_count;
	const size_t size = (size_t)table->weight->shape[0];
	uint8_t *own = onnx_graph_alloc(build->graph, size, 1);
	if (!own)
		return "";
	memset(own, 0, size);
	for (uint32_t i = 0; i < count; i++)
		own[table->compact ? i : ids[i]] = trained[i] || !table->unknown_trained;
	return onnx_constant(
		build->graph, &(struct onnx_data){.name = user ? "user.own" : "movie.own",
				      .type = ONNX_BOOL,
				      .rank = 1,
				      .dims = {(int64_t)size},
				      .bytes = own,
				      .size = size});
}

/* The rows' numbers of ids in a compact table; -1 for others. */
static const char *find_ids(struct build *build, uint32_t t, const char *ids)
{
	const struct model_directory *directory = build->directory;
	const size_t count = (size_t)directory->tables[t].weight->shape[0];
	const bool user = table_entity_of(model_table(directory->model, t)) == ENTITY_USER;
	const uint64_t *keys = user ? directory->catalog.user_ids : directory->catalog.movie_ids;
	int64_t *numbers = onnx_graph_alloc(build->graph, count, sizeof(*numbers));
	if (!numbers)
		return "";
	for (size_t i = 0; i < count; i++)
		numbers[i] = (int64_t)i;
	const char *out = ONNX_OPERATOR(build->graph, "LabelEncoder", ids);
	onnx_operator_is_ml(build->graph);
	/* Checked to be below 2^63. */
	onnx_attribute_integers(build->graph, "keys_int64s", (const int64_t *)keys, count);
	onnx_attribute_integers(build->graph, "values_int64s", numbers, count);
	onnx_attribute_integer(build->graph, "default_int64", -1);
	return out;
}

/* [B, D]: the rows of users or movies [B]; who has none of their own gets the unknown row. */
static const char *entity_rows(struct build *build, const char *name, const char *ids)
{
	struct onnx_graph *graph = build->graph;
	const uint32_t t = table_of(build, name);
	const struct model_directory_table *table = &build->directory->tables[t];
	const uint32_t dim = model_table(build->directory->model, t)->dim;
	const char *zero = onnx_integer(graph, 0);
	const char *count = onnx_integer(graph, (int64_t)table->weight->shape[0]);
	const char *index = table->compact ? find_ids(build, t, ids) : ids;
	const char *from = ONNX_OPERATOR(graph, "GreaterOrEqual", index, zero);
	const char *to = ONNX_OPERATOR(graph, "Less", index, count);
	const char *inside = ONNX_OPERATOR(graph, "And", from, to);
	const char *safe = ONNX_OPERATOR(graph, "Where", inside, index, zero);
	const char *own = ONNX_OPERATOR(graph, "Gather", own_rows(build, t), safe);
	own = with_axis(build, ONNX_OPERATOR(graph, "And", inside, own), 1);
	const struct onnx_data unknown = {
		.name = t == table_of(build, "user") ? "user.unknown" : "movie.unknown",
		.type = ONNX_FLOAT,
		.rank = 1,
		.dims = {dim},
		.bytes = table->unknown,
		.size = dim * sizeof(float)};
	return ONNX_OPERATOR(
		graph, "Where", own, rows(build, t, safe), onnx_constant(graph, &unknown));
}

/* An input of integers, or marks, of one or two dimensions. */
static const char *input(struct build *build, const char *name, enum onnx_type type,
	const char *batch, const char *length, const char *doc)
{
	return onnx_input(build->graph, &(struct onnx_port){.name = name,
						.doc = doc,
						.type = type,
						.rank = length ? 2 : 1,
						.dims = {{.name = batch}, {.name = length}}});
}

static const char *user_feature(struct build *build, const char *name, const char *weight,
	const char *bias, const char *doc)
{
	const char *value = input(build, name, ONNX_INT64, build->users, NULL, doc);
	return linear(build, weight, bias, rows(build, table_of(build, name), value));
}

/* [B, H] */
static const char *user_tower(struct build *build)
{
	const char *ids = input(build, "user_id", ONNX_INT64, build->users, NULL,
		"an id of the training data; any other, such as -1: somebody new");
	const char *parts[] = {
		linear(build, "user_fc.weight", "user_fc.bias", entity_rows(build, "user", ids)),
		user_feature(build, "gender", "gender_fc.weight", "gender_fc.bias",
			"a number in model.json's genders"),
		user_feature(build, "age", "age_fc.weight", "age_fc.bias",
			"a number in model.json's ages"),
		user_feature(build, "occupation", "occupation_fc.weight", "occupation_fc.bias",
			"a number in model.json's occupations"),
		NULL,
	};
	return ONNX_OPERATOR(build->graph, "Tanh",
		linear(build, "user_combined.weight", "user_combined.bias", concat(build, parts)));
}

/* [B, N, D]: the rows of padded lists [B, N], zeros where the mask says no. */
static const char *masked_rows(
	struct build *build, const char *table, const char *values, const char *mask)
{
	return ONNX_OPERATOR(build->graph, "Where", with_axis(build, mask, 2),
		rows(build, table_of(build, table), values), onnx_float(build->graph, 0));
}

/* title_conv.weight [F, width * D], whose windows are one word after the other, as ONNX's [F, D,
 * width]. */
static const char *filters(struct build *build, int64_t *ret_width)
{
	const struct model_tensor *tensor = tensor_of(build, "title_conv.weight");
	const uint32_t dim = model_table(build->directory->model, table_of(build, "word"))->dim;
	const uint32_t width = tensor->cols / dim;
	const float *from = build->directory->dense + tensor->offset;
	float *to =
		onnx_graph_alloc(build->graph, (size_t)tensor->rows * tensor->cols, sizeof(*to));
	*ret_width = width;
	if (!to)
		return "";
	for (size_t f = 0; f < tensor->rows; f++)
		for (size_t w = 0; w < width; w++)
			for (size_t d = 0; d < dim; d++)
				to[(f * dim + d) * width + w] = from[(f * width + w) * dim + d];
	return onnx_constant(
		build->graph, &(struct onnx_data){.name = tensor->name,
				      .type = ONNX_FLOAT,
				      .rank = 3,
				      .dims = {tensor->rows, dim, width},
				      .bytes = to,
				      .size = (uint64_t)tensor->rows * tensor->cols * sizeof(*to)});
}

static bool pools_by_max(const struct build *build)
{
	json_t *config = model_config_to_json(model_get_config(build->directory->model));
	const char *pooling = json_string_value(json_object_get(config, "pooling"));
	const bool max = pooling && strcmp(pooling, "max") == 0;
	json_decref(config);
	return max;
}

/* [B, F] of windows [B, F, T]: pooled over the title's words. */
static const char *pool(struct build *build, const char *windows, const char *mask)
{
	struct onnx_graph *graph = build->graph;
	const char *inside = with_axis(build, mask, 1), *zero = onnx_float(graph, 0);
	static const int64_t last = 2;
	if (!pools_by_max(build))
		return sum(build, ONNX_OPERATOR(graph, "Where", inside, windows, zero), last);
	const char *marked =
		ONNX_OPERATOR(graph, "Where", inside, windows, onnx_float(graph, BELOW_TANH));
	const char *highest = ONNX_OPERATOR(graph, "ReduceMax", marked);
	onnx_attribute_integers(graph, "axes", &last, 1);
	onnx_attribute_integer(graph, "keepdims", 0);
	/* A title without words pools to 0. */
	const char *empty = ONNX_OPERATOR(graph, "Less", highest, onnx_float(graph, -1));
	return ONNX_OPERATOR(graph, "Where", empty, zero, highest);
}

/* [B, F] */
static const char *title(struct build *build)
{
	static const int64_t channels_first[] = {0, 2, 1};
	struct onnx_graph *graph = build->graph;
	const char *words = input(build, "words", ONNX_INT64, build->movies, "words",
		"the title's words in their order, as numbers in model.json's words");
	const char *mask = input(build, "word_mask", ONNX_BOOL, build->movies, "words",
		"true for words, false for what only fills up");
	const char *rows = masked_rows(build, "word", words, mask);
	const char *turned = ONNX_OPERATOR(graph, "Transpose", rows);
	onnx_attribute_integers(graph, "perm", channels_first, 3);
	int64_t width, *pads = onnx_graph_alloc(graph, 2, sizeof(*pads));
	const char *weight = filters(build, &width);
	const char *bias = dense(build, "title_conv.bias");
	const char *windows = ONNX_OPERATOR(graph, "Conv", turned, weight, bias);
	if (pads) {
		pads[0] = (width - 1) / 2;
		pads[1] = width - 1 - pads[0];
		onnx_attribute_integers(graph, "pads", pads, 2);
	}
	return pool(build, ONNX_OPERATOR(graph, "Tanh", windows), mask);
}

/* [B, H] */
static const char *movie_tower(struct build *build)
{
	const char *ids = input(build, "movie_id", ONNX_INT64, build->movies, NULL,
		"an id of the training data; any other, such as -1: a new movie");
	const char *row =
		linear(build, "movie_fc.weight", "movie_fc.bias", entity_rows(build, "movie", ids));
	const char *genres = input(build, "genres", ONNX_INT64, build->movies, "genres",
		"numbers in model.json's genres");
	const char *mask = input(build, "genre_mask", ONNX_BOOL, build->movies, "genres",
		"true for genres, false for what only fills up");
	const char *parts[] = {
		row, sum(build, masked_rows(build, "genre", genres, mask), 1), title(build), NULL};
	return ONNX_OPERATOR(build->graph, "Tanh",
		linear(build, "movie_combined.weight", "movie_combined.bias",
			concat(build, parts)));
}

static void vector_output(struct build *build, const char *name, const char *batch, const char *doc,
	const char *value)
{
	const int64_t dim = model_vector_dim(build->directory->model);
	onnx_output(build->graph,
		&(struct onnx_port){.name = name,
			.doc = doc,
			.type = ONNX_FLOAT,
			.rank = 2,
			.dims = {{.name = batch}, {.size = dim}}},
		value);
}

static void build_user_tower(struct build *build)
{
	vector_output(build, "user_vector", build->users, "the users' vectors", user_tower(build));
}

static void build_movie_tower(struct build *build)
{
	vector_output(
		build, "movie_vector", build->movies, "the movies' vectors", movie_tower(build));
}

/* max(x . y, floor) of rows [B, H], for squares; x . y with floor NULL. */
static const char *dot(struct build *build, const char *x, const char *y, const char *floor)
{
	const char *out = sum(build, ONNX_OPERATOR(build->graph, "Mul", x, y), 1);
	return floor ? ONNX_OPERATOR(build->graph, "Max", out, floor) : out;
}

static void build_score(struct build *build)
{
	struct onnx_graph *graph = build->graph;
	const char *user = user_tower(build), *movie = movie_tower(build);
	const char *floor = onnx_float(graph, SQUARE_FLOOR);
	const char *scale = onnx_float(graph, SCORE_SCALE);
	const char *squares = ONNX_OPERATOR(
		graph, "Mul", dot(build, user, user, floor), dot(build, movie, movie, floor));
	const char *lengths = ONNX_OPERATOR(graph, "Sqrt", squares);
	const char *product = ONNX_OPERATOR(graph, "Mul", dot(build, user, movie, NULL), scale);
	const char *score = ONNX_OPERATOR(graph, "Div", product, lengths);
	const char *stars = ONNX_OPERATOR(
		graph, "Mul", ONNX_OPERATOR(graph, "Add", score, scale), onnx_float(graph, 0.5f));
	struct onnx_port port = {.name = "score",
		.doc = "5 cos(user, movie)",
		.type = ONNX_FLOAT,
		.rank = 1,
		.dims = {{.name = "pairs"}}};
	onnx_output(graph, &port, score);
	port.name = "stars";
	port.doc = "(score + 5) / 2";
	onnx_output(graph, &port, stars);
}

static enum status check(const struct model_directory *directory, struct error *err)
{
	const struct catalog *catalog = &directory->catalog;
	const uint64_t user = catalog->user_count ? catalog->user_ids[catalog->user_count - 1] : 0;
	const uint64_t movie =
		catalog->movie_count ? catalog->movie_ids[catalog->movie_count - 1] : 0;
	const uint64_t largest = user > movie ? user : movie;
	if (strcmp(model_name(directory->model), "fusion") != 0)
		return error_set(err, STATUS_UNIMPLEMENTED,
			"%s: ONNX files are written of the fusion model only, this is '%s'",
			directory->path, model_name(directory->model));
	if (largest > (uint64_t)INT64_MAX)
		return error_set(err, STATUS_OUT_OF_RANGE,
			"%s: id %" PRIu64 ": ONNX has ids below 2^63 only", directory->path,
			largest);
	return STATUS_OK;
}

enum status export_onnx(
	const struct model_directory *directory, uint64_t inline_max, struct error *err)
{
	static const struct {
		const char *file, *name, *doc, *users, *movies;
		void (*build)(struct build *build);
	} graphs[] = {
		{USER_TOWER_NAME, "user_tower", "Users to vectors", "batch", NULL,
			build_user_tower},
		{MOVIE_TOWER_NAME, "movie_tower", "Movies to vectors", NULL, "batch",
			build_movie_tower},
		{SCORE_NAME, "score", "Pairs of a user and a movie to stars", "users", "movies",
			build_score},
	};
	enum status status = check(directory, err);
	for (size_t i = 0; status == STATUS_OK && i < sizeof(graphs) / sizeof(graphs[0]); i++) {
		char path[PATH_SIZE];
		struct build build = {.directory = directory,
			.inline_max = inline_max,
			.users = graphs[i].users,
			.movies = graphs[i].movies};
		status = path_join(path, directory->path, graphs[i].file, err);
		if (status == STATUS_OK)
			status = onnx_graph_new(&build.graph, graphs[i].name, graphs[i].doc, err);
		if (status != STATUS_OK)
			return status;
		graphs[i].build(&build);
		status = onnx_graph_write(build.graph, path, err);
		onnx_graph_free(build.graph);
	}
	return status;
}
