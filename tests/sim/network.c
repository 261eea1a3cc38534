/*
 * Connections, and messages on their way.
 *
 * Design notes. A side's bytes are put together to the messages that they are, the greeting first;
 * one that is whole becomes an event at the time of its arrival, or two, or none, and is then given
 * to the peer as bytes. Nothing is there before the greeting. What is on the way when a client is
 * gone, or believes that its connection is, may still reach the server, as bytes may that it has
 * received, and so may a part of the message that was being sent; once a client knows that the
 * connection is lost, no reply reaches it.
 */
#include "tests/sim/network_internal.h"

#include "common/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTICE_US_MAX	  20000u /* until a side notices that the other one is gone */
#define LATENCY_US_MAX	  200u
#define SLOW_MS_MAX	  100u
#define STUCK_MS_MAX	  50000u
#define GREETING_BYTES	  8u
#define LENGTH_BYTES	  8u
#define REQUEST_ID_BYTES  4u
#define MESSAGE_BYTES_MAX ((uint64_t)1 << 30)

/* A message, or a greeting, on its way. */
struct packet {
	struct packet *next; /* of all */
	struct nng_stream *to;
	bool greeting;
	uint64_t request; /* its number */
	size_t count;
	unsigned char bytes[];
};

static struct network {
	struct nng_stream *streams;
	struct packet *packets;
	uint32_t numbers;
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

static void drop_packet(struct packet *packet)
{
	struct packet **at = &network.packets;
	while (*at != packet)
		at = &(*at)->next;
	*at = packet->next;
	free(packet);
}

void sim_network_begin(void)
{
	while (network.streams) {
		struct nng_stream *next = network.streams->next_made;
		sim_bytes_fini(&network.streams->in);
		sim_bytes_fini(&network.streams->out);
		free(network.streams);
		network.streams = next;
	}
	while (network.packets)
		drop_packet(network.packets);
	network = (struct network){0};
	sim_aio_begin_world();
	sim_dialers_begin_world();
}

void sim_network_forget(const struct sim_process *process)
{
	sim_dialers_forget(process);
	for (struct nng_stream *stream = network.streams; stream; stream = stream->next_made)
		if (stream->process == process)
			sim_stream_close(stream);
}

void sim_require(bool condition, const char *what)
{
	if (condition)
		return;
	const struct sim_process *self = sim_self();
	fprintf(stderr, "simulation: %s: %s\n", self ? self->name : "network", what);
	abort();
}

uint64_t sim_later_us(uint32_t at_most_us)
{
	return sim_now_ns() + SIM_US * (1 + sim_draw(SIM_NETWORK, at_most_us));
}

uint32_t sim_next_number(void)
{
	return ++network.numbers;
}

/* ---- connections ---- */

static struct nng_stream *new_stream(struct sim_process *process)
{
	struct nng_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		abort();
	stream->process = process;
	stream->number = sim_next_number();
	stream->next_made = network.streams;
	network.streams = stream;
	return stream;
}

struct nng_stream *sim_connect(struct sim_process *client, struct sim_process *server)
{
	struct nng_stream *stream = new_stream(client);
	stream->dialled = true;
	stream->peer = new_stream(server);
	stream->peer->peer = stream;
	return stream;
}

/* Half a message, from one who is gone. */
static void give_rest(struct nng_stream *stream)
{
	const struct nng_stream *from = stream->peer;
	const bool nothing_before = from->greeted && from->greeting_at_ns > sim_now_ns();
	if (from->out.count > 0 && !nothing_before && sim_chance(SIM_NETWORK, 5000))
		sim_bytes_add(&stream->in, from->out.first,
			1 + sim_draw(SIM_NETWORK, (uint32_t)from->out.count));
}

/* The stream notices that its connection is lost. */
static void lose(struct nng_stream *stream, int reason)
{
	stream->end = reason;
	if (stream->dialled)
		sim_trace("lost", stream->number, (uint64_t)reason);
	if (reason == NNG_ECONNRESET)
		sim_bytes_fini(&stream->in);
	else
		give_rest(stream);
	sim_stream_receive_on(stream);
	sim_stream_send_on(stream);
}

static void on_gone(void *argument, uint64_t number)
{
	struct nng_stream *stream = argument;
	(void)number;
	if (stream->closed || stream->end)
		return;
	const bool reset = stream->dialled && sim_chance(SIM_NETWORK, 5000);
	lose(stream, reset ? NNG_ECONNRESET : NNG_ECONNSHUT);
}

static void on_reset(void *argument, uint64_t number)
{
	struct nng_stream *client = argument;
	(void)number;
	if (client->closed || client->end)
		return;
	lose(client, NNG_ECONNRESET);
	sim_left(client);
}

void sim_left(struct nng_stream *stream)
{
	struct nng_stream *peer = stream->peer;
	if (peer->closed || peer->end)
		return;
	uint64_t at_ns = sim_later_us(NOTICE_US_MAX);
	/* A server may wait for all that is on the way to it, however long that takes. */
	if (!peer->dialled && stream->last_at_ns > at_ns && sim_chance(SIM_NETWORK, 5000))
		at_ns = stream->last_at_ns;
	sim_at(at_ns, on_gone, peer, 0);
}

/* ---- messages on their way ---- */

static void on_arrival(void *argument, uint64_t number)
{
	struct packet *packet = argument;
	struct nng_stream *to = packet->to;
	const struct nng_stream *from = to->peer;
	(void)number;
	if (!packet->greeting) {
		const size_t head = LENGTH_BYTES + REQUEST_ID_BYTES;
		const size_t skipped = packet->count < head ? packet->count : head;
		sim_trace(to->dialled ? "reply" : "request", packet->request,
			hash_bytes(packet->bytes + skipped, packet->count - skipped, to->number));
	}
	const bool stale = !to->dialled && (from->closed || from->end);
	const bool gone = to->closed || to->end;
	if (!gone && !(stale && !packet->greeting && sim_chance(SIM_NETWORK, 5000))) {
		sim_bytes_add(&to->in, packet->bytes, packet->count);
		sim_stream_receive_on(to);
	}
	drop_packet(packet);
}

/* From the first bytes of what the stream sends. */
static struct packet *new_packet(const struct nng_stream *from, size_t count)
{
	struct packet *packet = malloc(sizeof(*packet) + count);
	if (!packet)
		abort();
	*packet = (struct packet){.next = network.packets,
		.to = from->peer,
		.greeting = !from->greeted,
		.count = count};
	network.packets = packet;
	memcpy(packet->bytes, from->out.first, count);
	for (size_t i = LENGTH_BYTES; i < LENGTH_BYTES + REQUEST_ID_BYTES && i < count; i++)
		packet->request = packet->request << 8 | packet->bytes[i];
	return packet;
}

static void send_at(struct nng_stream *from, struct packet *packet, uint64_t at_ns)
{
	if (at_ns < from->greeting_at_ns)
		at_ns = from->greeting_at_ns;
	if (at_ns > from->last_at_ns)
		from->last_at_ns = at_ns;
	sim_at(at_ns, on_arrival, packet, 0);
}

static void send_greeting(struct nng_stream *from)
{
	struct packet *packet = new_packet(from, GREETING_BYTES);
	sim_require(memcmp(packet->bytes, "\0SP\0", 4) == 0, "a greeting that is none");
	from->greeted = true;
	from->greeting_at_ns = sim_later_us(LATENCY_US_MAX);
	send_at(from, packet, from->greeting_at_ns);
}

static void send_copy(struct nng_stream *from, size_t count)
{
	const struct sim_weather *weather = &network.weather;
	uint64_t at_ns = sim_later_us(LATENCY_US_MAX);
	if (sim_chance(SIM_NETWORK, weather->slow)) {
		network.counts.slow++;
		at_ns += SIM_MS * sim_draw(SIM_NETWORK, SLOW_MS_MAX);
	} else if (sim_chance(SIM_NETWORK, weather->stuck)) {
		network.counts.stuck++;
		at_ns += SIM_MS * sim_draw(SIM_NETWORK, STUCK_MS_MAX);
	}
	send_at(from, new_packet(from, count), at_ns);
}

static void send_message(struct nng_stream *from, size_t count)
{
	const struct sim_weather *weather = &network.weather;
	network.counts.sent++;
	if (sim_chance(SIM_NETWORK, weather->reset)) {
		network.counts.reset++;
		sim_at(sim_later_us(LATENCY_US_MAX), on_reset, from->dialled ? from : from->peer,
			0);
	}
	if (sim_chance(SIM_NETWORK, weather->doubled)) {
		network.counts.doubled++;
		send_copy(from, count);
	}
	if (sim_chance(SIM_NETWORK, weather->lost)) {
		struct packet *packet = new_packet(from, count);
		network.counts.lost++;
		sim_trace("drop", packet->request, !from->dialled);
		drop_packet(packet);
	} else {
		send_copy(from, count);
	}
}

/* How long the message is whose first bytes these are; 0: they do not say yet. */
static size_t message_bytes(const struct sim_bytes *bytes)
{
	uint64_t count = 0;
	if (bytes->count < LENGTH_BYTES)
		return 0;
	for (size_t i = 0; i < LENGTH_BYTES; i++)
		count = count << 8 | bytes->first[i];
	sim_require(count >= REQUEST_ID_BYTES && count <= MESSAGE_BYTES_MAX,
		"a message of a length that nobody would send");
	return LENGTH_BYTES + (size_t)count;
}

void sim_transmit(struct nng_stream *stream)
{
	for (;;) {
		const size_t count = stream->greeted ? message_bytes(&stream->out) : GREETING_BYTES;
		if (count == 0 || stream->out.count < count)
			return;
		if (stream->greeted)
			send_message(stream, count);
		else
			send_greeting(stream);
		sim_bytes_drop(&stream->out, count);
	}
}
