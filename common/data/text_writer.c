#include "common/data/text_writer.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)1 << 20)

enum status text_writer_open(
	struct text_writer *ret, const char *directory, const char *name, struct error *err)
{
	struct text_writer writer = {.descriptor = -1};
	char temporary_name[256];
	snprintf(temporary_name, sizeof(temporary_name), "%s.tmp", name);
	enum status status = path_join(writer.path, directory, name, err);
	if (status == STATUS_OK)
		status = path_join(writer.temporary, directory, temporary_name, err);
	if (status == STATUS_OK)
		status = memory_alloc(&writer.buffer, BUFFER_BYTES, 1, "write buffer", err);
	if (status != STATUS_OK)
		return status;
	writer.descriptor = open(writer.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (writer.descriptor < 0) {
		free(writer.buffer);
		return error_set_errno(err, errno, "%s", writer.temporary);
	}
	*ret = writer;
	return STATUS_OK;
}

static void flush(struct text_writer *writer)
{
	if (writer->error.status == STATUS_OK &&
		file_write_at(writer->descriptor, writer->buffer, writer->used, writer->written,
			writer->temporary, &writer->error) == STATUS_OK)
		writer->written += writer->used;
	writer->used = 0;
}

char *text_writer_room(struct text_writer *writer)
{
	if (writer->used + TEXT_WRITER_ROOM_MAX > BUFFER_BYTES)
		flush(writer);
	return writer->buffer + writer->used;
}

char *text_put_u64(char *at, uint64_t value)
{
	char digits[20];
	size_t count = 0;
	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

enum status text_writer_complete(struct text_writer *writer, struct error *err)
{
	flush(writer);
	if (writer->error.status != STATUS_OK)
		return error_set(err, writer->error.status, "%s", writer->error.message);
	if (fsync(writer->descriptor) != 0)
		return error_set_errno(err, errno, "%s: fsync", writer->temporary);
	int closed = close(writer->descriptor);
	writer->descriptor = -1;
	if (closed != 0)
		return error_set_errno(err, errno, "%s: close", writer->temporary);
	return STATUS_OK;
}

enum status text_writer_publish(struct text_writer *writer, struct error *err)
{
	if (rename(writer->temporary, writer->path) != 0)
		return error_set_errno(
			err, errno, "%s: rename to %s", writer->temporary, writer->path);
	writer->temporary[0] = '\0';
	return STATUS_OK;
}

void text_writer_fini(struct text_writer *writer)
{
	if (writer->buffer && writer->descriptor >= 0)
		close(writer->descriptor);
	if (writer->temporary[0])
		unlink(writer->temporary);
	free(writer->buffer);
	*writer = (struct text_writer){.descriptor = -1};
}
