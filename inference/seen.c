#include "inference/seen.h"

#include "common/base/memory.h"
#include "common/data/ratings.h"

#include <stdlib.h>

static int compare_movies(const void *left, const void *right)
{
	const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	return (a > b) - (a < b);
}

static uint64_t first_of(const struct seen *seen, uint32_t user)
{
	return user > 0 ? seen->ends[user - 1] : 0;
}

/* Counts, sums up, and fills from behind: then every end is where the user begins. */
static void sort_by_user(
	struct seen *seen, const struct ratings *ratings, const struct catalog *catalog)
{
	for (uint64_t r = 0; r < ratings->count; r++)
		seen->ends[ratings->examples[r].user]++;
	for (uint32_t u = 1; u < catalog->user_count; u++)
		seen->ends[u] += seen->ends[u - 1];
	for (uint64_t r = ratings->count; r-- > 0;)
		seen->movies[--seen->ends[ratings->examples[r].user]] = ratings->examples[r].movie;
	for (uint32_t u = 1; u < catalog->user_count; u++)
		seen->ends[u - 1] = seen->ends[u];
	seen->ends[catalog->user_count - 1] = ratings->count;
	for (uint32_t u = 0; u < catalog->user_count; u++)
		qsort(seen->movies + first_of(seen, u), seen->ends[u] - first_of(seen, u),
			sizeof(*seen->movies), compare_movies);
}

enum status seen_read(struct seen *ret, const struct catalog *catalog, const char *path,
	const struct data_options *options, struct error *err)
{
	struct ratings ratings = {0};
	struct seen seen = {0};
	enum status status = ratings_load(&ratings, catalog, path, options, NULL, err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&seen.ends, catalog->user_count, sizeof(*seen.ends), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&seen.movies, ratings.count, sizeof(*seen.movies), "seen movies", err);
	if (status == STATUS_OK) {
		sort_by_user(&seen, &ratings, catalog);
		*ret = seen;
	} else {
		seen_fini(&seen);
	}
	ratings_fini(&ratings);
	return status;
}

void seen_fini(struct seen *seen)
{
	free(seen->ends);
	free(seen->movies);
	*seen = (struct seen){0};
}

void seen_mark(const struct seen *seen, uint32_t user, uint8_t *marks)
{
	for (uint64_t i = first_of(seen, user); i < seen->ends[user]; i++)
		marks[seen->movies[i]] = 1;
}

bool seen_has(const struct seen *seen, uint32_t user, uint32_t movie)
{
	const uint64_t first = first_of(seen, user);
	return bsearch(&movie, seen->movies + first, seen->ends[user] - first, sizeof(movie),
		       compare_movies) != NULL;
}
