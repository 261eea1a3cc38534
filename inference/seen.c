#include "inference/seen.h"

#include "common/base/memory.h"
#include "common/data/ratings.h"

#include <stdlib.h>

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
}

enum status seen_read(
	struct seen *ret, const struct catalog *catalog, const char *path, struct error *err)
{
	const struct data_options lenient = {.skip_bad_lines = true};
	struct ratings ratings = {0};
	struct seen seen = {0};
	enum status status = ratings_load(&ratings, catalog, path, &lenient, NULL, err);
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
	for (uint64_t i = user > 0 ? seen->ends[user - 1] : 0; i < seen->ends[user]; i++)
		marks[seen->movies[i]] = 1;
}
