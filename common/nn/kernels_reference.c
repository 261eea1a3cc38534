/* Each function is the formula of kernels.h, element by element. */
#include "common/nn/kernels_reference.h"

#include <stdbool.h>

static void gather(float *out, size_t out_stride, const float *in, size_t in_stride,
	const uint32_t *index, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < columns; c++)
			out[r * out_stride + c] = in[index[r] * in_stride + c];
}

static void scatter_add(float *out, size_t out_stride, const float *in, size_t in_stride,
	const uint32_t *index, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < columns; c++)
			out[index[r] * out_stride + c] += in[r * in_stride + c];
}

static void bias_add(float *x, size_t stride, const float *bias, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < stride; c++)
			x[r * stride + c] = c < columns ? x[r * stride + c] + bias[c] : 0;
}

static void bag_tanh(float *x, const float *in, const float *bias, const struct bag_batch *batch)
{
	size_t stride = panel_stride(batch->columns);
	for (size_t r = 0; r < batch->rows; r++)
		for (size_t c = 0; c < stride; c++) {
			double sum = 0;
			if (c < batch->columns)
				sum = (double)x[r * stride + c] + (double)bias[c];
			for (size_t i = batch->offsets[r];
				i < batch->offsets[r + 1] && c < batch->columns; i++)
				sum += (double)in[batch->values[i] * stride + c];
			x[r * stride + c] = (float)tanh(sum);
		}
}

static void bag_tanh_backward(float *d, float *d_in, const float *y, const struct bag_batch *batch)
{
	size_t stride = panel_stride(batch->columns);
	for (size_t r = 0; r < batch->rows; r++)
		for (size_t c = 0; c < stride; c++) {
			double h = (double)y[r * stride + c];
			double dh = (double)d[r * stride + c];
			d[r * stride + c] = c < batch->columns ? (float)(dh * (1 - h * h)) : 0;
			for (size_t i = batch->offsets[r]; i < batch->offsets[r + 1]; i++)
				d_in[batch->values[i] * stride + c] += d[r * stride + c];
		}
}

static void column_sum(float *out, const float *in, size_t stride, size_t rows, size_t columns)
{
	for (size_t c = 0; c < columns; c++) {
		double sum = 0;
		for (size_t r = 0; r < rows; r++)
			sum += (double)in[r * stride + c];
		out[c] = (float)sum;
	}
}

/* Whether entry k of position t's window lies in a sequence of n items; *ret_at is where. */
static bool in_window(size_t t, size_t k, size_t width, size_t n, size_t *ret_at)
{
	ptrdiff_t at = (ptrdiff_t)t + (ptrdiff_t)k - ((ptrdiff_t)width - 1) / 2;
	*ret_at = (size_t)at;
	return at >= 0 && at < (ptrdiff_t)n;
}

static void windows(
	float *h, const float *projections, const float *bias, const struct sequence_batch *batch)
{
	size_t row = batch->width * batch->filter_stride;
	for (size_t b = 0; b < batch->sequences; b++) {
		size_t first = batch->offsets[b], n = batch->offsets[b + 1] - first;
		for (size_t t = 0; t < n; t++)
			for (size_t f = 0; f < batch->filter_stride; f++) {
				double z = f < batch->filters ? (double)bias[f] : 0;
				for (size_t k = 0; k < batch->width && f < batch->filters; k++) {
					size_t at;
					if (in_window(t, k, batch->width, n, &at))
						z += (double)
							projections[batch->items[first + at] * row +
								    k * batch->filter_stride + f];
				}
				h[(first + t) * batch->filter_stride + f] = (float)tanh(z);
			}
	}
}

static void sequence_sum(float *pooled, size_t pooled_stride, float *h, const float *projections,
	const float *bias, const struct sequence_batch *batch)
{
	windows(h, projections, bias, batch);
	for (size_t b = 0; b < batch->sequences; b++)
		for (size_t f = 0; f < batch->filters; f++) {
			double sum = 0;
			for (size_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++)
				sum += (double)h[t * batch->filter_stride + f];
			pooled[b * pooled_stride + f] = (float)sum;
		}
}

static void sequence_max(float *pooled, size_t pooled_stride, uint32_t *winners, float *h,
	const float *projections, const float *bias, const struct sequence_batch *batch)
{
	windows(h, projections, bias, batch);
	for (size_t b = 0; b < batch->sequences; b++)
		for (size_t f = 0; f < batch->filters; f++) {
			uint32_t first = batch->offsets[b], best = first;
			for (uint32_t t = first; t < batch->offsets[b + 1]; t++)
				if (h[t * batch->filter_stride + f] >
					h[best * batch->filter_stride + f])
					best = t;
			winners[b * batch->filter_stride + f] = best - first;
			pooled[b * pooled_stride + f] = batch->offsets[b + 1] > first
								? h[best * batch->filter_stride + f]
								: 0;
		}
}

