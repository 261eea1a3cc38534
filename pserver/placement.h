/*
 * Where an id lives.
 *
 * An id hashes to one of a fixed number of virtual shards, and the servers own contiguous blocks of
 * virtual shards. The first map never changes, so a job may resume on another number of servers.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_PSERVER_PLACEMENT_H
#define MARQUEE_PSERVER_PLACEMENT_H

#include "common/base/hash.h"

#include <stdint.h>

#define VIRTUAL_SHARDS	   64u
#define VIRTUAL_SHARD_BITS 6

/* The top bits of hash_u64(id); a table's index takes its slots from the low ones. */
static inline uint32_t virtual_shard_of_hash(uint64_t hash)
{
	return (uint32_t)(hash >> (64 - VIRTUAL_SHARD_BITS));
}

static inline uint32_t virtual_shard_of(uint64_t id)
{
	return virtual_shard_of_hash(hash_u64(id));
}

/* Server i of n owns the virtual shards [first, end). 1 <= n <= VIRTUAL_SHARDS, i < n. */
static inline uint32_t shard_first(uint32_t shard_index, uint32_t shard_count)
{
	return shard_index * VIRTUAL_SHARDS / shard_count;
}

static inline uint32_t shard_end(uint32_t shard_index, uint32_t shard_count)
{
	return (shard_index + 1) * VIRTUAL_SHARDS / shard_count;
}

/* The server that owns a virtual shard: the i with shard_first(i) <= v < shard_end(i). */
static inline uint32_t shard_of(uint32_t virtual_shard, uint32_t shard_count)
{
	return ((virtual_shard + 1) * shard_count - 1) / VIRTUAL_SHARDS;
}

#endif
