/*
 * A directory whose ratings.dat is a grid, read through a cache: every user has rated every movie,
 * in order, with stars that a number shifts.
 *
 * Threads: cache_grid_read() any, when nobody changes the paths or the catalog; the others the
 * test's only thread.
 */
#ifndef MARQUEE_TESTS_CACHE_GRID_H
#define MARQUEE_TESTS_CACHE_GRID_H

#include "common/base/file.h"
#include "common/data/ratings_cache.h"
#include "common/data/ratings_layout.h"

#define CACHE_GRID_USERS  90u
#define CACHE_GRID_MOVIES 100u
#define CACHE_GRID_LINES  9000u /* a little more than two blocks */

/* Of the one directory that a program has; a test that changes them puts them back. */
extern char cache_grid_directory[PATH_SIZE], cache_grid_text[PATH_SIZE],
	cache_grid_cache[PATH_SIZE];
extern struct catalog cache_grid_catalog;
extern const struct data_options cache_grid_strict;

/* For run_cases_around(): makes it, with cache_grid_write(0), and removes it. */
void cache_grid_open(void);
void cache_grid_close(void);

/* The text anew. */
void cache_grid_write(uint32_t stars);

/* What was read: all zeros before. */
struct cache_story {
	struct cache_seen {
		struct rating ratings[CACHE_GRID_LINES + RATINGS_BLOCK];
		uint64_t count;
	} seen;
	struct data_report report;
	char note[ERROR_MESSAGE_SIZE];
};

/* Reads whatever the text is. */
MUST_CHECK enum status cache_grid_read(struct cache_story *ret, const struct data_options *lines,
	const struct ratings_cache_options *options, struct error *err);

/*
 * Reads with the default options and fails the test unless it holds every line of the grid with
 * these stars, and its note has this in it, or is empty when `note` is.
 */
void cache_grid_expect(const char *note, uint32_t stars);

#endif
