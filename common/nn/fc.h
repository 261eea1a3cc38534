/*
 * The fully connected layer: one matrix product forward, two backward, by OpenBLAS.
 *
 *     out = in W^T + b      in [R x I], W [O x I], b [O], out [R x O]
 *
 * All row-major. in and W have strides of their own (at least I), so that W may be some columns of
 * a larger matrix; out is a panel (kernels.h) of stride panel_stride(O). R may be 0.
 *
 * Forward takes W packed: W^T [I x O], a panel whose padding is 0. OpenBLAS's kernels for small
 * matrices do not take a transposed first operand of this size, and its general path is half as
 * fast; who packs once can use it for many calls.
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
	size_t rows, in, out; /* R, I, O */
	size_t in_stride;     /* of in and d_in */
	size_t weight_stride; /* of W and d_weight */
};

/* Sets OpenBLAS up for the process: the calling thread alone, code that fits the processor.
 * Idempotent. */
void nn_init(void);

/* packed[i][o] = weight[o][i] for i < columns of one row o: packed points to the column of row o.
 */
void fc_pack_row(float *packed, size_t packed_stride, const float *weight, size_t columns);

/* bias may be NULL: no bias is added. Padding of out becomes 0. */
void fc_forward(float *out, const float *in, const float *packed, const float *bias,
	const struct fc_shape *shape);
/* out += in W^T */
void fc_forward_add(float *out, const float *in, const float *packed, const struct fc_shape *shape);

/*
 * d_in = d_out W [R x I, in_stride], d_weight = d_out^T in [O x I, weight_stride], d_bias = column
 * sums of d_out [O]. Any of the three may be NULL: not wanted. They are written, not added to.
 */
void fc_backward(float *d_in, float *d_weight, float *d_bias, const float *d_out, const float *in,
	const float *weight, const struct fc_shape *shape);

/* out[r][o] = x[r] . y[o], x [R x I], y [O x I], out [R x O], all without gaps between rows. */
void dot_products(
	float *out, const float *x, const float *y, size_t rows, size_t outputs, size_t inner);

#endif
