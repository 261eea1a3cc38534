#include "inference/npy.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Magic, version and header length; the header is padded so that the data starts on 64 bytes. */
#define PREFIX_SIZE 10
#define HEADER_SIZE 128

static enum status write_array(const char *path, const char *type, const char *shape,
	const void *bytes, size_t size, struct error *err)
{
	char header[HEADER_SIZE + 1];
	const uint16_t length = HEADER_SIZE - PREFIX_SIZE;
	memset(header, ' ', sizeof(header));
	memcpy(header, "\x93NUMPY\x01\x00", 8);
	memcpy(header + 8, &length, sizeof(length));
	int used = snprintf(header + PREFIX_SIZE, length,
		"{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
	header[PREFIX_SIZE + used] = ' ';
	header[HEADER_SIZE - 1] = '\n';

	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	enum status status = file_write_at(descriptor, header, HEADER_SIZE, 0, path, err);
	if (status == STATUS_OK)
		status = file_write_at(descriptor, bytes, size, HEADER_SIZE, path, err);
	if (status == STATUS_OK && fsync(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", path);
	if (close(descriptor) != 0 && status == STATUS_OK)
		status = error_set_errno(err, errno, "%s: close", path);
	return status;
}

enum status npy_write_f32(
	const char *path, const float *values, size_t rows, size_t columns, struct error *err)
{
	char shape[48];
	snprintf(shape, sizeof(shape), "(%zu, %zu)", rows, columns);
	return write_array(path, "<f4", shape, values, rows * columns * sizeof(float), err);
}

enum status npy_write_u64(const char *path, const uint64_t *values, size_t count, struct error *err)
{
	char shape[48];
	snprintf(shape, sizeof(shape), "(%zu,)", count);
	return write_array(path, "<u8", shape, values, count * sizeof(*values), err);
}
