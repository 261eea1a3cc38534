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

#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX    8192u
#define FIRST_PORT     20000
#define DIAL_US_MAX    300u
#define REDIAL_MS_MAX  500u
#define NOTICE_US_MAX  20000u /* until a client notices that its server died */
#define LATENCY_US_MAX 200u
#define SLOW_MS_MAX    100u
#define STUCK_MS_MAX   50000u

static struct network {
	struct sim_object *objects[OBJECTS_MAX];
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

struct sim_object *sim_object_of(uint32_t number)
{
	return network.objects[number - 1];
}

struct sim_object *sim_object_new(void)
{
	struct sim_object *object = calloc(1, sizeof(*object));
	if (!object || network.count == OBJECTS_MAX)
		abort();
	network.objects[network.count++] = object;
	object->number = network.count;
	object->open = true;
	object->process = sim_self();
	return object;
}

uint32_t sim_object_count(void)
{
	return network.count;
}

uint64_t sim_next_request(void)
{
	return ++network.requests;
}

int sim_next_port(void)
{
	return network.next_port++;
}

static uint64_t later_us(uint32_t at_most_us)
{
	return sim_now_ns() + SIM_US * (1 + sim_draw(SIM_NETWORK, at_most_us));
}

void sim_network_give_up(const nng_aio *aio)
{
	for (uint32_t i = 0; i < network.count; i++) {
		struct sim_object *context = network.objects[i];
		if (context->sending != aio && context->receiving != aio)
			continue;
		/* Who gives up a receive gives up the request. */
		context->sending = context->receiving = NULL;
		context->request = 0;
		context->was_reset = false;
	}
}

/* ---- connections ---- */

void sim_send_request(struct sim_object *context)
{
	struct sim_object *socket = sim_object_of(context->socket);
	nng_aio *aio = context->sending;
	const struct sim_packet packet = {
		.client = socket->number,
		.connection = socket->connection,
		.context = context->number,
		.server = socket->server,
		.request = context->request,
		.message = aio->message,
	};
	aio->message = NULL;
	context->sending = NULL;
	sim_transmit(&packet);
	sim_aio_finish(aio, 0);
}

static void on_dial(void *argument, uint64_t number)
{
	struct sim_object *socket = argument;
	(void)number;
	if (!socket->open || socket->server)
		return;
	for (uint32_t i = 0; i < network.count && !socket->server; i++) {
		const struct sim_object *there = network.objects[i];
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
			sim_send_request(network.objects[i]);
}

static void on_lost(void *argument, uint64_t connection)
{
	struct sim_object *socket = argument;
	if (!socket->open || !socket->server || socket->connection != connection)
		return;
	socket->server = 0;
	sim_trace("lost", socket->number, connection);
	for (uint32_t i = 0; i < network.count; i++) {
		struct sim_object *context = network.objects[i];
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

void sim_dial(struct sim_object *socket)
{
	socket->dials = true;
	sim_at(later_us(DIAL_US_MAX), on_dial, socket, 0);
}

void sim_object_close(struct sim_object *closed)
{
	closed->open = closed->listens = false;
	for (uint32_t i = 0; i < network.count && closed->serves; i++) {
		struct sim_object *socket = network.objects[i];
		if (socket->dials && socket->open && socket->server == closed->number)
			sim_at(later_us(NOTICE_US_MAX), on_lost, socket, socket->connection);
	}
}

void sim_network_forget(const struct sim_process *process)
{
	for (uint32_t i = 0; i < network.count; i++)
		if (network.objects[i]->process == process && network.objects[i]->open)
			sim_object_close(network.objects[i]);
}

/* ---- messages on their way ---- */

void sim_give_request(struct sim_object *context, const struct sim_packet *packet)
{
	nng_aio *aio = context->receiving;
	context->receiving = NULL;
	context->from = *packet;
	aio->message = packet->message;
	sim_aio_finish(aio, 0);
}

static void arrive_at_server(const struct sim_packet *packet)
{
	struct sim_object *server = sim_object_of(packet->server);
	const struct sim_object *client = sim_object_of(packet->client);
	struct sim_object *receiving[64];
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
		sim_give_request(receiving[sim_draw(SIM_NETWORK, count)], packet);
		return;
	}
	struct sim_packet *kept = malloc(sizeof(*kept));
	if (!kept)
		abort();
	*kept = *packet;
	kept->next = NULL;
	struct sim_packet **at = &server->inbox;
	while (*at)
		at = &(*at)->next;
	*at = kept;
}

static void arrive_at_client(const struct sim_packet *packet)
{
	struct sim_object *context = sim_object_of(packet->context);
	const struct sim_object *client = sim_object_of(packet->client);
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
	struct sim_packet *packet = argument;
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

static void send_copy(const struct sim_packet *packet, nng_msg *message)
{
	const struct sim_weather *weather = &network.weather;
	struct sim_packet *copy = malloc(sizeof(*copy));
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

void sim_transmit(const struct sim_packet *packet)
{
	const struct sim_weather *weather = &network.weather;
	network.counts.sent++;
	if (sim_chance(SIM_NETWORK, weather->reset)) {
		network.counts.reset++;
		sim_at(later_us(LATENCY_US_MAX), on_lost, sim_object_of(packet->client),
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
