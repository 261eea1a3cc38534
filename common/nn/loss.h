/* The loss at the end of a model. Threads: pure functions. */
#ifndef MARQUEE_NN_LOSS_H
#define MARQUEE_NN_LOSS_H

#include <stddef.h>

/*
 * Returns the sum over e < n of (scores[e] - labels[e])^2, added up in double in index order, and
 * sets d_scores[e] = scale * 2 * (scores[e] - labels[e]), the gradient of scale times that sum.
 * d_scores may be scores.
 */
double squared_loss(
	float *d_scores, const float *scores, const float *labels, float scale, size_t n);

#endif
