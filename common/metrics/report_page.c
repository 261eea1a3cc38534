#include "common/metrics/report_page.h"

#include "common/base/file.h"
#include "common/metrics/run_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE "@DATA@"

/* report_page.html; made by the build. */
extern const char report_page_html[];
extern const size_t report_page_html_size;

/* Inside a script element nothing may look like its end or like a comment: "<" becomes an escape,
 * which JSON allows in strings, the only place where it occurs. */
static void write_escaped(FILE *out, const char *json)
{
	for (; *json; json++) {
		if (*json == '<')
			fputs("\\u003c", out);
		else
			fputc(*json, out);
	}
}

enum status report_page_write(
	const char *path, const json_t *runs, const char *version, struct error *err)
{
	char *page = NULL;
	size_t size = 0;
	json_t *data = json_pack("{s:s, s:O}", "version", version, "runs", runs);
	char *json = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	FILE *out = json ? open_memstream(&page, &size) : NULL;
	bool failed = !out;
	if (out) {
		const char *place = strstr(report_page_html, PLACE);
		const size_t before = (size_t)(place - report_page_html);
		const size_t after = before + sizeof(PLACE) - 1;
		fwrite(report_page_html, 1, before, out);
		write_escaped(out, json);
		fwrite(report_page_html + after, 1, report_page_html_size - after, out);
		failed = ferror(out);
		failed |= fclose(out) != 0;
	}
	free(json);
	json_decref(data);
	enum status status =
		failed ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", path)
		       : file_write_atomic(path, page, size, err);
	free(page);
	return status;
}

enum status report_page_of_files(const char *path, char *const *files, size_t file_count,
	bool last_only, const char *version, struct error *err)
{
	json_t *runs = json_array();
	enum status status = STATUS_OK;
	for (size_t i = 0; i < file_count && status == STATUS_OK; i++)
		status = run_file_read(runs, files[i], last_only, err);
	if (status == STATUS_OK)
		status = report_page_write(path, runs, version, err);
	json_decref(runs);
	return status;
}
