#include "common/checkpoint/dense_file.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t tensor_floats(const struct named_tensor *tensor)
{
	return (size_t)tensor->rows * tensor->cols;
}

static void slot_name(char name[TENSOR_NAME_SIZE], const struct named_tensor *tensor, uint32_t slot)
{
	snprintf(name, TENSOR_NAME_SIZE, "%s.slot%u", tensor->name, slot);
}

static size_t count_parts(const struct named_tensor *tensors, size_t count)
{
	size_t parts = count;
	for (size_t i = 0; i < count; i++)
		parts += tensors[i].slot_count;
	return parts;
}

enum status dense_file_write(const char *path, const struct named_tensor *tensors, size_t count,
	struct file_stamp *ret_stamp, struct error *err)
{
	struct safetensors_writer *writer;
	struct tensor_plan *plan;
	const size_t parts = count_parts(tensors, count);
	enum status status = memory_zalloc(&plan, parts, sizeof(*plan), path, err);
	if (status != STATUS_OK)
		return status;
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		const struct named_tensor *tensor = &tensors[i];
		for (uint32_t part = 0; part <= tensor->slot_count; part++, at++) {
			plan[at].type = TENSOR_F32;
			plan[at].rank = tensor->rank;
			plan[at].shape[0] = tensor->rows;
			plan[at].shape[1] = tensor->cols;
			if (part == 0)
				memcpy(plan[at].name, tensor->name, sizeof(tensor->name));
			else
				slot_name(plan[at].name, tensor, part - 1);
		}
	}
	const struct tensor_metadata metadata[] = {{"format", "marquee-dense"}, {"version", "1"}};
	status = safetensors_writer_open(&writer, path, plan, parts, metadata, 2, err);
	free(plan);
	if (status != STATUS_OK)
		return status;
	at = 0;
	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		const struct named_tensor *tensor = &tensors[i];
		const size_t bytes = tensor_floats(tensor) * sizeof(float);
		status = safetensors_writer_put(writer, at++, 0, tensor->data, bytes, err);
		for (uint32_t slot = 0; status == STATUS_OK && slot < tensor->slot_count; slot++)
			status = safetensors_writer_put(
				writer, at++, 0, tensor->slots[slot], bytes, err);
	}
	if (status != STATUS_OK) {
		safetensors_writer_abandon(writer);
		return status;
	}
	return safetensors_writer_close(writer, ret_stamp, err);
}

/* The tensor (part 0) or its slot part - 1 in the file, checked. */
static enum status find_part(const struct safetensors *file, const struct named_tensor *tensor,
	uint32_t part, const struct tensor **ret, struct error *err)
{
	char name[TENSOR_NAME_SIZE];
	const uint64_t shape[2] = {tensor->rows, tensor->cols};
	if (part == 0)
		memcpy(name, tensor->name, sizeof(tensor->name));
	else
		slot_name(name, tensor, part - 1);
	return safetensors_expect(file, name, TENSOR_F32, tensor->rank, shape, ret, err);
}

enum status dense_file_read(
	const char *path, const struct named_tensor *tensors, size_t count, struct error *err)
{
	struct safetensors file;
	const struct tensor *found;
	enum status status = safetensors_open(&file, path, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count; i++) {
		for (uint32_t part = 0; part <= tensors[i].slot_count; part++) {
			status = find_part(&file, &tensors[i], part, &found, err);
			if (status != STATUS_OK)
				goto cleanup;
		}
	}
	if (file.count != count_parts(tensors, count)) {
		status = error_set(err, STATUS_DATA_LOSS,
			"%s: has %zu tensors, the model and its optimizer have %zu", path,
			file.count, count_parts(tensors, count));
		goto cleanup;
	}
	for (size_t i = 0; i < count; i++) {
		for (uint32_t part = 0; part <= tensors[i].slot_count; part++) {
			status = find_part(&file, &tensors[i], part, &found, err);
			if (status != STATUS_OK)
				goto cleanup;
			float *to = part == 0 ? tensors[i].data : tensors[i].slots[part - 1];
			memcpy(to, found->bytes, (size_t)found->size);
		}
	}
cleanup:
	safetensors_close(&file);
	return status;
}

