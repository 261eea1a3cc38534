/*
 * Slices of text and the lines of a mapped file: what the readers of this room are made of.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_DATA_LINES_H
#define MARQUEE_DATA_LINES_H

#include "common/base/status.h"
#include "common/data/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes; not terminated. */
struct text {
	const unsigned char *bytes;
	size_t size;
};

/* Invariant: begin <= cursor <= end, and cursor stands at the start of line number + 1. */
struct line_reader {
	const char *path; /* borrowed, for messages */
	const unsigned char *cursor;
	const unsigned char *end; /* empty lines at the end of the file are left out */
	uint64_t number;	  /* of the line returned last; 1 is the first */
};

void line_reader_init(struct line_reader *reader, const char *path, struct text file);
/* The next line without its LF or CRLF; false at the end. */
bool line_reader_next(struct line_reader *reader, struct text *ret);

/*
 * A line that is not what was expected. `reason` says what is wrong with it, or is empty.
 * OK when the options skip it (counted in the report, which may be NULL); else DATA_LOSS:
 * "path:17: reason: expected <expected>, found '...'", the found text cut and its unprintable
 * bytes escaped.
 */
MUST_CHECK enum status line_reader_reject(const struct line_reader *reader, struct text line,
	const char *reason, const char *expected, const struct data_options *options,
	struct data_report *report, struct error *err);

/*
 * Cuts *ret off the front of *rest, up to the separator, which is dropped. False, with nothing
 * changed, when the separator is not in *rest.
 */
bool text_cut(struct text *rest, const char *separator, struct text *ret);
bool text_equals(struct text text, const char *word);

enum number_parse { NUMBER_OK, NUMBER_MALFORMED, NUMBER_TOO_LARGE };
/* Decimal digits only, the whole text. */
enum number_parse text_to_u64(struct text text, uint64_t *ret);

/*
 * ISO-8859-1 to UTF-8. `out` has room for 2 * text.size bytes; returns the bytes written, no
 * terminator.
 */
size_t latin1_to_utf8(struct text text, char *out);
/* The same in lower case. */
size_t latin1_to_utf8_lower(struct text text, char *out);
/* The reverse, into out[strlen(utf8)]; `other` stands for a character that ISO-8859-1 lacks.
 * Returns the bytes written. */
size_t utf8_to_latin1(const char *utf8, unsigned char other, unsigned char *out);
/* The blanks that separate words in ISO-8859-1, the no-break space and the next-line mark too. */
bool latin1_is_blank(unsigned char byte);

#endif
