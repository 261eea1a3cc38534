#include "launcher/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

static enum status hand_on(
	struct lines *lines, line_function on_line, void *context, struct error *err)
{
	size_t length = lines->length;
	lines->text[length] = '\0';
	lines->length = 0;
	return on_line(context, lines->text, length, err);
}

enum status lines_feed(struct lines *lines, const char *bytes, size_t n, line_function on_line,
	void *context, struct error *err)
{
	while (n > 0) {
		const char *newline = memchr(bytes, '\n', n);
		size_t length = newline ? (size_t)(newline - bytes) : n;
		size_t room = LINE_SIZE_MAX - 1 - lines->length;
		size_t taken = length < room ? length : room;
		memcpy(lines->text + lines->length, bytes, taken);
		lines->length += taken;
		bytes += taken;
		n -= taken;
		bool whole = newline && taken == length;
		if (whole) {
			bytes++;
			n--;
		}
		if (!whole && lines->length < LINE_SIZE_MAX - 1)
			continue;
		enum status status = hand_on(lines, on_line, context, err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

enum status lines_flush(
	struct lines *lines, line_function on_line, void *context, struct error *err)
{
	return lines->length ? hand_on(lines, on_line, context, err) : STATUS_OK;
}

enum status lines_write(
	int descriptor, const char *prefix, const char *line, size_t length, struct error *err)
{
	static const char bar[] = " | ";
	static const char newline[] = "\n";
	struct iovec parts[4] = {
		{.iov_base = (void *)(uintptr_t)prefix, .iov_len = strlen(prefix)},
		{.iov_base = (void *)(uintptr_t)bar, .iov_len = sizeof(bar) - 1},
		{.iov_base = (void *)(uintptr_t)line, .iov_len = length},
		{.iov_base = (void *)(uintptr_t)newline, .iov_len = 1},
	};
	struct iovec *part = parts, *end = parts + 4;
	while (part < end) {
		ssize_t put = writev(descriptor, part, (int)(end - part));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return error_set_errno(err, errno, "forwarding output of %s", prefix);
		size_t done = (size_t)put;
		while (part < end && done >= part->iov_len)
			done -= (part++)->iov_len;
		if (part < end) {
			part->iov_base = (char *)part->iov_base + done;
			part->iov_len -= done;
		}
	}
	return STATUS_OK;
}
