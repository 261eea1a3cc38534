#include "common/rpc/server_internal.h"

#include "common/base/condition.h"
#include "common/base/memory.h"
#include "common/rpc/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_REPLIES_NS UINT64_C(1000000000) /* for clients that do not read theirs */

static void answer_check(Marquee__Health__V1__Health_Service *service,
	const Marquee__Health__V1__CheckRequest *input,
	Marquee__Health__V1__CheckReply_Closure closure, void *closure_data)
{
	(void)input;
	struct rpc_server *server =
		(struct rpc_server *)((char *)service - offsetof(struct rpc_server, health));
	char *names[SERVICES_MAX];
	for (size_t i = 0; i < server->service_count; i++)
		names[i] = (char *)server->services[i]->descriptor->name;
	Marquee__Health__V1__CheckReply reply = MARQUEE__HEALTH__V1__CHECK_REPLY__INIT;
	reply.serving = true;
	reply.frame_version = RPC_FRAME_VERSION;
	reply.n_services = server->service_count;
	reply.services = names;
	reply.max_message_bytes = server->max_message_bytes;
	closure(&reply, closure_data);
}

static enum status check_options(const struct rpc_server_options *options, struct error *err)
{
	enum status status = rpc_url_check(options->url, err);
	if (status != STATUS_OK)
		return status;
	if (options->token && options->token_bytes == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "the token is empty");
	if (options->token_bytes > RPC_TOKEN_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "a token has at most %zu bytes",
			RPC_TOKEN_BYTES_MAX);
	if (options->max_message_bytes > RPC_MESSAGE_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "a message has at most %zu bytes",
			RPC_MESSAGE_BYTES_MAX);
	if (options->max_connections > RPC_CONNECTIONS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "at most %u connections",
			RPC_CONNECTIONS_MAX);
	bool mutual = rpc_url_is_tls(options->url) && options->tls && options->tls->ca_file;
	if (!rpc_url_is_local(options->url) && !options->token && !mutual)
		return error_set(err, STATUS_PERMISSION_DENIED,
			"%s can be reached from other machines: give a token (--token-file) or "
			"mutual TLS (tls+tcp with --tls-ca), or listen on 127.0.0.1",
			options->url);
	return STATUS_OK;
}

static void init_server(struct rpc_server *server, const struct rpc_server_options *options,
	ProtobufCService *const *services, size_t service_count)
{
	server->max_message_bytes =
		options->max_message_bytes ? options->max_message_bytes : RPC_MESSAGE_BYTES_DEFAULT;
	server->max_calls = options->max_calls ? options->max_calls : RPC_CALLS_DEFAULT;
	server->clock = options->clock ? options->clock : clock_real();
	server->health =
		(Marquee__Health__V1__Health_Service)MARQUEE__HEALTH__V1__HEALTH__INIT(answer_);
	server->services[server->service_count++] = &server->health.base;
	for (size_t i = 0; i < service_count; i++)
		server->services[server->service_count++] = services[i];
	buffer_pool_init(&server->buffers);
	pthread_mutex_init(&server->lock, NULL);
	condition_init(&server->idle);
	pthread_cond_init(&server->fewer, NULL);
}

static enum status make_methods(struct rpc_server *server, struct error *err)
{
	size_t count = 0;
	for (size_t s = 0; s < server->service_count; s++)
		count += server->services[s]->descriptor->n_methods;
	enum status status = memory_zalloc(
		&server->methods, count + 1, sizeof(*server->methods), "method counts", err);
	if (status != STATUS_OK)
		return status;
	struct rpc_method_record *record = server->methods;
	for (size_t s = 0; s < server->service_count; s++) {
		const ProtobufCServiceDescriptor *service = server->services[s]->descriptor;
		for (unsigned int m = 0; m < service->n_methods; m++, record++) {
			record->service = service->name;
			record->method = service->methods[m].name;
		}
	}
	record->service = record->method = "";
	server->method_count = count + 1;
	return STATUS_OK;
}

bool rpc_server_has_token(const struct rpc_server *server, const ProtobufCBinaryData *token)
{
	if (!server->token)
		return true;
	unsigned int difference = token->len != server->token_bytes;
	for (size_t i = 0; i < server->token_bytes; i++)
		difference |= (unsigned int)server->token[i] ^
			      (i < token->len ? (unsigned int)token->data[i] : 0u);
	return difference == 0;
}

