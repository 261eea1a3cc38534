/*
 * Design notes. A connection is in the list until end(), which is called once, by whoever receives;
 * its memory stays until the last reference to its link is gone, that is, until the last reply is
 * out or dropped. Who does not bring a whole message costs no thread.
 */
#include "common/rpc/connections.h"

#include "common/base/memory.h"
#include "common/rpc/server_internal.h"
#include "common/rpc/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS	UINT64_C(1000000)
#define PEER_SIZE	64
#define TOTAL_MAX	4u /* times the limit, with those before their handshake */
#define ACCEPT_PAUSE_MS 50 /* without descriptors or memory for another one */

static void on_accept(void *context);

enum status connections_init(struct connections *connections, struct rpc_server *server,
	const struct rpc_server_options *options, const struct link_options *link,
	const struct clock *clock, struct error *err)
{
	connections->limit =
		options->max_connections ? options->max_connections : RPC_CONNECTIONS_DEFAULT;
	connections->clock = clock;
	connections->on_refused = options->on_refused;
	connections->refused_context = options->refused_context;
	connections->link = *link;
	connections->server = server;
	pthread_mutex_init(&connections->lock, NULL);
	pthread_cond_init(&connections->none, NULL);
	int rv = nng_aio_alloc(&connections->accept_aio, on_accept, connections);
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "%s", nng_strerror(rv));
	return STATUS_OK;
}

void connections_fini(struct connections *connections)
{
	if (!connections->limit)
		return;
	if (connections->listener)
		nng_stream_listener_free(connections->listener);
	if (connections->accept_aio)
		nng_aio_free(connections->accept_aio);
	if (connections->watch_aio)
		nng_aio_free(connections->watch_aio);
	pthread_cond_destroy(&connections->none);
	pthread_mutex_destroy(&connections->lock);
}

/* ---- places ---- */

/* Ends all that have been silent for too long. */
static void end_silent(struct connections *connections)
{
	const uint64_t now = clock_now_ns(connections->clock);
	pthread_mutex_lock(&connections->lock);
	for (struct connection *c = connections->first; c; c = c->next) {
		if (!c->has_place || atomic_load(&c->admitted) ||
			now - c->since_ns < CONNECTION_SILENT_MS * NS_PER_MS)
			continue;
		c->has_place = false;
		connections->count--;
		link_close(c->link);
	}
	pthread_mutex_unlock(&connections->lock);
}

static bool give_place(struct connection *connection)
{
	struct connections *connections = connection->connections;
	const uint64_t now = clock_now_ns(connections->clock);
	pthread_mutex_lock(&connections->lock);
	connection->has_place = connections->count < connections->limit;
	connection->since_ns = now;
	if (connection->has_place)
		connections->count++;
	else
		connections->refused++;
	const bool given = connection->has_place;
	pthread_mutex_unlock(&connections->lock);
	return given;
}

static void describe_peer(nng_stream *stream, char text[PEER_SIZE])
{
	nng_sockaddr address;
	char host[INET6_ADDRSTRLEN] = "";
	if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &address) != 0)
		snprintf(text, PEER_SIZE, "an unknown address");
	else if (address.s_family == NNG_AF_INET &&
		 inet_ntop(AF_INET, &address.s_in.sa_addr, host, sizeof(host)))
		snprintf(text, PEER_SIZE, "%s:%u", host, ntohs(address.s_in.sa_port));
	else if (address.s_family == NNG_AF_INET6 &&
		 inet_ntop(AF_INET6, address.s_in6.sa_addr, host, sizeof(host)))
		snprintf(text, PEER_SIZE, "[%s]:%u", host, ntohs(address.s_in6.sa_port));
	else
		snprintf(text, PEER_SIZE, "a process of this machine");
}

/* False: it is refused. Its greeting may have come since it was asked last. */
static bool may_stay(struct connection *connection)
{
	struct connections *connections = connection->connections;
	char peer[PEER_SIZE];
	if (connection->asked || !link_greeted(connection->link))
		return true;
	connection->asked = true;
	end_silent(connections);
	if (give_place(connection))
		return true;
	if (connections->on_refused) {
		describe_peer(link_stream(connection->link), peer);
		connections->on_refused(connections->refused_context, peer, connections->limit);
	}
	return false;
}

