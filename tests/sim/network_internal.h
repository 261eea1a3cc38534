/* What network.c, nng_parts.c and nng_calls.c share. */
#ifndef MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H
#define MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H

#include "tests/sim/network.h"
#include "tests/sim/world.h"

#include <nng/nng.h>

struct nng_msg {
	unsigned char *memory; /* [allocated] */
	size_t allocated;
	size_t offset, length;
};

struct nng_aio {
	struct sim_process *process;
	void (*callback)(void *);
	void *argument;
	nng_msg *message;
	int result;
	nng_duration timeout_ms;
	uint64_t operation; /* counts them: a timeout is of one */
	bool busy;	    /* an operation, or its callback, is under way */
	bool pending;	    /* the operation itself */
	bool freed;
};

#define SIM_URL_SIZE 128

struct sim_packet {
	bool reply;
	uint32_t client, connection, context, server;
	uint64_t request;
	nng_msg *message;
	struct sim_packet *next; /* in a server's inbox */
};

/* A socket or one of its contexts. */
struct sim_object {
	uint32_t number, socket; /* socket: of a context */
	bool open;
	struct sim_process *process;
	char url[SIM_URL_SIZE]; /* of the peer, or its own where it listens */
	/* A client's socket. */
	bool dials;
	uint32_t server;     /* 0: not connected */
	uint32_t connection; /* counts them */
	/* A server's socket. */
	bool serves, listens;
	struct sim_packet *inbox;
	/* A context. */
	nng_aio *sending, *receiving;
	nng_aio *last;		/* that sent or received here */
	uint64_t request;	/* a client's: the one that is asked; 0: none */
	bool was_reset;		/* ... and will not be answered any more */
	nng_msg *answer;	/* ... that came before the receive */
	struct sim_packet from; /* a server's: to whom the reply goes */
};

nng_msg *sim_copy_message(nng_msg *message);
/* An operation begins, with the aio's timeout, and ends: its callback gets a context. */
void sim_aio_begin(nng_aio *aio);
void sim_aio_finish(nng_aio *aio, int result);
/* Objects are numbered from 1; the caller's process owns a new one. */
struct sim_object *sim_object_new(void);
struct sim_object *sim_object_of(uint32_t number);
uint32_t sim_object_count(void);
/* A number for a request; a port that nobody has. */
uint64_t sim_next_request(void);
int sim_next_port(void);

/* The socket begins to look for its server. */
void sim_dial(struct sim_object *socket);
/* A socket is closed, or its process has died: who is connected to it will notice. */
void sim_object_close(struct sim_object *closed);
/* The connection takes the message that the context is sending. */
void sim_send_request(struct sim_object *context);
/* Takes the packet's message. */
void sim_transmit(const struct sim_packet *packet);
/* To a context that receives. */
void sim_give_request(struct sim_object *context, const struct sim_packet *packet);

/* Takes a pending operation out of the context that has it. */
void sim_network_give_up(const nng_aio *aio);

#endif
