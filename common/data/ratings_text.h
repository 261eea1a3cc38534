/*
 * A ratings file's text turned into examples: in pieces, by several threads, in constant memory.
 *
 * What a line must be stands in ratings.h. A line of more than RATINGS_LINE_MAX bytes is a bad one.
 * Only good lines take the fast way; a piece with a bad line in it is read once more, by the reader
 * of ratings.h, which can say what is wrong where.
 *
 * Threads: a call makes its own; different calls share nothing.
 */
#ifndef MARQUEE_DATA_RATINGS_TEXT_H
#define MARQUEE_DATA_RATINGS_TEXT_H

#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/ratings.h"
#include "common/data/report.h"

#include <stddef.h>
#include <stdint.h>

#define RATINGS_LINE_MAX ((size_t)1 << 18)

/* Which state of a file was read: what a copy of its content is recognised by. */
struct file_identity {
	uint64_t size;
	int64_t mtime_ns; /* of its last change, since 1970 */
};

/* NOT_FOUND and so on as for reading; INVALID_ARGUMENT: not a regular file. */
MUST_CHECK enum status file_identify(
	const char *path, struct file_identity *ret, struct error *err);

/* Takes the examples, in the file's order. Called by one thread at a time. */
typedef enum status ratings_sink(
	void *context, const struct rating *ratings, size_t count, struct error *err);

/*
 * Reads the whole file with at most `threads` threads. Adds skipped lines to *report (may be NULL).
 * ABORTED: the file changed meanwhile; else as ratings_load(), or as the sink. A file without
 * ratings is fine here.
 */
MUST_CHECK enum status ratings_text_read(const char *path, const struct catalog *catalog,
	const struct data_options *options, uint32_t threads, ratings_sink *sink, void *context,
	struct data_report *report, struct file_identity *ret, struct error *err);

#endif
