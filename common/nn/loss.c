#include "common/nn/loss.h"

double squared_loss(
	float *d_scores, const float *scores, const float *labels, float scale, size_t n)
{
	double sum = 0;
	for (size_t e = 0; e < n; e++) {
		float difference = scores[e] - labels[e];
		sum += (double)difference * (double)difference;
		d_scores[e] = scale * 2 * difference;
	}
	return sum;
}
