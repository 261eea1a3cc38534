#include "common/data/split.h"

#include "common/base/hash.h"

bool split_is_held_out(uint64_t seed, uint64_t user_id, uint64_t movie_id, double holdout)
{
	uint64_t hash = hash_u64(hash_u64(hash_u64(seed) ^ user_id) ^ movie_id);
	return (double)(hash >> 11) * 0x1p-53 < holdout;
}
