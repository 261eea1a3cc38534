/* What network.c and nng_parts.c share. */
#ifndef MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H
#define MARQUEE_TESTS_SIM_NETWORK_INTERNAL_H

#include "tests/sim/network.h"
#include "tests/sim/world.h"

#include <nng/nng.h>

struct nng_msg {
	unsigned char *memory;
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
};

nng_msg *sim_copy_message(nng_msg *message);
/* An operation begins, with the aio's timeout, and ends: its callback gets a context. */
void sim_aio_begin(nng_aio *aio);
void sim_aio_finish(nng_aio *aio, int result);
/* Takes a pending operation out of the context that has it. */
void sim_network_give_up(const nng_aio *aio);

#endif