void connection_admit(struct connection *connection)
{
	atomic_store(&connection->admitted, true);
}

void connections_count(struct connections *connections, uint64_t *ret_open, uint64_t *ret_refused)
{
	pthread_mutex_lock(&connections->lock);
	*ret_open = connections->count;
	*ret_refused = connections->refused;
	pthread_mutex_unlock(&connections->lock);
}

/* ---- a connection's life ---- */

int connection_next(
	struct connection *connection, struct buffer **ret, struct link_route *ret_route)
{
	if (!connection->first)
		return link_next(connection->link, ret, ret_route);
	*ret = connection->first;
	*ret_route = connection->first_route;
	connection->first = NULL;
	return 0;
}

int connection_wait(struct connection *connection)
{
	return link_wait(connection->link, NNG_DURATION_INFINITE);
}

static void end(struct connection *connection)
{
	struct connections *connections = connection->connections;
	pthread_mutex_lock(&connections->lock);
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		connections->first = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	if (connection->has_place)
		connections->count--;
	connection->has_place = false;
	pthread_mutex_unlock(&connections->lock);
	link_close(connection->link);
	link_release(connection->link);
}

static void on_gone(void *context)
{
	struct connection *connection = context;
	struct connections *connections = connection->connections;
	buffer_free(connection->first);
	free(connection);
	pthread_mutex_lock(&connections->lock);
	if (--connections->total == 0)
		pthread_cond_broadcast(&connections->none);
	pthread_mutex_unlock(&connections->lock);
}

static void *run(void *context)
{
	struct connection *connection = context;
	rpc_server_serve(connection);
	end(connection);
	return NULL;
}

static void start(struct connection *connection)
{
	pthread_t thread;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	const int failed = pthread_create(&thread, &attributes, run, connection);
	pthread_attr_destroy(&attributes);
	if (failed)
		end(connection);
}

/* However many pieces it comes in. */
static nng_duration handshake_left_ms(const struct connection *connection)
{
	const uint64_t now_ns = clock_now_ns(connection->connections->clock);
	const uint64_t end_ns = connection->came_ns + CONNECTION_HANDSHAKE_MS * NS_PER_MS;
	return now_ns < end_ns ? (nng_duration)((end_ns - now_ns) / NS_PER_MS) : 0;
}

static void receive_first(struct connection *connection)
{
	link_receive(connection->link,
		connection->asked ? NNG_DURATION_INFINITE : handshake_left_ms(connection));
}

/* Until there is a message, for which there is a thread then. */
static void on_received(void *context, struct link *link, int rv)
{
	struct connection *connection = context;
	if (rv == 0 && !connection->asked && handshake_left_ms(connection) == 0)
		rv = NNG_ETIMEDOUT;
	if (rv == 0)
		rv = link_next(link, &connection->first, &connection->first_route);
	if (rv != 0 || !may_stay(connection))
		end(connection);
	else if (connection->first)
		start(connection);
	else
		receive_first(connection);
}

/* Where they are too many, or it is needed, the oldest that makes no handshake goes. */
static void make_room(struct connections *connections, bool needed)
{
	pthread_mutex_lock(&connections->lock);
	struct connection *oldest = NULL;
	if (needed || connections->total >= TOTAL_MAX * connections->limit)
		for (struct connection *c = connections->first; c; c = c->next)
			if (!link_greeted(c->link))
				oldest = c;
	if (oldest)
		link_close(oldest->link);
	pthread_mutex_unlock(&connections->lock);
}

/* Without memory or a thread for it the peer finds its connection closed. */
static void add(struct connections *connections, nng_stream *stream)
{
	struct connection *connection;
	struct link_options options = connections->link;
	make_room(connections, false);
	if (memory_zalloc(&connection, 1, sizeof(*connection), "connection", NULL) != STATUS_OK) {
		nng_stream_free(stream);
		return;
	}
	connection->connections = connections;
	connection->came_ns = clock_now_ns(connections->clock);
	options.on_received = on_received;
	options.on_gone = on_gone;
	options.context = connection;
	pthread_mutex_lock(&connections->lock);
	connections->total++;
	pthread_mutex_unlock(&connections->lock);
	if (link_new(&connection->link, stream, &options, NULL) != STATUS_OK) {
		on_gone(connection);
		return;
	}
	pthread_mutex_lock(&connections->lock);
	connection->next = connections->first;
	if (connections->first)
		connections->first->previous = connection;
	connections->first = connection;
	pthread_mutex_unlock(&connections->lock);
	receive_first(connection);
}

