/*
 * The parameters of a request from a table, as flags.h does it for command lines.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_HTTP_QUERY_H
#define MARQUEE_HTTP_QUERY_H

#include "common/http/http.h"

enum query_kind {
	QUERY_U64,  /* uint64_t *: decimal, min..max */
	QUERY_TEXT, /* const char **: borrows the request; not empty */
	QUERY_BOOL, /* bool *: true or false */
};

struct query_field {
	const char *name;
	enum query_kind kind;
	void *target; /* set only when the parameter is given */
	uint64_t min, max;
	bool required;
	bool *given; /* may be NULL */
};

/* INVALID_ARGUMENT names the parameter that is unknown, missing or wrong, and what is expected. */
MUST_CHECK enum status query_read(const struct http_request *request,
	const struct query_field *fields, size_t count, struct error *err);

#endif
