#include "common/rpc/connections.h"

#include "common/base/memory.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)
#define PEER_SIZE 64

struct connection {
	uint32_t pipe;
	bool admitted;
	uint64_t since_ns;
};

enum status connections_init(struct connections *connections,
	const struct rpc_server_options *options, const struct clock *clock, struct error *err)
{
	connections->limit =
		options->max_connections ? options->max_connections : RPC_CONNECTIONS_DEFAULT;
	connections->clock = clock;
	connections->on_refused = options->on_refused;
	connections->refused_context = options->refused_context;
	pthread_mutex_init(&connections->lock, NULL);
	return memory_zalloc(&connections->places, connections->limit, sizeof(*connections->places),
		"connections", err);
}

void connections_fini(struct connections *connections)
{
	if (connections->limit)
		pthread_mutex_destroy(&connections->lock);
	free(connections->places);
}

static struct connection *find(struct connections *connections, uint32_t pipe)
{
	for (uint32_t i = 0; i < connections->count; i++)
		if (connections->places[i].pipe == pipe)
			return &connections->places[i];
	return NULL;
}

static void remove_place(struct connections *connections, struct connection *place)
{
	*place = connections->places[--connections->count];
}

/* Takes the place of one that has been silent for too long; false: there is none. */
static bool take_silent(struct connections *connections, nng_pipe *ret)
{
	const uint64_t now = clock_now_ns(connections->clock);
	bool found = false;
	pthread_mutex_lock(&connections->lock);
	for (uint32_t i = 0; i < connections->count && !found; i++) {
		struct connection *place = &connections->places[i];
		found = !place->admitted &&
			now - place->since_ns >= CONNECTION_SILENT_MS * NS_PER_MS;
		if (found) {
			ret->id = place->pipe;
			remove_place(connections, place);
		}
	}
	pthread_mutex_unlock(&connections->lock);
	return found;
}

static bool give_place(struct connections *connections, uint32_t pipe)
{
	const uint64_t now = clock_now_ns(connections->clock);
	pthread_mutex_lock(&connections->lock);
	const bool given = connections->count < connections->limit;
	if (given)
		connections->places[connections->count++] =
			(struct connection){.pipe = pipe, .since_ns = now};
	else
		connections->refused++;
	pthread_mutex_unlock(&connections->lock);
	return given;
}

static void describe_peer(nng_pipe pipe, char text[PEER_SIZE])
{
	nng_sockaddr address;
	char host[INET6_ADDRSTRLEN] = "";
	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) != 0)
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

/* Before the socket sees it: what is closed here, it never sees. */
static void on_added(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct connections *connections = context;
	nng_pipe silent;
	char peer[PEER_SIZE];
	(void)event;
	while (take_silent(connections, &silent))
		(void)nng_pipe_close(silent);
	if (give_place(connections, (uint32_t)nng_pipe_id(pipe)))
		return;
	if (connections->on_refused) {
		describe_peer(pipe, peer);
		connections->on_refused(connections->refused_context, peer, connections->limit);
	}
	(void)nng_pipe_close(pipe);
}

static void on_removed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct connections *connections = context;
	(void)event;
	pthread_mutex_lock(&connections->lock);
	struct connection *place = find(connections, (uint32_t)nng_pipe_id(pipe));
	if (place)
		remove_place(connections, place);
	pthread_mutex_unlock(&connections->lock);
}

enum status connections_watch(struct connections *connections, nng_socket socket, struct error *err)
{
	int rv = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, on_added, connections);
	if (rv == 0)
		rv = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_removed, connections);
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "connections: %s", nng_strerror(rv));
	return STATUS_OK;
}

void connections_admit(struct connections *connections, nng_pipe pipe)
{
	pthread_mutex_lock(&connections->lock);
	struct connection *place = find(connections, (uint32_t)pipe.id);
	if (place)
		place->admitted = true;
	pthread_mutex_unlock(&connections->lock);
}

void connections_count(struct connections *connections, uint64_t *ret_open, uint64_t *ret_refused)
{
	pthread_mutex_lock(&connections->lock);
	*ret_open = connections->count;
	*ret_refused = connections->refused;
	pthread_mutex_unlock(&connections->lock);
}
