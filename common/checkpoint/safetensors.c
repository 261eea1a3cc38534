#include "common/checkpoint/safetensors.h"

#include "common/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Tensors are read where they lie, so the host has to be of the file's byte order. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

static const struct {
	const char *name;
	size_t size;
} types[] = {
	[TENSOR_F32] = {"F32", 4},
	[TENSOR_U64] = {"U64", 8},
	[TENSOR_I64] = {"I64", 8},
	[TENSOR_U32] = {"U32", 4},
	[TENSOR_U16] = {"U16", 2},
	[TENSOR_U8] = {"U8", 1},
	[TENSOR_I8] = {"I8", 1},
	[TENSOR_BF16] = {"BF16", 2},
};

#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

size_t tensor_type_size(enum tensor_type type)
{
	return types[type].size;
}

const char *tensor_type_name(enum tensor_type type)
{
	return types[type].name;
}

static enum status damaged(struct error *err, const char *tensor, const char *reason)
{
	return error_set(err, STATUS_DATA_LOSS, "tensor '%.80s': %s", tensor, reason);
}

/* A JSON integer that is not negative. */
static bool read_size(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static enum status parse_type(struct tensor *tensor, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);
	if (!text)
		return damaged(err, tensor->name, "no dtype");
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		if (strcmp(types[i].name, text) == 0) {
			tensor->type = (enum tensor_type)i;
			return STATUS_OK;
		}
	}
	return error_set(err, STATUS_DATA_LOSS,
		"tensor '%s': dtype '%.20s' is none of F32 U64 I64 U32 U16 U8", tensor->name, text);
}

/* Fills rank and shape; *ret_size is the bytes that the shape asks for. */
static enum status parse_shape(
	struct tensor *tensor, const json_t *value, uint64_t *ret_size, struct error *err)
{
	if (!json_is_array(value))
		return damaged(err, tensor->name, "no shape");
	size_t rank = json_array_size(value);
	if (rank > TENSOR_RANK_MAX)
		return error_set(err, STATUS_DATA_LOSS,
			"tensor '%s': %zu dimensions, at most %u are read", tensor->name, rank,
			TENSOR_RANK_MAX);
	uint64_t size = types[tensor->type].size;
	tensor->rank = (uint32_t)rank;
	for (size_t i = 0; i < rank; i++) {
		if (!read_size(json_array_get(value, i), &tensor->shape[i]))
			return damaged(err, tensor->name, "a dimension is not a whole number");
		if (__builtin_mul_overflow(size, tensor->shape[i], &size))
			return damaged(err, tensor->name, "its shape does not fit 64 bits");
	}
	*ret_size = size;
	return STATUS_OK;
}

/* Where the tensors' bytes are: `offset` bytes into the file, `size` bytes. */
struct data_section {
	const unsigned char *bytes;
	uint64_t offset;
	uint64_t size;
};

static enum status parse_tensor(struct tensor *tensor, const char *name, const json_t *value,
	const struct data_section *data, struct error *err)
{
	if (strlen(name) == 0 || strlen(name) >= TENSOR_NAME_SIZE)
		return damaged(err, name, "its name is empty or longer than 63 bytes");
	memcpy(tensor->name, name, strlen(name) + 1);
	if (!json_is_object(value))
		return damaged(err, name, "is not described by an object");
	enum status status = parse_type(tensor, json_object_get(value, "dtype"), err);
	if (status != STATUS_OK)
		return status;
	uint64_t size;
	status = parse_shape(tensor, json_object_get(value, "shape"), &size, err);
	if (status != STATUS_OK)
		return status;

	const json_t *offsets = json_object_get(value, "data_offsets");
	uint64_t begin, end;
	if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
		!read_size(json_array_get(offsets, 1), &end))
		return damaged(err, name, "data_offsets is not a pair of whole numbers");
	if (begin > end || end > data->size)
		return error_set(err, STATUS_DATA_LOSS,
			"tensor '%s': bytes %" PRIu64 " to %" PRIu64
			" do not lie in the data section of %" PRIu64 " bytes",
			name, begin, end, data->size);
	if (end - begin != size)
		return error_set(err, STATUS_DATA_LOSS,
			"tensor '%s': its shape needs %" PRIu64
			" bytes, data_offsets give %" PRIu64,
			name, size, end - begin);
	if ((data->offset + begin) % types[tensor->type].size != 0)
		return damaged(err, name, "is not aligned to its element size");
	tensor->offset = begin;
	tensor->size = size;
	tensor->bytes = data->bytes + begin;
	return STATUS_OK;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct tensor *left = a, *right = b;
	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	/* An empty tensor stands before the one that starts where it does. */
	return left->size < right->size ? -1 : left->size > right->size;
}

/* The tensors, sorted, must cover the data section without holes or overlaps. */
static enum status check_cover(
	const struct tensor *tensors, size_t count, uint64_t data_size, struct error *err)
{
	uint64_t at = 0;
	for (size_t i = 0; i < count; i++) {
		if (tensors[i].offset != at)
			return error_set(err, STATUS_DATA_LOSS,
				"tensor '%s': starts at byte %" PRIu64
				" of the data, the one before it ends at %" PRIu64,
				tensors[i].name, tensors[i].offset, at);
		at += tensors[i].size;
	}
	if (at != data_size)
		return error_set(err, STATUS_DATA_LOSS,
			"the tensors end at byte %" PRIu64 " of the data, which has %" PRIu64
			" bytes",
			at, data_size);
	return STATUS_OK;
}

