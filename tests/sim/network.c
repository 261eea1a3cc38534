/*
 * Sockets, connections, and messages on their way.
 *
 * Design notes. Sockets and contexts are numbered objects that stay until the world ends; those of
 * a dead process are closed. A message that is sent becomes an event at the time of its arrival, or
 * two, or none. What is on the way when its connection is lost may still reach the server, as bytes
 * may that it has received; a reply never reaches anybody then.
 */
#include "common/base/hash.h"
#include "tests/sim/network_internal.h"

#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX    8192u
#define URL_SIZE       128
#define FIRST_PORT     20000
#define DIAL_US_MAX    300u
#define REDIAL_MS_MAX  500u
#define NOTICE_US_MAX  20000u /* until a client notices that its server died */
#define LATENCY_US_MAX 200u
#define SLOW_MS_MAX    100u
#define STUCK_MS_MAX   50000u

struct packet {
	bool reply;
	uint32_t client, connection, context, server;
	uint64_t request;
	nng_msg *message;
	struct packet *next; /* in a server's inbox */
};

/* A socket or one of its contexts. */
struct object {
	uint32_t number, socket; /* socket: of a context */
	bool open;
	struct sim_process *process;
	char url[URL_SIZE]; /* of the peer, or its own where it listens */
	/* A client's socket. */
	bool dials;
	uint32_t server;     /* 0: not connected */
	uint32_t connection; /* counts them */
	/* A server's socket. */
	bool serves, listens;
	struct packet *inbox;
	/* A context. */
	nng_aio *sending, *receiving;
	uint64_t request;   /* a client's: the one that is asked; 0: none */
	bool was_reset;	    /* ... and will not be answered any more */
	nng_msg *answer;    /* ... that came before the receive */
	struct packet from; /* a server's: to whom the reply goes */
};

static struct network {
	struct object *objects[OBJECTS_MAX];
	uint32_t count;
	uint64_t requests;
	int next_port;
	struct sim_weather weather;
	struct sim_network_counts counts;
} network;

void sim_weather(const struct sim_weather *weather)
{
	network.weather = *weather;
}

void sim_network_counts(struct sim_network_counts *ret)
{
	*ret = network.counts;
}

void sim_network_begin(void)
{
	for (uint32_t i = 0; i < network.count; i++)
		free(network.objects[i]);
	network = (struct network){.next_port = FIRST_PORT};
}

static struct object *object_of(uint32_t number)
{
	return network.objects[number - 1];
}

static struct object *new_object(void)
{
	struct object *object = calloc(1, sizeof(*object));
	if (!object || network.count == OBJECTS_MAX)
		abort();
	network.objects[network.count++] = object;
	object->number = network.count;
	object->open = true;
	object->process = sim_self();
	return object;
}

static uint64_t later_us(uint32_t at_most_us)
{
	return sim_now_ns() + SIM_US * (1 + sim_draw(SIM_NETWORK, at_most_us));
}

void sim_network_give_up(const nng_aio *aio)
{
	for (uint32_t i = 0; i < network.count; i++) {
		struct object *context = network.objects[i];
		if (context->sending != aio && context->receiving != aio)
			continue;
		/* Who gives up a receive gives up the request. */
		context->sending = context->receiving = NULL;
		context->request = 0;
		context->was_reset = false;
	}
}

/* ---- connections ---- */

static void transmit(const struct packet *packet);

/* A connection took the message of a context. */
static void send_request(struct object *context)
{
	struct object *socket = object_of(context->socket);
	nng_aio *aio = context->sending;
	const struct packet packet = {
		.client = socket->number,
		.connection = socket->connection,
		.context = context->number,
		.server = socket->server,
		.request = context->request,
		.message = aio->message,
	};
	aio->message = NULL;
	context->sending = NULL;
	transmit(&packet);
	sim_aio_finish(aio, 0);
}

static void on_dial(void *argument, uint64_t number)
{
	struct object *socket = argument;
	(void)number;
	if (!socket->open || socket->server)
		return;
	for (uint32_t i = 0; i < network.count && !socket->server; i++) {
		const struct object *there = network.objects[i];
		if (there->listens && there->open && strcmp(there->url, socket->url) == 0)
			socket->server = there->number;
	}
	if (!socket->server) {
		sim_at(later_us(REDIAL_MS_MAX * 1000), on_dial, socket, 0);
		return;
	}
	socket->connection++;
	sim_trace("connect", socket->number, socket->server);
	for (uint32_t i = 0; i < network.count; i++)
		if (network.objects[i]->socket == socket->number && network.objects[i]->sending)
			send_request(network.objects[i]);
}

static void on_lost(void *argument, uint64_t connection)
{
	struct object *socket = argument;
	if (!socket->open || !socket->server || socket->connection != connection)
		return;
	socket->server = 0;
	sim_trace("lost", socket->number, connection);
	for (uint32_t i = 0; i < network.count; i++) {
		struct object *context = network.objects[i];
		if (context->socket != socket->number || !context->request || context->answer)
			continue;
		nng_aio *aio = context->receiving;
		context->was_reset = !aio && !context->sending;
		if (aio) {
			context->receiving = NULL;
			context->request = 0;
			sim_aio_finish(aio, NNG_ECONNRESET);
		}
	}
	sim_at(later_us(REDIAL_MS_MAX * 1000), on_dial, socket, 0);
}

