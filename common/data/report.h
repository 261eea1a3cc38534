/*
 * Lines that do not say what they should: an error by default, counted when the user asks for it.
 *
 * Threads: a report belongs to its caller.
 */
#ifndef MARQUEE_DATA_REPORT_H
#define MARQUEE_DATA_REPORT_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct catalog;

/* All zeros is the default. */
struct data_options {
	bool skip_bad_lines;
	/* Movies that are no more, or NULL: ratings of them that the catalog does not know are
	 * passed over where a ratings file is read line by line. Borrowed. */
	const struct catalog *former;
};

/* What was skipped so far. Starts as all zeros; several files may add to one report. */
struct data_report {
	uint64_t skipped_lines;
	char first_bad_line[ERROR_MESSAGE_SIZE]; /* "path:17: expected ...", or empty */
	uint64_t former_lines;			 /* about movies that are no more */
};

#endif
