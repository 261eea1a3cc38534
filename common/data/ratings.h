/*
 * Ratings files: lines of user, movie, stars and time, checked against a catalog.
 *
 *   ml-1m    UserID::MovieID::Rating::Timestamp
 *   ml-100k  the same four, separated by tabs
 *
 * Stars are decimal numbers from 0.5 to 5. The fourth column must be a whole number and is not
 * looked at further. A last line without its line end, CRLF, and empty lines at the very end of
 * the file are fine.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_DATA_RATINGS_H
#define MARQUEE_DATA_RATINGS_H

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/lines.h"
#include "common/data/report.h"

#include <stdbool.h>
#include <stdint.h>

#define STARS_MIN 0.5f
#define STARS_MAX 5.0f

/* One example; user and movie are numbers in the catalog. */
struct rating {
	uint32_t user;
	uint32_t movie;
	float stars;
};

/* A whole file in memory. All zeros is empty. */
struct ratings {
	uint64_t count;
	struct rating *examples; /* [count], in file order */
};

/*
 * Reads a ratings file of either layout (recognised from its lines). Adds skipped lines to *report
 * (may be NULL). DATA_LOSS: a bad line, or a user or movie that the catalog does not know;
 * FAILED_PRECONDITION: no ratings in it.
 */
MUST_CHECK enum status ratings_load(struct ratings *ret, const struct catalog *catalog,
	const char *path, const struct data_options *options, struct data_report *report,
	struct error *err);
void ratings_fini(struct ratings *ratings);

/*
 * One line on its own: false when it is bad, or names a user or movie that the catalog does not
 * know. `tabs`: the separator is a tab, else "::".
 */
bool ratings_parse_line(
	const struct catalog *catalog, struct text line, bool tabs, struct rating *ret);

/*
 * The separator of a file that begins like this: the one that the first line with any has; the
 * catalog's when none has. Looks at RATINGS_LAYOUT_BYTES at most.
 */
#define RATINGS_LAYOUT_BYTES ((size_t)1 << 20)
bool ratings_has_tabs(const struct catalog *catalog, struct text beginning);

/* The streaming form: a cursor over a mapped file. */
struct ratings_reader {
	const struct catalog *catalog;	    /* borrowed */
	const struct data_options *options; /* borrowed */
	struct data_report *report;	    /* borrowed, may be NULL */
	struct file_map map;
	struct line_reader lines;
	bool tabs; /* the separator is a tab, else "::" */
};

/* Borrows everything, the path too, until ratings_reader_close(). */
MUST_CHECK enum status ratings_reader_open(struct ratings_reader *ret,
	const struct catalog *catalog, const char *path, const struct data_options *options,
	struct data_report *report, struct error *err);
void ratings_reader_close(struct ratings_reader *reader);

/* The next good line; *ret_done instead when there are no more. */
MUST_CHECK enum status ratings_reader_next(
	struct ratings_reader *reader, struct rating *ret, bool *ret_done, struct error *err);

/*
 * A line that was read last and is bad, as line_reader_reject(). reason NULL: what is wrong with it
 * is looked for.
 */
MUST_CHECK enum status ratings_reader_reject(const struct ratings_reader *reader, struct text line,
	const char *reason, struct error *err);

#endif
