/*
 * A catalog whose movies change: some added, some with another title or other genres, some taken
 * out. Users and vocabularies stay as they are.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_DATA_CATALOG_REVISE_H
#define MARQUEE_DATA_CATALOG_REVISE_H

#include "common/data/catalog.h"

/* What a movie is from now on. Borrows everything. */
struct movie_revision {
	uint64_t id;
	const char *title;	/* UTF-8; NULL: the movie is taken out, where it is there */
	const uint32_t *genres; /* numbers of catalog->genres and words */
	const uint32_t *words;
	uint32_t genre_count, word_count;
};

#define MOVIE_NOT_THERE UINT32_MAX

/* How the movies of before are numbered now, and the other way around. */
struct catalog_numbers {
	uint32_t *before; /* [movie_count]: owned; MOVIE_NOT_THERE for added ones */
	uint32_t *now;	  /* [movie_count of before]: owned; MOVIE_NOT_THERE for removed ones */
};

/* Takes a zeroed struct. */
void catalog_numbers_fini(struct catalog_numbers *numbers);

/*
 * Applies revisions[count], in ascending order of their ids, and indexes the movies anew.
 * *ret_before gets the movies as they were, in a catalog that has nothing else; owned. On failure
 * nothing has changed. FAILED_PRECONDITION: no movie would be left. DATA_LOSS: the order, or a
 * number that the catalog has not.
 */
MUST_CHECK enum status catalog_revise(struct catalog *catalog,
	const struct movie_revision *revisions, size_t count, struct catalog *ret_before,
	struct catalog_numbers *ret_numbers, struct error *err);

/* The movie members of `from` in place of those of `to`, which are not released. */
void catalog_take_movies(struct catalog *to, const struct catalog *from);

#endif
