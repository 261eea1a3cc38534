#include "worker/hot_rows.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"

#include <stdlib.h>

enum status hot_rows_init(struct hot_rows *hot, const struct catalog *catalog, struct error *err)
{
	*hot = (struct hot_rows){0};
	if (catalog->user_count > HOT_ROWS_COUNTS_MAX || catalog->movie_count > HOT_ROWS_COUNTS_MAX)
		return STATUS_OK;
	hot->catalog = catalog;
	enum status status = memory_zalloc(
		&hot->users, catalog->user_count, sizeof(*hot->users), "row counts", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&hot->movies, catalog->movie_count, sizeof(*hot->movies),
			"row counts", err);
	if (status != STATUS_OK)
		hot_rows_fini(hot);
	return status;
}

void hot_rows_fini(struct hot_rows *hot)
{
	free(hot->users);
	free(hot->movies);
	*hot = (struct hot_rows){0};
}

void hot_rows_count(struct hot_rows *hot, const struct lane_batch *batch)
{
	if (!hot->catalog)
		return;
	/* A key of the sets is the number in the catalog, twice, and whether it is unknown. */
	for (uint32_t i = 0; i < batch->examples.example_count; i++) {
		hot->users[batch->user_set.ids[batch->example_user[i]] >> 1]++;
		hot->movies[batch->movie_set.ids[batch->example_movie[i]] >> 1]++;
	}
	hot->examples += batch->examples.example_count;
}

/* The numbers of the largest counts, in order; returns how many there are. */
static uint32_t find_top(const uint32_t *counts, uint32_t n, uint32_t top[HOT_ROWS_TOP])
{
	uint32_t found = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (counts[i] == 0 ||
			(found == HOT_ROWS_TOP && counts[i] <= counts[top[found - 1]]))
			continue;
		uint32_t at = found < HOT_ROWS_TOP ? found++ : found - 1;
		for (; at > 0 && counts[top[at - 1]] < counts[i]; at--)
			top[at] = top[at - 1];
		top[at] = i;
	}
	return found;
}

static uint64_t distinct(const uint32_t *counts, uint32_t n)
{
	uint64_t found = 0;
	for (uint32_t i = 0; i < n; i++)
		found += counts[i] != 0;
	return found;
}

json_t *hot_rows_to_json(const struct hot_rows *hot)
{
	const struct catalog *catalog = hot->catalog;
	uint32_t top[HOT_ROWS_TOP];
	if (!catalog || hot->examples == 0)
		return NULL;
	json_t *users = json_array(), *movies = json_array();
	uint32_t found = find_top(hot->users, catalog->user_count, top);
	for (uint32_t i = 0; i < found; i++)
		(void)!json_array_append_new(users,
			json_pack("{s:o, s:I}", "id", json_from_u64(catalog->user_ids[top[i]]),
				"count", (json_int_t)hot->users[top[i]]));
	found = find_top(hot->movies, catalog->movie_count, top);
	for (uint32_t i = 0; i < found; i++)
		(void)!json_array_append_new(
			movies, json_pack("{s:o, s:s, s:I}", "id",
					json_from_u64(catalog->movie_ids[top[i]]), "title",
					catalog_title(catalog, top[i]), "count",
					(json_int_t)hot->movies[top[i]]));
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "examples", (json_int_t)hot->examples,
		"distinct_users", (json_int_t)distinct(hot->users, catalog->user_count),
		"distinct_movies", (json_int_t)distinct(hot->movies, catalog->movie_count), "users",
		users, "movies", movies);
}
