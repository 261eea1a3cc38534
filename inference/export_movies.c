#include "inference/export_movies.h"

#include "common/base/memory.h"
#include "inference/faiss_index.h"
#include "inference/npy.h"
#include "inference/scorer.h"

#include <math.h>
#include <stdlib.h>

/* Movies whose vectors are held at a time. */
#define MOVIES_PER_BLOCK 4096u

/* Takes the vectors [count x dim] of `count` movies from number `first` on. */
typedef enum status take_fn(void *context, const struct scorer *scorer, uint32_t first,
	uint32_t count, float *vectors, struct error *err);

/* Computes the vectors of all movies in their order, and hands them on block by block. */
static enum status for_all_movies(
	const struct model_directory *directory, take_fn *take, void *context, struct error *err)
{
	const uint32_t movies = directory->catalog.movie_count;
	struct scorer *scorer = NULL;
	uint32_t *numbers = NULL;
	float *vectors = NULL;
	enum status status = scorer_new(&scorer, directory, err);
	if (status == STATUS_OK)
		status = memory_alloc(&numbers, MOVIES_PER_BLOCK, sizeof(*numbers), "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&vectors, MOVIES_PER_BLOCK,
			scorer_vector_dim(scorer) * sizeof(float), "movie vectors", err);
	for (uint32_t first = 0, n; status == STATUS_OK && first < movies; first += n) {
		n = movies - first < MOVIES_PER_BLOCK ? movies - first : MOVIES_PER_BLOCK;
		for (uint32_t i = 0; i < n; i++)
			numbers[i] = first + i;
		status = scorer_movie_vectors(scorer, numbers, n, vectors, err);
		if (status == STATUS_OK)
			status = take(context, scorer, first, n, vectors, err);
	}
	free(vectors);
	free(numbers);
	scorer_free(scorer);
	return status;
}

static enum status take_for_npy(void *context, const struct scorer *scorer, uint32_t first,
	uint32_t count, float *vectors, struct error *err)
{
	(void)first;
	return npy_writer_put(context, vectors, (size_t)count * scorer_vector_dim(scorer), err);
}

static enum status write_vectors(const struct model_directory *directory, struct error *err)
{
	char path[PATH_SIZE];
	struct npy_writer writer;
	enum status status = path_join(path, directory->path, MOVIE_VECTORS_NAME, err);
	if (status == STATUS_OK)
		status = npy_writer_open(&writer, path, NPY_F32, directory->catalog.movie_count,
			model_vector_dim(directory->model), err);
	if (status != STATUS_OK)
		return status;
	status = for_all_movies(directory, take_for_npy, &writer, err);
	const enum status closed = npy_writer_close(&writer, status == STATUS_OK ? err : NULL);
	return status == STATUS_OK ? closed : status;
}

static enum status write_ids(const struct model_directory *directory, struct error *err)
{
	const struct catalog *catalog = &directory->catalog;
	char path[PATH_SIZE];
	struct npy_writer writer;
	enum status status = path_join(path, directory->path, MOVIE_IDS_NAME, err);
	if (status == STATUS_OK)
		status = npy_writer_open(&writer, path, NPY_U64, catalog->movie_count, 0, err);
	if (status != STATUS_OK)
		return status;
	status = npy_writer_put(&writer, catalog->movie_ids, catalog->movie_count, err);
	const enum status closed = npy_writer_close(&writer, status == STATUS_OK ? err : NULL);
	return status == STATUS_OK ? closed : status;
}

enum status export_movies_npy(const struct model_directory *directory, struct error *err)
{
	enum status status = write_vectors(directory, err);
	return status == STATUS_OK ? write_ids(directory, err) : status;
}

static enum status take_for_faiss(void *context, const struct scorer *scorer, uint32_t first,
	uint32_t count, float *vectors, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	for (uint32_t m = 0; m < count; m++) {
		float *vector = vectors + m * dim;
		const float inverse = (float)scorer_inverse_length(scorer, vector);
		if (!isfinite(inverse))
			return scorer_diverged(scorer, err);
		for (size_t i = 0; i < dim; i++)
			vector[i] *= inverse;
	}
	return faiss_index_add(
		context, vectors, scorer_directory(scorer)->catalog.movie_ids + first, count, err);
}

enum status export_movies_faiss(const struct model_directory *directory, struct error *err)
{
	char path[PATH_SIZE];
	struct faiss_index *index = NULL;
	enum status status = path_join(path, directory->path, MOVIE_INDEX_NAME, err);
	if (status == STATUS_OK)
		status = faiss_index_new_flat(&index, model_vector_dim(directory->model),
			directory->catalog.movie_count, err);
	if (status == STATUS_OK)
		status = for_all_movies(directory, take_for_faiss, index, err);
	if (status == STATUS_OK)
		status = faiss_index_write(index, path, err);
	faiss_index_free(index);
	return status;
}
