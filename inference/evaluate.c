#include "inference/evaluate.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Users whose vectors are held at a time. */
#define USERS_PER_BLOCK 4096u

/* Examples sorted by user: those of user u are order[first[u]..first[u + 1]). */
struct by_user {
	uint64_t *first; /* [users + 1] */
	uint64_t *order; /* [ratings] */
};

static enum status sort_by_user(
	struct by_user *ret, const struct ratings *ratings, uint32_t user_count, struct error *err)
{
	uint64_t *first = NULL, *order = NULL;
	enum status status = memory_zalloc(
		&first, (size_t)user_count + 2, sizeof(*first), "ratings by user", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&order, (size_t)ratings->count, sizeof(*order), "ratings by user", err);
	if (status != STATUS_OK) {
		free(first);
		return status;
	}
	/* Counted two places up, so that filling in moves every start to its place. */
	for (uint64_t i = 0; i < ratings->count; i++)
		first[ratings->examples[i].user + 2u]++;
	for (size_t u = 2; u < (size_t)user_count + 2; u++)
		first[u] += first[u - 1];
	for (uint64_t i = 0; i < ratings->count; i++)
		order[first[ratings->examples[i].user + 1u]++] = i;
	*ret = (struct by_user){.first = first, .order = order};
	return STATUS_OK;
}

struct sums {
	double squares, absolutes;
	uint64_t unknown;
};

static enum status add_user(struct scorer *scorer, const struct ratings *ratings,
	const struct by_user *by_user, uint32_t user, const float *user_vector,
	const float *movie_vectors, struct sums *sums, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	const bool unknown = scorer_user_is_unknown(scorer, user);
	for (uint64_t i = by_user->first[user]; i < by_user->first[user + 1]; i++) {
		const struct rating *rating = &ratings->examples[by_user->order[i]];
		float score;
		enum status status = scorer_score(
			scorer, user_vector, movie_vectors + rating->movie * dim, &score, err);
		if (status != STATUS_OK)
			return status;
		const double difference = stars_of(score) - (double)rating->stars;
		sums->squares += difference * difference;
		sums->absolutes += fabs(difference);
		sums->unknown += unknown || scorer_movie_is_unknown(scorer, rating->movie);
	}
	return STATUS_OK;
}

enum status evaluate(struct scorer *scorer, const struct ratings *ratings, struct evaluation *ret,
	struct error *err)
{
	const uint32_t user_count = scorer_directory(scorer)->catalog.user_count;
	const size_t dim = scorer_vector_dim(scorer);
	struct by_user by_user = {0};
	struct sums sums = {0};
	uint32_t *users = NULL;
	float *vectors = NULL;
	const float *movies;
	if (ratings->count == 0)
		return error_set(err, STATUS_FAILED_PRECONDITION, "no ratings to evaluate");
	enum status status = sort_by_user(&by_user, ratings, user_count, err);
	if (status == STATUS_OK)
		status = scorer_all_movies(scorer, &movies, err);
	if (status == STATUS_OK)
		status = memory_alloc(&users, USERS_PER_BLOCK, sizeof(*users), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&vectors, USERS_PER_BLOCK * dim, sizeof(float), "user vectors", err);
	for (uint32_t u = 0; status == STATUS_OK && u < user_count;) {
		uint32_t n = 0;
		for (; u < user_count && n < USERS_PER_BLOCK; u++)
			if (by_user.first[u + 1] > by_user.first[u])
				users[n++] = u;
		status = scorer_user_vectors(scorer, users, n, vectors, err);
		for (uint32_t i = 0; status == STATUS_OK && i < n; i++)
			status = add_user(scorer, ratings, &by_user, users[i], vectors + i * dim,
				movies, &sums, err);
	}
	if (status == STATUS_OK)
		*ret = (struct evaluation){.rmse = sqrt(sums.squares / (double)ratings->count),
			.mae = sums.absolutes / (double)ratings->count,
			.ratings = ratings->count,
			.unknown = sums.unknown};
	free(by_user.first);
	free(by_user.order);
	free(users);
	free(vectors);
	return status;
}
