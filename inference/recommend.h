/*
 * The best movies for a user vector, and the movies most like one: exact search.
 *
 * Threads: as the scorer.
 */
#ifndef MARQUEE_INFERENCE_RECOMMEND_H
#define MARQUEE_INFERENCE_RECOMMEND_H

#include "inference/scorer.h"
#include "inference/top_k.h"

#define GENRE_ANY UINT32_MAX

struct recommend_options {
	uint32_t genre;		/* number in the catalog's genres, or GENRE_ANY */
	const uint8_t *seen;	/* [movie_count] 1: leave out; or NULL */
	bool include_untrained; /* also movies whose row training never touched */
};

/*
 * Adds to *top (made by the caller) the movies of the catalog with the highest scores, sorted;
 * items are numbers in the catalog, scores in the label's scale. Filters apply before the cut.
 * Movies that training never met are left out unless the options or a model without any other ask
 * for them.
 */
MUST_CHECK enum status recommend(struct scorer *scorer, const float *user,
	const struct recommend_options *options, struct top_k *top, struct error *err);

/* Adds to *top the movies nearest to one by the cosine of their vectors (the score is the cosine),
 * sorted, without itself. include_untrained as above. */
MUST_CHECK enum status similar(struct scorer *scorer, uint32_t movie, bool include_untrained,
	struct top_k *top, struct error *err);

#endif