static void on_accept(void *context)
{
	struct connections *connections = context;
	const int rv = nng_aio_result(connections->accept_aio);
	/* The output of an operation that was a pause is NULL. */
	nng_stream *stream = rv == 0 ? nng_aio_get_output(connections->accept_aio, 0) : NULL;
	(void)nng_aio_set_output(connections->accept_aio, 0, NULL);
	if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
		return;
	if (stream)
		add(connections, stream);
	if (rv == NNG_ENOFILES) {
		end_silent(connections);
		make_room(connections, true);
	}
	if (rv == 0)
		nng_stream_listener_accept(connections->listener, connections->accept_aio);
	else
		nng_sleep_aio(ACCEPT_PAUSE_MS, connections->accept_aio);
}

/* A socket that has no peer any more is one that nng has ended. */
static void on_watch(void *context)
{
	struct connections *connections = context;
	nng_sockaddr address;
	if (nng_aio_result(connections->watch_aio) != 0)
		return;
	pthread_mutex_lock(&connections->lock);
	for (struct connection *c = connections->first; c; c = c->next)
		if (nng_stream_get_addr(link_stream(c->link), NNG_OPT_REMADDR, &address) != 0)
			link_close(c->link);
	pthread_mutex_unlock(&connections->lock);
	nng_sleep_aio(CONNECTION_WATCH_MS, connections->watch_aio);
}

/* ---- listening ---- */

static enum status set_tls(
	nng_stream_listener *listener, const struct rpc_tls *tls, struct error *err)
{
	nng_tls_config *config;
	enum status status = rpc_tls_server_config(&config, tls, err);
	if (status != STATUS_OK)
		return status;
	int rv = nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config); /* the listener holds its own reference */
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "TLS: %s", nng_strerror(rv));
	return STATUS_OK;
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

enum status connections_listen(struct connections *connections, const char *url,
	const struct rpc_tls *tls, int *ret_port, struct error *err)
{
	char stream_url[RPC_STREAM_URL_SIZE];
	rpc_url_of_stream(url, stream_url);
	int rv = nng_stream_listener_alloc(&connections->listener, stream_url);
	if (rv != 0)
		return listen_error(rv, err);
	/* A client that vanished is noticed; the other transports do not know the option. */
	(void)nng_stream_listener_set_bool(connections->listener, NNG_OPT_TCP_KEEPALIVE, true);
	/* With TLS nng 1.5.2 leaves it off: a message's last piece would wait for the peer's ack.
	 */
	(void)nng_stream_listener_set_bool(connections->listener, NNG_OPT_TCP_NODELAY, true);
	if (rpc_url_is_tls(url)) {
		enum status status = set_tls(connections->listener, tls, err);
		if (status != STATUS_OK)
			return status;
		rv = nng_aio_alloc(&connections->watch_aio, on_watch, connections);
		if (rv != 0)
			return error_set(err, rpc_status_from_nng(rv), "%s", nng_strerror(rv));
		nng_sleep_aio(CONNECTION_WATCH_MS, connections->watch_aio);
	}
	rv = nng_stream_listener_listen(connections->listener);
	if (rv != 0)
		return listen_error(rv, err);
	*ret_port = 0;
	(void)nng_stream_listener_get_int(connections->listener, NNG_OPT_TCP_BOUND_PORT, ret_port);
	nng_stream_listener_accept(connections->listener, connections->accept_aio);
	return STATUS_OK;
}

void connections_stop_listening(struct connections *connections)
{
	if (!connections->listener)
		return;
	nng_stream_listener_close(connections->listener);
	nng_aio_stop(connections->accept_aio);
	if (connections->watch_aio)
		nng_aio_stop(connections->watch_aio);
}

void connections_close(struct connections *connections)
{
	if (!connections->limit)
		return;
	pthread_mutex_lock(&connections->lock);
	for (struct connection *c = connections->first; c; c = c->next)
		link_close(c->link);
	while (connections->total > 0)
		pthread_cond_wait(&connections->none, &connections->lock);
	pthread_mutex_unlock(&connections->lock);
}
