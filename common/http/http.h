/*
 * A small HTTP/1.1 server for answers that are computed at once: GET and HEAD, no bodies, every
 * reply whole in memory. libmicrohttpd reads and writes; what is here limits it.
 *
 * Limits: connections in all and from one address, bytes of a request line with its headers,
 * parameters, and time. From its connection, or its last reply, on a client has request_timeout_ms
 * until its next request is there, and as long to take the reply, however busy it looks: a
 * connection that is late is cut.
 *
 * Errors are {"error": {"code": "NOT_FOUND", "message": "..."}} with the code of a status and the
 * HTTP status that goes with it. What is no HTTP at all libmicrohttpd answers itself, in HTML.
 *
 * Threads: a server is internally locked; `handle` and `done` run on its threads, several at once.
 */
#ifndef MARQUEE_HTTP_HTTP_H
#define MARQUEE_HTTP_HTTP_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PARAMETERS_MAX 16
#define HTTP_NO_ROUTE	    SIZE_MAX

/* Valid UTF-8 without zero bytes; names are distinct. */
struct http_parameter {
	const char *name, *value;
};

/* Borrowed for the call. */
struct http_request {
	size_t parameter_count;
	struct http_parameter parameters[HTTP_PARAMETERS_MAX];
};

/* All zeros is an empty 500. */
struct http_reply {
	unsigned int code;	   /* HTTP's, such as 200 */
	const char *type;	   /* static: "application/json" */
	char *body;		   /* owned, for free(); */
	const unsigned char *file; /* or instead of it: lives as long as the server */
	size_t size;
};

/* What http_server_open() borrows for the server's life. 0 is the default. */
struct http_options {
	const char *listen; /* "127.0.0.1:8080", "[::1]:0"; port 0 is any free one */
	bool public;	    /* addresses other than loopback are fine */
	uint32_t threads;   /* default 1 */
	uint32_t connections_max, connections_per_client_max; /* default 512, and half of all */
	uint32_t request_timeout_ms;			      /* default 10,000 */
	size_t request_bytes_max; /* request line and headers together: default 16 KiB */
	const char *const *paths; /* of the routes: "/v1/recommend" */
	size_t route_count;
	void *context; /* of the two functions */
	void (*handle)(void *context, size_t route, const struct http_request *request,
		struct http_reply *ret_reply);
	/* Told of every reply: its route or HTTP_NO_ROUTE, and the time in the handler. */
	void (*done)(void *context, size_t route, unsigned int code, uint64_t ns);
};

struct http_server;

/* INVALID_ARGUMENT, saying what is expected, when it is no HOST:PORT. */
MUST_CHECK enum status http_address_check(const char *address, struct error *err);

/* INVALID_ARGUMENT: the address is not understood; PERMISSION_DENIED: it is public and may not be;
 * UNAVAILABLE: it cannot be listened on. */
MUST_CHECK enum status http_server_open(
	struct http_server **ret, const struct http_options *options, struct error *err);
/* "http://127.0.0.1:8080", with the port that was found; borrowed. */
const char *http_server_url(const struct http_server *server);
uint32_t http_server_connections(struct http_server *server);
/*
 * Takes no more connections, lets requests under way finish (for request_timeout_ms at most),
 * closes all. NULL is fine.
 */
void http_server_close(struct http_server *server);

/* Fills in a reply for a failed status: its HTTP code and the JSON above. */
void http_reply_error(struct http_reply *reply, enum status status, const char *message);
/* 400 for INVALID_ARGUMENT, 404 for NOT_FOUND and so on. */
unsigned int http_code_of(enum status status);

#endif
