/*
 * Hashes: XXH3 for bytes and files, a mixer for ids, and the order-independent digest of
 * parameters.
 */
#ifndef MARQUEE_BASE_HASH_H
#define MARQUEE_BASE_HASH_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* XXH3 64 with a seed. */
uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed);

/* hash_bytes(..., 0) of bytes that come piece after piece. */
struct hash_stream;
/* Returns an owned stream of no bytes. */
MUST_CHECK enum status hash_stream_new(struct hash_stream **ret, struct error *err);
/* Takes NULL. */
void hash_stream_free(struct hash_stream *stream);
void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t size);
/* Of the bytes so far; more may follow. */
uint64_t hash_stream_value(const struct hash_stream *stream);

/* SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64-bit words that mixes well. */
static inline uint64_t hash_u64(uint64_t x)
{
	x += UINT64_C(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/*
 * The digest of a set of records: the sum modulo 2^128 of XXH3-128 over each record, so that
 * neither the order nor the split over servers matters. A record is (name, index, bytes): a table's
 * name, an id and the row with its optimizer state, or a tensor's name, a row number and the row.
 */
struct digest {
	uint64_t low;
	uint64_t high;
};

void digest_add(
	struct digest *digest, uint64_t name_hash, uint64_t index, const void *bytes, size_t size);
void digest_merge(struct digest *digest, const struct digest *other);
/* Takes records out again that are in. */
void digest_remove(struct digest *digest, const struct digest *other);

#define DIGEST_TEXT_SIZE 33
/* 32 hex digits and a terminator. */
void digest_format(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);

#endif
