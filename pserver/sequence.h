/*
 * Exactly once: which pushes of one worker have been accepted.
 *
 * A worker numbers its calls to a server; a repeat has the number of the first attempt. Several
 * calls are under way at a time and pulls take numbers too, so the numbers of pushes come with gaps
 * and out of order. Hence a high-water mark and, below it, a window of bits (the anti-replay window
 * of IPsec, RFC 6479): bit n says that number n was accepted. What lies below the window is taken
 * as old, never as new.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_PSERVER_SEQUENCE_H
#define MARQUEE_PSERVER_SEQUENCE_H

#include <stdint.h>

#define SEQUENCE_WORDS 16u
#define SEQUENCE_WINDOW                                                                            \
	(64u * (SEQUENCE_WORDS - 1)) /* numbers; the newest word is in part ahead                  \
				      */

/* All zeros: nothing was accepted. Numbers start at 1. */
struct sequence_window {
	uint64_t highest; /* the high-water mark */
	uint64_t bits[SEQUENCE_WORDS];
};

enum sequence_verdict {
	SEQUENCE_NEW,
	SEQUENCE_REPEAT,
	SEQUENCE_OLD, /* below the window: nobody can tell */
};

enum sequence_verdict sequence_check(const struct sequence_window *window, uint64_t number);
/* Accepts a number that sequence_check() called new. */
void sequence_accept(struct sequence_window *window, uint64_t number);
/* Takes back an acceptance: the push turned out to be refused. */
void sequence_forget(struct sequence_window *window, uint64_t number);

#endif
