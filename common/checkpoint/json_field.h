/*
 * Members of a JSON object, checked: the way manifests and model.json are read.
 *
 * Each fails with DATA_LOSS and a message that names the member and what was expected; callers put
 * the file in front. Strings and objects are borrowed from the object.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_CHECKPOINT_JSON_FIELD_H
#define MARQUEE_CHECKPOINT_JSON_FIELD_H

#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A number up to 2^64 - 1. JSON integers end at 2^63 - 1 here, so larger ones are decimal strings.
 */
MUST_CHECK enum status json_field_u64(
	const json_t *object, const char *name, uint64_t *ret, struct error *err);
MUST_CHECK enum status json_field_string(
	const json_t *object, const char *name, const char **ret, struct error *err);
/* null reads as NULL; the member may be missing. */
MUST_CHECK enum status json_field_optional_string(
	const json_t *object, const char *name, const char **ret, struct error *err);
MUST_CHECK enum status json_field_double(
	const json_t *object, const char *name, double *ret, struct error *err);
/* null and a missing member read as NAN. */
MUST_CHECK enum status json_field_optional_double(
	const json_t *object, const char *name, double *ret, struct error *err);
MUST_CHECK enum status json_field_object(
	const json_t *object, const char *name, json_t **ret, struct error *err);
MUST_CHECK enum status json_field_array(
	const json_t *object, const char *name, json_t **ret, struct error *err);
/* 16 hex digits. */
MUST_CHECK enum status json_field_hash(
	const json_t *object, const char *name, uint64_t *ret, struct error *err);

/* The values those functions read, as new references. */
json_t *json_from_u64(uint64_t value);
json_t *json_from_hash(uint64_t value);
json_t *json_from_optional_double(double value);

/* Reads a whole JSON file of at most limit_bytes that holds an object. Returns a new reference. */
MUST_CHECK enum status json_file_read(
	const char *path, size_t limit_bytes, json_t **ret, struct error *err);
/* Writes the value atomically, indented. */
MUST_CHECK enum status json_file_write(const char *path, const json_t *value, struct error *err);

#endif
