/* The HTTP server over real sockets: what it answers, what it refuses, and whom it cuts. */
#include "common/http/http.h"
#include "common/http/listen.h"
#include "common/http/query.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_S = 20, TEXT_MAX = 100000 };

/* What the handler was told last, and how often `done` was. */
static atomic_uint handled, last_code;

static void echo(
	void *context, size_t route, const struct http_request *request, struct http_reply *reply)
{
	(void)context;
	atomic_fetch_add(&handled, 1);
	if (route == 1) {
		http_reply_error(reply, STATUS_NOT_FOUND, "cut within a letter: \xc3");
		return;
	}
	char text[200] = "";
	for (size_t p = 0; p < request->parameter_count; p++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s;",
			request->parameters[p].name, request->parameters[p].value);
	*reply = (struct http_reply){.code = 200, .type = "text/plain", .body = strdup(text)};
	reply->size = strlen(text);
}

static void done(void *context, size_t route, unsigned int code, uint64_t ns)
{
	(void)context;
	(void)route;
	(void)ns;
	atomic_store(&last_code, code);
}

static struct http_server *open_server(uint32_t per_client, uint32_t timeout_ms)
{
	static const char *const paths[] = {"/echo", "/error"};
	const struct http_options options = {.listen = "127.0.0.1:0",
		.connections_max = 20,
		.connections_per_client_max = per_client,
		.request_timeout_ms = timeout_ms,
		.paths = paths,
		.route_count = 2,
		.handle = echo,
		.done = done};
	struct http_server *server;
	struct error err;
	assert_ok(http_server_open(&server, &options, &err), &err);
	return server;
}

