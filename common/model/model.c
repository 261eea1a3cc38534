#include "common/model/model.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/model/kind.h"
#include "common/nn/fc.h"
#include "common/nn/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Glorot, Bengio: "Understanding the difficulty of training deep feedforward networks", 2010. */
static float xavier_limit(uint64_t rows, uint64_t columns)
{
	return (float)sqrt(6.0 / ((double)rows + (double)columns));
}

void model_add_table(
	struct model *model, const char *name, uint64_t rows, uint32_t dim, bool has_unknown)
{
	struct model_table *table = &model->tables[model->table_count++];
	*table = (struct model_table){.dim = dim,
		.rows = rows,
		.init_limit = xavier_limit(rows, dim),
		.has_unknown = has_unknown};
	(void)snprintf(table->name, sizeof(table->name), "%s", name);
}

static void add_tensor(struct model *model, const char *layer, const char *part, uint32_t rank,
	uint32_t rows, uint32_t cols)
{
	struct model_tensor *tensor = &model->tensors[model->tensor_count++];
	*tensor = (struct model_tensor){.rank = rank,
		.rows = rows,
		.cols = cols,
		.offset = model->dense_size,
		.init_limit = rank == 2 ? xavier_limit(rows, cols) : 0};
	(void)snprintf(tensor->name, sizeof(tensor->name), "%s.%s", layer, part);
	model->dense_size += panel_stride((size_t)rows * cols);
}

void model_add_layer(struct model *model, const char *name, uint32_t out, uint32_t in)
{
	add_tensor(model, name, "weight", 2, out, in);
	add_tensor(model, name, "bias", 1, out, 1);
}

enum status model_new(struct model **ret, const struct model_config *config,
	const struct model_sizes *sizes, struct error *err)
{
	struct model *model;
	enum status status = memory_zalloc(&model, 1, config->kind->model_size, "model", err);
	if (status != STATUS_OK)
		return status;
	model->kind = config->kind;
	model->config = *config;
	model->kind->describe(model, sizes);
	nn_init();
	*ret = model;
	return STATUS_OK;
}

void model_free(struct model *model)
{
	free(model);
}

const struct model_config *model_get_config(const struct model *model)
{
	return &model->config;
}

const char *model_name(const struct model *model)
{
	return model->kind->name;
}

uint32_t model_table_count(const struct model *model)
{
	return model->table_count;
}

const struct model_table *model_table(const struct model *model, uint32_t table)
{
	return &model->tables[table];
}

size_t model_dense_size(const struct model *model)
{
	return model->dense_size;
}

uint32_t model_tensor_count(const struct model *model)
{
	return model->tensor_count;
}

const struct model_tensor *model_tensor(const struct model *model, uint32_t tensor)
{
	return &model->tensors[tensor];
}

void model_dense_init(const struct model *model, uint64_t seed, float *dense)
{
	memset(dense, 0, model->dense_size * sizeof(float));
	for (uint32_t i = 0; i < model->tensor_count; i++) {
		const struct model_tensor *tensor = &model->tensors[i];
		uint64_t stream = random_stream(tensor->name);
		if (tensor->rank != 2)
			continue;
		for (size_t r = 0; r < tensor->rows; r++)
			random_uniform_row(seed, stream, r, tensor->init_limit,
				dense + tensor->offset + r * tensor->cols, tensor->cols);
	}
}

size_t model_packed_size(const struct model *model)
{
	return model->packed_size;
}

void model_pack(
	const struct model *model, float *packed, const float *dense, size_t begin, size_t end)
{
	model->kind->pack(model, packed, dense, begin, end);
}

uint64_t model_table_parameters(const struct model *model)
{
	uint64_t sum = 0;
	for (uint32_t t = 0; t < model->table_count; t++)
		sum += model->tables[t].rows * model->tables[t].dim;
	return sum;
}

uint64_t model_dense_parameters(const struct model *model)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < model->tensor_count; i++)
		sum += (uint64_t)model->tensors[i].rows * model->tensors[i].cols;
	return sum;
}

