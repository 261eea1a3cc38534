#include "common/metrics/record_file.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK_DELTA 0xa282ead8u
#define CRC_CHUNK  (1u << 30) /* the library counts bytes in an int */

uint32_t crc32c(const void *bytes, size_t size)
{
	unsigned char *at =
		(unsigned char *)(uintptr_t)bytes; /* read only; its type is not const */
	uint32_t crc = UINT32_MAX;
	while (size > 0) {
		const size_t n = size < CRC_CHUNK ? size : CRC_CHUNK;
		crc = crc32_iscsi(at, (int)n, crc);
		at += n;
		size -= n;
	}
	return ~crc;
}

uint32_t crc32c_masked(const void *bytes, size_t size)
{
	const uint32_t crc = crc32c(bytes, size);
	return ((crc >> 15) | (crc << 17)) + MASK_DELTA;
}

static void put_u32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> (8 * i));
}

enum status record_file_create(struct record_file *file, const char *path, struct error *err)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	*file = (struct record_file){.descriptor_plus_one = descriptor + 1};
	snprintf(file->path, sizeof(file->path), "%s", path);
	return STATUS_OK;
}

void record_file_close(struct record_file *file)
{
	if (file->descriptor_plus_one)
		close(file->descriptor_plus_one - 1);
	free(file->buffer);
	*file = (struct record_file){0};
}

enum status record_file_reserve(
	struct record_file *file, size_t size, unsigned char **ret, struct error *err)
{
	enum status status = memory_grow(&file->buffer, &file->capacity,
		size + RECORD_HEAD_SIZE + RECORD_TAIL_SIZE, 1, "record", err);
	if (status == STATUS_OK)
		*ret = file->buffer + RECORD_HEAD_SIZE;
	return status;
}

enum status record_file_append(struct record_file *file, size_t size, struct error *err)
{
	unsigned char *frame = file->buffer;
	const size_t total = RECORD_HEAD_SIZE + size + RECORD_TAIL_SIZE;
	put_u32(frame, (uint32_t)size);
	put_u32(frame + 4, (uint32_t)((uint64_t)size >> 32));
	put_u32(frame + 8, crc32c_masked(frame, 8));
	put_u32(frame + RECORD_HEAD_SIZE + size, crc32c_masked(frame + RECORD_HEAD_SIZE, size));
	enum status status = file_write_at(
		file->descriptor_plus_one - 1, frame, total, file->size, file->path, err);
	if (status == STATUS_OK)
		file->size += total;
	return status;
}