/* A socket is closed, or its process has died: who is connected to it will notice. */
static void close_object(struct object *closed)
{
	closed->open = closed->listens = false;
	for (uint32_t i = 0; i < network.count && closed->serves; i++) {
		struct object *socket = network.objects[i];
		if (socket->dials && socket->open && socket->server == closed->number)
			sim_at(later_us(NOTICE_US_MAX), on_lost, socket, socket->connection);
	}
}

void sim_network_forget(const struct sim_process *process)
{
	for (uint32_t i = 0; i < network.count; i++)
		if (network.objects[i]->process == process && network.objects[i]->open)
			close_object(network.objects[i]);
}

/* ---- messages on their way ---- */

static void give_request(struct object *context, const struct packet *packet)
{
	nng_aio *aio = context->receiving;
	context->receiving = NULL;
	context->from = *packet;
	aio->message = packet->message;
	sim_aio_finish(aio, 0);
}

static void arrive_at_server(const struct packet *packet)
{
	struct object *server = object_of(packet->server);
	const struct object *client = object_of(packet->client);
	struct object *receiving[64];
	uint32_t count = 0;
	const bool stale = client->connection != packet->connection || !client->server;
	if (!server->open || (stale && sim_chance(SIM_NETWORK, 5000))) {
		nng_msg_free(packet->message);
		return;
	}
	for (uint32_t i = 0; i < network.count && count < 64; i++)
		if (network.objects[i]->socket == server->number && network.objects[i]->receiving)
			receiving[count++] = network.objects[i];
	if (count > 0) {
		give_request(receiving[sim_draw(SIM_NETWORK, count)], packet);
		return;
	}
	struct packet *kept = malloc(sizeof(*kept));
	if (!kept)
		abort();
	*kept = *packet;
	kept->next = NULL;
	struct packet **at = &server->inbox;
	while (*at)
		at = &(*at)->next;
	*at = kept;
}

static void arrive_at_client(const struct packet *packet)
{
	struct object *context = object_of(packet->context);
	const struct object *client = object_of(packet->client);
	if (!client->open || !context->open || client->connection != packet->connection ||
		!client->server || context->request != packet->request || context->answer) {
		nng_msg_free(packet->message);
		return;
	}
	if (!context->receiving) {
		context->answer = packet->message;
		return;
	}
	nng_aio *aio = context->receiving;
	context->receiving = NULL;
	context->request = 0;
	aio->message = packet->message;
	sim_aio_finish(aio, 0);
}

static void on_arrival(void *argument, uint64_t number)
{
	struct packet *packet = argument;
	(void)number;
	sim_trace(packet->reply ? "reply" : "request", packet->request,
		hash_bytes(nng_msg_body(packet->message), nng_msg_len(packet->message),
			packet->context));
	if (packet->reply)
		arrive_at_client(packet);
	else
		arrive_at_server(packet);
	free(packet);
}

static void send_copy(const struct packet *packet, nng_msg *message)
{
	const struct sim_weather *weather = &network.weather;
	struct packet *copy = malloc(sizeof(*copy));
	if (!copy)
		abort();
	*copy = *packet;
	copy->message = message;
	uint64_t at_ns = later_us(LATENCY_US_MAX);
	if (sim_chance(SIM_NETWORK, weather->slow)) {
		network.counts.slow++;
		at_ns += SIM_MS * sim_draw(SIM_NETWORK, SLOW_MS_MAX);
	} else if (sim_chance(SIM_NETWORK, weather->stuck)) {
		network.counts.stuck++;
		at_ns += SIM_MS * sim_draw(SIM_NETWORK, STUCK_MS_MAX);
	}
	sim_at(at_ns, on_arrival, copy, 0);
}

/* Takes the message. */
static void transmit(const struct packet *packet)
{
	const struct sim_weather *weather = &network.weather;
	network.counts.sent++;
	if (sim_chance(SIM_NETWORK, weather->reset)) {
		network.counts.reset++;
		sim_at(later_us(LATENCY_US_MAX), on_lost, object_of(packet->client),
			packet->connection);
	}
	if (sim_chance(SIM_NETWORK, weather->doubled)) {
		network.counts.doubled++;
		send_copy(packet, sim_copy_message(packet->message));
	}
	if (sim_chance(SIM_NETWORK, weather->lost)) {
		network.counts.lost++;
		sim_trace("drop", packet->request, packet->reply);
		nng_msg_free(packet->message);
	} else {
		send_copy(packet, packet->message);
	}
}

/* ---- nng's calls ---- */

int nng_req0_open(nng_socket *ret)
{
	ret->id = new_object()->number;
	return 0;
}

int nng_rep0_open(nng_socket *ret)
{
	struct object *socket = new_object();
	socket->serves = true;
	ret->id = socket->number;
	return 0;
}