static int open_client(void)
{
	const struct timeval deadline = {.tv_sec = DEADLINE_S};
	const int client = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(client, 0);
	ck_assert_int_eq(
		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	return client;
}

static void connect_client(int client, const struct http_server *server)
{
	const int port = atoi(strrchr(http_server_url(server), ':') + 1);
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(connect(client, (const void *)&address, sizeof(address)), 0);
}

static int connect_to(const struct http_server *server)
{
	const int client = open_client();
	connect_client(client, server);
	return client;
}

/* All that comes until the server closes; a deadline is a failure. Returns its size. */
static size_t read_all(int client, char text[TEXT_MAX])
{
	size_t size = 0;
	ssize_t n;
	while ((n = recv(client, text + size, TEXT_MAX - 1 - size, 0)) > 0)
		size += (size_t)n;
	ck_assert_msg(n == 0 || errno == ECONNRESET, "the server does not close");
	text[size] = '\0';
	return size;
}

/* Sends bytes, and returns the status of the reply; 0 when there is none. Its text is static. */
static int ask_bytes(const struct http_server *server, const char *bytes, size_t size, char **ret)
{
	static char text[TEXT_MAX];
	const int client = connect_to(server);
	ck_assert_int_eq(send(client, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
	(void)shutdown(client, SHUT_WR);
	(void)read_all(client, text);
	close(client);
	if (ret)
		*ret = strstr(text, "\r\n\r\n") ? strstr(text, "\r\n\r\n") + 4 : text;
	return strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
}

static int ask(const struct http_server *server, const char *method, const char *path,
	const char *headers, char **ret)
{
	static char request[TEXT_MAX];
	snprintf(request, sizeof(request),
		"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, path, headers);
	return ask_bytes(server, request, strlen(request), ret);
}

START_TEST(requests_reach_their_route_with_their_parameters)
{
	struct http_server *server = open_server(0, 0);
	char *body;
	ck_assert_int_eq(ask(server, "GET", "/echo?a=1&b=x%20y&c", "", &body), 200);
	ck_assert_str_eq(body, "a=1;b=x y;c=;");
	ck_assert_uint_eq(atomic_load(&last_code), 200);
	ck_assert_int_eq(ask(server, "HEAD", "/echo?a=1", "", &body), 200);
	ck_assert_str_eq(body, "");
	ck_assert_int_eq(ask(server, "GET", "/error", "", &body), 404);
	ck_assert_ptr_nonnull(strstr(body, "\"NOT_FOUND\""));
	ck_assert_ptr_nonnull(strstr(body, "cut within a letter: ?"));
	http_server_close(server);
}
END_TEST

START_TEST(what_is_refused_does_not_reach_the_handler)
{
	static const struct {
		const char *method, *path, *headers;
		int code;
		const char *says;
	} refused[] = {
		{"GET", "/nowhere", "", 404, "nothing at this path"},
		{"GET", "/echo/", "", 404, "nothing at this path"},
		{"DELETE", "/echo", "", 405, "only GET and HEAD"},
		{"GET", "/echo", "Content-Length: 5\r\n", 413, "has no body"},
		{"GET", "/echo", "Transfer-Encoding: chunked\r\n", 413, "has no body"},
		{"GET", "/echo?a=1&a=2", "", 400, "given twice"},
		{"GET", "/echo?a=%00", "", 400, "zero byte"},
		{"GET", "/echo?a=%ff", "", 400, "not UTF-8"},
		{"GET", "/echo?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", "", 400, "too many parameters"},
	};
	struct http_server *server = open_server(0, 1000);
	const unsigned int before = atomic_load(&handled);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char *body;
		const int code =
			ask(server, refused[i].method, refused[i].path, refused[i].headers, &body);
		ck_assert_msg(code == refused[i].code, "%s: %d", refused[i].path, code);
		ck_assert_msg(strstr(body, refused[i].says) != NULL, "%s", body);
		ck_assert_ptr_nonnull(strstr(body, "{\"error\": {\"code\":"));
		ck_assert_uint_eq(atomic_load(&last_code), (unsigned int)code);
	}
	ck_assert_uint_eq(atomic_load(&handled), before);
	http_server_close(server);
}
END_TEST

START_TEST(what_is_no_http_or_too_long_is_refused_and_others_are_served)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {{"nonsense\r\n\r\n", 12}, {"GET\r\n\r\n", 7}, {"\0\0\0\0", 4},
		{"GET /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 42},
		{"GET /echo HTTP/1.1\r\nno header\r\n\r\n", 33}};
	static char path[TEXT_MAX / 2];
	struct http_server *server = open_server(0, 1000);
	const unsigned int before = atomic_load(&handled);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const int code = ask_bytes(server, bad[i].bytes, bad[i].size, NULL);
		ck_assert_msg(code != 200, "%zu: %d", i, code);
	}
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	ck_assert_int_ne(ask(server, "GET", path, "", NULL), 200);
	memcpy(path, "H: ", 3);
	memcpy(path + sizeof(path) - 3, "\r\n", 3);
	ck_assert_int_ne(ask(server, "GET", "/echo", path, NULL), 200);
	ck_assert_uint_eq(atomic_load(&handled), before);
	ck_assert_int_eq(ask(server, "GET", "/echo", "", NULL), 200);
	http_server_close(server);
}
END_TEST

START_TEST(a_client_that_is_late_is_cut)
{
	struct http_server *server = open_server(0, 100);
	char text[TEXT_MAX];
	const int silent = connect_to(server), halfway = connect_to(server);
	ck_assert_int_eq(send(halfway, "GET /echo HT", 12, MSG_NOSIGNAL), 12);
	(void)read_all(silent, text);
	ck_assert_ptr_null(strstr(text, "200 OK"));
	(void)read_all(halfway, text);
	ck_assert_ptr_null(strstr(text, "200 OK"));
	close(silent);
	close(halfway);
	http_server_close(server);
}
END_TEST

START_TEST(a_client_has_no_more_connections_than_its_share)
{
	struct http_server *server = open_server(2, 0);
	static const char request[] = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
	char text[TEXT_MAX];
	int held[2];
	for (size_t i = 0; i < 2; i++) { /* the server knows them once it has answered */
		held[i] = connect_to(server);
		ck_assert_int_gt(send(held[i], request, strlen(request), MSG_NOSIGNAL), 0);
		ck_assert_int_gt(recv(held[i], text, sizeof(text), 0), 0);
	}
	ck_assert_uint_eq(http_server_connections(server), 2);
	const int third = connect_to(server);
	(void)send(third, request, strlen(request), MSG_NOSIGNAL);
	ck_assert_uint_eq(read_all(third, text), 0);
	close(third);
	close(held[0]);
	close(held[1]);
	http_server_close(server);
}
END_TEST

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t entered = PTHREAD_COND_INITIALIZER;
static unsigned int inside;

/* Answers once two requests are in the handler at the same time. */
static void meet(
	void *context, size_t route, const struct http_request *request, struct http_reply *reply)
{
	struct timespec end;
	(void)context;
	(void)route;
	(void)request;
	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += DEADLINE_S / 2;
	pthread_mutex_lock(&lock);
	inside++;
	pthread_cond_broadcast(&entered);
	int late = 0;
	while (inside < 2 && late == 0)
		late = pthread_cond_timedwait(&entered, &lock, &end);
	reply->code = inside < 2 ? 500 : 200;
	pthread_mutex_unlock(&lock);
}

START_TEST(two_connections_are_served_by_two_threads)
{
	static const char *const path = "/meet";
	static const char request[] = "GET /meet HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	const struct http_options options = {.listen = "127.0.0.1:0",
		.threads = 2,
		.paths = &path,
		.route_count = 1,
		.handle = meet};
	struct http_server *server;
	struct error err;
	char text[TEXT_MAX];
	int clients[2];
	assert_ok(http_server_open(&server, &options, &err), &err);
	/* Descriptors first: those that the server gets are then neighbours. */
	for (size_t i = 0; i < 2; i++)
		clients[i] = open_client();
	for (size_t i = 0; i < 2; i++)
		connect_client(clients[i], server);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_gt(send(clients[i], request, strlen(request), MSG_NOSIGNAL), 0);
	for (size_t i = 0; i < 2; i++) {
		(void)read_all(clients[i], text);
		ck_assert_msg(strncmp(text, "HTTP/1.1 200", 12) == 0, "%s", text);
		close(clients[i]);
	}
	http_server_close(server);
}
END_TEST

START_TEST(addresses_are_checked)
{
	static const char *const bad[] = {
		"8080", "127.0.0.1", "[::1", "::1:80", "127.0.0.1:x", "127.0.0.1:70000", ":80", ""};
	char url[HTTP_URL_SIZE];
	int descriptor;
	struct error err;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_fails(http_listen(bad[i], true, &descriptor, url, &err),
			STATUS_INVALID_ARGUMENT, &err, "expected HOST:PORT");
	assert_fails(http_listen("0.0.0.0:0", false, &descriptor, url, &err),
		STATUS_PERMISSION_DENIED, &err, "--public");
	assert_ok(http_listen("127.0.0.1:0", false, &descriptor, url, &err), &err);
	int other;
	assert_fails(http_listen(url + strlen("http://"), false, &other, url, &err),
		STATUS_UNAVAILABLE, &err, "cannot listen on");
	close(descriptor);
}
END_TEST

START_TEST(parameters_are_read_by_a_table)
{
	uint64_t k = 10;
	const char *genre = NULL;
	bool all = false, given = false;
	const struct query_field fields[] = {
		{.name = "k",
			.kind = QUERY_U64,
			.target = &k,
			.min = 1,
			.max = 99,
			.given = &given},
		{.name = "genre", .kind = QUERY_TEXT, .target = &genre},
		{.name = "all", .kind = QUERY_BOOL, .target = &all},
	};
	const struct query_field needed = {
		.name = "k", .kind = QUERY_U64, .target = &k, .max = 1, .required = true};
	struct error err;
	struct http_request request = {0};
	assert_ok(query_read(&request, fields, 3, &err), &err);
	ck_assert(k == 10 && !genre && !all && !given);
	assert_fails(query_read(&request, &needed, 1, &err), STATUS_INVALID_ARGUMENT, &err,
		"'k' is missing");
	request = (struct http_request){
		.parameter_count = 3, .parameters = {{"all", "true"}, {"genre", "x"}, {"k", "99"}}};
	assert_ok(query_read(&request, fields, 3, &err), &err);
	ck_assert(k == 99 && strcmp(genre, "x") == 0 && all && given);
	assert_fails(query_read(&request, fields, 2, &err), STATUS_INVALID_ARGUMENT, &err,
		"'all' is not known: one of k, genre");
	assert_fails(query_read(&request, NULL, 0, &err), STATUS_INVALID_ARGUMENT, &err,
		"there are none here");
	static const struct http_parameter bad[] = {{"k", "0"}, {"k", "100"}, {"k", "-1"},
		{"k", "1x"}, {"k", ""}, {"k", "18446744073709551616"}, {"genre", ""}, {"all", "1"}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		request = (struct http_request){.parameter_count = 1, .parameters = {bad[i]}};
		assert_fails(query_read(&request, fields, 3, &err), STATUS_INVALID_ARGUMENT, &err,
			bad[i].name);
	}
	ck_assert_uint_eq(k, 99);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {requests_reach_their_route_with_their_parameters,
		what_is_refused_does_not_reach_the_handler,
		what_is_no_http_or_too_long_is_refused_and_others_are_served,
		a_client_that_is_late_is_cut, a_client_has_no_more_connections_than_its_share,
		two_connections_are_served_by_two_threads, addresses_are_checked,
		parameters_are_read_by_a_table, NULL};
	return run_cases("http", cases);
}
