#include "common/nn/kernels_reference.h"

void fc_forward_reference(float *out, const float *in, const float *weight, const float *bias,
	const struct fc_shape *shape)
{
	for (size_t r = 0; r < shape->rows; r++)
		for (size_t o = 0; o < shape->out; o++) {
			double sum = bias ? (double)bias[o] : 0;
			for (size_t i = 0; i < shape->in; i++)
				sum += (double)in[r * shape->in_stride + i] *
				       (double)weight[o * shape->weight_stride + i];
			out[r * panel_stride(shape->out) + o] = (float)sum;
		}
}

void fc_backward_reference(float *d_in, float *d_weight, float *d_bias, const float *d_out,
	const float *in, const float *weight, const struct fc_shape *shape)
{
	for (size_t r = 0; r < shape->rows; r++)
		for (size_t i = 0; i < shape->in; i++) {
			double sum = 0;
			for (size_t o = 0; o < shape->out; o++)
				sum += (double)d_out[r * panel_stride(shape->out) + o] *
				       (double)weight[o * shape->weight_stride + i];
			d_in[r * shape->in_stride + i] = (float)sum;
		}
	for (size_t o = 0; o < shape->out; o++) {
		double bias_sum = 0;
		for (size_t r = 0; r < shape->rows; r++)
			bias_sum += (double)d_out[r * panel_stride(shape->out) + o];
		d_bias[o] = (float)bias_sum;
		for (size_t i = 0; i < shape->in; i++) {
			double sum = 0;
			for (size_t r = 0; r < shape->rows; r++)
				sum += (double)d_out[r * panel_stride(shape->out) + o] *
				       (double)in[r * shape->in_stride + i];
			d_weight[o * shape->weight_stride + i] = (float)sum;
		}
	}
}

double squared_loss_reference(
	float *d_scores, const float *scores, const float *labels, float scale, size_t n)
{
	double sum = 0;
	for (size_t e = 0; e < n; e++) {
		double difference = (double)scores[e] - (double)labels[e];
		sum += difference * difference;
		d_scores[e] = (float)(2 * (double)scale * difference);
	}
	return sum;
}