/* The number after ".slot" at the end of the name, or -1; *ret_stem is the length before it. */
static int slot_of(const char *name, size_t *ret_stem)
{
	const char *dot = strrchr(name, '.');
	if (!dot || strncmp(dot, ".slot", 5) != 0 || dot[5] < '0' ||
		dot[5] >= '0' + (int)DENSE_SLOTS_MAX || dot[6] != '\0')
		return -1;
	*ret_stem = (size_t)(dot - name);
	return dot[5] - '0';
}

/* A map's bytes as the float pointer of a struct named_tensor, whose owner promises not to write.
 */
static float *map_floats(const struct tensor *tensor)
{
	return (float *)(uintptr_t)tensor->bytes;
}

static enum status take_tensor(
	struct dense_file *dense, const struct tensor *tensor, struct error *err)
{
	struct named_tensor *to = &dense->tensors[dense->count];
	const bool usable = tensor->type == TENSOR_F32 && tensor->rank >= 1 && tensor->rank <= 2 &&
			    tensor->size > 0 && tensor->shape[0] <= UINT32_MAX &&
			    (tensor->rank == 1 || tensor->shape[1] <= UINT32_MAX) &&
			    strlen(tensor->name) < DENSE_NAME_SIZE;
	if (!usable)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: tensor '%s': is not a small matrix or vector of F32", dense->file.path,
			tensor->name);
	memcpy(to->name, tensor->name, strlen(tensor->name) + 1);
	to->rank = tensor->rank;
	to->rows = (uint32_t)tensor->shape[0];
	to->cols = tensor->rank == 1 ? 1 : (uint32_t)tensor->shape[1];
	to->data = map_floats(tensor);
	dense->count++;
	for (; to->slot_count < DENSE_SLOTS_MAX; to->slot_count++) {
		char name[TENSOR_NAME_SIZE];
		const struct tensor *found;
		slot_name(name, to, to->slot_count);
		if (!safetensors_find(&dense->file, name))
			break;
		enum status status = find_part(&dense->file, to, to->slot_count + 1, &found, err);
		if (status != STATUS_OK)
			return status;
		to->slots[to->slot_count] = map_floats(found);
	}
	return STATUS_OK;
}

enum status dense_file_open(struct dense_file *ret, const char *path, struct error *err)
{
	struct dense_file dense = {0};
	enum status status = safetensors_open(&dense.file, path, err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(&dense.tensors, dense.file.count, sizeof(*dense.tensors), path, err);
	for (size_t i = 0; status == STATUS_OK && i < dense.file.count; i++) {
		size_t stem;
		if (slot_of(dense.file.tensors[i].name, &stem) < 0)
			status = take_tensor(&dense, &dense.file.tensors[i], err);
	}
	if (status == STATUS_OK && count_parts(dense.tensors, dense.count) != dense.file.count)
		status = error_set(err, STATUS_DATA_LOSS,
			"%s: has optimizer slots without their tensor", path);
	if (status != STATUS_OK) {
		dense_file_close(&dense);
		return status;
	}
	*ret = dense;
	return STATUS_OK;
}

void dense_file_close(struct dense_file *dense)
{
	free(dense->tensors);
	safetensors_close(&dense->file);
	*dense = (struct dense_file){0};
}

const struct named_tensor *dense_file_find(const struct dense_file *dense, const char *name)
{
	for (size_t i = 0; i < dense->count; i++)
		if (strcmp(dense->tensors[i].name, name) == 0)
			return &dense->tensors[i];
	return NULL;
}

enum status dense_digest(
	struct digest *digest, const struct named_tensor *tensors, size_t count, struct error *err)
{
	float *record = NULL;
	size_t capacity = 0;
	enum status status = STATUS_OK;
	for (size_t i = 0; i < count; i++) {
		const struct named_tensor *tensor = &tensors[i];
		const uint64_t stream = random_stream(tensor->name);
		const size_t rows = tensor->rank == 1 ? 1 : tensor->rows;
		const size_t width = tensor->rank == 1 ? tensor->rows : tensor->cols;
		const size_t floats = width * (1 + tensor->slot_count);
		status = memory_grow(&record, &capacity, floats, sizeof(float), "digest", err);
		if (status != STATUS_OK)
			break;
		for (size_t r = 0; r < rows; r++) {
			memcpy(record, tensor->data + r * width, width * sizeof(float));
			for (uint32_t k = 0; k < tensor->slot_count; k++)
				memcpy(record + (k + 1) * width, tensor->slots[k] + r * width,
					width * sizeof(float));
			digest_add(digest, stream, r, record, floats * sizeof(float));
		}
	}
	free(record);
	return status;
}
