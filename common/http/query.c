#include "common/http/query.h"

#include "common/base/flags.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum status read_value(const struct query_field *field, const char *value, struct error *err)
{
	uint64_t number;
	switch (field->kind) {
	case QUERY_U64:
		if (parse_u64(value, &number, NULL) != STATUS_OK || number < field->min ||
			number > field->max)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"%s=%.40s: expected a number from %" PRIu64 " to %" PRIu64,
				field->name, value, field->min, field->max);
		*(uint64_t *)field->target = number;
		break;
	case QUERY_TEXT:
		if (!value[0])
			return error_set(err, STATUS_INVALID_ARGUMENT, "%s: empty", field->name);
		*(const char **)field->target = value;
		break;
	case QUERY_BOOL:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"%s=%.40s: expected true or false", field->name, value);
		*(bool *)field->target = value[0] == 't';
		break;
	}
	return STATUS_OK;
}

static enum status unknown_name(
	const char *name, const struct query_field *fields, size_t count, struct error *err)
{
	char list[300] = "";
	size_t used = 0;
	for (size_t f = 0; f < count && used < sizeof(list); f++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%s", f ? ", " : "", fields[f].name);
	return error_set(err, STATUS_INVALID_ARGUMENT, "parameter '%.40s' is not known: %s%s", name,
		count ? "one of " : "there are none here", list);
}

static const char *value_of(const struct http_request *request, const char *name)
{
	for (size_t p = 0; p < request->parameter_count; p++)
		if (strcmp(request->parameters[p].name, name) == 0)
			return request->parameters[p].value;
	return NULL;
}

enum status query_read(const struct http_request *request, const struct query_field *fields,
	size_t count, struct error *err)
{
	size_t known = 0;
	for (size_t f = 0; f < count; f++) {
		const char *value = value_of(request, fields[f].name);
		if (!value && fields[f].required)
			return error_set(err, STATUS_INVALID_ARGUMENT, "parameter '%s' is missing",
				fields[f].name);
		if (!value)
			continue;
		enum status status = read_value(&fields[f], value, err);
		if (status != STATUS_OK)
			return status;
		if (fields[f].given)
			*fields[f].given = true;
		known++;
	}
	for (size_t p = 0; known < request->parameter_count && p < request->parameter_count; p++) {
		bool found = false;
		for (size_t f = 0; f < count && !found; f++)
			found = strcmp(fields[f].name, request->parameters[p].name) == 0;
		if (!found)
			return unknown_name(request->parameters[p].name, fields, count, err);
	}
	return STATUS_OK;
}
