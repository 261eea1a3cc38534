/*
 * For tests of the simulated network: an echo server in a world of its own, and a client's function
 * that talks with it, by operations that are waited for.
 */
#ifndef MARQUEE_TESTS_SIM_TALK_H
#define MARQUEE_TESTS_SIM_TALK_H

#include "tests/sim/network_internal.h"

#define TALK_BODY_MAX	   3000u
#define TALK_HEAD_BYTES	   12u
#define TALK_MESSAGE_BYTES (TALK_HEAD_BYTES + TALK_BODY_MAX)
#define TALK_GREETING	   8u

/* In a context, where Check cannot end a test. */
#define must(expression) sim_require((expression), "expected " #expression)

struct talk_end {
	nng_stream *stream;
	nng_aio *aio;
};

/* What happened in the last world, and where its server is. */
struct talk {
	char url[64];
	bool listening;
	struct sim_process *server;
	uint32_t pieces; /* that the server moved */
	int ended_with;	 /* its connection that ended last */
};
extern struct talk talk;

/* Runs the client's function beside an echo server; returns the hash of what happened. */
uint64_t talk_run(void *(*client)(void *), uint64_t seed, const struct sim_weather *weather);

/* Waits for the listener. */
nng_stream *talk_dial_listener(void);
/* NULL with nng's number. */
nng_stream *talk_dial(const char *url, int *ret_rv);
void talk_open(struct talk_end *end, nng_stream *stream);
void talk_close(struct talk_end *end);
/* Both greetings; returns nng's number. */
int talk_greet(struct talk_end *end, unsigned char protocol);
/* The memory of the aio's next operation. */
void talk_set_memory(nng_aio *aio, void *bytes, size_t count);

/* Moves all of the bytes; returns nng's number, and adds up in how many pieces. */
int talk_send(struct talk_end *end, unsigned char *bytes, size_t count, uint32_t *pieces);
int talk_receive(struct talk_end *end, unsigned char *bytes, size_t count, uint32_t *pieces);

/* A message whose body follows from its number; returns its length. */
size_t talk_make_message(unsigned char *message, uint32_t number, size_t body);
/* Receives a whole one and checks it; returns nng's number. */
int talk_receive_message(struct talk_end *end, unsigned char *message, size_t *ret_bytes,
	uint32_t *ret_number, uint32_t *pieces);

#endif
