/*
 * How far a long piece of work is: one line redrawn in place on a terminal (at most ten times a
 * second), plain lines elsewhere (at most one every ten seconds).
 *
 *     epoch 3/20 [############........]  61%  552960/900188 ratings  1.21M ratings/s  ETA 0:00:01
 *     loss 0.8321
 *
 * Time comes from the clock handed in. Output is for people and best effort: what cannot be
 * written is dropped. An update that draws nothing costs one look at the clock.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BASE_PROGRESS_H
#define MARQUEE_BASE_PROGRESS_H

#include "common/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
	int descriptor;
	bool terminal;
	const struct clock *clock;
	uint64_t total; /* in units; 0: not known, neither share nor ETA is shown */
	const char *unit;
	char label[32];

	uint64_t start_ns;
	uint64_t start_done; /* what progress_start was told: a resumed run is not fast */
	uint64_t drawn_ns;   /* of the last line */
	bool open_line;	     /* on a terminal: the cursor stands in a drawn line */
	uint64_t done;
	double loss;
};

/*
 * Borrows clock and unit ("ratings") until progress_finish. The work is taken to start now, at 0
 * units; progress_start says otherwise.
 */
void progress_init(struct progress *progress, int descriptor, const struct clock *clock,
	uint64_t total, const char *unit);

/* The work starts now, with so many units already done in an earlier run. */
void progress_start(struct progress *progress, uint64_t done);

/* What stands in front of the line ("epoch 3/20"); copied, cut at 31 bytes. */
void progress_label(struct progress *progress, const char *label);

/* done: units since the beginning. loss: shown with four digits; NAN shows none. */
void progress_update(struct progress *progress, uint64_t done, double loss);

/*
 * Ends the display: on a terminal the line is wiped, so that what is printed next starts on a
 * clean one; elsewhere nothing is written. Harmless when called twice.
 */
void progress_finish(struct progress *progress);

#endif
