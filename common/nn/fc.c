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
	openblas_set_num_threads(1);
}

void nn_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, init_once);
}

void fc_forward(float *out, const float *in, const float *weight, const float *bias,
	const struct fc_shape *shape)
{
	if (shape->rows == 0)
		return;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)shape->rows,
		(blasint)shape->out, (blasint)shape->in, 1, in, (blasint)shape->in_stride, weight,
		(blasint)shape->in, 0, out, (blasint)shape->out_stride);
	if (bias)
		nn_kernels()->bias_add(out, shape->out_stride, bias, shape->rows, shape->out);
}

void fc_backward(float *d_in, float *d_weight, float *d_bias, const float *d_out, const float *in,
	const float *weight, const struct fc_shape *shape)
{
	if (d_bias)
		nn_kernels()->column_sum(d_bias, d_out, shape->out_stride, shape->rows, shape->out);
	if (shape->rows == 0) {
		if (d_weight)
			memset(d_weight, 0, shape->out * shape->in * sizeof(float));
		return;
	}
	if (d_weight)
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)shape->out,
			(blasint)shape->in, (blasint)shape->rows, 1, d_out,
			(blasint)shape->out_stride, in, (blasint)shape->in_stride, 0, d_weight,
			(blasint)shape->in);
	if (d_in)
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)shape->rows,
			(blasint)shape->in, (blasint)shape->out, 1, d_out,
			(blasint)shape->out_stride, weight, (blasint)shape->in, 0, d_in,
			(blasint)shape->in_stride);
}
