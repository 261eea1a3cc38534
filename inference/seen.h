/*
 * What every user has rated, from a ratings file: movies that are not to be recommended again.
 *
 * Four bytes a rating and eight a user.
 *
 * Threads: immutable after it was read.
 */
#ifndef MARQUEE_INFERENCE_SEEN_H
#define MARQUEE_INFERENCE_SEEN_H

#include "common/data/catalog.h"
#include "common/data/report.h"

/* All zeros is empty, and has no users. */
struct seen {
	uint64_t
		*ends; /* [user_count], owned: where a user's movies end, behind the one before's */
	uint32_t *movies; /* [ends of the last], of a user ascending; owned */
};

/* FAILED_PRECONDITION: there is no rating of this catalog in the file. */
MUST_CHECK enum status seen_read(struct seen *ret, const struct catalog *catalog,
	const char *ratings, const struct data_options *options, struct error *err);
/* Takes a zeroed struct. */
void seen_fini(struct seen *seen);

/* Sets marks[movie] = 1 for every movie that the user, a number of the catalog, has rated. */
void seen_mark(const struct seen *seen, uint32_t user, uint8_t *marks);
/* Whether the user has rated the movie. */
bool seen_has(const struct seen *seen, uint32_t user, uint32_t movie);

#endif
