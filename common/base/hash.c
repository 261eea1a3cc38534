#include "common/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, size, seed);
}

static void add(struct digest *digest, uint64_t low, uint64_t high)
{
	uint64_t sum = digest->low + low;
	digest->high += high + (sum < low);
	digest->low = sum;
}

void digest_add(
	struct digest *digest, uint64_t name_hash, uint64_t index, const void *bytes, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, size, name_hash ^ hash_u64(index));
	add(digest, hash.low64, hash.high64);
}

void digest_merge(struct digest *digest, const struct digest *other)
{
	add(digest, other->low, other->high);
}

void digest_remove(struct digest *digest, const struct digest *other)
{
	digest->high -= other->high + (digest->low < other->low);
	digest->low -= other->low;
}

void digest_format(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
	snprintf(text, DIGEST_TEXT_SIZE, "%016" PRIx64 "%016" PRIx64, digest->high, digest->low);
}
