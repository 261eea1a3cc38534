#include "common/rpc/server_internal.h"

#include "common/base/memory.h"
#include "common/rpc/channel.h"
#include "common/rpc/tls.h"

#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETTLE_MS 20

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
	message_pool_init(&server->spares);
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->idle, NULL);
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

static enum status set_listener_tls(
	nng_listener listener, const struct rpc_tls *tls, struct error *err)
{
	nng_tls_config *config;
	enum status status = rpc_tls_server_config(&config, tls, err);
	if (status != STATUS_OK)
		return status;
	int rv = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config); /* the listener holds its own reference */
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "TLS: %s", nng_strerror(rv));
	return STATUS_OK;
}

/* The URL with the port that the system chose. */
static void store_url(struct rpc_server *server, nng_listener listener, const char *url)
{
	int port = 0;
	const char *colon = strrchr(url, ':');
	if (colon && strcmp(colon, ":0") == 0)
		(void)nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
	if (port > 0)
		snprintf(
			server->url, sizeof(server->url), "%.*s:%d", (int)(colon - url), url, port);
	else
		snprintf(server->url, sizeof(server->url), "%s", url);
}

static enum status listen_error(int rv, struct error *err)
{
	switch (rv) {
	case NNG_EADDRINUSE:
		return error_set(err, STATUS_ALREADY_EXISTS,
			"address in use: another server listens there; stop it or choose another "
			"port (0: any)");
	case NNG_EADDRINVAL:
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"not an address of this machine: expected a host or IP of it and a port");
	default:
		return error_set(
			err, rpc_status_from_nng(rv), "cannot listen: %s", nng_strerror(rv));
	}
}

static enum status listen_on(
	struct rpc_server *server, const struct rpc_server_options *options, struct error *err)
{
	int rv = nng_rep0_open(&server->socket);
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "socket: %s", nng_strerror(rv));
	nng_listener listener;
	rv = nng_socket_set_size(
		server->socket, NNG_OPT_RECVMAXSZ, server->max_message_bytes + sizeof(uint32_t));
	if (rv == 0)
		rv = nng_listener_create(&listener, server->socket, options->url);
	if (rv != 0)
		return listen_error(rv, err);
	enum status status = connections_watch(&server->connections, server->socket, err);
	/* A client that vanished is noticed; the other transports do not know the option. */
	(void)nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (status == STATUS_OK && rpc_url_is_tls(options->url))
		status = set_listener_tls(listener, options->tls, err);
	/* The first calls are there before the first request. */
	if (status == STATUS_OK)
		status = rpc_server_add_calls(server, err);
	if (status != STATUS_OK)
		return status;
	rv = nng_listener_start(listener, 0);
	if (rv != 0)
		return listen_error(rv, err);
	store_url(server, listener, options->url);
	return STATUS_OK;
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
	if (status == STATUS_OK)
		status = connections_init(&server->connections, options, server->clock, err);
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
	while (server->busy > 0)
		pthread_cond_wait(&server->idle, &server->lock);
	pthread_mutex_unlock(&server->lock);
	if (server->socket.id != 0) {
		/*
		 * nng 1.5.2 hangs in nng_close() when a message is half received at that moment
		 * (nng's issue 1636, mended in 1.6). Without a call that receives, a connection
		 * holds one whole message and reads no further; give those on the way time.
		 */
		rpc_server_stop_receiving(server);
		const struct timespec settle = {.tv_nsec = SETTLE_MS * 1000000L};
		(void)nanosleep(&settle, NULL);
		(void)nng_close(server->socket);
	}
	rpc_server_free_calls(server);
	connections_fini(&server->connections);
	message_pool_fini(&server->spares);
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
