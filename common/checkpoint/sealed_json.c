#include "common/checkpoint/sealed_json.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/checkpoint/json_field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY	  "\"checksum\": \""
#define DIGITS	  16
#define END	  "\"\n}\n"
#define TAIL_SIZE (sizeof(KEY) - 1 + DIGITS + sizeof(END) - 1)

static void format_tail(char tail[TAIL_SIZE + 1], const char *text, size_t size)
{
	snprintf(tail, TAIL_SIZE + 1, KEY "%016" PRIx64 END, hash_bytes(text, size, 0));
}

/* The indented text with the checksum in place of its "\n}"; owned, NULL when it is not one or
 * memory is refused. */
static char *seal(const char *text)
{
	static const char separator[] = ",\n  ";
	const size_t length = strlen(text);
	if (length < 4 || strcmp(text + length - 2, "\n}") != 0)
		return NULL;
	const size_t sealed_length = length - 2 + sizeof(separator) - 1;
	char *sealed = malloc(sealed_length + TAIL_SIZE + 1);
	if (!sealed)
		return NULL;
	memcpy(sealed, text, length - 2);
	memcpy(sealed + length - 2, separator, sizeof(separator) - 1);
	format_tail(sealed + sealed_length, sealed, sealed_length);
	return sealed;
}

enum status sealed_json_write(const char *path, const json_t *object, struct error *err)
{
	char *text = json_is_object(object) ? json_dumps(object, JSON_INDENT(2)) : NULL;
	char *sealed = text ? seal(text) : NULL;
	enum status status = sealed ? file_write_atomic(path, sealed, strlen(sealed), err)
				    : error_set(err, STATUS_INVALID_ARGUMENT,
					      "%s: a member is missing or is not UTF-8", path);
	free(sealed);
	free(text);
	return status;
}

static enum status check_seal(const char *text, size_t size, struct error *err)
{
	char wanted[TAIL_SIZE + 1];
	if (size < TAIL_SIZE)
		return error_set(err, STATUS_DATA_LOSS, "damaged: it does not end in its checksum");
	format_tail(wanted, text, size - TAIL_SIZE);
	if (memcmp(text + size - TAIL_SIZE, wanted, TAIL_SIZE) != 0)
		return error_set(
			err, STATUS_DATA_LOSS, "damaged: its checksum does not match its text");
	return STATUS_OK;
}

static enum status check_version(
	const json_t *object, unsigned int format_version, struct error *err)
{
	uint64_t version;
	enum status status = json_field_u64(object, "format_version", &version, err);
	if (status == STATUS_OK && version != format_version)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"format version %" PRIu64 ", this program reads version %u", version,
			format_version);
	return status;
}

enum status sealed_json_read(
	const char *path, unsigned int format_version, json_t **ret, struct error *err)
{
	char *text;
	size_t size;
	json_error_t where;
	enum status status = file_read_all(path, SEALED_JSON_SIZE_MAX, &text, &size, err);
	if (status != STATUS_OK)
		return status;
	json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	if (!object)
		status = error_set(err, STATUS_DATA_LOSS, "line %d: %s", where.line, where.text);
	if (status == STATUS_OK)
		status = check_version(object, format_version, err);
	if (status == STATUS_OK)
		status = check_seal(text, size, err);
	free(text);
	if (status != STATUS_OK) {
		json_decref(object);
		return error_wrap(err, status, "%s", path);
	}
	*ret = object;
	return STATUS_OK;
}
