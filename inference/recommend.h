/*
 * The best movies for a user vector, and the movies most like one: by exact search, or with the
 * scorer's index.
 *
 * Threads: as the scorer.
 */
#ifndef MARQUEE_INFERENCE_RECOMMEND_H
#define MARQUEE_INFERENCE_RECOMMEND_H

#include "inference/filter.h"
#include "inference/scorer.h"
#include "inference/seen.h"
#include "inference/top_k.h"

/*
 * Adds to *top (made by the caller) the movies of the catalog with the highest scores, sorted;
 * items are numbers in the catalog, scores in the label's scale. Filters apply before the cut.
 * Movies that training never met and nobody changed since are left out unless the filter or a model
 * without any other asks for them.
 */
MUST_CHECK enum status recommend(struct scorer *scorer, const float *user,
	const struct movie_filter *filter, struct top_k *top, struct error *err);

struct recommend_options {
	const struct movie_filter *filter; /* for everybody */
	const struct seen *seen;	   /* left out for those who have; or NULL */
	const uint32_t *users; /* [count] numbers in the catalog; needed for `seen` alone */
	uint32_t threads;      /* a ceiling */
};

/* The same for users[count x dim], into tops[count]; the answers are those of recommend() for each,
 * but for what an index may miss. Batches take less time than one after the other. */
MUST_CHECK enum status recommend_all(struct scorer *scorer, const float *users, size_t count,
	const struct recommend_options *options, struct top_k *tops, struct error *err);

/* Adds to *top the movies nearest to one by the cosine of their vectors (the score is the cosine),
 * sorted, without itself. The filter as above. */
MUST_CHECK enum status similar(struct scorer *scorer, uint32_t movie,
	const struct movie_filter *filter, struct top_k *top, struct error *err);

#endif
