/*
 * A relay between clients and a server that loses, doubles and delays messages, both ways.
 *
 * What happens to a message is drawn from the seed; which message meets which fate depends on the
 * threads' timing, so a seed repeats the rates, not the run.
 *
 * Threads: it has two of its own; open and close from one thread.
 */
#ifndef MARQUEE_TESTS_RELAY_H
#define MARQUEE_TESTS_RELAY_H

#include <stdint.h>

struct relay;

/* Chances in percent; a message meets at most one of the three. */
struct relay_faults {
	uint32_t drop, duplicate, delay;
};

/* Listens at some port of the loopback; see relay_url(). */
struct relay *relay_open(const char *server_url, const struct relay_faults *faults, uint64_t seed);
/* When it has been quiet for a moment: before its clients are closed. */
void relay_close(struct relay *relay);
const char *relay_url(const struct relay *relay);

/* Messages lost, doubled and delayed so far. */
void relay_counts(const struct relay *relay, struct relay_faults *ret);

#endif
