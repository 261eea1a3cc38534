/*
 * The elementwise and gathering kernels of the models, as one table per instruction set.
 *
 * Kernels are stateless functions over plain arrays; matrix products are in fc.h. Each formula
 * stands here once, above its entry; kernels.c holds the vector code, kernels_reference.c the
 * naive one the tests compare it with.
 *
 * Shapes: a matrix [R x C] is row-major with `stride` floats from row to row. A *panel* is a matrix
 * whose stride is a multiple of 16 and at least C; what its padding columns hold before a call
 * never matters to columns < C, and kernels that write a panel's rows leave zeros in them. Nothing
 * else needs an alignment, though rows on 64 bytes are faster. Outputs do not overlap inputs unless
 * said.
 *
 * Order: every sum over rows, positions or pairs is taken in index order, every sum over a row's
 * columns in the tree of vector.h. So results depend on values and shapes, never on the thread, the
 * addresses or (but for tanh without FMA) the instruction set.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_NN_KERNELS_H
#define MARQUEE_NN_KERNELS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PANEL_COLUMNS ((size_t)16)

static inline size_t panel_stride(size_t columns)
{
	return (columns + PANEL_COLUMNS - 1) / PANEL_COLUMNS * PANEL_COLUMNS;
}

/* |x|^2 never counts for less than this in a cosine. */
#define COSINE_SQUARE_FLOOR 1e-8f

static inline float cosine_inverse_norm(float square)
{
	return 1 / sqrtf(square > COSINE_SQUARE_FLOOR ? square : COSINE_SQUARE_FLOOR);
}

/*
 * A batch of sequences for the convolution: B sequences of items, each an index into the D rows of
 * a matrix of projections. Windows are as many as positions; N is their number over all sequences.
 */
struct sequence_batch {
	size_t sequences;	 /* B */
	const uint32_t *offsets; /* [B + 1], ascending: sequence b has items [offsets[b], [b+1]) */
	const uint32_t *items;	 /* [N], < D */
	size_t width;		 /* W >= 1: items in a window */
	size_t filters;		 /* F */
	size_t filter_stride;	 /* a panel stride for F */
};

/* B pairs of rows of two panels X [U x C] and Y [M x C]. */
struct pair_batch {
	size_t pairs;
	const uint32_t *x_index; /* [B] < U */
	const uint32_t *y_index; /* [B] < M */
	size_t x_rows, y_rows;	 /* U, M */
	size_t stride;		 /* of both panels */
};

/*
 * R rows of a panel, each with a bag of rows of another panel of the same stride: row r's are
 * values[offsets[r]] .. values[offsets[r + 1] - 1].
 */
struct bag_batch {
	size_t rows, columns;	 /* R, C */
	const uint32_t *offsets; /* [R + 1], ascending */
	const uint32_t *values;
};

struct nn_kernels {
	const char *name; /* "avx512f" */

	/* out[r][c] = in[index[r]][c], r < rows, c < columns. */
	void (*gather)(float *out, size_t out_stride, const float *in, size_t in_stride,
		const uint32_t *index, size_t rows, size_t columns);

	/* out[index[r]][c] += in[r][c]: gather's gradient. */
	void (*scatter_add)(float *out, size_t out_stride, const float *in, size_t in_stride,
		const uint32_t *index, size_t rows, size_t columns);

	/* x[r][c] += bias[c] over a panel. */
	void (*bias_add)(float *x, size_t stride, const float *bias, size_t rows, size_t columns);

	/* x[r][c] = tanh(x[r][c] + bias[c] + sum of in[v][c] over the values v of row r's bag),
	 * added up from the left. */
	void (*bag_tanh)(
		float *x, const float *in, const float *bias, const struct bag_batch *batch);

	/*
	 * Its gradient, from d/dy to d/dx of y = tanh x: d[r][c] *= 1 - y[r][c]^2, then
	 * d_in[v][c] += d[r][c] for the values v of row r's bag.
	 */
	void (*bag_tanh_backward)(
		float *d, float *d_in, const float *y, const struct bag_batch *batch);

