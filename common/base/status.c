#include "common/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[STATUS_OK] = "OK",
	[STATUS_CANCELLED] = "CANCELLED",
	[STATUS_UNKNOWN] = "UNKNOWN",
	[STATUS_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[STATUS_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[STATUS_NOT_FOUND] = "NOT_FOUND",
	[STATUS_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[STATUS_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[STATUS_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[STATUS_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[STATUS_ABORTED] = "ABORTED",
	[STATUS_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[STATUS_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[STATUS_INTERNAL] = "INTERNAL",
	[STATUS_UNAVAILABLE] = "UNAVAILABLE",
	[STATUS_DATA_LOSS] = "DATA_LOSS",
	[STATUS_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

static enum status status_from_errno(int error_number)
{
	switch (error_number) {
	case ENOENT:
		return STATUS_NOT_FOUND;
	case EEXIST:
		return STATUS_ALREADY_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return STATUS_PERMISSION_DENIED;
	case ENOMEM:
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return STATUS_RESOURCE_EXHAUSTED;
	case EINVAL:
	case ENOTDIR:
	case EISDIR:
		return STATUS_INVALID_ARGUMENT;
	default:
		return STATUS_INTERNAL;
	}
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		err->status = status;
		vsnprintf(err->message, sizeof(err->message), format, args);
		va_end(args);
	}
	return status;
}

enum status error_set_errno(struct error *err, int error_number, const char *format, ...)
{
	enum status status = status_from_errno(error_number);
	if (err) {
		va_list args;
		va_start(args, format);
		err->status = status;
		int used = vsnprintf(err->message, sizeof(err->message), format, args);
		va_end(args);
		if (used >= 0 && (size_t)used < sizeof(err->message)) {
			size_t left = sizeof(err->message) - (size_t)used;
			snprintf(err->message + used, left, ": %s", strerror(error_number));
		}
	}
	return status;
}

enum status error_wrap(struct error *err, enum status status, const char *format, ...)
{
	if (err) {
		char inner[ERROR_MESSAGE_SIZE];
		memcpy(inner, err->message, sizeof(inner));
		va_list args;
		va_start(args, format);
		int used = vsnprintf(err->message, sizeof(err->message), format, args);
		va_end(args);
		err->status = status;
		if (used >= 0 && (size_t)used < sizeof(err->message)) {
			size_t left = sizeof(err->message) - (size_t)used;
			snprintf(err->message + used, left, ": %.*s", (int)left, inner);
		}
	}
	return status;
}

const char *status_name(enum status status)
{
	unsigned int number = (unsigned int)status;
	return number < NAME_COUNT ? names[number] : names[STATUS_UNKNOWN];
}

enum status status_from_wire(unsigned int number)
{
	return number < NAME_COUNT ? (enum status)number : STATUS_UNKNOWN;
}
