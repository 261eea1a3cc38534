/*
 * A training report as one HTML file: charts and tables of runs, without anything that would have
 * to be loaded.
 *
 * The page (report_page.html) draws itself from the JSON that is put into it; text of the data is
 * never read as HTML.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_METRICS_REPORT_PAGE_H
#define MARQUEE_METRICS_REPORT_PAGE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Writes the report of run_file_read()'s runs, at least one. The file is complete or absent. */
MUST_CHECK enum status report_page_write(
	const char *path, const json_t *runs, const char *version, struct error *err);

/* The metrics of the files, in their order: run_file_read() and report_page_write(). */
MUST_CHECK enum status report_page_of_files(const char *path, char *const *files, size_t file_count,
	bool last_only, const char *version, struct error *err);

#endif
