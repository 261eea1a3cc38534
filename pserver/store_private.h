/*
 * The inside of a store, shared by store.c (its tables), store_rows.c (their rows) and store_cut.c
 * (their rows as they were).
 */
#ifndef MARQUEE_PSERVER_STORE_PRIVATE_H
#define MARQUEE_PSERVER_STORE_PRIVATE_H

#include "pserver/store.h"
#include "pserver/table_cut.h"

#include <pthread.h>

/* A partition and its lock have cache lines of their own. */
struct shard {
	_Alignas(64) pthread_rwlock_t lock;
	/* guarded by lock */
	struct table_partition partition;
	struct table_cut cut;
};

struct store_table {
	struct table_schema schema; /* immutable */
	struct shard *shards;	    /* [shard_total], by virtual shard - first */
};

struct store {
	/* immutable */
	uint32_t shard_index, shard_count;
	uint32_t first, shard_total; /* the virtual shards [first, first + shard_total) */

	pthread_rwlock_t lock; /* guards what follows */
	uint64_t seed;
	uint32_t table_count;
	struct store_table *tables[STORE_TABLES_MAX];
};

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
