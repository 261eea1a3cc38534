/*
 * nng's streams, in the simulated world: what their owners call.
 *
 * Bytes are taken and given in pieces. A send may have to wait, for a while or until the peer
 * receives; both happen a lot more often than on a real connection.
 */
#include "tests/sim/network_internal.h"

#include <arpa/inet.h>
#include <string.h>

#define PIECE_PERMYRIAD	 2500u
#define PIECE_SMALL	 16u /* bytes: to end within the heads of messages */
#define WAIT_PERMYRIAD	 1000u
#define WAIT_US_MAX	 2000u
#define YIELD_PERMYRIAD	 1000u
#define UNRECEIVED_BYTES ((size_t)4 << 10) /* that let the peer's sends wait */
#define FIRST_PEER_PORT	 40000u
#define PEER_PORTS	 20000u

/* An operation may have ended before the function that began it returns. */
static void give_way(void)
{
	if (sim_chance(SIM_SCHEDULE, YIELD_PERMYRIAD))
		sim_yield();
}

/* How many of so many bytes an operation moves. */
static size_t draw_piece(size_t bytes)
{
	if (!sim_chance(SIM_NETWORK, PIECE_PERMYRIAD))
		return bytes;
	if (bytes > PIECE_SMALL && sim_chance(SIM_NETWORK, 5000))
		bytes = PIECE_SMALL;
	return 1 + sim_draw(SIM_NETWORK, (uint32_t)bytes);
}

/* ---- sending ---- */

static void take_bytes(struct nng_stream *stream, nng_aio *aio)
{
	const size_t taken = draw_piece(sim_aio_bytes(aio));
	size_t left = taken;
	sim_aio_unguard(aio);
	for (unsigned int i = 0; left > 0; i++) {
		const nng_iov *part = &aio->iov[i];
		const size_t count = part->iov_len < left ? part->iov_len : left;
		sim_bytes_add(&stream->out, part->iov_buf, count);
		left -= count;
	}
	sim_aio_finish(aio, 0, taken);
	sim_transmit(stream);
}

void sim_stream_send_on(struct nng_stream *stream)
{
	while (stream->sends.first && !stream->closed) {
		/* To who has gone in order one can send until that host says that nobody is there;
		 * then the pipe is broken, for which nng has this number. */
		const bool broken = stream->end == NNG_ECONNSHUT && sim_chance(SIM_NETWORK, 5000);
		if (stream->end == NNG_ECONNRESET || broken)
			sim_aio_finish(
				stream->sends.first, broken ? NNG_ECLOSED : NNG_ECONNRESET, 0);
		else if (stream->waiting || stream->peer->in.count >= UNRECEIVED_BYTES)
			return;
		else
			take_bytes(stream, stream->sends.first);
	}
}

static void on_waited(void *argument, uint64_t number)
{
	struct nng_stream *stream = argument;
	(void)number;
	stream->waiting = false;
	sim_stream_send_on(stream);
}

/*
 * On a stream that its owner has closed, nng 1.5.2 begins an operation that never ends by itself,
 * and so does this.
 */
void nng_stream_send(nng_stream *stream, nng_aio *aio)
{
	sim_require(!stream->freed, "a send on a stream that was freed");
	sim_require(sim_aio_bytes(aio) > 0, "a send of nothing");
	if (sim_aio_begin(aio, &stream->sends)) {
		sim_aio_guard(aio);
		if (!stream->waiting && !stream->closed &&
			sim_chance(SIM_NETWORK, WAIT_PERMYRIAD)) {
			stream->waiting = true;
			sim_at(sim_later_us(WAIT_US_MAX), on_waited, stream, 0);
		}
		sim_stream_send_on(stream);
	}
	give_way();
}

/* ---- receiving ---- */

static void give_bytes(struct nng_stream *stream, nng_aio *aio)
{
	const size_t room = sim_aio_bytes(aio);
	const size_t given = draw_piece(room < stream->in.count ? room : stream->in.count);
	size_t left = given;
	sim_aio_unguard(aio);
	for (unsigned int i = 0; left > 0; i++) {
		const nng_iov *part = &aio->iov[i];
		const size_t count = part->iov_len < left ? part->iov_len : left;
		if (count > 0)
			memcpy(part->iov_buf, stream->in.first, count);
		sim_bytes_drop(&stream->in, count);
		left -= count;
	}
	sim_aio_finish(aio, 0, given);
	sim_stream_send_on(stream->peer);
}

void sim_stream_receive_on(struct nng_stream *stream)
{
	while (stream->receives.first && !stream->closed) {
		if (stream->in.count > 0)
			give_bytes(stream, stream->receives.first);
		else if (stream->end)
			sim_aio_finish(stream->receives.first, stream->end, 0);
		else
			return;
	}
}

void nng_stream_recv(nng_stream *stream, nng_aio *aio)
{
	sim_require(!stream->freed, "a receive on a stream that was freed");
	sim_require(sim_aio_bytes(aio) > 0, "a receive of nothing");
	if (sim_aio_begin(aio, &stream->receives)) {
		sim_aio_poison(aio);
		sim_aio_guard(aio);
		sim_stream_receive_on(stream);
	}
	give_way();
}

/* ---- the end ---- */

void sim_stream_close(struct nng_stream *stream)
{
	if (stream->closed)
		return;
	stream->closed = true;
	sim_queue_finish(&stream->receives, NNG_ECLOSED);
	sim_queue_finish(&stream->sends, NNG_ECLOSED);
	sim_bytes_fini(&stream->in);
	sim_left(stream);
}

void nng_stream_close(nng_stream *stream)
{
	sim_require(!stream->freed, "a stream is closed that was freed");
	sim_stream_close(stream);
	give_way();
}

void nng_stream_free(nng_stream *stream)
{
	if (!stream)
		return;
	sim_require(!stream->freed, "a stream is freed twice");
	sim_stream_close(stream);
	sim_require(!stream->sends.first && !stream->receives.first,
		"a stream is freed while an operation is under way that began after it was "
		"closed");
	stream->freed = true;
}

/* ---- options ---- */

int nng_stream_set_bool(nng_stream *stream, const char *name, bool value)
{
	(void)name, (void)value;
	sim_require(!stream->freed, "an option of a stream that was freed");
	return 0;
}

int nng_stream_get_addr(nng_stream *stream, const char *name, nng_sockaddr *ret)
{
	(void)name;
	sim_require(!stream->freed, "the address of a stream that was freed");
	*ret = (nng_sockaddr){0};
	ret->s_in.sa_family = NNG_AF_INET;
	ret->s_in.sa_addr = htonl(INADDR_LOOPBACK);
	ret->s_in.sa_port = htons((uint16_t)(FIRST_PEER_PORT + stream->peer->number % PEER_PORTS));
	return 0;
}
