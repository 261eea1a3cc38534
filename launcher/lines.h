/*
 * Cuts a stream of bytes into lines, however it arrives, and writes lines behind a prefix.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_LAUNCHER_LINES_H
#define MARQUEE_LAUNCHER_LINES_H

#include "common/base/status.h"

#include <stddef.h>

#define LINE_SIZE_MAX ((size_t)8192)

/* All zeros is an empty one. Holds the beginning of a line whose end has not come yet. */
struct lines {
	char text[LINE_SIZE_MAX];
	size_t length;
};

/* Gets a line without its newline, terminated, borrowed for the call. */
typedef enum status (*line_function)(
	void *context, const char *line, size_t length, struct error *err);

/*
 * Calls on_line for every line that the n bytes complete. A line of LINE_SIZE_MAX bytes or more is
 * handed on in pieces. Stops at the first failure and returns it.
 */
MUST_CHECK enum status lines_feed(struct lines *lines, const char *bytes, size_t n,
	line_function on_line, void *context, struct error *err);

/* At the stream's end: hands on what is left of a last line without a newline. */
MUST_CHECK enum status lines_flush(
	struct lines *lines, line_function on_line, void *context, struct error *err);

/* Writes "prefix | line\n" to the descriptor, across short writes. */
MUST_CHECK enum status lines_write(
	int descriptor, const char *prefix, const char *line, size_t length, struct error *err);

#endif
