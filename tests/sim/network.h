/*
 * The simulated network: nng's functions, as far as we call them, over messages that are lost,
 * doubled, delayed, reordered and cut off.
 *
 * Addresses are of one host. A client's socket has one connection to the server that listens at its
 * address, and dials again when it is lost. The semantics are those of nng 1.5.2's request and
 * reply sockets without resending: a loss of the connection ends a receive with NNG_ECONNRESET, and
 * a reply to a request that its context has given up is dropped.
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