	/* out[c] = sum over r of in[r][c] over a panel: a bias' gradient. out has `columns`. */
	void (*column_sum)(float *out, const float *in, size_t stride, size_t rows, size_t columns);

	/*
	 * Sequence convolution with tanh and pooling over time (Kim 2014, with a window at every
	 * position). For sequence b with n items, position t < n and start = -(W - 1) / 2:
	 *
	 *     h[t][f] = tanh(bias[f] + sum over k < W with 0 <= t + start + k < n of
	 *                    projections[items[t + start + k]][k * filter_stride + f])
	 *     pooled[b][f] = sum over t of h[t][f]        (sequence_sum)
	 *                    max over t of h[t][f]        (sequence_max)
	 *
	 * which is the convolution of the items' vectors with zeros outside, since filter k's
	 * product with an item is a row of projections [D x W*filter_stride]. Empty sequences pool
	 * to 0. h [N x F] is a panel; pooled is [B x F]. For max, winners [B x filter_stride]
	 * receives the first position that reaches the maximum.
	 */
	void (*sequence_sum)(float *pooled, size_t pooled_stride, float *h,
		const float *projections, const float *bias, const struct sequence_batch *batch);
	void (*sequence_max)(float *pooled, size_t pooled_stride, uint32_t *winners, float *h,
		const float *projections, const float *bias, const struct sequence_batch *batch);

	/*
	 * With dz[t][f] = d_pooled[b][f] * (1 - h[t][f]^2), for max only at the winner:
	 * d_projections[items[t + start + k]][k * filter_stride + f] += dz[t][f], and
	 * d_bias[f] = sum of dz over all positions of all sequences.
	 */
	void (*sequence_sum_backward)(float *d_projections, float *d_bias, const float *d_pooled,
		size_t pooled_stride, const float *h, const struct sequence_batch *batch);
	void (*sequence_max_backward)(float *d_projections, float *d_bias, const float *d_pooled,
		size_t pooled_stride, const uint32_t *winners, const float *h,
		const struct sequence_batch *batch);

	/*
	 * inverse[r] = 1 / sqrt(max(|x_r|^2, floor)) over a panel, floor = COSINE_SQUARE_FLOOR.
	 * Padding columns must be 0.
	 */
	void (*inverse_norms)(float *inverse, const float *x, size_t stride, size_t rows);

	/* z[e] = (X[i] . Y[j]) / (|X[i]| |Y[j]|), i = x_index[e], j = y_index[e]. */
	void (*cosine)(float *z, const float *x, const float *y, const float *x_inverse,
		const float *y_inverse, const struct pair_batch *batch);

	/*
	 * dX[i] += dz * (Y[j]/(|X[i]||Y[j]|) - z X[i]/|X[i]|^2) summed over the pairs, dY likewise;
	 * the second term is absent where |X[i]|^2 is below the floor, since the norm is a constant
	 * there. Overwrites d_x and d_y. x_own [U] and y_own [M] are scratch: the sums of dz * z.
	 */
	void (*cosine_backward)(float *d_x, float *d_y, float *x_own, float *y_own, const float *dz,
		const float *z, const float *x, const float *y, const float *x_inverse,
		const float *y_inverse, const struct pair_batch *batch);

	/* x . y over n floats, as cosine forms it (n need not be a multiple of 16). */
	float (*dot)(const float *x, const float *y, size_t n);
};

/* The table for this machine. Static. */
const struct nn_kernels *nn_kernels(void);

/*
 * Every table this build has, best first, NULL-terminated; nn_kernels_runnable() says whether this
 * machine can run one. For tests.
 */
const struct nn_kernels *const *nn_kernels_all(void);
bool nn_kernels_runnable(const struct nn_kernels *kernels);

#endif
