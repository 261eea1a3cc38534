#include "inference/recommend.h"

#include "common/base/memory.h"
#include "inference/model_changes.h"
#include "inference/movie_index.h"

#include <stdlib.h>
#include <string.h>

#define NO_MOVIE UINT32_MAX

/* What a search asks for, for the rule. */
struct quest {
	const struct model_directory *directory;
	const struct scorer *scorer;
	const struct movie_filter *filter;
	const struct seen *seen; /* or NULL */
	const uint32_t *users;	 /* [queries] for `seen` */
	const size_t *numbers;	 /* [queries] of a search for some of the queries; NULL: for all */
	const float *vectors;	 /* [queries x dim] of the users or the movie */
	const float *movies;	 /* [movie_count x dim] */
	double inverse_length;	 /* of the vector, for cosines */
	uint32_t self;		 /* a movie that must not be found, or NO_MOVIE */
	bool all;		 /* untrained movies take part */
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

/* Exactly, for the queries that an index was not enough for. */
static enum status search_rest(const struct search_items *items, const float *queries, size_t count,
	const bool *complete, struct quest *quest, const struct search_rule *rule, uint32_t threads,
	struct top_k *tops, struct error *err)
{
	float *left_queries = NULL;
	struct top_k *left_tops = NULL;
	size_t *numbers = NULL, left = 0;
	for (size_t q = 0; q < count; q++)
		left += !complete[q];
	enum status status =
		memory_alloc(&left_queries, left, items->dim * sizeof(float), "queries", err);
	if (status == STATUS_OK)
		status = memory_alloc(&left_tops, left, sizeof(*left_tops), "queries", err);
	if (status == STATUS_OK)
		status = memory_alloc(&numbers, left, sizeof(*numbers), "queries", err);
	if (status == STATUS_OK) {
		size_t n = 0;
		for (size_t q = 0; q < count; q++) {
			if (complete[q])
				continue;
			memcpy(left_queries + n * items->dim, queries + q * items->dim,
				items->dim * sizeof(float));
			left_tops[n] = tops[q];
			numbers[n++] = q;
		}
		quest->numbers = numbers;
		status = search_exact(items, left_queries, left, rule, threads, left_tops, err);
		for (n = 0; n < left; n++)
			tops[numbers[n]] = left_tops[n];
	}
	free(left_queries);
	free(left_tops);
	free(numbers);
	return status;
}

/* Queries against the whole catalog; through the index where there is one. */
static enum status search(struct scorer *scorer, const struct search_items *items,
	const float *queries, size_t count, struct quest *quest, const struct search_rule *rule,
	uint32_t threads, struct top_k *tops, struct error *err)
{
	bool *complete;
	enum status status = memory_zalloc(&complete, count, sizeof(*complete), "queries", err);
	if (status != STATUS_OK)
		return status;
	if (scorer_index(scorer))
		status = movie_index_search(
			scorer_index(scorer), queries, count, rule, threads, tops, complete, err);
	if (status == STATUS_OK)
		status = search_rest(
			items, queries, count, complete, quest, rule, threads, tops, err);
	free(complete);
	return status == STATUS_FAILED_PRECONDITION ? scorer_diverged(scorer, err) : status;
}

static size_t number_of(const struct quest *quest, size_t query)
{
	return quest->numbers ? quest->numbers[query] : query;
}

static bool may_be_named(const void *context, size_t query, uint32_t movie)
{
	const struct quest *quest = context;
	/* Who adds or updates a movie wants it to be found. */
	return movie != quest->self &&
	       (quest->all || quest->directory->trained.movies[movie] ||
		       model_movie_is_changed(quest->directory, movie)) &&
	       movie_filter_passes(quest->filter, &quest->directory->catalog, movie) &&
	       !(quest->seen &&
		       seen_has(quest->seen, quest->users[number_of(quest, query)], movie));
}

static float pair_score(const void *context, size_t query, uint32_t movie)
{
	const struct quest *quest = context;
	const size_t dim = scorer_vector_dim(quest->scorer);
	return model_pair_score(quest->directory->model,
		quest->vectors + number_of(quest, query) * dim, quest->movies + movie * dim);
}

enum status recommend_all(struct scorer *scorer, const float *users, size_t count,
	const struct recommend_options *options, struct top_k *tops, struct error *err)
{
	const struct model_directory *directory = scorer_directory(scorer);
	const size_t dim = scorer_vector_dim(scorer);
	struct quest quest = {.directory = directory,
		.scorer = scorer,
		.filter = options->filter,
		.seen = options->seen,
		.users = options->users,
		.vectors = users,
		.self = NO_MOVIE,
		.all = all_take_part(directory, options->filter->include_untrained)};
	const struct search_rule rule = {
		.allowed = may_be_named, .score = pair_score, .context = &quest};
	const struct search_items *items;
	float *queries;
	enum status status = scorer_search_items(scorer, MEASURE_SCORE, &items, err);
	if (status == STATUS_OK)
		status = memory_alloc(&queries, count, dim * sizeof(float), "queries", err);
	if (status != STATUS_OK)
		return status;
	for (size_t q = 0; q < count; q++) {
		const float factor = model_user_factor(directory->model, users + q * dim);
		for (size_t i = q * dim; i < (q + 1) * dim; i++)
			queries[i] = factor * users[i];
	}
	quest.movies = items->vectors;
	status = search(scorer, items, queries, count, &quest, &rule, options->threads, tops, err);
	free(queries);
	return status;
}

enum status recommend(struct scorer *scorer, const float *user, const struct movie_filter *filter,
	struct top_k *top, struct error *err)
{
	const struct recommend_options options = {.filter = filter, .threads = 1};
	return recommend_all(scorer, user, 1, &options, top, err);
}

static float cosine(const void *context, size_t query, uint32_t movie)
{
	const struct quest *quest = context;
	const size_t dim = scorer_vector_dim(quest->scorer);
	const float *a = quest->vectors, *b = quest->movies + movie * dim;
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
	const size_t dim = scorer_vector_dim(scorer);
	const struct search_items *items;
	float *query;
	enum status status = scorer_search_items(scorer, MEASURE_COSINE, &items, err);
	if (status == STATUS_OK)
		status = memory_alloc(&query, dim, sizeof(*query), "query", err);
	if (status != STATUS_OK)
		return status;
	struct quest quest = {.directory = directory,
		.scorer = scorer,
		.vectors = items->vectors + movie * dim,
		.movies = items->vectors,
		.filter = filter,
		.self = movie,
		.all = all_take_part(directory, filter->include_untrained)};
	const struct search_rule rule = {
		.allowed = may_be_named, .score = cosine, .context = &quest};
	quest.inverse_length = scorer_inverse_length(scorer, quest.vectors);
	for (size_t i = 0; i < dim; i++)
		query[i] = (float)quest.inverse_length * quest.vectors[i];
	status = search(scorer, items, query, 1, &quest, &rule, 1, top, err);
	free(query);
	return status;
}
