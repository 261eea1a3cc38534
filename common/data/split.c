#include "common/data/split.h"

#include <math.h>

struct split split_make(uint64_t seed, double holdout)
{
	/* Exact: scaled by a power of two, and whole numbers are below it if below its ceiling. */
	return (struct split){.seed = hash_u64(seed), .limit = (uint64_t)ceil(holdout * 0x1p53)};
}

bool split_is_held_out(uint64_t seed, uint64_t user_id, uint64_t movie_id, double holdout)
{
	const struct split split = split_make(seed, holdout);
	return split_holds_out(&split, split_user(&split, user_id), movie_id);
}
