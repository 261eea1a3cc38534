#include "common/nn/fc.h"

#include "common/nn/kernels.h"

#include <cblas.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * OpenBLAS picks its code by a list of processor models, and takes the code for SSE3 on a model
 * that came out after it: an eighth of what AVX-512 gives. These two functions, exported by every
 * build that chooses at run time, make it choose again; weak, since other builds have them not.
 */
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

/*
 * OpenBLAS starts its threads when it is loaded, and they yield in a loop for a while before they
 * sleep: a core lost while a training reads its data. Ends them. Weak, as above.
 */
extern int blas_thread_shutdown_(void) __attribute__((weak));

#if defined(__x86_64__)
/* The code to name to OpenBLAS, or NULL when it has chosen well, or the user has (its variable). */
static const char *better_core(void)
{
	const char *core = openblas_get_corename();
	bool fallback = strcmp(core, "Prescott") == 0 || strcmp(core, "Barcelona") == 0;
	if (!fallback || getenv("OPENBLAS_CORETYPE"))
		return NULL;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
		return "SkylakeX";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "Haswell";
	return NULL;
}
#else
static const char *better_core(void)
{
	return NULL;
}
#endif

static void init_once(void)
{
	const char *core = better_core();
	if (core && gotoblas_dynamic_init && gotoblas_dynamic_quit) {
		(void)setenv("OPENBLAS_CORETYPE", core, 0);
		gotoblas_dynamic_quit();
		gotoblas_dynamic_init();
	}
	/* In this order: setting the number would start them again. */
	openblas_set_num_threads(1);
	if (blas_thread_shutdown_)
		(void)blas_thread_shutdown_();
}

void nn_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, init_once);
}

void fc_pack_row(float *packed, size_t packed_stride, const float *weight, size_t columns)
{
	for (size_t i = 0; i < columns; i++)
		packed[i * packed_stride] = weight[i];
}

/*
 * How many rows a product takes at a time. OpenBLAS has kernels that read small matrices where they
 * lie, up to SMALL multiplications; for larger ones it copies both operands into an order of its
 * own, which costs more than it gives when one of them is as narrow as a layer.
 */
#define SMALL	 1000000u
#define ROWS_MIN 16u

static size_t rows_at_a_time(const struct fc_shape *shape)
{
	size_t most = SMALL / (shape->in * panel_stride(shape->out));
	if (most < ROWS_MIN || shape->rows <= most)
		return shape->rows;
	size_t parts = (shape->rows + most - 1) / most;
	return (shape->rows + parts - 1) / parts;
}

static void forward(
	float *out, const float *in, const float *packed, float beta, const struct fc_shape *shape)
{
	const size_t stride = panel_stride(shape->out), step = rows_at_a_time(shape);
	for (size_t r = 0; r < shape->rows; r += step) {
		size_t rows = shape->rows - r < step ? shape->rows - r : step;
		/* The packed matrix' padding makes that of out. */
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows,
			(blasint)stride, (blasint)shape->in, 1, in + r * shape->in_stride,
			(blasint)shape->in_stride, packed, (blasint)stride, beta, out + r * stride,
			(blasint)stride);
	}
}

void fc_forward(float *out, const float *in, const float *packed, const float *bias,
	const struct fc_shape *shape)
{
	forward(out, in, packed, 0, shape);
	if (bias)
		nn_kernels()->bias_add(
			out, panel_stride(shape->out), bias, shape->rows, shape->out);
}

void fc_forward_add(float *out, const float *in, const float *packed, const struct fc_shape *shape)
{
	forward(out, in, packed, 1, shape);
}

static void input_gradient(
	float *d_in, const float *d_out, const float *weight, const struct fc_shape *shape)
{
	const size_t stride = panel_stride(shape->out), step = rows_at_a_time(shape);
	for (size_t r = 0; r < shape->rows; r += step) {
		size_t rows = shape->rows - r < step ? shape->rows - r : step;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows,
			(blasint)shape->in, (blasint)shape->out, 1, d_out + r * stride,
			(blasint)stride, weight, (blasint)shape->weight_stride, 0,
			d_in + r * shape->in_stride, (blasint)shape->in_stride);
	}
}

static void weight_gradient(
	float *d_weight, const float *d_out, const float *in, const struct fc_shape *shape)
{
	const size_t stride = panel_stride(shape->out), step = rows_at_a_time(shape);
	if (shape->rows == 0)
		for (size_t o = 0; o < shape->out; o++)
			memset(d_weight + o * shape->weight_stride, 0, shape->in * sizeof(float));
	for (size_t r = 0; r < shape->rows; r += step) {
		size_t rows = shape->rows - r < step ? shape->rows - r : step;
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)shape->out,
			(blasint)shape->in, (blasint)rows, 1, d_out + r * stride, (blasint)stride,
			in + r * shape->in_stride, (blasint)shape->in_stride, r > 0, d_weight,
			(blasint)shape->weight_stride);
	}
}

void fc_backward(float *d_in, float *d_weight, float *d_bias, const float *d_out, const float *in,
	const float *weight, const struct fc_shape *shape)
{
	if (d_bias)
		nn_kernels()->column_sum(
			d_bias, d_out, panel_stride(shape->out), shape->rows, shape->out);
	if (d_weight)
		weight_gradient(d_weight, d_out, in, shape);
	if (d_in)
		input_gradient(d_in, d_out, weight, shape);
}

void dot_products(
	float *out, const float *x, const float *y, size_t rows, size_t outputs, size_t inner)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)outputs,
		(blasint)inner, 1, x, (blasint)inner, y, (blasint)inner, 0, out, (blasint)outputs);
}
