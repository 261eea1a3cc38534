/*
 * Which movies may be named: by genre, year, ids, what was seen, and whether training met them.
 *
 * A movie's year stands at the end of its title, "Toy Story (1995)"; a movie without one is in no
 * range of years.
 *
 * Threads: a filter is immutable after it was made.
 */
#ifndef MARQUEE_INFERENCE_FILTER_H
#define MARQUEE_INFERENCE_FILTER_H

#include "common/data/catalog.h"

#define GENRE_ANY UINT32_MAX

struct movie_filter {
	uint32_t genre;		 /* number in the catalog's genres, or GENRE_ANY */
	uint32_t first_year;	 /* of a range that includes both ends; */
	uint32_t last_year;	 /* 0: any year, or none */
	uint8_t *only;		 /* [movie_count] 1: may be named; NULL: all. Owned */
	const uint8_t *excluded; /* [movie_count] 1: leave out; or NULL. Borrowed */
	bool include_untrained;	 /* also movies whose row training never touched */
};

/* Every movie that training met. */
#define FILTER_NOTHING                                                                             \
	(struct movie_filter)                                                                      \
	{                                                                                          \
		.genre = GENRE_ANY                                                                 \
	}

/* The same as people write it; NULL is any. */
struct filter_text {
	const char *genre;
	const char *years; /* "1995", "1990-1999", "1990-" or "-1999" */
	const char *ids;   /* separated by blanks, line ends or commas */
	bool include_untrained;
};

/* INVALID_ARGUMENT, saying what is expected, when they are no years as above. */
MUST_CHECK enum status movie_years_check(const char *years, struct error *err);

/* INVALID_ARGUMENT and NOT_FOUND say what is not understood. Borrows nothing. */
MUST_CHECK enum status movie_filter_init(struct movie_filter *ret, const struct catalog *catalog,
	const struct filter_text *text, struct error *err);
/* Takes a zeroed struct. */
void movie_filter_fini(struct movie_filter *filter);

/* Whether the movie passes; trained or not is not asked here. */
bool movie_filter_passes(
	const struct movie_filter *filter, const struct catalog *catalog, uint32_t movie);

/* 0 when the title has none. */
uint32_t movie_year(const struct catalog *catalog, uint32_t movie);

#endif
