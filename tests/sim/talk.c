#include "tests/sim/talk.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define TIME_MAX_NS (3000 * SIM_S)
#define TURNS_MAX   1000000u
#define REQUEST_BIT 0x80000000u

struct talk talk;

void talk_open(struct talk_end *end, nng_stream *stream)
{
	end->stream = stream;
	must(nng_aio_alloc(&end->aio, NULL, NULL) == 0);
}

void talk_close(struct talk_end *end)
{
	nng_stream_free(end->stream);
	nng_aio_free(end->aio);
}

/* In two parts, and an empty one. */
void talk_set_memory(nng_aio *aio, void *bytes, size_t count)
{
	const nng_iov parts[] = {{bytes, count / 3}, {NULL, 0},
		{(unsigned char *)bytes + count / 3, count - count / 3}};
	must(nng_aio_set_iov(aio, 3, parts) == 0);
}

static int move_all(struct talk_end *end, void (*move)(nng_stream *, nng_aio *),
	unsigned char *bytes, size_t count, uint32_t *pieces)
{
	while (count > 0) {
		talk_set_memory(end->aio, bytes, count);
		move(end->stream, end->aio);
		nng_aio_wait(end->aio);
		const size_t moved = nng_aio_count(end->aio);
		if (nng_aio_result(end->aio) != 0)
			return nng_aio_result(end->aio);
		must(moved > 0 && moved <= count);
		bytes += moved;
		count -= moved;
		++*pieces;
	}
	return 0;
}

int talk_send(struct talk_end *end, unsigned char *bytes, size_t count, uint32_t *pieces)
{
	return move_all(end, nng_stream_send, bytes, count, pieces);
}

int talk_receive(struct talk_end *end, unsigned char *bytes, size_t count, uint32_t *pieces)
{
	return move_all(end, nng_stream_recv, bytes, count, pieces);
}

int talk_greet(struct talk_end *end, unsigned char protocol)
{
	unsigned char ours[TALK_GREETING] = {0, 'S', 'P', 0, 0, protocol, 0, 0};
	unsigned char theirs[TALK_GREETING];
	uint32_t pieces = 0;
	int rv = talk_send(end, ours, TALK_GREETING, &pieces);
	if (rv == 0)
		rv = talk_receive(end, theirs, TALK_GREETING, &pieces);
	must(rv != 0 || (memcmp(theirs, ours, 5) == 0 && (theirs[5] ^ ours[5]) == 1));
	return rv;
}

size_t talk_make_message(unsigned char *message, uint32_t number, size_t body)
{
	const uint32_t id = number | REQUEST_BIT;
	memset(message, 0, TALK_HEAD_BYTES);
	message[6] = (unsigned char)((body + 4) >> 8);
	message[7] = (unsigned char)(body + 4);
	for (int i = 0; i < 4; i++)
		message[8 + i] = (unsigned char)(id >> (24 - 8 * i));
	for (size_t i = 0; i < body; i++)
		message[TALK_HEAD_BYTES + i] = (unsigned char)(number + i);
	return TALK_HEAD_BYTES + body;
}

int talk_receive_message(struct talk_end *end, unsigned char *message, size_t *ret_bytes,
	uint32_t *ret_number, uint32_t *pieces)
{
	int rv = talk_receive(end, message, TALK_HEAD_BYTES, pieces);
	if (rv != 0)
		return rv;
	const size_t body = ((size_t)message[6] << 8 | message[7]) - 4;
	*ret_number = (uint32_t)message[10] << 8 | message[11];
	*ret_bytes = TALK_HEAD_BYTES + body;
	must(body <= TALK_BODY_MAX);
	rv = talk_receive(end, message + TALK_HEAD_BYTES, body, pieces);
	for (size_t i = 0; i < body && rv == 0; i++)
		must(message[TALK_HEAD_BYTES + i] == (unsigned char)(*ret_number + i));
	return rv;
}

nng_stream *talk_dial(const char *url, int *ret_rv)
{
	nng_stream_dialer *dialer;
	nng_stream *stream = NULL;
	nng_aio *aio;
	must(nng_aio_alloc(&aio, NULL, NULL) == 0);
	must(nng_stream_dialer_alloc(&dialer, url) == 0);
	nng_stream_dialer_dial(dialer, aio);
	nng_aio_wait(aio);
	*ret_rv = nng_aio_result(aio);
	if (*ret_rv == 0)
		stream = nng_aio_get_output(aio, 0);
	nng_aio_free(aio);
	nng_stream_dialer_free(dialer);
	return stream;
}

nng_stream *talk_dial_listener(void)
{
	int rv;
	while (!talk.listening)
		sim_sleep(SIM_US * 100);
	nng_stream *stream = talk_dial(talk.url, &rv);
	must(rv == 0);
	return stream;
}

/* ---- the server ---- */

static void *echo(void *stream)
{
	unsigned char message[TALK_MESSAGE_BYTES];
	struct talk_end end;
	size_t bytes;
	uint32_t number;
	talk_open(&end, stream);
	int rv = talk_greet(&end, 0x31);
	while (rv == 0) {
		rv = talk_receive_message(&end, message, &bytes, &number, &talk.pieces);
		if (rv == 0)
			rv = talk_send(&end, message, bytes, &talk.pieces);
	}
	talk.ended_with = rv;
	talk_close(&end);
	return NULL;
}

static void *serve(void *argument)
{
	nng_stream_listener *listener;
	nng_aio *aio;
	int port;
	(void)argument;
	must(nng_aio_alloc(&aio, NULL, NULL) == 0);
	must(nng_stream_listener_alloc(&listener, "tcp://127.0.0.1:0") == 0);
	must(nng_stream_listener_listen(listener) == 0);
	must(nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0);
	snprintf(talk.url, sizeof(talk.url), "tcp://127.0.0.1:%d", port);
	talk.listening = true;
	while (talk.listening) {
		nng_stream_listener_accept(listener, aio);
		nng_aio_wait(aio);
		must(nng_aio_result(aio) == 0);
		sim_detach(sim_start(sim_self(), echo, nng_aio_get_output(aio, 0)));
	}
	return NULL;
}

uint64_t talk_run(void *(*client)(void *), uint64_t seed, const struct sim_weather *weather)
{
	talk = (struct talk){.listening = false};
	sim_begin(seed);
	sim_weather(weather);
	talk.server = sim_process_new("server");
	sim_detach(sim_start(talk.server, serve, NULL));
	const struct sim_context *until = sim_start(sim_process_new("client"), client, NULL);
	ck_assert_int_eq(sim_run(until, TIME_MAX_NS, TURNS_MAX), SIM_DONE);
	const uint64_t hash = sim_trace_hash();
	sim_end();
	return hash;
}
