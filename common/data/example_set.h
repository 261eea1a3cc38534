/*
 * The examples of a ratings file that are trained on, or those that are held out: a view of the
 * file's blocks, in file order, that keeps 8 bytes a block.
 *
 * Threads: immutable after counting; read side by side.
 */
#ifndef MARQUEE_DATA_EXAMPLE_SET_H
#define MARQUEE_DATA_EXAMPLE_SET_H

#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/ratings_file.h"
#include "common/data/split.h"

#include <stdint.h>

enum example_rule { EXAMPLES_ALL, EXAMPLES_HELD_OUT, EXAMPLES_NOT_HELD_OUT };

/* All zeros is a set without examples. */
struct example_set {
	enum example_rule rule;
	struct split split;
	const struct ratings_file *file; /* borrowed, as what follows */
	const uint64_t *user_ids, *movie_ids;
	uint64_t *before; /* [blocks + 1]: examples before each block, and all of them; owned */
};

/* Takes all zeros. */
void example_set_fini(struct example_set *set);

/*
 * Counting: begin, then example_set_count() for every block (in any order, by any threads), then
 * end. May begin again.
 */
MUST_CHECK enum status example_set_begin(struct example_set *set, const struct ratings_file *file,
	const struct catalog *catalog, struct error *err);
void example_set_count(
	struct example_set *set, uint64_t block, const struct rating *ratings, size_t count);
void example_set_end(struct example_set *set);
/* Makes *set, all zeros, of what the other one, counted by the hash, leaves in the file. */
MUST_CHECK enum status example_set_complement(
	struct example_set *set, const struct example_set *other, struct error *err);

static inline uint64_t example_set_size(const struct example_set *set)
{
	return set->before ? set->before[set->file->block_count] : 0;
}

/* The block that example number `position` < size stands in. */
uint64_t example_set_block(const struct example_set *set, uint64_t position);

/*
 * Reads the examples [first, first + count) into examples[count]. scratch[RATINGS_BLOCK] is the
 * caller's. DATA_LOSS: the file is no longer what was opened.
 */
MUST_CHECK enum status example_set_read(const struct example_set *set, uint64_t first,
	uint64_t count, struct rating *examples, struct rating *scratch, struct error *err);

#endif
