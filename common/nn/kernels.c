/*
 * The kernels of kernels.h on sixteen-lane vectors. This file is compiled once per instruction set
 * with NN_TABLE and NN_NAME set to the table's symbol and name; everything else in it is static.
 */
#include "common/nn/kernels.h"

#include "common/nn/vector.h"

/* out[c] = in[c] */
static inline void copy_row(float *out, const float *in, size_t n)
{
	size_t c = 0;
	for (; c + LANES <= n; c += LANES)
		f32x16_store(out + c, f32x16_load(in + c));
	for (; c < n; c++)
		out[c] = in[c];
}

/* out[c] += in[c] */
static inline void add_row(float *out, const float *in, size_t n)
{
	size_t c = 0;
	for (; c + LANES <= n; c += LANES)
		f32x16_store(out + c, f32x16_add(f32x16_load(out + c), f32x16_load(in + c)));
	for (; c < n; c++)
		out[c] += in[c];
}

/* out[c] += a * in[c], n a multiple of 16 */
static inline void add_scaled_row(float *out, float a, const float *in, size_t n)
{
	f32x16 factor = f32x16_splat(a);
	for (size_t c = 0; c < n; c += LANES)
		f32x16_store(out + c,
			f32x16_add(f32x16_load(out + c), f32x16_mul(factor, f32x16_load(in + c))));
}

static inline float dot_row(const float *x, const float *y, size_t n)
{
	f32x16 sum = f32x16_splat(0);
	size_t c = 0;
	for (; c + LANES <= n; c += LANES)
		sum = f32x16_add(sum, f32x16_mul(f32x16_load(x + c), f32x16_load(y + c)));
	if (c < n)
		sum = f32x16_add(sum,
			f32x16_mul(f32x16_load_part(x + c, n - c), f32x16_load_part(y + c, n - c)));
	return f32x16_sum(sum);
}

static void gather(float *out, size_t out_stride, const float *in, size_t in_stride,
	const uint32_t *index, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows; r++)
		copy_row(out + r * out_stride, in + index[r] * in_stride, columns);
}

static void scatter_add(float *out, size_t out_stride, const float *in, size_t in_stride,
	const uint32_t *index, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows; r++)
		add_row(out + index[r] * out_stride, in + r * in_stride, columns);
}

/* A bias' last, incomplete vector, or zeros when there is none. */
static inline f32x16 bias_tail(const float *bias, size_t columns)
{
	size_t whole = columns / LANES * LANES;
	return f32x16_load_part(bias + whole, columns - whole);
}

static void bias_add(float *x, size_t stride, const float *bias, size_t rows, size_t columns)
{
	size_t whole = columns / LANES * LANES;
	f32x16 tail = bias_tail(bias, columns);
	for (size_t r = 0; r < rows; r++, x += stride) {
		for (size_t c = 0; c < whole; c += LANES)
			f32x16_store(x + c, f32x16_add(f32x16_load(x + c), f32x16_load(bias + c)));
		if (whole < columns) {
			f32x16 v = f32x16_add(f32x16_load(x + whole), tail);
			f32x16_store(x + whole, f32x16_first(v, columns - whole));
		}
	}
}

/* Columns [c, c + 16) of x, a bias and a bag's rows. */
static inline f32x16 bag_add(
	f32x16 x, const float *in, size_t stride, const uint32_t *value, const uint32_t *end)
{
	for (; value < end; value++)
		x = f32x16_add(x, f32x16_load(in + *value * stride));
	return x;
}

static void bag_tanh(float *x, const float *in, const float *bias, const struct bag_batch *batch)
{
	const size_t stride = panel_stride(batch->columns);
	const size_t whole = batch->columns / LANES * LANES;
	const f32x16 tail = bias_tail(bias, batch->columns);
	for (size_t r = 0; r < batch->rows; r++, x += stride) {
		const uint32_t *first = batch->values + batch->offsets[r];
		const uint32_t *end = batch->values + batch->offsets[r + 1];
		for (size_t c = 0; c < whole; c += LANES) {
			f32x16 v = f32x16_add(f32x16_load(x + c), f32x16_load(bias + c));
			v = bag_add(v, in + c, stride, first, end);
			f32x16_store(x + c, f32x16_tanh(v));
		}
		if (whole < batch->columns) {
			f32x16 v = f32x16_add(f32x16_load(x + whole), tail);
			v = bag_add(v, in + whole, stride, first, end);
			v = f32x16_first(v, batch->columns - whole);
			f32x16_store(x + whole, f32x16_tanh(v));
		}
	}
}

