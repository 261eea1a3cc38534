/*
 * The fully connected layer: one matrix product forward, two backward, by OpenBLAS.
 *
 *     out = in W^T + b      in [R x I], W [O x I], b [O], out [R x O]
 *
 * All row-major; in and out have strides of their own (at least I and O), W is packed. Backward
 * writes gradients, it does not add to what is there. R may be 0.
 *
 * A product's rounding depends on its shape and on OpenBLAS' code for the processor, and nn_init()
 * keeps OpenBLAS to the calling thread, so that it depends on nothing else.
 *
 * Threads: pure functions; nn_init() before them, from any thread. OpenBLAS' choice of code is
 * process-wide.
 */
#ifndef MARQUEE_NN_FC_H
#define MARQUEE_NN_FC_H

#include <stddef.h>

struct fc_shape {
	size_t rows, in, out;	      /* R, I, O */
	size_t in_stride, out_stride; /* a bias asks for a panel stride of out */
};

/* Sets OpenBLAS up for the process: the calling thread alone, code that fits the processor.
 * Idempotent. */
void nn_init(void);

/* bias may be NULL: no bias is added. */
void fc_forward(float *out, const float *in, const float *weight, const float *bias,
	const struct fc_shape *shape);

/*
 * d_in = d_out W [R x I, in_stride], d_weight = d_out^T in [O x I], d_bias = column sums of d_out
 * [O]. Any of the three may be NULL: not wanted.
 */
void fc_backward(float *d_in, float *d_weight, float *d_bias, const float *d_out, const float *in,
	const float *weight, const struct fc_shape *shape);

#endif
