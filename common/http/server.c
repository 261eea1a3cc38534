#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/http/acceptor.h"
#include "common/http/deadlines.h"
#include "common/http/http.h"
#include "common/http/listen.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_DEFAULT   512u
#define TIMEOUT_DEFAULT_MS    10000u
#define REQUEST_BYTES_DEFAULT ((size_t)16 * 1024)
#define STOP_LOOK_MS	      5

struct http_server {
	struct http_options options; /* immutable, as are the next */
	int listener;
	char url[HTTP_URL_SIZE];
	struct MHD_Daemon *daemon;
	struct acceptor *acceptor;
	struct deadlines *deadlines;
	_Atomic uint32_t under_way; /* requests whose headers are here and whose reply is not out */
	_Atomic bool stopping;	    /* replies close their connections */
};

/* Stands in a connection's context while its request is under way. */
static char request_mark;

static struct deadline *deadline_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*socket_context = info ? deadlines_add(server->deadlines, info->connect_fd) : NULL;
	} else if (*socket_context) {
		deadlines_remove(server->deadlines, *socket_context);
		*socket_context = NULL;
	}
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
	enum MHD_RequestTerminationCode code)
{
	struct http_server *server = context;
	struct deadline *deadline = deadline_of(connection);
	(void)code;
	if (deadline)
		deadline_set(server->deadlines, deadline);
	if (*request_context)
		atomic_fetch_sub(&server->under_way, 1);
	*request_context = NULL;
}

unsigned int http_code_of(enum status status)
{
	switch (status) {
	case STATUS_OK:
		return 200;
	case STATUS_INVALID_ARGUMENT:
	case STATUS_OUT_OF_RANGE:
		return 400;
	case STATUS_UNAUTHENTICATED:
		return 401;
	case STATUS_PERMISSION_DENIED:
		return 403;
	case STATUS_NOT_FOUND:
		return 404;
	case STATUS_ALREADY_EXISTS:
	case STATUS_ABORTED:
		return 409;
	case STATUS_UNIMPLEMENTED:
		return 501;
	case STATUS_RESOURCE_EXHAUSTED:
	case STATUS_UNAVAILABLE:
		return 503;
	default:
		return 500;
	}
}

static void reply_error(
	struct http_reply *reply, unsigned int code, enum status status, const char *message)
{
	/* A message that was cut within a letter is no UTF-8. */
	char plain[ERROR_MESSAGE_SIZE];
	size_t size = strnlen(message, sizeof(plain) - 1);
	memcpy(plain, message, size);
	json_t *text = json_stringn(plain, size);
	for (size_t i = 0; !text && i < size; i++)
		if ((unsigned char)plain[i] >= 0x80)
			plain[i] = '?';
	if (!text)
		text = json_stringn(plain, size);
	json_t *object =
		json_pack("{s:{s:s, s:o}}", "error", "code", status_name(status), "message", text);
	*reply = (struct http_reply){.code = code, .type = "application/json"};
	reply->body = json_dumps(object, 0);
	reply->size = reply->body ? strlen(reply->body) : 0;
	json_decref(object);
}

void http_reply_error(struct http_reply *reply, enum status status, const char *message)
{
	reply_error(reply, http_code_of(status), status, message);
}

/* Hands the reply's body over. */
static enum MHD_Result send_reply(struct http_server *server, struct MHD_Connection *connection,
	struct http_reply *reply, size_t route, uint64_t ns)
{
	const unsigned int code = reply->code ? reply->code : 500;
	/* Persistent memory is only read, though the type does not say so. */
	struct MHD_Response *response =
		reply->file ? MHD_create_response_from_buffer(reply->size,
				      (void *)(uintptr_t)reply->file, MHD_RESPMEM_PERSISTENT)
			    : MHD_create_response_from_buffer(
				      reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
	if (server->options.done)
		server->options.done(server->options.context, route, code, ns);
	if (!response) {
		free(reply->body);
		return MHD_NO;
	}
	enum MHD_Result good = MHD_YES;
	if (reply->type)
		good = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
	if (good == MHD_YES)
		good = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (good == MHD_YES)
		good = MHD_add_response_header(response, "Content-Security-Policy",
			"default-src 'self'; frame-ancestors 'none'");
	if (good == MHD_YES && code == 405)
		good = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (good == MHD_YES && atomic_load(&server->stopping))
		good = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (good == MHD_YES)
		good = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return good;
}

static enum MHD_Result refuse(struct http_server *server, struct MHD_Connection *connection,
	unsigned int code, enum status status, const char *message)
{
	struct http_reply reply;
	reply_error(&reply, code, status, message);
	return send_reply(server, connection, &reply, HTTP_NO_ROUTE, 0);
}

/* A request's parameters while they are collected. */
struct collection {
	struct http_request *request;
	const char *problem; /* what is wrong with them, or NULL */
};

static bool is_utf8(const char *text, size_t size)
{
	json_t *string = json_stringn(text, size);
	json_decref(string);
	return string != NULL;
}

static enum MHD_Result collect(void *context, enum MHD_ValueKind kind, const char *key,
	size_t key_size, const char *value, size_t value_size)
{
	struct collection *collection = context;
	struct http_request *request = collection->request;
	(void)kind;
	if (!value) {
		value = "";
		value_size = 0;
	}
	if (request->parameter_count == HTTP_PARAMETERS_MAX)
		collection->problem = "too many parameters";
	else if (strlen(key) != key_size || strlen(value) != value_size)
		collection->problem = "a zero byte in a parameter";
	else if (!is_utf8(key, key_size) || !is_utf8(value, value_size))
		collection->problem = "a parameter is not UTF-8";
	for (size_t p = 0; !collection->problem && p < request->parameter_count; p++)
		if (strcmp(request->parameters[p].name, key) == 0)
			collection->problem = "a parameter is given twice";
	if (collection->problem)
		return MHD_NO;
	request->parameters[request->parameter_count++] =
		(struct http_parameter){.name = key, .value = value};
	return MHD_YES;
}

static size_t find_route(const struct http_server *server, const char *path)
{
	for (size_t r = 0; r < server->options.route_count; r++)
		if (strcmp(server->options.paths[r], path) == 0)
			return r;
	return HTTP_NO_ROUTE;
}

static enum MHD_Result answer(
	struct http_server *server, struct MHD_Connection *connection, const char *path)
{
	struct http_request request = {0};
	struct http_reply reply = {0};
	struct collection collection = {.request = &request};
	const size_t route = find_route(server, path);
	if (route == HTTP_NO_ROUTE)
		return refuse(server, connection, 404, STATUS_NOT_FOUND,
			"there is nothing at this path: /openapi.json says what there is");
	(void)MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, collect, &collection);
	if (collection.problem)
		return refuse(server, connection, 400, STATUS_INVALID_ARGUMENT, collection.problem);
	const uint64_t start = clock_now_ns(clock_real());
	server->options.handle(server->options.context, route, &request, &reply);
	return send_reply(server, connection, &reply, route, clock_now_ns(clock_real()) - start);
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *size = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	return MHD_lookup_connection_value(
		       connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
	       (size && strcmp(size, "0") != 0);
}

/* Called when the headers are here, and again when the request is complete. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *body, size_t *body_size,
	void **request_context)
{
	struct http_server *server = context;
	struct deadline *deadline = deadline_of(connection);
	(void)version;
	(void)body;
	if (*request_context) {
		*body_size = 0;
		return answer(server, connection, url);
	}
	*request_context = &request_mark;
	atomic_fetch_add(&server->under_way, 1);
	/* Without memory for its deadline a connection is not served. */
	if (!deadline)
		return MHD_NO;
	deadline_set(server->deadlines, deadline);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(server, connection, 405, STATUS_UNIMPLEMENTED,
			"only GET and HEAD are served");
	if (has_body(connection))
		return refuse(server, connection, 413, STATUS_INVALID_ARGUMENT,
			"a request here has no body");
	return MHD_YES;
}