static void sequence_backward(float *d_projections, float *d_bias, const float *d_pooled,
	size_t pooled_stride, const uint32_t *winners, const float *h,
	const struct sequence_batch *batch)
{
	size_t stride = batch->filter_stride;
	for (size_t f = 0; f < batch->filters; f++) {
		double bias_sum = 0;
		for (size_t b = 0; b < batch->sequences; b++) {
			size_t first = batch->offsets[b], n = batch->offsets[b + 1] - first;
			for (size_t t = 0; t < n; t++) {
				double y = (double)h[(first + t) * stride + f];
				double dz = (double)d_pooled[b * pooled_stride + f] * (1 - y * y);
				if (winners && winners[b * stride + f] != t)
					dz = 0;
				bias_sum += dz;
				for (size_t k = 0; k < batch->width; k++) {
					size_t at;
					if (in_window(t, k, batch->width, n, &at))
						d_projections[(batch->items[first + at] *
									      batch->width +
								      k) *
								      stride +
							      f] += (float)dz;
				}
			}
		}
		d_bias[f] = (float)bias_sum;
	}
}

static void sequence_sum_backward(float *d_projections, float *d_bias, const float *d_pooled,
	size_t pooled_stride, const float *h, const struct sequence_batch *batch)
{
	sequence_backward(d_projections, d_bias, d_pooled, pooled_stride, NULL, h, batch);
}

static void sequence_max_backward(float *d_projections, float *d_bias, const float *d_pooled,
	size_t pooled_stride, const uint32_t *winners, const float *h,
	const struct sequence_batch *batch)
{
	sequence_backward(d_projections, d_bias, d_pooled, pooled_stride, winners, h, batch);
}

static double product(const float *x, const float *y, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)y[i];
	return sum;
}

static float dot(const float *x, const float *y, size_t n)
{
	return (float)product(x, y, n);
}

static void inverse_norms(float *inverse, const float *x, size_t stride, size_t rows)
{
	for (size_t r = 0; r < rows; r++) {
		double square = product(x + r * stride, x + r * stride, stride);
		inverse[r] = (float)(1 / sqrt(fmax(square, (double)COSINE_SQUARE_FLOOR)));
	}
}

static void cosine(float *z, const float *x, const float *y, const float *x_inverse,
	const float *y_inverse, const struct pair_batch *batch)
{
	for (size_t e = 0; e < batch->pairs; e++) {
		size_t i = batch->x_index[e], j = batch->y_index[e];
		z[e] = (float)(product(x + i * batch->stride, y + j * batch->stride,
				       batch->stride) *
			       (double)x_inverse[i] * (double)y_inverse[j]);
	}
}

/* One side of the gradient of one pair: d += dz (other/(|x||other|) - z x/|x|^2). */
static void cosine_side(double dz, double z, const float *x, const float *other, double inverse,
	double other_inverse, float *d, size_t n)
{
	bool floored = product(x, x, n) < (double)COSINE_SQUARE_FLOOR;
	for (size_t c = 0; c < n; c++) {
		double own = floored ? 0 : z * (double)x[c] * inverse * inverse;
		d[c] += (float)(dz * ((double)other[c] * inverse * other_inverse - own));
	}
}

static void cosine_backward(float *d_x, float *d_y, float *x_own, float *y_own, const float *dz,
	const float *z, const float *x, const float *y, const float *x_inverse,
	const float *y_inverse, const struct pair_batch *batch)
{
	size_t n = batch->stride;
	(void)x_own;
	(void)y_own;
	for (size_t i = 0; i < batch->x_rows * n; i++)
		d_x[i] = 0;
	for (size_t i = 0; i < batch->y_rows * n; i++)
		d_y[i] = 0;
	for (size_t e = 0; e < batch->pairs; e++) {
		size_t i = batch->x_index[e], j = batch->y_index[e];
		cosine_side((double)dz[e], (double)z[e], x + i * n, y + j * n, (double)x_inverse[i],
			(double)y_inverse[j], d_x + i * n, n);
		cosine_side((double)dz[e], (double)z[e], y + j * n, x + i * n, (double)y_inverse[j],
			(double)x_inverse[i], d_y + j * n, n);
	}
}

const struct nn_kernels nn_kernels_reference = {
	.name = "reference",
	.gather = gather,
	.scatter_add = scatter_add,
	.bias_add = bias_add,
	.bag_tanh = bag_tanh,
	.bag_tanh_backward = bag_tanh_backward,
	.column_sum = column_sum,
	.sequence_sum = sequence_sum,
	.sequence_max = sequence_max,
	.sequence_sum_backward = sequence_sum_backward,
	.sequence_max_backward = sequence_max_backward,
	.inverse_norms = inverse_norms,
	.cosine = cosine,
	.cosine_backward = cosine_backward,
	.dot = dot,
};
