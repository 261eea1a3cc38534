/* Small invented data directories in both layouts. */
#ifndef MARQUEE_TESTS_DATA_FIXTURE_H
#define MARQUEE_TESTS_DATA_FIXTURE_H

#include "common/base/file.h"
#include "common/data/example_set.h"

#include <stdint.h>

/*
 * Users 3, 7, 20; movies 2, 5, 9, 40; six ratings. Files are written out of the order of ids. The
 * texts are here for tests to compare with and to damage.
 */
extern const char fixture_users_dat[];
extern const char fixture_movies_dat[];
extern const char fixture_ratings_dat[];

/* Makes a scratch directory with the layout's files; scratch_close() removes it. */
void fixture_ml_1m(char directory[PATH_SIZE]);
void fixture_ml_100k(char directory[PATH_SIZE]);
/* users 1..users, movies 1..movies with a genre each, no ratings.dat. */
void fixture_grid(char directory[PATH_SIZE], uint32_t users, uint32_t movies);
/* Replaces one file's text. */
void fixture_put(const char *directory, const char *name, const char *text);

/* Owned: the examples [first, first + count) of the set, or all of them. */
struct rating *fixture_examples(const struct example_set *set, uint64_t first, uint64_t count);
struct rating *fixture_all(const struct example_set *set);

#endif
