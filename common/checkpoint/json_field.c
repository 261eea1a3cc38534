#include "common/checkpoint/json_field.h"

#include "common/base/file.h"
#include "common/base/flags.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status expected(struct error *err, const char *name, const char *what)
{
	return error_set(err, STATUS_DATA_LOSS, "'%s' is not %s", name, what);
}

enum status json_field_u64(const json_t *object, const char *name, uint64_t *ret, struct error *err)
{
	const json_t *value = json_object_get(object, name);
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*ret = (uint64_t)json_integer_value(value);
		return STATUS_OK;
	}
	if (json_is_string(value) && parse_u64(json_string_value(value), ret, NULL) == STATUS_OK)
		return STATUS_OK;
	return expected(err, name, "a whole number");
}

enum status json_field_string(
	const json_t *object, const char *name, const char **ret, struct error *err)
{
	const char *text = json_string_value(json_object_get(object, name));
	if (!text)
		return expected(err, name, "a string");
	*ret = text;
	return STATUS_OK;
}

enum status json_field_optional_string(
	const json_t *object, const char *name, const char **ret, struct error *err)
{
	const json_t *value = json_object_get(object, name);
	if (value && !json_is_null(value))
		return json_field_string(object, name, ret, err);
	*ret = NULL;
	return STATUS_OK;
}

enum status json_field_double(
	const json_t *object, const char *name, double *ret, struct error *err)
{
	const json_t *value = json_object_get(object, name);
	if (!json_is_number(value))
		return expected(err, name, "a number");
	*ret = json_number_value(value);
	return STATUS_OK;
}

enum status json_field_optional_double(
	const json_t *object, const char *name, double *ret, struct error *err)
{
	const json_t *value = json_object_get(object, name);
	if (value && !json_is_null(value))
		return json_field_double(object, name, ret, err);
	*ret = NAN;
	return STATUS_OK;
}

enum status json_field_object(
	const json_t *object, const char *name, json_t **ret, struct error *err)
{
	json_t *value = json_object_get(object, name);
	if (!json_is_object(value))
		return expected(err, name, "an object");
	*ret = value;
	return STATUS_OK;
}

enum status json_field_array(
	const json_t *object, const char *name, json_t **ret, struct error *err)
{
	json_t *value = json_object_get(object, name);
	if (!json_is_array(value))
		return expected(err, name, "an array");
	*ret = value;
	return STATUS_OK;
}

enum status json_field_hash(
	const json_t *object, const char *name, uint64_t *ret, struct error *err)
{
	const char *text = json_string_value(json_object_get(object, name));
	if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return expected(err, name, "16 hex digits");
	*ret = strtoull(text, NULL, 16);
	return STATUS_OK;
}

json_t *json_from_u64(uint64_t value)
{
	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	return json_sprintf("%" PRIu64, value);
}

json_t *json_from_hash(uint64_t value)
{
	return json_sprintf("%016" PRIx64, value);
}

json_t *json_from_optional_double(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

enum status json_file_read(const char *path, size_t limit_bytes, json_t **ret, struct error *err)
{
	char *text;
	size_t size;
	enum status status = file_read_all(path, limit_bytes, &text, &size, err);
	if (status != STATUS_OK)
		return status;
	json_error_t where;
	json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	free(text);
	if (!value)
		return error_set(err, STATUS_DATA_LOSS, "%s:%d: %s", path, where.line, where.text);
	if (!json_is_object(value)) {
		json_decref(value);
		return error_set(err, STATUS_DATA_LOSS, "%s: is not a JSON object", path);
	}
	*ret = value;
	return STATUS_OK;
}

enum status json_file_write(const char *path, const json_t *value, struct error *err)
{
	char *text = json_dumps(value, JSON_INDENT(2));
	if (!text)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", path);
	enum status status = file_write_atomic(path, text, strlen(text), err);
	free(text);
	return status;
}
