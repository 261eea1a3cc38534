#include "common/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, size, seed);
}

struct hash_stream {
	XXH3_state_t *state;
};

enum status hash_stream_new(struct hash_stream **ret, struct error *err)
{
	struct hash_stream *stream = malloc(sizeof(*stream));
	XXH3_state_t *state = XXH3_createState();
	if (!stream || !state || XXH3_64bits_reset(state) != XXH_OK) {
		XXH3_freeState(state);
		free(stream);
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a hash");
	}
	stream->state = state;
	*ret = stream;
	return STATUS_OK;
}

void hash_stream_free(struct hash_stream *stream)
{
	if (!stream)
		return;
	XXH3_freeState(stream->state);
	free(stream);
}

void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t size)
{
	/* Fails for no bytes at a NULL pointer only. */
	(void)XXH3_64bits_update(stream->state, bytes, size);
}

uint64_t hash_stream_value(const struct hash_stream *stream)
{
	return XXH3_64bits_digest(stream->state);
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
