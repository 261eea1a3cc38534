#include "tests/bench/topk_vectors.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/nn/fc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_AT_ONCE = 1024 };
#define SPREAD 1.6 /* of the directions without a model */

/* A normal distribution: mean + root g, with g standard normal. */
struct shape {
	float *mean; /* [dim] */
	float *root; /* [dim x dim] */
};

/* Cholesky's decomposition: covariance [dim x dim] becomes root with root root^T = covariance. What
 * has no variance of its own, to rounding, gets none. */
static void decompose(double *matrix, size_t dim, float *root)
{
	for (size_t j = 0; j < dim; j++) {
		double left = matrix[j * dim + j];
		for (size_t k = 0; k < j; k++)
			left -= matrix[j * dim + k] * matrix[j * dim + k];
		const double pivot = left > 1e-12 ? sqrt(left) : 0;
		matrix[j * dim + j] = pivot;
		for (size_t i = j + 1; i < dim; i++) {
			double sum = matrix[i * dim + j];
			for (size_t k = 0; k < j; k++)
				sum -= matrix[i * dim + k] * matrix[j * dim + k];
			matrix[i * dim + j] = pivot > 0 ? sum / pivot : 0;
		}
	}
	for (size_t i = 0; i < dim; i++)
		for (size_t j = 0; j < dim; j++)
			root[i * dim + j] = j <= i ? (float)matrix[i * dim + j] : 0;
}

/* The shape of movies [count x dim], each times its factor. */
static enum status measure(struct shape *shape, const struct search_items *items, struct error *err)
{
	const size_t dim = items->dim;
	double *sums, *covariance = NULL;
	enum status status = memory_zalloc(&sums, dim, sizeof(*sums), "mean", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&covariance, dim * dim, sizeof(*covariance), "covariance", err);
	for (size_t m = 0; status == STATUS_OK && m < items->count; m++)
		for (size_t i = 0; i < dim; i++)
			sums[i] += (double)(items->vectors[m * dim + i] * items->factors[m]) /
				   items->count;
	for (size_t m = 0; status == STATUS_OK && m < items->count; m++)
		for (size_t i = 0; i < dim; i++)
			for (size_t j = 0; j <= i; j++)
				covariance[i * dim + j] +=
					((double)(items->vectors[m * dim + i] * items->factors[m]) -
						sums[i]) *
					((double)(items->vectors[m * dim + j] * items->factors[m]) -
						sums[j]) /
					items->count;
	if (status == STATUS_OK) {
		decompose(covariance, dim, shape->root);
		for (size_t i = 0; i < dim; i++)
			shape->mean[i] = (float)sums[i];
	}
	free(covariance);
	free(sums);
	return status;
}

static void to_length_1(float *vector, size_t dim)
{
	double square = 0;
	for (size_t i = 0; i < dim; i++)
		square += (double)vector[i] * (double)vector[i];
	for (size_t i = 0; i < dim; i++)
		vector[i] = (float)((double)vector[i] / sqrt(square));
}

/* Fills in vectors [count x dim] of the shape. */
static enum status draw(const struct shape *shape, size_t dim, const char *name, float *vectors,
	size_t count, struct error *err)
{
	struct random_sequence random;
	float *noise;
	enum status status = memory_alloc(&noise, ROWS_AT_ONCE * dim, sizeof(*noise), "noise", err);
	if (status != STATUS_OK)
		return status;
	random_sequence_init(&random, 1, random_stream(name));
	for (size_t first = 0, n; first < count; first += n) {
		n = count - first < ROWS_AT_ONCE ? count - first : ROWS_AT_ONCE;
		for (size_t i = 0; i < n * dim; i++)
			noise[i] = (float)random_normal(&random);
		float *block = vectors + first * dim;
		dot_products(block, noise, shape->root, n, dim, dim);
		for (size_t v = 0; v < n; v++) {
			for (size_t i = 0; i < dim; i++)
				block[v * dim + i] += shape->mean[i];
			to_length_1(block + v * dim, dim);
		}
	}
	free(noise);
	return STATUS_OK;
}

/* Users from all over the catalog. */
static enum status take_users(
	struct scorer *scorer, float *queries, size_t count, struct error *err)
{
	const uint32_t users = scorer_directory(scorer)->catalog.user_count;
	const size_t dim = scorer_vector_dim(scorer);
	enum status status = STATUS_OK;
	for (size_t q = 0; q < count && status == STATUS_OK; q++) {
		const uint32_t user = (uint32_t)(q * users / count);
		status = scorer_user_vectors(scorer, &user, 1, queries + q * dim, err);
		to_length_1(queries + q * dim, dim);
	}
	return status;
}

static enum status fill(
	struct topk_vectors *ret, struct scorer *scorer, struct shape *shape, struct error *err)
{
	const size_t dim = ret->dim;
	const struct search_items *items;
	enum status status = STATUS_OK;
	if (scorer) {
		status = scorer_search_items(scorer, MEASURE_SCORE, &items, err);
		if (status == STATUS_OK)
			status = measure(shape, items, err);
		if (status == STATUS_OK)
			status = take_users(scorer, ret->queries, ret->query_count, err);
	} else {
		for (size_t i = 0; i < dim; i++)
			shape->root[i * dim + i] = (float)pow((double)i + 1, -SPREAD / 2);
		status = draw(shape, dim, "queries", ret->queries, ret->query_count, err);
	}
	if (status == STATUS_OK)
		status = draw(shape, dim, "movies", ret->vectors, ret->count, err);
	return status;
}

enum status topk_vectors_init(struct topk_vectors *ret, struct scorer *scorer, uint32_t count,
	size_t query_count, struct error *err)
{
	struct topk_vectors made = {.dim = scorer ? scorer_vector_dim(scorer) : TOPK_DIM,
		.count = count,
		.query_count = query_count};
	struct shape shape = {0};
	if (scorer && scorer_directory(scorer)->catalog.user_count < query_count)
		made.query_count = scorer_directory(scorer)->catalog.user_count;
	enum status status = memory_alloc(
		&made.vectors, count, made.dim * sizeof(float), "movies' vectors", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&made.queries, made.query_count, made.dim * sizeof(float), "queries", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&shape.mean, made.dim, sizeof(float), "mean", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&shape.root, made.dim * made.dim, sizeof(float), "covariance", err);
	if (status == STATUS_OK)
		status = fill(&made, scorer, &shape, err);
	free(shape.root);
	free(shape.mean);
	if (status != STATUS_OK)
		topk_vectors_fini(&made);
	else
		*ret = made;
	return status;
}

void topk_vectors_fini(struct topk_vectors *vectors)
{
	free(vectors->vectors);
	free(vectors->queries);
	*vectors = (struct topk_vectors){0};
}
