/* The packed weights of the fusion model; fusion.h has their layout. */
#include "common/model/fusion.h"
#include "common/nn/fc.h"

#include <string.h>

void fusion_pack_layout(struct fusion *model)
{
	size_t at = 0;
	for (enum fusion_layer l = 0; l < FUSION_LAYERS; l++) {
		const struct model_tensor *tensor = &model->base.tensors[2 * l];
		model->packed[l] = at;
		if (l == LAYER_TITLE)
			at += 2 * panel_stride((size_t)model->word_dim * model->filter_width *
					       model->filter_stride);
		else
			at += tensor->cols * panel_stride(tensor->rows);
	}
	model->base.packed_size = at;
}

/* Elements [first, last) of row f of title_conv. */
static void pack_title(const struct fusion *model, float *packed, const float *row, size_t f,
	size_t first, size_t last)
{
	const size_t dim = model->word_dim, stride = model->filter_width * model->filter_stride;
	float *by_position = packed + panel_stride(dim * stride);
	for (size_t k = first / dim; k * dim < last; k++) {
		const size_t start = k * dim, column = k * model->filter_stride + f;
		const size_t begin = first > start ? first - start : 0;
		const size_t end = last - start < dim ? last - start : dim;
		fc_pack_row(
			packed + begin * stride + column, stride, row + start + begin, end - begin);
		memcpy(by_position + column * dim + begin, row + start + begin,
			(end - begin) * sizeof(float));
	}
}

/* Elements [begin, end) of a layer's weight, which may begin and end within rows. */
static void pack_layer(const struct fusion *model, enum fusion_layer layer, float *packed,
	const float *weight, size_t begin, size_t end)
{
	const struct model_tensor *tensor = &model->base.tensors[2 * layer];
	const size_t stride = panel_stride(tensor->rows);
	for (size_t r = begin / tensor->cols; r * tensor->cols < end; r++) {
		const size_t start = r * tensor->cols;
		const size_t first = begin > start ? begin - start : 0;
		const size_t last = end - start < tensor->cols ? end - start : tensor->cols;
		if (layer == LAYER_TITLE)
			pack_title(model, packed, weight + start, r, first, last);
		else
			fc_pack_row(packed + first * stride + r, stride, weight + start + first,
				last - first);
	}
}

void fusion_pack(
	const struct model *base, float *packed, const float *dense, size_t begin, size_t end)
{
	const struct fusion *model = (const struct fusion *)base;
	for (enum fusion_layer l = 0; l < FUSION_LAYERS; l++) {
		const struct model_tensor *tensor = &base->tensors[2 * l];
		const size_t start = tensor->offset;
		const size_t stop = start + (size_t)tensor->rows * tensor->cols;
		const size_t first = begin > start ? begin : start, last = end < stop ? end : stop;
		if (first < last)
			pack_layer(model, l, packed + layer_packed(model, l), dense + start,
				first - start, last - start);
	}
}
