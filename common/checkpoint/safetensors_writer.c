#include "common/checkpoint/safetensors.h"

#include "common/base/hash.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is written meanwhile need not be waited for in the end. */
#define WRITEBACK_BYTES ((uint64_t)8 << 20)

struct safetensors_writer {
	char path[PATH_SIZE];
	int descriptor;
	struct tensor *tensors; /* in the caller's order */
	uint64_t *written;	/* bytes, per tensor */
	size_t count;
	uint64_t data_start; /* of the data section, from the start of the file */
	uint64_t data_size;
	/* Over the first bytes of the file, as long as they come in order. */
	struct hash_stream *hash;
	uint64_t hashed;
	uint64_t lazy; /* bytes that the disk has not been asked to take yet */
};

/* Gives the disk something to do; whether that worked will show when somebody waits for it. */
static void start_writeback(struct safetensors_writer *writer)
{
	(void)sync_file_range(writer->descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
	writer->lazy = 0;
}

/* Writes bytes at an offset of the file, and hashes them if they are the next ones. */
static enum status write_at(struct safetensors_writer *writer, const void *bytes, uint64_t size,
	uint64_t offset, struct error *err)
{
	enum status status =
		file_write_at(writer->descriptor, bytes, (size_t)size, offset, writer->path, err);
	if (status == STATUS_OK && offset == writer->hashed) {
		hash_stream_add(writer->hash, bytes, (size_t)size);
		writer->hashed += size;
	}
	writer->lazy += size;
	if (status == STATUS_OK && writer->lazy >= WRITEBACK_BYTES)
		start_writeback(writer);
	return status;
}

static enum status copy_plan(struct safetensors_writer *writer, const struct tensor_plan *plan,
	size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct tensor *tensor = &writer->tensors[i];
		memcpy(tensor->name, plan[i].name, sizeof(tensor->name));
		if (plan[i].rank > TENSOR_RANK_MAX)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"tensor '%s': %u dimensions, at most %u are written", tensor->name,
				plan[i].rank, TENSOR_RANK_MAX);
		tensor->type = plan[i].type;
		tensor->rank = plan[i].rank;
		tensor->size = tensor_type_size(plan[i].type);
		for (uint32_t d = 0; d < plan[i].rank; d++) {
			tensor->shape[d] = plan[i].shape[d];
			if (__builtin_mul_overflow(tensor->size, plan[i].shape[d], &tensor->size))
				return error_set(err, STATUS_INVALID_ARGUMENT,
					"tensor '%s': its shape does not fit 64 bits",
					tensor->name);
		}
	}
	return STATUS_OK;
}

/* Falling element size, so that every tensor starts aligned without padding between them. */
static enum status place_tensors(struct safetensors_writer *writer, struct error *err)
{
	uint64_t at = 0;
	for (size_t size = 8; size > 0; size /= 2) {
		for (size_t i = 0; i < writer->count; i++) {
			struct tensor *tensor = &writer->tensors[i];
			if (tensor_type_size(tensor->type) != size)
				continue;
			tensor->offset = at;
			if (__builtin_add_overflow(at, tensor->size, &at) || at > INT64_MAX / 2)
				return error_set(err, STATUS_INVALID_ARGUMENT,
					"tensor '%s': the file would not fit 62 bits",
					tensor->name);
		}
	}
	writer->data_size = at;
	return STATUS_OK;
}

static json_t *tensor_to_json(const struct tensor *tensor)
{
	json_t *shape = json_array();
	for (uint32_t d = 0; d < tensor->rank; d++)
		json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor_type_name(tensor->type), "shape",
		shape, "data_offsets", (json_int_t)tensor->offset,
		(json_int_t)(tensor->offset + tensor->size));
}

/* Returns an owned text for free(), or NULL when memory is refused. */
static char *header_text(const struct safetensors_writer *writer,
	const struct tensor_metadata *metadata, size_t metadata_count)
{
	json_t *header = json_object();
	if (metadata_count) {
		json_t *map = json_object();
		for (size_t i = 0; i < metadata_count; i++)
			json_object_set_new(map, metadata[i].key, json_string(metadata[i].value));
		json_object_set_new(header, "__metadata__", map);
	}
	/* In the order of the data, which other readers like to find. */
	for (size_t size = 8; size > 0; size /= 2)
		for (size_t i = 0; i < writer->count; i++)
			if (tensor_type_size(writer->tensors[i].type) == size)
				json_object_set_new(header, writer->tensors[i].name,
					tensor_to_json(&writer->tensors[i]));
	char *text = NULL;
	if (json_object_size(header) == writer->count + (metadata_count ? 1 : 0))
		text = json_dumps(header, JSON_COMPACT);
	json_decref(header);
	return text;
}

static enum status write_header(struct safetensors_writer *writer,
	const struct tensor_metadata *metadata, size_t metadata_count, struct error *err)
{
	enum status status;
	char *padded = NULL;
	char *text = header_text(writer, metadata, metadata_count);
	if (!text)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"header: two tensors of one name, or no memory");
	const uint64_t length = strlen(text);
	const uint64_t padded_length = (length + 7) & ~(uint64_t)7;
	if (padded_length > SAFETENSORS_HEADER_MAX) {
		status = error_set(err, STATUS_INVALID_ARGUMENT,
			"a header of %" PRIu64 " bytes is over the limit of %" PRIu64,
			padded_length, SAFETENSORS_HEADER_MAX);
		goto cleanup;
	}
	writer->data_start = sizeof(uint64_t) + padded_length;
	status = memory_alloc(&padded, (size_t)writer->data_start, 1, "header", err);
	if (status != STATUS_OK)
		goto cleanup;
	memset(padded, ' ', (size_t)writer->data_start);
	memcpy(padded, &padded_length, sizeof(padded_length));
	memcpy(padded + sizeof(padded_length), text, (size_t)length);
	status = write_at(writer, padded, writer->data_start, 0, err);
