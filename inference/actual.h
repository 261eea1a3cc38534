/*
 * What a user really gave a movie, and whether training knew it.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_ACTUAL_H
#define MARQUEE_INFERENCE_ACTUAL_H

#include "common/data/ratings.h"
#include "inference/model_directory.h"

enum actual_split {
	ACTUAL_NOT_KNOWN, /* the rating comes from a file that training did not read */
	ACTUAL_TRAINED,
	ACTUAL_HELD_OUT,
};

struct actual {
	bool found;
	double stars;
	enum actual_split split;
};

/*
 * Looks the pair up in `ratings`, or with NULL in the files that the model was trained and tested
 * on, as far as they are still there; not to find it is no failure. Lines that cannot be read are
 * an error in a file that is named, and skipped in those of the training.
 */
MUST_CHECK enum status actual_find(const struct model_directory *directory, uint32_t user,
	uint32_t movie, const char *ratings, struct actual *ret, struct error *err);

/* Sets seen[movie] = 1 for every movie that the user rated in the file. */
MUST_CHECK enum status actual_seen(const struct catalog *catalog, uint32_t user,
	const char *ratings, const struct data_options *options, uint8_t *seen, struct error *err);

#endif
