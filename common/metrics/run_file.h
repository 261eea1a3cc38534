/*
 * The JSON lines of --dump-metrics, read back and checked: docs/watching.md has their members.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_METRICS_RUN_FILE_H
#define MARQUEE_METRICS_RUN_FILE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>

#define RUN_FILE_LIMIT ((size_t)256 << 20)
#define RUN_STEP_LINES 2000u /* lines between epochs that are kept of a run: every so many */
#define RUN_FILE_RUNS  64u

/*
 * Appends the file's runs to the array: {"name": "metrics.jsonl", "lines": [...]}. A run that was
 * begun afresh is a run of its own; one that was resumed goes on. With last_only the file's last
 * run alone. A last line that is cut, as of a run that was killed while it wrote, is left out.
 * DATA_LOSS: a line is no metrics, naming it; FAILED_PRECONDITION: the file has none.
 */
MUST_CHECK enum status run_file_read(
	json_t *runs, const char *path, bool last_only, struct error *err);

#endif