/* d * (1 - y^2) */
static inline f32x16 through_tanh(f32x16 d, f32x16 y)
{
	return f32x16_mul(d, f32x16_sub(f32x16_splat(1), f32x16_mul(y, y)));
}

static void bag_tanh_backward(float *d, float *d_in, const float *y, const struct bag_batch *batch)
{
	const size_t stride = panel_stride(batch->columns);
	const size_t whole = batch->columns / LANES * LANES;
	for (size_t r = 0; r < batch->rows; r++, d += stride, y += stride) {
		for (size_t c = 0; c < whole; c += LANES)
			f32x16_store(d + c, through_tanh(f32x16_load(d + c), f32x16_load(y + c)));
		if (whole < batch->columns) {
			f32x16 v = through_tanh(f32x16_load(d + whole), f32x16_load(y + whole));
			f32x16_store(d + whole, f32x16_first(v, batch->columns - whole));
		}
		for (uint32_t i = batch->offsets[r]; i < batch->offsets[r + 1]; i++)
			add_row(d_in + batch->values[i] * stride, d, stride);
	}
}

static void column_sum(float *out, const float *in, size_t stride, size_t rows, size_t columns)
{
	for (size_t c = 0; c < columns; c += LANES) {
		f32x16 sum = f32x16_splat(0);
		for (size_t r = 0; r < rows; r++)
			sum = f32x16_add(sum, f32x16_load(in + r * stride + c));
		if (columns - c >= LANES)
			f32x16_store(out + c, sum);
		else
			f32x16_store_part(out + c, sum, columns - c);
	}
}

/* The part of position t's window that lies inside a sequence of n items: [*first, *last). */
static inline void window(size_t t, size_t n, size_t width, size_t *first, size_t *last)
{
	size_t before = (width - 1) / 2;
	*first = t < before ? before - t : 0;
	*last = n + before - t < width ? n + before - t : width;
}

/* h[t] for every position of every sequence. */
static void sequence_windows(
	float *h, const float *projections, const float *bias, const struct sequence_batch *batch)
{
	size_t row = batch->width * batch->filter_stride;
	for (size_t b = 0; b < batch->sequences; b++) {
		const uint32_t *items = batch->items + batch->offsets[b];
		size_t n = batch->offsets[b + 1] - batch->offsets[b];
		for (size_t t = 0; t < n; t++, h += batch->filter_stride) {
			size_t first, last;
			window(t, n, batch->width, &first, &last);
			const uint32_t *item = items + (t + first - (batch->width - 1) / 2);
			for (size_t f = 0; f < batch->filters; f += LANES) {
				const float *k = projections + first * batch->filter_stride + f;
				size_t left = batch->filters - f;
				f32x16 z = left < LANES ? f32x16_load_part(bias + f, left)
							: f32x16_load(bias + f);
				for (size_t i = 0; i < last - first; i++) {
					z = f32x16_add(z, f32x16_load(k + item[i] * row));
					k += batch->filter_stride;
				}
				if (left < LANES)
					z = f32x16_first(z, left);
				f32x16_store(h + f, f32x16_tanh(z));
			}
		}
	}
}

static void sequence_sum(float *pooled, size_t pooled_stride, float *h, const float *projections,
	const float *bias, const struct sequence_batch *batch)
{
	sequence_windows(h, projections, bias, batch);
	for (size_t b = 0; b < batch->sequences; b++, pooled += pooled_stride) {
		memset(pooled, 0, batch->filters * sizeof(float));
		for (uint32_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++)
			add_row(pooled, h + t * batch->filter_stride, batch->filters);
	}
}

static void sequence_max(float *pooled, size_t pooled_stride, uint32_t *winners, float *h,
	const float *projections, const float *bias, const struct sequence_batch *batch)
{
	sequence_windows(h, projections, bias, batch);
	for (size_t b = 0; b < batch->sequences; b++) {
		uint32_t first = batch->offsets[b];
		uint32_t n = batch->offsets[b + 1] - first;
		if (n > 0)
			copy_row(pooled, h + first * batch->filter_stride, batch->filters);
		else
			memset(pooled, 0, batch->filters * sizeof(float));
		memset(winners, 0, batch->filters * sizeof(*winners));
		for (uint32_t t = 1; t < n; t++) {
			const float *at = h + (first + t) * batch->filter_stride;
			for (size_t f = 0; f < batch->filters; f++) {
				winners[f] = at[f] > pooled[f] ? t : winners[f];
				pooled[f] = at[f] > pooled[f] ? at[f] : pooled[f];
			}
		}
		pooled += pooled_stride;
		winners += batch->filter_stride;
	}
}

