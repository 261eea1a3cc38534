/* What network.c, nng_streams.c, nng_dialers.c and nng_aio.c share. */
#ifndef MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H
#define MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H

#include "tests/sim/bytes.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

#include <nng/nng.h>

#define SIM_URL_SIZE 128
#define SIM_IOV_MAX  8u /* nng's */

/* Operations that are under way, in the order in which they began. */
struct sim_queue {
	struct nng_aio *first;
};

struct nng_aio {
	struct nng_aio *next_made;
	struct sim_process *process;
	void (*callback)(void *);
	void *argument;
	nng_duration timeout_ms;
	nng_iov iov[SIM_IOV_MAX];
	unsigned int iov_count;
	int result;
	size_t count;
	void *output;
	uint64_t operation;	 /* the last one's number; no two of them have the same */
	struct sim_queue *queue; /* it is under way there; NULL: it is not */
	struct nng_aio *next;	 /* in the queue */
	bool guarded;		 /* its memory is not to change */
	uint64_t guard;
	uint32_t busy;	   /* operations under way, and callbacks that have not returned */
	bool due;	   /* a callback has not begun */
	uint32_t calls_in; /* the context of the callback that began last; 0: it has returned */
	bool stopped, freed;
};

/* One end of a connection. Its memory stays until the world ends, as an aio's does. */
struct nng_stream {
	struct nng_stream *next_made;
	struct nng_stream *peer;
	struct sim_process *process;
	uint32_t number;
	bool dialled; /* a client's */
	bool closed, freed;
	int end;      /* the peer is gone: what a receive says after the last byte; 0: it is not */
	bool waiting; /* its sends are, for a while */
	bool greeted;
	uint64_t greeting_at_ns, last_at_ns; /* when the peer has what was sent until now */
	struct sim_bytes out;		     /* of the message that is not whole yet */
	struct sim_bytes in;		     /* came, and was not received yet */
	struct nng_stream *next_waiting;     /* to be accepted */
	struct sim_queue sends, receives;
};

/* Prints and aborts unless the condition holds, which the caller of nng is to see to. */
void sim_require(bool condition, const char *what);
/* Some time between now and then, drawn. */
uint64_t sim_later_us(uint32_t at_most_us);
/* Numbers from 1 for what the trace names. */
uint32_t sim_next_number(void);

/* ---- nng_aio.c ---- */

void sim_aio_begin_world(void);
/* An operation begins, at the end of the queue. False: it does not, or has ended already. */
bool sim_aio_begin(nng_aio *aio, struct sim_queue *queue);
/* It ends: the callback gets a context. */
void sim_aio_finish(nng_aio *aio, int result, size_t count);
void sim_queue_finish(struct sim_queue *queue, int result);
size_t sim_aio_bytes(const nng_aio *aio); /* in its iov */
/* What lies in its memory is nobody's any more, and shows when it is read. */
void sim_aio_poison(nng_aio *aio);
/* From here on its memory is the operation's. */
void sim_aio_guard(nng_aio *aio);
/* Fails when somebody wrote to it meanwhile. */
void sim_aio_unguard(nng_aio *aio);

/* ---- nng_dialers.c ---- */

void sim_dialers_begin_world(void);
void sim_dialers_forget(const struct sim_process *process);

/* ---- nng_streams.c ---- */

/* Goes on with the operations that can go on. */
void sim_stream_send_on(struct nng_stream *stream);
void sim_stream_receive_on(struct nng_stream *stream);
void sim_stream_close(struct nng_stream *stream);

/* ---- network.c ---- */

/* A connection; returns the client's end. */
struct nng_stream *sim_connect(struct sim_process *client, struct sim_process *server);
/* The stream's owner has closed it or is dead: the peer will notice. */
void sim_left(struct nng_stream *stream);
/* The stream's out has more bytes: takes the messages that are whole. */
void sim_transmit(struct nng_stream *stream);

#endif
