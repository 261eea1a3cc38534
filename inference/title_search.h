/*
 * Movies by words of their titles.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_INFERENCE_TITLE_SEARCH_H
#define MARQUEE_INFERENCE_TITLE_SEARCH_H

#include "inference/filter.h"

#define TITLE_WORDS_MAX 8

/*
 * Finds the movies that pass the filter and whose titles have every word of the text (NULL or
 * blank: all movies) somewhere in them, capitals of ASCII apart. First those whose title starts
 * with the text, else in the order of ids. Writes the first `capacity` to movies; returns how many
 * there are in all. Only the first TITLE_WORDS_MAX words count.
 */
size_t title_search(const struct catalog *catalog, const char *text,
	const struct movie_filter *filter, uint32_t *movies, size_t capacity);

#endif
