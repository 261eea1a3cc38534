#include "common/nn/fc.h"

#include "common/nn/kernels.h"

#include <cblas.h>
#include <string.h>

void nn_init(void)
{
	openblas_set_num_threads(1);
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
