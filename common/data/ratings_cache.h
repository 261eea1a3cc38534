/*
 * Ratings files, parsed once: where the binary form of a text is kept, and how it gets there.
 *
 * It is kept beside the text, or in a directory of the user's choice. One that fits neither the
 * text (size and time of change), nor the catalog, nor its own hashes, is made anew. It is written
 * under another name and renamed when complete, by one process at a time. Where none can be
 * written, or none is wanted, a temporary file without a name takes its place for as long as it is
 * open. docs/cache.md has the rules and the format.
 *
 * Threads: no shared state; processes lock each other out.
 */
#ifndef MARQUEE_DATA_RATINGS_CACHE_H
#define MARQUEE_DATA_RATINGS_CACHE_H

#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/ratings_file.h"
#include "common/data/report.h"

#include <stdbool.h>
#include <stdint.h>

/* All zeros is the default: beside the text, one thread. */
struct ratings_cache_options {
	bool off;
	const char *directory; /* made when it is not there; NULL: beside the text */
	uint32_t threads;      /* at most; 0 is 1 */
	double wait_s;	       /* for another process that writes the same one */
};

struct ratings_cache {
	const char *path; /* of the text */
	const struct catalog *catalog;
	const struct data_options *lines;
	const struct ratings_cache_options *options;
	/* Sees every block; `begin` is called before, and once more where one had to be given up.
	 */
	enum status (*begin)(void *context, const struct ratings_file *file, struct error *err);
	ratings_visitor *visit;
	void *context;
};

/*
 * Opens the ratings, checked, at an address that stays. Adds the text's skipped lines to *report.
 * *ret_note says what a person may want to know of the cache, or is empty. Fails as
 * ratings_text_read(); FAILED_PRECONDITION: no ratings; a cache that cannot be used is no failure.
 */
MUST_CHECK enum status ratings_cache_open(struct ratings_file *ret,
	const struct ratings_cache *cache, struct data_report *report,
	char ret_note[ERROR_MESSAGE_SIZE], struct error *err);

#endif
