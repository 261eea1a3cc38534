#include "inference/recommend.h"

#include <math.h>

#define SQUARE_FLOOR 1e-8

/* Whether untrained movies take part. */
static bool all_take_part(const struct model_directory *directory, bool include_untrained)
{
	if (include_untrained)
		return true;
	for (uint32_t m = 0; m < directory->catalog.movie_count; m++)
		if (directory->trained.movies[m])
			return false;
	return true;
}

static bool has_genre(const struct catalog *catalog, uint32_t movie, uint32_t genre)
{
	for (uint32_t i = catalog->genre_offsets[movie]; i < catalog->genre_offsets[movie + 1]; i++)
		if (catalog->genre_values[i] == genre)
			return true;
	return false;
}

enum status recommend(struct scorer *scorer, const float *user,
	const struct recommend_options *options, struct top_k *top, struct error *err)
{
	const struct model_directory *directory = scorer_directory(scorer);
	const struct catalog *catalog = &directory->catalog;
	const bool all = all_take_part(directory, options->include_untrained);
	const size_t dim = scorer_vector_dim(scorer);
	const float *movies;
	enum status status = scorer_all_movies(scorer, &movies, err);
	for (uint32_t m = 0; status == STATUS_OK && m < catalog->movie_count; m++) {
		float score;
		if ((!all && !directory->trained.movies[m]) ||
			(options->seen && options->seen[m]) ||
			(options->genre != GENRE_ANY && !has_genre(catalog, m, options->genre)))
			continue;
		status = scorer_score(scorer, user, movies + m * dim, &score, err);
		if (status == STATUS_OK)
			top_k_add(top, score, m);
	}
	if (status == STATUS_OK)
		top_k_sort(top);
	return status;
}

static double dot(const float *a, const float *b, size_t dim)
{
	double sum = 0;
	for (size_t i = 0; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

static float cosine(const float *a, const float *b, size_t dim)
{
	const double squares =
		fmax(dot(a, a, dim), SQUARE_FLOOR) * fmax(dot(b, b, dim), SQUARE_FLOOR);
	return (float)(dot(a, b, dim) / sqrt(squares));
}

enum status similar(struct scorer *scorer, uint32_t movie, bool include_untrained,
	struct top_k *top, struct error *err)
{
	const struct model_directory *directory = scorer_directory(scorer);
	const bool all = all_take_part(directory, include_untrained);
	const size_t dim = scorer_vector_dim(scorer);
	const float *movies;
	enum status status = scorer_all_movies(scorer, &movies, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t m = 0; m < directory->catalog.movie_count; m++) {
		if (m == movie || (!all && !directory->trained.movies[m]))
			continue;
		const float score = cosine(movies + movie * dim, movies + m * dim, dim);
		if (!isfinite(score))
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"%s: its vectors are not numbers: the training diverged",
				directory->path);
		top_k_add(top, score, m);
	}
	top_k_sort(top);
	return STATUS_OK;
}