/* Who has not shown the token yet gets no memory for a large message before its header has it. */
static int may_begin(void *context, const unsigned char *message, size_t bytes)
{
	struct connection *connection = context;
	const struct rpc_server *server = connection->connections->server;
	struct rpc_bytes bytes_of_header;
	if (!server->token || atomic_load(&connection->admitted))
		return 0;
	if (rpc_frame_peek_header(&bytes_of_header, RPC_FRAME_REQUEST, message, bytes, NULL) !=
		STATUS_OK)
		return NNG_EPROTO;
	if (!bytes_of_header.data)
		return NNG_EAGAIN;
	Marquee__Rpc__V1__RequestHeader *header = marquee__rpc__v1__request_header__unpack(
		NULL, bytes_of_header.size, bytes_of_header.data);
	const bool known = header && rpc_server_has_token(server, &header->token);
	if (header)
		marquee__rpc__v1__request_header__free_unpacked(header, NULL);
	if (known)
		connection_admit(connection); /* however long the rest takes */
	return known ? 0 : NNG_EPERM;
}

/* The URL with the port that the system chose. */
static void store_url(struct rpc_server *server, const char *url, int port)
{
	const char *colon = strrchr(url, ':');
	if (port > 0 && colon && strcmp(colon, ":0") == 0)
		snprintf(
			server->url, sizeof(server->url), "%.*s:%d", (int)(colon - url), url, port);
	else
		snprintf(server->url, sizeof(server->url), "%s", url);
}

static enum status listen_on(
	struct rpc_server *server, const struct rpc_server_options *options, struct error *err)
{
	const struct link_options link = {
		.side = LINK_SERVER,
		.ipc = rpc_url_is_ipc(options->url),
		.max_message_bytes = server->max_message_bytes,
		.pool = &server->buffers,
		.may_begin = may_begin,
		.on_sent = rpc_server_on_sent,
	};
	int port;
	enum status status =
		connections_init(&server->connections, server, options, &link, server->clock, err);
	if (status == STATUS_OK)
		status = connections_listen(
			&server->connections, options->url, options->tls, &port, err);
	if (status == STATUS_OK)
		store_url(server, options->url, port);
	return status;
}

enum status rpc_server_open(struct rpc_server **ret, const struct rpc_server_options *options,
	ProtobufCService *const *services, size_t service_count, struct error *err)
{
	enum status status = check_options(options, err);
	if (status != STATUS_OK)
		return status;
	if (service_count > SERVICES_MAX - 1)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%zu services, at most %d",
			service_count, SERVICES_MAX - 1);
	struct rpc_server *server;
	status = memory_zalloc(&server, 1, sizeof(*server), "server", err);
	if (status != STATUS_OK)
		return status;
	init_server(server, options, services, service_count);
	status = make_methods(server, err);
	if (options->token && status == STATUS_OK) {
		status = memory_alloc(&server->token, options->token_bytes, 1, "token", err);
		if (status == STATUS_OK) {
			memcpy(server->token, options->token, options->token_bytes);
			server->token_bytes = options->token_bytes;
		}
	}
	if (status == STATUS_OK)
		status = listen_on(server, options, err);
	if (status != STATUS_OK) {
		rpc_server_close(server);
		return error_wrap(err, status, "%s", options->url);
	}
	*ret = server;
	return STATUS_OK;
}

void rpc_server_close(struct rpc_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	pthread_cond_broadcast(&server->fewer);
	while (server->running > 0)
		pthread_cond_wait(&server->idle, &server->lock);
	const uint64_t until_ns = clock_now_ns(clock_real()) + LAST_REPLIES_NS;
	while (server->unanswered > 0 &&
		condition_wait_until(&server->idle, &server->lock, until_ns))
		;
	pthread_mutex_unlock(&server->lock);
	connections_stop_listening(&server->connections);
	connections_close(&server->connections);
	connections_fini(&server->connections);
	buffer_pool_fini(&server->buffers);
	pthread_cond_destroy(&server->fewer);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->lock);
	if (server->token)
		explicit_bzero(server->token, server->token_bytes);
	free(server->token);
	free(server->methods);
	free(server);
}

const char *rpc_server_url(const struct rpc_server *server)
{
	return server->url;
}

void rpc_server_stats(struct rpc_server *server, struct rpc_server_stats *ret)
{
	*ret = (struct rpc_server_stats){
		.requests = atomic_load(&server->requests),
		.refused = atomic_load(&server->refused),
		.bytes_received = atomic_load(&server->bytes_received),
		.bytes_sent = atomic_load(&server->bytes_sent),
	};
	connections_count(&server->connections, &ret->connections, &ret->connections_refused);
}

size_t rpc_server_method_count(const struct rpc_server *server)
{
	return server->method_count;
}

void rpc_server_method_stats(
	const struct rpc_server *server, size_t method, struct rpc_method_stats *ret)
{
	struct rpc_method_record *record = &server->methods[method];
	*ret = (struct rpc_method_stats){
		.service = record->service,
		.method = record->method,
		.latency = &record->latency,
	};
	for (size_t s = 0; s < STATUS_COUNT; s++)
		ret->answered[s] = atomic_load_explicit(&record->answered[s], memory_order_relaxed);
}
