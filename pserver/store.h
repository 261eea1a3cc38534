/*
 * A server's part of all tables: the virtual shards it owns.
 *
 * Ids come as raw u64 arrays of any alignment (they are read where a message lies), rows, gradients
 * and records as floats aligned to 4 bytes. A record is a row and its optimizer state, so that the
 * two are never saved or restored apart. Every id must belong to this server and every call checks
 * all of its arguments first: INVALID_ARGUMENT names the first foreign id, and nothing is changed.
 *
 * RESOURCE_EXHAUSTED out of memory is the one failure that comes in the middle: each row is then
 * either as before or as after the call, but some are this and some that. Restore a checkpoint.
 *
 * Threads: internally locked. One reader-writer lock holds the list of tables (written by
 * store_create_table and store_reset), and each table has some, its stripes, each for some
 * neighbouring virtual shards, in which pulls share. Order: the list, then stripes from the first
 * to the last. A call works on a block of ids at a time, under all stripes where it can have them
 * at once, else, where it changes rows, stripe by stripe; so it is not one atomic whole against
 * another call's.
 */
#ifndef MARQUEE_PSERVER_STORE_H
#define MARQUEE_PSERVER_STORE_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "pserver/placement.h"
#include "pserver/table.h"

#include <stddef.h>
#include <stdint.h>

#define STORE_TABLES_MAX 256u

struct store;
struct crew;

struct store_options {
	uint64_t seed;	      /* of the rows' first values */
	uint32_t shard_index; /* this server, < shard_count */
	uint32_t shard_count; /* servers, 1..VIRTUAL_SHARDS; 0 is taken as 1 */
	/*
	 * One stripe a table, and ids need not be sorted by it: faster, where calls on the same
	 * table do not come from several threads at once. They may, but wait for each other.
	 */
	bool one_thread_per_table;
	/* Takes parts of large calls while no other call is under way. Borrowed; NULL: nobody. */
	struct crew *crew;
};

/* Returns an owned store without tables. */
MUST_CHECK enum status store_new(
	struct store **ret, const struct store_options *options, struct error *err);
/* Takes NULL. No other call may be under way. */
void store_free(struct store *store);

/* Drops all tables; those created from now on start from this seed. Waits for calls under way. */
void store_reset(struct store *store, uint64_t seed);

/*
 * Creates a table and returns its number: 0, 1, 2, ... in order of creation. The same spec again
 * returns the same number; another one under the same name is FAILED_PRECONDITION.
 * RESOURCE_EXHAUSTED beyond STORE_TABLES_MAX. Copies the spec.
 */
MUST_CHECK enum status store_create_table(
	struct store *store, const struct table_spec *spec, uint32_t *ret_table, struct error *err);

uint32_t store_table_count(struct store *store);
/* NOT_FOUND when there is no such table. Copies. */
MUST_CHECK enum status store_table_spec(
	struct store *store, uint32_t table, struct table_spec *ret, struct error *err);
/* Floats of a record: the row, then its state. 0 when there is no such table. */
uint32_t store_record_floats(struct store *store, uint32_t table);
/* Rows created here. 0 when there is no such table. */
uint64_t store_count(struct store *store, uint32_t table);
/* Bytes of all tables' slabs and indexes, and of what a cut has put aside. */
uint64_t store_bytes(struct store *store);

/* Of one table here; all zeros when there is no such table. */
struct store_table_stats {
	uint64_t rows, bytes;	 /* as store_count() and store_bytes() */
	uint64_t pulled, pushed; /* rows that calls asked for, since the table was created */
};
void store_table_stats(struct store *store, uint32_t table, struct store_table_stats *ret);

/* NOT_FOUND when there is no such table, INVALID_ARGUMENT naming the first foreign id. */
MUST_CHECK enum status store_check_ids(
	struct store *store, uint32_t table, const void *ids, size_t n, struct error *err);

/* rows [n, dim]. An id that has no row yet gives the values it would start with. */
MUST_CHECK enum status store_pull(struct store *store, uint32_t table, const void *ids, size_t n,
	float *rows, struct error *err);

/*
 * Applies gradients [n, dim] with the table's optimizer; `step` from 1. The ids should be distinct:
 * one that comes twice gets its gradients as two updates, in the order of the array.
 */
MUST_CHECK enum status store_apply(struct store *store, uint32_t table, const void *ids, size_t n,
	const float *gradients, uint64_t step, struct error *err);

/* Creates or overwrites rows with records [n, record floats]; a repeated id keeps the last. */
MUST_CHECK enum status store_restore(struct store *store, uint32_t table, const void *ids, size_t n,
	const float *records, struct error *err);

/*
 * Where a snapshot stands: before record `position`, in order of creation, of a virtual shard. All
 * zeros is the beginning. It may be sent to a peer and come back.
 */
struct store_cursor {
	uint64_t virtual_shard;
	uint64_t position;
};

/*
 * Copies up to max > 0 records on from the cursor, ids (u64, any alignment) and records [.., record
 * floats], and moves the cursor. *ret_n is less than max only at the end, where it stays 0. Rows
 * created meanwhile may be missed: whoever wants a cut keeps writers away until it is read.
 * INVALID_ARGUMENT for a cursor that is none.
 */
MUST_CHECK enum status store_snapshot(struct store *store, uint32_t table,
	struct store_cursor *cursor, size_t max, void *ids, float *records, size_t *ret_n,
	struct error *err);

/*
 * Begins a cut through every table, in place of an earlier one: store_cut_read() gives the records
 * as they are now, whatever is applied meanwhile. Costs a few locks a partition. It is one moment
 * of all tables if nothing is being applied during the call.
 */
void store_cut(struct store *store);
/* Ends it and gives back what was put aside. Without a cut nothing happens. */
void store_uncut(struct store *store);

/*
 * As store_snapshot(), of the records as they were at the cut. What lies before the cursor is not
 * kept any longer: a cursor may be used again, as after a lost answer, until one behind it is.
 * FAILED_PRECONDITION: it has been passed, or there is no cut. RESOURCE_EXHAUSTED: there was no
 * memory to keep what was applied over.
 */
MUST_CHECK enum status store_cut_read(struct store *store, uint32_t table,
	struct store_cursor *cursor, size_t max, void *ids, float *records, size_t *ret_n,
	struct error *err);

/*
 * The audit: how many examples the gradients stand for that a table has applied. Whoever applies
 * them counts; 0 at first, and nothing happens where there is no such table.
 */
void store_count_examples(struct store *store, uint32_t table, uint64_t examples);
void store_set_examples(struct store *store, uint32_t table, uint64_t examples);
uint64_t store_examples(struct store *store, uint32_t table);

/* Adds every record of every table to the digest: the servers' digests add up to the job's. */
void store_digest(struct store *store, struct digest *digest);

#endif
