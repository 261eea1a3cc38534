#include "inference/npy.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Magic, version and header length; the header is padded so that the data starts on 64 bytes. */
#define PREFIX_SIZE 10
#define HEADER_SIZE 128

static const struct {
	const char *name;
	size_t size; /* bytes */
} types[] = {[NPY_F32] = {"<f4", sizeof(float)}, [NPY_U64] = {"<u8", sizeof(uint64_t)}};

enum status npy_writer_open(struct npy_writer *ret, const char *path, enum npy_type type,
	uint64_t rows, uint64_t columns, struct error *err)
{
	char header[HEADER_SIZE + 1], shape[48];
	const uint16_t length = HEADER_SIZE - PREFIX_SIZE;
	if (columns)
		snprintf(shape, sizeof(shape), "(%" PRIu64 ", %" PRIu64 ")", rows, columns);
	else
		snprintf(shape, sizeof(shape), "(%" PRIu64 ",)", rows);
	memset(header, ' ', sizeof(header));
	memcpy(header, "\x93NUMPY\x01\x00", 8);
	memcpy(header + 8, &length, sizeof(length));
	const int used = snprintf(header + PREFIX_SIZE, length,
		"{'descr': '%s', 'fortran_order': False, 'shape': %s, }", types[type].name, shape);
	header[PREFIX_SIZE + used] = ' ';
	header[HEADER_SIZE - 1] = '\n';

	const int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	enum status status = file_write_at(descriptor, header, HEADER_SIZE, 0, path, err);
	if (status != STATUS_OK) {
		close(descriptor);
		return status;
	}
	*ret = (struct npy_writer){.path = path,
		.descriptor = descriptor,
		.element_size = types[type].size,
		.at = HEADER_SIZE,
		.end = HEADER_SIZE + rows * (columns ? columns : 1) * types[type].size};
	return STATUS_OK;
}

enum status npy_writer_put(
	struct npy_writer *writer, const void *elements, size_t count, struct error *err)
{
	const size_t size = count * writer->element_size;
	enum status status =
		file_write_at(writer->descriptor, elements, size, writer->at, writer->path, err);
	if (status == STATUS_OK)
		writer->at += size;
	return status;
}

enum status npy_writer_close(struct npy_writer *writer, struct error *err)
{
	enum status status = STATUS_OK;
	if (writer->at != writer->end)
		status = error_set(err, STATUS_INTERNAL,
			"%s: closed after %" PRIu64 " of %" PRIu64 " bytes", writer->path,
			writer->at, writer->end);
	if (status == STATUS_OK && fsync(writer->descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", writer->path);
	if (close(writer->descriptor) != 0 && status == STATUS_OK)
		status = error_set_errno(err, errno, "%s: close", writer->path);
	return status;
}
