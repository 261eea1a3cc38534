/*
 * JSON files that know when they are damaged: manifest.json and model.json.
 *
 * The value is an object whose "format_version" says how to read it. The file's text ends in one
 * more member, "checksum": 16 hex digits, the XXH3-64 of all bytes before the quote that opens its
 * name; then a quote, a line feed, a brace and a line feed. So no byte can change unnoticed.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_CHECKPOINT_SEALED_JSON_H
#define MARQUEE_CHECKPOINT_SEALED_JSON_H

#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>

#define SEALED_JSON_SIZE_MAX ((size_t)256 << 20)

/* Writes the non-empty object atomically. INVALID_ARGUMENT: NULL or not to be encoded. */
MUST_CHECK enum status sealed_json_write(const char *path, const json_t *object, struct error *err);

/*
 * Returns a new reference to the object. FAILED_PRECONDITION: another format version (checked
 * first: it may be sealed in another way). DATA_LOSS: damaged. Messages name the path.
 */
MUST_CHECK enum status sealed_json_read(
	const char *path, unsigned int format_version, json_t **ret, struct error *err);

#endif
