#include "tests/support/cache_grid.h"

#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

char cache_grid_directory[PATH_SIZE], cache_grid_text[PATH_SIZE], cache_grid_cache[PATH_SIZE];
struct catalog cache_grid_catalog;
const struct data_options cache_grid_strict = {0};

static enum status begin(void *context, const struct ratings_file *file, struct error *err)
{
	struct cache_seen *seen = context;
	(void)err;
	seen->count = file->count;
	return STATUS_OK;
}

static void visit(void *context, uint64_t block, const struct rating *ratings, size_t count)
{
	struct cache_seen *seen = context;
	memcpy(seen->ratings + block * RATINGS_BLOCK, ratings, count * sizeof(*ratings));
}

enum status cache_grid_read(struct cache_story *story, const struct data_options *lines,
	const struct ratings_cache_options *options, struct error *err)
{
	struct ratings_file file;
	const struct ratings_cache cache = {.path = cache_grid_text,
		.catalog = &cache_grid_catalog,
		.lines = lines,
		.options = options,
		.begin = begin,
		.visit = visit,
		.context = &story->seen};
	memset(story, 0, sizeof(*story));
	enum status status = ratings_cache_open(&file, &cache, &story->report, story->note, err);
	if (status == STATUS_OK)
		ratings_file_close(&file);
	return status;
}

void cache_grid_expect(const char *note, uint32_t stars)
{
	static struct cache_story story;
	const struct ratings_cache_options options = {.threads = 2};
	struct error err;
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	ck_assert_uint_eq(story.seen.count, CACHE_GRID_LINES);
	/* Counted, since Check writes to a file for every assertion. */
	uint32_t wrong = 0;
	for (uint32_t i = 0; i < CACHE_GRID_LINES; i++) {
		const struct rating *rating = &story.seen.ratings[i];
		wrong += rating->user != i / CACHE_GRID_MOVIES ||
			 rating->movie != i % CACHE_GRID_MOVIES ||
			 rating->stars != (float)(1 + (i + stars) % 5);
	}
	ck_assert_uint_eq(wrong, 0);
	if (note[0])
		ck_assert_msg(
			strstr(story.note, note) != NULL, "'%s' lacks '%s'", story.note, note);
	else
		ck_assert_str_eq(story.note, "");
}

void cache_grid_write(uint32_t stars)
{
	FILE *file = fopen(cache_grid_text, "w");
	ck_assert_ptr_nonnull(file);
	for (uint32_t i = 0; i < CACHE_GRID_LINES; i++)
		fprintf(file, "%u::%u::%u::1\n", i / CACHE_GRID_MOVIES + 1,
			i % CACHE_GRID_MOVIES + 1, 1 + (i + stars) % 5);
	ck_assert_int_eq(fclose(file), 0);
}

void cache_grid_open(void)
{
	struct error err;
	fixture_grid(cache_grid_directory, CACHE_GRID_USERS, CACHE_GRID_MOVIES);
	scratch_path(cache_grid_text, cache_grid_directory, "ratings.dat");
	scratch_path(cache_grid_cache, cache_grid_directory, "ratings.dat.cache");
	cache_grid_write(0);
	assert_ok(catalog_load(&cache_grid_catalog, cache_grid_directory, &cache_grid_strict, NULL,
			  &err),
		&err);
}

void cache_grid_close(void)
{
	catalog_fini(&cache_grid_catalog);
	scratch_close(cache_grid_directory);
}