enum status model_scratch_new(
	struct model_scratch **ret, const struct model *model, struct error *err)
{
	struct model_scratch *scratch;
	enum status status = memory_zalloc(&scratch, 1, sizeof(*scratch), "model scratch", err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(
		&scratch->dense_gradient, model->dense_size, sizeof(float), "dense gradient", err);
	if (status != STATUS_OK) {
		model_scratch_free(scratch);
		return status;
	}
	*ret = scratch;
	return STATUS_OK;
}

void model_scratch_free(struct model_scratch *scratch)
{
	if (!scratch)
		return;
	slab_fini(&scratch->step);
	free(scratch->dense_gradient);
	free(scratch);
}

enum status model_workspace_new(struct model_workspace **ret, const struct model *model,
	struct model_scratch *scratch, struct error *err)
{
	struct model_workspace *workspace;
	enum status status =
		memory_zalloc(&workspace, 1, model->kind->workspace_size, "model workspace", err);
	if (status != STATUS_OK)
		return status;
	workspace->model = model;
	workspace->scratch = scratch;
	workspace->owns_scratch = !scratch;
	if (!scratch)
		status = model_scratch_new(&workspace->scratch, model, err);
	for (uint32_t t = 0; t < model->table_count && status == STATUS_OK; t++)
		status = id_set_init(&workspace->ids[t], 256, err);
	if (status != STATUS_OK) {
		model_workspace_free(workspace);
		return status;
	}
	workspace->dense_gradient = workspace->scratch->dense_gradient;
	*ret = workspace;
	return STATUS_OK;
}

void model_workspace_free(struct model_workspace *workspace)
{
	if (!workspace)
		return;
	workspace->model->kind->workspace_fini(workspace);
	for (uint32_t t = 0; t < workspace->model->table_count; t++)
		id_set_fini(&workspace->ids[t]);
	if (workspace->owns_scratch)
		model_scratch_free(workspace->scratch);
	free(workspace);
}

static enum status check_batch(const struct model_batch *batch, struct error *err)
{
	/* OpenBLAS counts rows in int. */
	if (batch->user_count > INT32_MAX || batch->movie_count > INT32_MAX ||
		batch->example_count > INT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"model batch: %u users, %u movies, %u examples are too many",
			batch->user_count, batch->movie_count, batch->example_count);
	for (uint32_t e = 0; e < batch->example_count; e++)
		if (batch->example_user[e] >= batch->user_count ||
			batch->example_movie[e] >= batch->movie_count)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"model batch: example %u: user %u of %u, movie %u of %u", e,
				batch->example_user[e], batch->user_count, batch->example_movie[e],
				batch->movie_count);
	return STATUS_OK;
}

enum status model_plan(
	struct model_workspace *workspace, const struct model_batch *batch, struct error *err)
{
	workspace->batch = NULL;
	workspace->cost = 0;
	for (uint32_t t = 0; t < workspace->model->table_count; t++)
		id_set_clear(&workspace->ids[t]);
	enum status status = check_batch(batch, err);
	if (status != STATUS_OK)
		return status;
	workspace->batch = batch;
	status = workspace->model->kind->plan(workspace, err);
	if (status != STATUS_OK)
		workspace->batch = NULL;
	return status;
}

enum status model_plan_value(struct model_workspace *workspace, uint32_t table, uint32_t value,
	uint32_t *ret_position, struct error *err)
{
	const struct model_table *description = &workspace->model->tables[table];
	if (value >= description->rows)
		return error_set(err, STATUS_OUT_OF_RANGE, "model batch: %s %u: there are %llu",
			description->name, value, (unsigned long long)description->rows);
	return id_set_add(&workspace->ids[table], value, ret_position, err);
}

const uint64_t *model_plan_ids(
	const struct model_workspace *workspace, uint32_t table, uint32_t *ret_count)
{
	*ret_count = workspace->ids[table].count;
	return workspace->ids[table].ids;
}

static enum status no_plan(struct error *err)
{
	return error_set(err, STATUS_FAILED_PRECONDITION, "model: no batch is planned");
}

enum status model_train(struct model_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows, struct error *err)
{
	if (!workspace->batch)
		return no_plan(err);
	if (workspace->batch->example_count > 0 && !workspace->batch->labels)
		return error_set(err, STATUS_FAILED_PRECONDITION, "model: the batch has no labels");
	return workspace->model->kind->train(workspace, weights, rows, err);
}

double model_cost(const struct model_workspace *workspace)
{
	return workspace->cost;
}

const float *model_table_gradient(const struct model_workspace *workspace, uint32_t table)
{
	return workspace->table_gradients[table];
}

const float *model_dense_gradient(const struct model_workspace *workspace)
{
	return workspace->dense_gradient;
}

enum status model_score(struct model_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows, float *scores, struct error *err)
{
	if (!workspace->batch)
		return no_plan(err);
	return workspace->model->kind->score(workspace, weights, rows, scores, err);
}

uint32_t model_vector_dim(const struct model *model)
{
	return model->vector_dim;
}

enum status model_user_vectors(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, float *vectors,
	struct error *err)
{
	if (!workspace->batch)
		return no_plan(err);
	return workspace->model->kind->user_vectors(workspace, weights, rows, vectors, err);
}

enum status model_movie_vectors(struct model_workspace *workspace,
	const struct model_weights *weights, const struct model_rows *rows, float *vectors,
	struct error *err)
{
	if (!workspace->batch)
		return no_plan(err);
	return workspace->model->kind->movie_vectors(workspace, weights, rows, vectors, err);
}

float model_pair_score(const struct model *model, const float *user, const float *movie)
{
	return model->kind->pair_score(model, user, movie);
}

float model_user_factor(const struct model *model, const float *user)
{
	return model->kind->user_factor(model, user);
}

float model_movie_factor(const struct model *model, const float *movie)
{
	return model->kind->movie_factor(model, movie);
}
