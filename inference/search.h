/*
 * Exact search: the items with the best scores among all of them, for each of some queries.
 *
 * A score is an inner product times the item's factor (1 where there are none; 1/|v| searches by
 * cosine):
 *
 *     score(q, i) = (query_q . vector_i) * factor_i     queries [Q x D], vectors [N x D]
 *
 * Products of blocks of items with all queries come from BLAS, whose rounding depends on the
 * shapes. They only choose: an item that they put within rounding of the k best, or above, is
 * scored again by the rule's own formula, and only that number is compared, kept and returned. So
 * the result is that of a plain loop over the rule's scores, bit for bit, for every number of
 * threads and queries, and ties go to the smaller item.
 *
 * The bound: two ways to add up D products differ by at most 2 gamma_D |q||v|, gamma_D = D u / (1 -
 * D u), u = 2^-24 (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, equation 3.5).
 *
 * Threads: pure functions over what the caller lends; the rule is called from all threads at once.
 */
#ifndef MARQUEE_INFERENCE_SEARCH_H
#define MARQUEE_INFERENCE_SEARCH_H

#include "inference/top_k.h"

#include <stdbool.h>

struct search_items {
	const float *vectors; /* [count x dim], borrowed */
	const float *factors; /* [count], borrowed, or NULL */
	uint32_t count;
	size_t dim;
	float longest; /* the largest |factor * vector| */
};

/* Borrows the arrays; reads them once, for `longest`. */
void search_items_init(struct search_items *items, const float *vectors, const float *factors,
	uint32_t count, size_t dim);

/* The inner product of a[dim] and b[dim] that scores are made of, for this processor. */
typedef float search_product_fn(const float *a, const float *b, size_t dim);
search_product_fn *search_product(void);

/* What is searched for. All zeros: every item, by the score above. */
struct search_rule {
	/* Whether the item may be found: asked before it can take a place among the k. */
	bool (*allowed)(const void *context, size_t query, uint32_t item);
	/* The score to go by; it must lie within (dim + 16) 2^-23 |query| |factor * vector| of
	 * the score above in real numbers. */
	float (*score)(const void *context, size_t query, uint32_t item);
	const void *context;
};

/*
 * Adds to tops[query_count] (made by the caller, empty) the best items for each query, sorted.
 * `threads` is a ceiling: small searches stay on the calling thread. FAILED_PRECONDITION when the
 * score of an allowed item that could be among the best is not a number.
 */
MUST_CHECK enum status search_exact(const struct search_items *items, const float *queries,
	size_t query_count, const struct search_rule *rule, uint32_t threads, struct top_k *tops,
	struct error *err);

#endif