int nng_close(nng_socket socket)
{
	struct object *closed = object_of(socket.id);
	close_object(closed);
	for (uint32_t i = 0; i < network.count; i++) {
		struct object *context = network.objects[i];
		nng_aio *const operations[] = {context->sending, context->receiving};
		if (context->socket != closed->number)
			continue;
		context->open = false;
		context->sending = context->receiving = NULL;
		for (int k = 0; k < 2; k++)
			if (operations[k])
				sim_aio_finish(operations[k], NNG_ECLOSED);
	}
	return 0;
}

int nng_socket_set_ms(nng_socket socket, const char *name, nng_duration value)
{
	(void)socket, (void)name, (void)value;
	return 0;
}

int nng_socket_set_size(nng_socket socket, const char *name, size_t value)
{
	(void)socket, (void)name, (void)value;
	return 0;
}

int nng_dialer_create(nng_dialer *ret, nng_socket socket, const char *url)
{
	snprintf(object_of(socket.id)->url, URL_SIZE, "%s", url);
	ret->id = socket.id;
	return 0;
}

int nng_dialer_set_bool(nng_dialer dialer, const char *name, bool value)
{
	(void)dialer, (void)name, (void)value;
	return 0;
}

/* A socket that is to connect no more is one that its owner has left. */
int nng_dialer_set_ms(nng_dialer dialer, const char *name, nng_duration value)
{
	(void)name;
	if (value == INT32_MAX)
		object_of(dialer.id)->open = false;
	return 0;
}

int nng_dialer_start(nng_dialer dialer, int flags)
{
	struct object *socket = object_of(dialer.id);
	(void)flags;
	socket->dials = true;
	sim_at(later_us(DIAL_US_MAX), on_dial, socket, 0);
	return 0;
}

int nng_listener_create(nng_listener *ret, nng_socket socket, const char *url)
{
	snprintf(object_of(socket.id)->url, URL_SIZE, "%s", url);
	ret->id = socket.id;
	return 0;
}

int nng_listener_set_bool(nng_listener listener, const char *name, bool value)
{
	(void)listener, (void)name, (void)value;
	return 0;
}

int nng_listener_start(nng_listener listener, int flags)
{
	struct object *socket = object_of(listener.id);
	char *port = strrchr(socket->url, ':');
	(void)flags;
	if (port && strcmp(port, ":0") == 0)
		snprintf(port, (size_t)(socket->url + URL_SIZE - port), ":%d", network.next_port++);
	for (uint32_t i = 0; i < network.count; i++)
		if (network.objects[i]->listens &&
			strcmp(network.objects[i]->url, socket->url) == 0)
			return NNG_EADDRINUSE;
	socket->listens = true;
	return 0;
}

int nng_listener_get_int(nng_listener listener, const char *name, int *ret)
{
	(void)name;
	*ret = atoi(strrchr(object_of(listener.id)->url, ':') + 1);
	return 0;
}

int nng_ctx_open(nng_ctx *ret, nng_socket socket)
{
	struct object *context = new_object();
	context->socket = socket.id;
	context->open = object_of(socket.id)->open;
	ret->id = context->number;
	return context->open ? 0 : NNG_ECLOSED;
}

int nng_ctx_close(nng_ctx ctx)
{
	object_of(ctx.id)->open = false;
	return 0;
}

static void send_reply(struct object *context, nng_aio *aio)
{
	struct packet packet = context->from;
	packet.reply = true;
	packet.message = aio->message;
	aio->message = NULL;
	transmit(&packet);
	sim_aio_finish(aio, 0);
}

void nng_ctx_send(nng_ctx ctx, nng_aio *aio)
{
	struct object *context = object_of(ctx.id);
	const struct object *socket = object_of(context->socket);
	sim_aio_begin(aio);
	if (!socket->open) {
		sim_aio_finish(aio, NNG_ECLOSED);
	} else if (socket->serves) {
		send_reply(context, aio);
	} else {
		if (context->answer)
			nng_msg_free(context->answer);
		context->answer = NULL;
		context->was_reset = false;
		context->request = ++network.requests;
		context->sending = aio;
		if (socket->server)
			send_request(context);
	}
}

static void receive_request(struct object *server, struct object *context)
{
	struct packet *first = server->inbox;
	if (!first)
		return;
	server->inbox = first->next;
	give_request(context, first);
	free(first);
}

void nng_ctx_recv(nng_ctx ctx, nng_aio *aio)
{
	struct object *context = object_of(ctx.id);
	struct object *socket = object_of(context->socket);
	sim_aio_begin(aio);
	context->receiving = aio;
	if (!socket->open) {
		context->receiving = NULL;
		sim_aio_finish(aio, NNG_ECLOSED);
	} else if (socket->serves) {
		receive_request(socket, context);
	} else if (context->answer || context->was_reset || !context->request) {
		context->receiving = NULL;
		aio->message = context->answer;
		int result = context->answer ? 0 : context->was_reset ? NNG_ECONNRESET : NNG_ESTATE;
		context->answer = NULL;
		context->was_reset = false;
		context->request = 0;
		sim_aio_finish(aio, result);
	}
}
