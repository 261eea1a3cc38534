#include "worker/dense.h"

#include "common/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status dense_init(struct dense *dense, const struct model *model, uint64_t seed,
	const struct optimizer_config *optimizer, struct error *err)
{
	size_t rows = (model_dense_size(model) + DENSE_ROW - 1) / DENSE_ROW;
	*dense = (struct dense){.size = rows * DENSE_ROW,
		.optimizer = optimizer_for_dense(optimizer),
		.model = model};
	dense->slot_count = (uint32_t)optimizer_slot_floats(&dense->optimizer, 1);
	enum status status = memory_zalloc(
		&dense->weights, dense->size, sizeof(*dense->weights), "dense parameters", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&dense->slots, dense->slot_count * dense->size,
			sizeof(*dense->slots), "dense optimizer state", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&dense->packed, model_packed_size(model),
			sizeof(*dense->packed), "dense parameters", err);
	if (status != STATUS_OK) {
		dense_fini(dense);
		return status;
	}
	model_dense_init(model, seed, dense->weights);
	dense_pack(dense, 0, dense->size);
	optimizer_init_slots(
		&dense->optimizer, dense->weights, dense->slots, dense->size, dense->size);
	return STATUS_OK;
}

void dense_fini(struct dense *dense)
{
	free(dense->weights);
	free(dense->slots);
	free(dense->packed);
	*dense = (struct dense){0};
}

void dense_apply(
	struct dense *dense, size_t begin, size_t end, const float *gradient, uint64_t step)
{
	struct optimizer_step prepared = optimizer_prepare(&dense->optimizer, step);
	optimizer_apply(&prepared, dense->weights + begin, dense->slots + begin, dense->size,
		gradient + begin, end - begin);
	dense_pack(dense, begin, end);
}

void dense_pack(struct dense *dense, size_t begin, size_t end)
{
	model_pack(dense->model, dense->packed, dense->weights, begin, end);
}

struct model_weights dense_weights(const struct dense *dense)
{
	return (struct model_weights){.dense = dense->weights, .packed = dense->packed};
}

uint32_t dense_row_count(const struct dense *dense)
{
	return (uint32_t)(dense->size / DENSE_ROW);
}

struct table_spec dense_table_spec(const struct dense *dense)
{
	return (struct table_spec){.name = DENSE_TABLE,
		.dim = DENSE_ROW,
		.init_limit = 0.0f,
		.pooled = true,
		.optimizer = dense->optimizer};
}

void dense_to_record(const struct dense *dense, uint32_t row, float *record)
{
	size_t at = (size_t)row * DENSE_ROW;
	memcpy(record, dense->weights + at, DENSE_ROW * sizeof(*record));
	for (uint32_t k = 0; k < dense->slot_count; k++)
		memcpy(record + (size_t)(1 + k) * DENSE_ROW, dense->slots + k * dense->size + at,
			DENSE_ROW * sizeof(*record));
}

void dense_from_record(struct dense *dense, uint32_t row, const float *record)
{
	size_t at = (size_t)row * DENSE_ROW;
	memcpy(dense->weights + at, record, DENSE_ROW * sizeof(*record));
	for (uint32_t k = 0; k < dense->slot_count; k++)
		memcpy(dense->slots + k * dense->size + at, record + (size_t)(1 + k) * DENSE_ROW,
			DENSE_ROW * sizeof(*record));
	dense_pack(dense, at, at + DENSE_ROW);
}

enum status dense_from_records(struct dense *dense, const uint64_t *ids, const float *records,
	size_t floats, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (ids[i] >= dense_row_count(dense))
			return error_set(err, STATUS_DATA_LOSS,
				"the servers hold a dense row %" PRIu64 " of %u", ids[i],
				dense_row_count(dense));
		dense_from_record(dense, (uint32_t)ids[i], records + i * floats);
	}
	return STATUS_OK;
}

enum status dense_copy(struct dense *ret, const struct dense *from, struct error *err)
{
	struct dense copy = {.size = from->size,
		.slot_count = from->slot_count,
		.optimizer = from->optimizer,
		.model = from->model};
	const size_t packed = model_packed_size(from->model);
	enum status status = memory_alloc(
		&copy.weights, copy.size, sizeof(*copy.weights), "dense parameters", err);
	if (status == STATUS_OK)
		status = memory_alloc(&copy.slots, copy.slot_count * copy.size, sizeof(*copy.slots),
			"dense optimizer state", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&copy.packed, packed, sizeof(*copy.packed), "dense parameters", err);
	if (status != STATUS_OK) {
		dense_fini(&copy);
		return status;
	}
	memcpy(copy.packed, from->packed, packed * sizeof(*copy.packed));
	memcpy(copy.weights, from->weights, copy.size * sizeof(*copy.weights));
	memcpy(copy.slots, from->slots, copy.slot_count * copy.size * sizeof(*copy.slots));
	*ret = copy;
	return STATUS_OK;
}

void dense_tensors(
	const struct dense *dense, const struct model *model, struct named_tensor *ret_tensors)
{
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		struct named_tensor *out = &ret_tensors[i];
		*out = (struct named_tensor){
			.rows = tensor->rows,
			.cols = tensor->cols,
			.rank = tensor->rank,
			.slot_count = dense->slot_count,
			.data = dense->weights + tensor->offset,
		};
		snprintf(out->name, sizeof(out->name), "%s", tensor->name);
		for (uint32_t k = 0; k < dense->slot_count; k++)
			out->slots[k] = dense->slots + k * dense->size + tensor->offset;
	}
}
