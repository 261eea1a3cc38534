/*
 * The files of inference/web/, as they are in the program. cmake/EmbedFiles.cmake writes the table.
 *
 * Threads: immutable.
 */
#ifndef MARQUEE_INFERENCE_WEB_FILES_H
#define MARQUEE_INFERENCE_WEB_FILES_H

#include <stddef.h>

struct web_file {
	const char *path; /* "/openapi.json"; index.html is "/" */
	const char *type; /* "application/json" */
	const unsigned char *bytes;
	size_t size;
};

extern const struct web_file web_files[];
extern const size_t web_file_count;

#endif
