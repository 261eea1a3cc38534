#include "inference/recommend.h"

#include "common/base/memory.h"
#include "inference/model_changes.h"
#include "inference/movie_index.h"

#include <stdlib.h>

#define NO_MOVIE UINT32_MAX

/* What a search asks for, for the rule. */
struct quest {
	const struct model_directory *directory;
	const struct scorer *scorer;
	const struct movie_filter *filter;
	const float *vector;   /* of the user or the movie */
	const float *movies;   /* [movie_count x dim] */
	double inverse_length; /* of the vector, for cosines */
	uint32_t self;	       /* a movie that must not be found, or NO_MOVIE */
	bool all;	       /* untrained movies take part */
};

static bool all_take_part(const struct model_directory *directory, bool include_untrained)
{
	if (include_untrained)
		return true;
	for (uint32_t m = 0; m < directory->catalog.movie_count; m++)
		if (directory->trained.movies[m])
			return false;
	return true;
}

/* The vector times a factor, against the whole catalog; through the index where there is one. */
static enum status search(struct scorer *scorer, enum measure measure, struct quest *quest,
	float factor, const struct search_rule *rule, struct top_k *top, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	const struct search_items *items;
	float *query = NULL;
	enum status status = scorer_search_items(scorer, measure, &items, err);
	if (status == STATUS_OK)
		status = memory_alloc(&query, dim, sizeof(*query), "query", err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < dim; i++)
		query[i] = factor * quest->vector[i];
	quest->movies = items->vectors;
	bool complete = false;
	if (scorer_index(scorer))
		status = movie_index_search(scorer_index(scorer), query, rule, top, &complete, err);
	if (status == STATUS_OK && !complete)
		status = search_exact(items, query, 1, rule, 1, top, err);
	free(query);
	return status == STATUS_FAILED_PRECONDITION ? scorer_diverged(scorer, err) : status;
}

static bool may_be_named(const void *context, uint32_t movie)
{
	const struct quest *quest = context;
	/* Who adds or updates a movie wants it to be found. */
	return movie != quest->self &&
	       (quest->all || quest->directory->trained.movies[movie] ||
		       model_movie_is_changed(quest->directory, movie)) &&
	       movie_filter_passes(quest->filter, &quest->directory->catalog, movie);
}

static float pair_score(const void *context, size_t query, uint32_t movie)
{
	const struct quest *quest = context;
	(void)query;
	return model_pair_score(quest->directory->model, quest->vector,
		quest->movies + movie * (size_t)scorer_vector_dim(quest->scorer));
}

enum status recommend(struct scorer *scorer, const float *user, const struct movie_filter *filter,
	struct top_k *top, struct error *err)
{
	const struct model_directory *directory = scorer_directory(scorer);
	struct quest quest = {.directory = directory,
		.scorer = scorer,
		.filter = filter,
		.vector = user,
		.self = NO_MOVIE,
		.all = all_take_part(directory, filter->include_untrained)};
	const struct search_rule rule = {
		.allowed = may_be_named, .score = pair_score, .context = &quest};
	return search(scorer, MEASURE_SCORE, &quest, model_user_factor(directory->model, user),
		&rule, top, err);
}

static float cosine(const void *context, size_t query, uint32_t movie)
{
	const struct quest *quest = context;
	const size_t dim = scorer_vector_dim(quest->scorer);
	const float *a = quest->vector, *b = quest->movies + movie * dim;
	double sum = 0;
	(void)query;
	for (size_t i = 0; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	return (float)(sum * quest->inverse_length * scorer_inverse_length(quest->scorer, b));
}

enum status similar(struct scorer *scorer, uint32_t movie, const struct movie_filter *filter,
	struct top_k *top, struct error *err)
{
	const struct model_directory *directory = scorer_directory(scorer);
	const float *movies;
	enum status status = scorer_all_movies(scorer, &movies, err);
	if (status != STATUS_OK)
		return status;
	struct quest quest = {.directory = directory,
		.scorer = scorer,
		.vector = movies + movie * (size_t)scorer_vector_dim(scorer),
		.filter = filter,
		.self = movie,
		.all = all_take_part(directory, filter->include_untrained)};
	const struct search_rule rule = {
		.allowed = may_be_named, .score = cosine, .context = &quest};
	quest.inverse_length = scorer_inverse_length(scorer, quest.vector);
	return search(scorer, MEASURE_COSINE, &quest, (float)quest.inverse_length, &rule, top, err);
}
