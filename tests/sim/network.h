/*
 * The simulated network: nng's functions for byte streams, as far as we call them, over connections
 * that take and give their bytes in pieces, and lose, double, delay, reorder and cut off what is
 * sent.
 *
 * Addresses are of one host. The semantics are those of nng 1.5.2's TCP streams; the weather is one
 * of whole messages (docs/wire.md, "Transport"), whose ends the network finds in the bytes that a
 * side sends: what comes in between of a message is all of it, or nothing.
 *
 * What the real nng would answer with a broken memory, or not at all, is an error of the caller
 * here, and ends the simulation: a use of what was freed, a second operation of an aio that has one
 * under way, a wait for one's own callback, memory that changes while an operation has it.
 */
#ifndef MARQUEE_TESTS_SIM_NETWORK_H
#define MARQUEE_TESTS_SIM_NETWORK_H

#include <stdint.h>

/* How often, in 10000 messages; all zero: a network that works. */
struct sim_weather {
	uint32_t lost;
	uint32_t doubled;
	uint32_t slow;	/* by up to 100 ms */
	uint32_t stuck; /* by up to 50 s: longer than a call waits before it is repeated */
	uint32_t reset; /* the connection is lost with it */
};
void sim_weather(const struct sim_weather *weather);

struct sim_network_counts {
	uint64_t sent, lost, doubled, slow, stuck, reset;
};
void sim_network_counts(struct sim_network_counts *ret);

#endif
