/*
 * The kernels and the fully connected layer once more, naive and summing in double: what the fast
 * ones are compared with. For tests only (library marquee_nn_reference).
 */
#ifndef MARQUEE_NN_KERNELS_REFERENCE_H
#define MARQUEE_NN_KERNELS_REFERENCE_H

#include "common/nn/fc.h"
#include "common/nn/kernels.h"

extern const struct nn_kernels nn_kernels_reference;

void fc_forward_reference(float *out, const float *in, const float *weight, const float *bias,
	const struct fc_shape *shape);
void fc_backward_reference(float *d_in, float *d_weight, float *d_bias, const float *d_out,
	const float *in, const float *weight, const struct fc_shape *shape);
double squared_loss_reference(
	float *d_scores, const float *scores, const float *labels, float scale, size_t n);

#endif