static void set_defaults(struct http_options *options)
{
	if (!options->threads)
		options->threads = 1;
	if (!options->connections_max)
		options->connections_max = CONNECTIONS_DEFAULT;
	/* The daemon's threads share them out evenly. */
	if (options->connections_max < options->threads)
		options->connections_max = options->threads;
	if (!options->connections_per_client_max)
		options->connections_per_client_max = (options->connections_max + 1) / 2;
	if (!options->request_timeout_ms)
		options->request_timeout_ms = TIMEOUT_DEFAULT_MS;
	if (!options->request_bytes_max)
		options->request_bytes_max = REQUEST_BYTES_DEFAULT;
}

/* libmicrohttpd deals connections out to its threads by their descriptors, and closes those that
 * are too many. */
static void take(void *context, int connected, const struct sockaddr *from, socklen_t size)
{
	struct http_server *server = context;
	(void)MHD_add_connection(server->daemon, connected, from, size);
}

static enum status start(struct http_server *server, struct error *err)
{
	const struct http_options *options = &server->options;
	const struct MHD_OptionItem pool[] = {
		{MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)options->threads, NULL},
		{MHD_OPTION_END, 0, NULL}};
	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET, 0, NULL,
		NULL, on_request, server, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned int)options->connections_per_client_max,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->request_bytes_max,
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)((options->request_timeout_ms + 999) / 1000),
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, server, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY,
		options->threads > 1 ? pool : pool + 1, MHD_OPTION_END);
	if (!server->daemon)
		return error_set(
			err, STATUS_UNAVAILABLE, "%s: libmicrohttpd does not start", server->url);
	return acceptor_new(&server->acceptor, server->listener, take, server, err);
}

enum status http_server_open(
	struct http_server **ret, const struct http_options *options, struct error *err)
{
	struct http_server *server;
	enum status status = memory_zalloc(&server, 1, sizeof(*server), "HTTP server", err);
	if (status != STATUS_OK)
		return status;
	server->options = *options;
	server->listener = -1;
	set_defaults(&server->options);
	status = http_listen(options->listen, options->public, &server->listener, server->url, err);
	if (status == STATUS_OK)
		status = deadlines_new(&server->deadlines, server->options.request_timeout_ms, err);
	if (status == STATUS_OK)
		status = start(server, err);
	if (status != STATUS_OK)
		http_server_close(server);
	else
		*ret = server;
	return status;
}

const char *http_server_url(const struct http_server *server)
{
	return server->url;
}

uint32_t http_server_connections(struct http_server *server)
{
	return deadlines_count(server->deadlines);
}

void http_server_close(struct http_server *server)
{
	if (!server)
		return;
	acceptor_free(server->acceptor);
	if (server->daemon) {
		const struct timespec pause = {.tv_nsec = STOP_LOOK_MS * 1000000L};
		const uint64_t end = clock_now_ns(clock_real()) +
				     server->options.request_timeout_ms * UINT64_C(1000000);
		atomic_store(&server->stopping, true);
		while (atomic_load(&server->under_way) > 0 && clock_now_ns(clock_real()) < end)
			(void)nanosleep(&pause, NULL);
		MHD_stop_daemon(server->daemon);
	}
	deadlines_free(server->deadlines);
	if (server->listener >= 0)
		close(server->listener);
	free(server);
}