/* The backward pass of both poolings; winners is NULL for the sum. */
static inline void sequence_backward(float *d_projections, float *d_bias, const float *d_pooled,
	size_t pooled_stride, const uint32_t *winners, const float *h,
	const struct sequence_batch *batch)
{
	size_t stride = batch->filter_stride;
	size_t row = batch->width * stride;
	memset(d_bias, 0, batch->filters * sizeof(float));
	for (size_t b = 0; b < batch->sequences; b++) {
		const uint32_t *items = batch->items + batch->offsets[b];
		size_t n = batch->offsets[b + 1] - batch->offsets[b];
		for (size_t t = 0; t < n; t++, h += stride) {
			size_t first, last;
			window(t, n, batch->width, &first, &last);
			const uint32_t *item = items + (t + first - (batch->width - 1) / 2);
			for (size_t f = 0; f < batch->filters; f += LANES) {
				size_t left = batch->filters - f;
				f32x16 d = left < LANES ? f32x16_load_part(d_pooled + f, left)
							: f32x16_load(d_pooled + f);
				f32x16 dz = through_tanh(d, f32x16_load(h + f));
				if (winners)
					dz = f32x16_where(winners + f, (uint32_t)t, dz);
				float *k = d_projections + first * stride + f;
				for (size_t i = 0; i < last - first; i++, k += stride) {
					float *to = k + item[i] * row;
					f32x16_store(to, f32x16_add(f32x16_load(to), dz));
				}
				if (left < LANES)
					f32x16_store_part(d_bias + f,
						f32x16_add(f32x16_load_part(d_bias + f, left), dz),
						left);
				else
					f32x16_store(d_bias + f,
						f32x16_add(f32x16_load(d_bias + f), dz));
			}
		}
		d_pooled += pooled_stride;
		winners = winners ? winners + stride : NULL;
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

static void inverse_norms(float *inverse, const float *x, size_t stride, size_t rows)
{
	for (size_t r = 0; r < rows; r++) {
		float square = dot_row(x + r * stride, x + r * stride, stride);
		inverse[r] = cosine_inverse_norm(square);
	}
}

static void cosine(float *z, const float *x, const float *y, const float *x_inverse,
	const float *y_inverse, const struct pair_batch *batch)
{
	for (size_t e = 0; e < batch->pairs; e++) {
		uint32_t i = batch->x_index[e], j = batch->y_index[e];
		float product =
			dot_row(x + i * batch->stride, y + j * batch->stride, batch->stride);
		z[e] = product * (x_inverse[i] * y_inverse[j]);
	}
}

/* d_x[r] -= own[r] / |x[r]|^2 * x[r], where the norm is not at its floor. */
static inline void subtract_own(float *d_x, const float *own, const float *inverse, const float *x,
	size_t rows, size_t stride)
{
	float limit = cosine_inverse_norm(0);
	for (size_t r = 0; r < rows; r++)
		if (inverse[r] < limit)
			add_scaled_row(d_x + r * stride, -own[r] * (inverse[r] * inverse[r]),
				x + r * stride, stride);
}

static void cosine_backward(float *d_x, float *d_y, float *x_own, float *y_own, const float *dz,
	const float *z, const float *x, const float *y, const float *x_inverse,
	const float *y_inverse, const struct pair_batch *batch)
{
	size_t stride = batch->stride;
	memset(d_x, 0, batch->x_rows * stride * sizeof(float));
	memset(d_y, 0, batch->y_rows * stride * sizeof(float));
	memset(x_own, 0, batch->x_rows * sizeof(float));
	memset(y_own, 0, batch->y_rows * sizeof(float));
	for (size_t e = 0; e < batch->pairs; e++) {
		uint32_t i = batch->x_index[e], j = batch->y_index[e];
		float factor = dz[e] * (x_inverse[i] * y_inverse[j]);
		add_scaled_row(d_x + i * stride, factor, y + j * stride, stride);
		add_scaled_row(d_y + j * stride, factor, x + i * stride, stride);
		x_own[i] += dz[e] * z[e];
		y_own[j] += dz[e] * z[e];
	}
	subtract_own(d_x, x_own, x_inverse, x, batch->x_rows, stride);
	subtract_own(d_y, y_own, y_inverse, y, batch->y_rows, stride);
}

extern const struct nn_kernels NN_TABLE;
const struct nn_kernels NN_TABLE = {
	.name = NN_NAME,
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
	.dot = dot_row,
};