cleanup:
	free(padded);
	free(text);
	return status;
}

/* Finds a full disk before hours of work are streamed to it. Best effort: not every file system
 * can reserve, and only a refusal for want of space counts. */
static enum status reserve(const struct safetensors_writer *writer, struct error *err)
{
	const uint64_t size = writer->data_start + writer->data_size;
	if (fallocate(writer->descriptor, 0, 0, (off_t)size) != 0 &&
		(errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
		return error_set_errno(
			err, errno, "%s: cannot reserve %" PRIu64 " bytes", writer->path, size);
	return STATUS_OK;
}

static void writer_free(struct safetensors_writer *writer)
{
	if (writer->descriptor >= 0)
		close(writer->descriptor);
	free(writer->tensors);
	free(writer->written);
	hash_stream_free(writer->hash);
	free(writer);
}

enum status safetensors_writer_open(struct safetensors_writer **ret, const char *path,
	const struct tensor_plan *plan, size_t count, const struct tensor_metadata *metadata,
	size_t metadata_count, struct error *err)
{
	struct safetensors_writer *writer;
	enum status status = memory_zalloc(&writer, 1, sizeof(*writer), "tensor writer", err);
	if (status != STATUS_OK)
		return status;
	writer->descriptor = -1;
	writer->count = count;
	if (strlen(path) >= sizeof(writer->path)) {
		writer_free(writer);
		return error_set(err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", path);
	}
	memcpy(writer->path, path, strlen(path) + 1);
	status = memory_zalloc(&writer->tensors, count, sizeof(*writer->tensors), path, err);
	if (status == STATUS_OK)
		status =
			memory_zalloc(&writer->written, count, sizeof(*writer->written), path, err);
	if (status == STATUS_OK)
		status = hash_stream_new(&writer->hash, err);
	if (status == STATUS_OK)
		status = copy_plan(writer, plan, count, err);
	if (status == STATUS_OK)
		status = place_tensors(writer, err);
	if (status != STATUS_OK) {
		writer_free(writer);
		return error_wrap(err, status, "%s", path);
	}
	writer->descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (writer->descriptor < 0) {
		status = error_set_errno(err, errno, "%s", path);
		writer_free(writer);
		return status;
	}
	status = write_header(writer, metadata, metadata_count, err);
	if (status == STATUS_OK)
		status = reserve(writer, err);
	if (status != STATUS_OK) {
		safetensors_writer_abandon(writer);
		return status;
	}
	*ret = writer;
	return STATUS_OK;
}

enum status safetensors_writer_put(struct safetensors_writer *writer, size_t tensor,
	uint64_t offset, const void *bytes, uint64_t size, struct error *err)
{
	if (tensor >= writer->count)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s: no tensor number %zu",
			writer->path, tensor);
	const struct tensor *to = &writer->tensors[tensor];
	if (offset > to->size || size > to->size - offset)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%s: tensor '%s': %" PRIu64 " bytes at %" PRIu64
			" do not fit the planned %" PRIu64,
			writer->path, to->name, size, offset, to->size);
	enum status status =
		write_at(writer, bytes, size, writer->data_start + to->offset + offset, err);
	if (status == STATUS_OK)
		writer->written[tensor] += size;
	return status;
}

static enum status check_complete(const struct safetensors_writer *writer, struct error *err)
{
	for (size_t i = 0; i < writer->count; i++)
		if (writer->written[i] != writer->tensors[i].size)
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"%s: tensor '%s': %" PRIu64
				" bytes written of the planned %" PRIu64,
				writer->path, writer->tensors[i].name, writer->written[i],
				writer->tensors[i].size);
	return STATUS_OK;
}

static enum status close_file(struct safetensors_writer *writer, struct error *err)
{
	enum status status = STATUS_OK;
	start_writeback(writer);
	if (close(writer->descriptor) != 0)
		status = error_set_errno(err, errno, "%s: close", writer->path);
	writer->descriptor = -1;
	return status;
}

/* What came in order has been hashed on its way; else the file is read again. */
static enum status stamp_of(
	const struct safetensors_writer *writer, struct file_stamp *ret_stamp, struct error *err)
{
	const uint64_t size = writer->data_start + writer->data_size;
	if (writer->hashed != size)
		return file_digest(writer->path, &ret_stamp->xxh3, &ret_stamp->size, err);
	*ret_stamp = (struct file_stamp){.size = size, .xxh3 = hash_stream_value(writer->hash)};
	return STATUS_OK;
}

enum status safetensors_writer_close(
	struct safetensors_writer *writer, struct file_stamp *ret_stamp, struct error *err)
{
	enum status status = check_complete(writer, err);
	if (status == STATUS_OK)
		status = close_file(writer, err);
	if (status == STATUS_OK && ret_stamp)
		status = stamp_of(writer, ret_stamp, err);
	if (status != STATUS_OK)
		unlink(writer->path);
	writer_free(writer);
	return status;
}

void safetensors_writer_abandon(struct safetensors_writer *writer)
{
	if (!writer)
		return;
	unlink(writer->path);
	writer_free(writer);
}