static enum status check_metadata(json_t *metadata, struct error *err)
{
	if (!json_is_object(metadata))
		return error_set(err, STATUS_DATA_LOSS, "__metadata__ is not an object");
	const char *key;
	json_t *value;
	json_object_foreach(metadata, key, value)
	{
		if (!json_is_string(value))
			return error_set(
				err, STATUS_DATA_LOSS, "__metadata__ '%.40s' is not a string", key);
	}
	return STATUS_OK;
}

static enum status parse_header(struct safetensors *file, const json_t *header,
	const struct data_section *data, struct error *err)
{
	size_t entries = json_object_size(header);
	if (entries > SAFETENSORS_TENSORS_MAX)
		return error_set(err, STATUS_DATA_LOSS, "%zu tensors, at most %zu are read",
			entries, SAFETENSORS_TENSORS_MAX);
	enum status status =
		memory_zalloc(&file->tensors, entries, sizeof(*file->tensors), "tensors", err);
	if (status != STATUS_OK)
		return status;
	const char *name;
	json_t *value;
	/* The iteration macro wants a non-const object; nothing is changed. */
	json_object_foreach((json_t *)(uintptr_t)header, name, value)
	{
		if (strcmp(name, "__metadata__") == 0) {
			status = check_metadata(value, err);
			if (status == STATUS_OK)
				file->metadata = json_incref(value);
		} else {
			status = parse_tensor(&file->tensors[file->count], name, value, data, err);
			file->count++;
		}
		if (status != STATUS_OK)
			return status;
	}
	qsort(file->tensors, file->count, sizeof(*file->tensors), compare_offsets);
	return check_cover(file->tensors, file->count, data->size, err);
}

static enum status open_map(struct safetensors *file, struct error *err)
{
	const struct file_map *map = &file->map;
	uint64_t length;
	if (map->size < sizeof(length))
		return error_set(err, STATUS_DATA_LOSS,
			"truncated: %zu bytes, a safetensors file starts with 8", map->size);
	memcpy(&length, map->bytes, sizeof(length));
	if (length > SAFETENSORS_HEADER_MAX)
		return error_set(err, STATUS_DATA_LOSS,
			"not a safetensors file: a header of %" PRIu64
			" bytes is over the limit of "
			"%" PRIu64,
			length, SAFETENSORS_HEADER_MAX);
	if (length > map->size - sizeof(length))
		return error_set(err, STATUS_DATA_LOSS,
			"truncated: the header takes %" PRIu64 " bytes of a file of %zu", length,
			map->size);
	const struct data_section data = {.bytes = map->bytes + sizeof(length) + length,
		.offset = sizeof(length) + length,
		.size = map->size - sizeof(length) - length};
	json_error_t where;
	json_t *header = json_loadb((const char *)map->bytes + sizeof(length), (size_t)length,
		JSON_REJECT_DUPLICATES, &where);
	if (!header)
		return error_set(
			err, STATUS_DATA_LOSS, "header: byte %d: %s", where.position, where.text);
	enum status status = json_is_object(header) ? parse_header(file, header, &data, err)
						    : error_set(err, STATUS_DATA_LOSS,
							      "header: not a JSON object");
	json_decref(header);
	return status;
}

enum status safetensors_open(struct safetensors *ret, const char *path, struct error *err)
{
	struct safetensors file = {0};
	if (strlen(path) >= sizeof(file.path))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", path);
	memcpy(file.path, path, strlen(path) + 1);
	enum status status = file_map_open(&file.map, path, err);
	if (status != STATUS_OK)
		return status;
	status = open_map(&file, err);
	if (status != STATUS_OK) {
		safetensors_close(&file);
		return error_wrap(err, status, "%s", path);
	}
	*ret = file;
	return STATUS_OK;
}

void safetensors_close(struct safetensors *file)
{
	free(file->tensors);
	json_decref(file->metadata);
	file_map_close(&file->map);
	*file = (struct safetensors){0};
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (strcmp(file->tensors[i].name, name) == 0)
			return &file->tensors[i];
	return NULL;
}

enum status safetensors_expect(const struct safetensors *file, const char *name,
	enum tensor_type type, uint32_t rank, const uint64_t *shape, const struct tensor **ret,
	struct error *err)
{
	const struct tensor *tensor = safetensors_find(file, name);
	if (!tensor)
		return error_set(
			err, STATUS_DATA_LOSS, "%s: tensor '%s': is missing", file->path, name);
	if (tensor->type != type)
		return error_set(err, STATUS_DATA_LOSS, "%s: tensor '%s': is %s, expected %s",
			file->path, name, types[tensor->type].name, types[type].name);
	if (tensor->rank != rank)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: tensor '%s': has %u dimensions, expected %u", file->path, name,
			tensor->rank, rank);
	for (uint32_t i = 0; i < rank; i++)
		if (shape[i] != TENSOR_ANY && shape[i] != tensor->shape[i])
			return error_set(err, STATUS_DATA_LOSS,
				"%s: tensor '%s': dimension %u is %" PRIu64 ", expected %" PRIu64,
				file->path, name, i, tensor->shape[i], shape[i]);
	*ret = tensor;
	return STATUS_OK;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
	return json_string_value(json_object_get(file->metadata, key));
}
