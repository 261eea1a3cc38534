/*
 * The inside of a store, shared by store.c (its tables), store_rows.c (their rows) and store_cut.c
 * (their rows as they were).
 */
#ifndef MARQUEE_PSERVER_STORE_PRIVATE_H
#define MARQUEE_PSERVER_STORE_PRIVATE_H

#include "pserver/store.h"
#include "pserver/table_cut.h"

#include <pthread.h>
#include <stdatomic.h>

#define STRIPES_MAX 8u

/* The lock of some neighbouring partitions of a table, on a cache line of its own. */
struct stripe {
	_Alignas(64) pthread_rwlock_t lock;
	bool cut; /* guarded by lock: its partitions are being cut */
};

struct store_table {
	struct stripe stripes[STRIPES_MAX]; /* [store's stripe_count] */
	/* By virtual shard - first, each guarded by the lock of its stripe. */
	struct table table;
	struct table_cut *cuts;
	struct stock_order *orders; /* of the partitions' indexes */
	atomic_uint_least64_t examples;
	atomic_uint_least64_t pulled, pushed; /* rows, since the table was created */
};

/* Ids of a call that are sorted at a time when a crew changes rows. */
#define CREW_IDS 8192u

/*
 * Ids by the lock of their partition: stripe s has the entries [begin[s], begin[s + 1]), in the
 * caller's order.
 */
struct crew_ids {
	uint64_t ids[CREW_IDS];
	uint16_t where[CREW_IDS];  /* position in the caller's arrays, from the first sorted one */
	uint8_t stripes[CREW_IDS]; /* of the caller's ids */
	uint32_t begin[STRIPES_MAX + 1];
};

struct store {
	/* immutable */
	uint32_t shard_index, shard_count;
	uint32_t first, shard_total; /* the virtual shards [first, first + shard_total) */
	uint32_t stripe_shift, stripe_count;
	struct page_stock *stock;  /* of all tables' rows; internally locked */
	struct crew *crew;	   /* borrowed; NULL: none */
	struct crew_ids *crew_ids; /* whoever has taken the crew may write it; NULL: no crew */

	atomic_uint calls; /* that read or change rows, under way */

	pthread_rwlock_t lock; /* guards what follows */
	uint64_t seed;
	uint32_t table_count;
	struct store_table *tables[STORE_TABLES_MAX];
};

/* shard: virtual shard - first, the number of the partition. */
static inline uint32_t stripe_of(const struct store *store, uint32_t shard)
{
	return shard >> store->stripe_shift;
}

static inline pthread_rwlock_t *store_lock_of(
	const struct store *store, struct store_table *table, uint32_t shard)
{
	return &table->stripes[stripe_of(store, shard)].lock;
}

/*
 * Opens a table for a call: on success the list stays locked, shared, until store_close(). Without
 * it (NULL) there is nothing to close.
 */
struct store_table *store_open(struct store *store, uint32_t table);
void store_close(struct store *store);

/* Whether a snapshot's arguments, which may come from a peer, make sense. */
MUST_CHECK enum status store_check_snapshot(
	const struct store_cursor *cursor, size_t max, struct error *err);

/* NOT_FOUND. */
enum status store_no_table(uint32_t table, struct error *err);

#endif
