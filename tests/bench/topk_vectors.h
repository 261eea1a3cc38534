/*
 * Vectors for bench_topk's indexes, as many as wanted, that lie as a catalog's movies do.
 *
 * From a model directory: normal with the mean and the covariance of its movies' vectors, each over
 * its length as the index has them; queries are vectors of its users. Without one: normal, of
 * variances i^-1.6 along the axes, which spread over as few directions as movies of ml-1m do after
 * an epoch (participation ratio 4.4); queries are such vectors, too. All have length 1.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_BENCH_TOPK_VECTORS_H
#define MARQUEE_BENCH_TOPK_VECTORS_H

#include "inference/scorer.h"

enum { TOPK_DIM = 200 };

struct topk_vectors {
	size_t dim, query_count;
	uint32_t count;
	float *vectors; /* [count x dim], owned */
	float *queries; /* [query_count x dim], owned */
};

/* scorer: of the model, or NULL. Of its users there may be fewer than query_count. */
MUST_CHECK enum status topk_vectors_init(struct topk_vectors *ret, struct scorer *scorer,
	uint32_t count, size_t query_count, struct error *err);
/* Takes a zeroed struct. */
void topk_vectors_fini(struct topk_vectors *vectors);

#endif
