/*
 * Cuts: the store's tables as they were at one moment, read while they change.
 *
 * A cut is begun in every partition and read partition by partition. A read holds a partition's
 * lock for a few records only, so that what is applied beside it never waits for long.
 */
#include "pserver/store_private.h"

#include <string.h>

/*
 * Records read under a lock at a time: some 200 us of copying for rows of 32 floats. Where
 * applications follow each other closely a read comes in between two of them, so fewer records
 * would make the cut last longer.
 */
#define READ_MAX 4096u

static void cut_table(struct store *store, struct store_table *table, bool begin)
{
	const struct table_schema *schema = &table->table.schema;
	for (uint32_t s = 0; s < store->shard_total; s++) {
		pthread_rwlock_t *lock = store_lock_of(store, table, s);
		pthread_rwlock_wrlock(lock);
		table->stripes[stripe_of(store, s)].cut = begin;
		if (begin)
			table_cut_begin(&table->cuts[s], &table->table.partitions[s], schema);
		else
			table_cut_end(&table->cuts[s], schema);
		pthread_rwlock_unlock(lock);
	}
}

void store_cut(struct store *store)
{
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++)
		cut_table(store, store->tables[t], true);
	pthread_rwlock_unlock(&store->lock);
}

void store_uncut(struct store *store)
{
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++)
		cut_table(store, store->tables[t], false);
	pthread_rwlock_unlock(&store->lock);
}

/* Passes the records of a partition before `position`, which must not have been passed before. */
static enum status pass(const struct store *store, struct store_table *table, uint32_t shard,
	uint32_t position, struct error *err)
{
	const struct table_schema *schema = &table->table.schema;
	struct table_cut *cut = &table->cuts[shard];
	pthread_rwlock_t *lock = store_lock_of(store, table, shard);
	enum status status = STATUS_OK;
	pthread_rwlock_wrlock(lock);
	if (!cut->active)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"table %s: there is no cut to read", schema->spec.name);
	else if (position < cut->done)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"table %s: the cut has been read beyond record %u of a partition, up to %u",
			schema->spec.name, position, cut->done);
	else
		table_cut_pass(cut, schema, position);
	pthread_rwlock_unlock(lock);
	return status;
}

/* The partitions before the cursor's have been read, and of that one what lies before it. */
static enum status pass_before(const struct store *store, struct store_table *table,
	const struct store_cursor *cursor, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t s = 0; s < store->shard_total && status == STATUS_OK; s++) {
		const uint64_t virtual_shard = (uint64_t)store->first + s;
		if (virtual_shard < cursor->virtual_shard)
			status = pass(store, table, s, UINT32_MAX, err);
		else if (virtual_shard == cursor->virtual_shard)
			status = pass(store, table, s, (uint32_t)cursor->position, err);
	}
	return status;
}

static enum status read_on(const struct store *store, struct store_table *table,
	struct store_cursor *cursor, size_t max, void *ids, float *records, size_t *ret_n,
	struct error *err)
{
	const struct table_schema *schema = &table->table.schema;
	const uint64_t first = store->first, end = first + store->shard_total;
	size_t n = 0;
	if (cursor->virtual_shard < first)
		*cursor = (struct store_cursor){.virtual_shard = first};
	while (n < max && cursor->virtual_shard < end) {
		const uint32_t shard = (uint32_t)(cursor->virtual_shard - first);
		uint32_t room = max - n < READ_MAX ? (uint32_t)(max - n) : READ_MAX;
		uint32_t got;
		pthread_rwlock_t *lock = store_lock_of(store, table, shard);
		pthread_rwlock_rdlock(lock);
		enum status status = table_cut_read(&table->cuts[shard],
			&table->table.partitions[shard], schema, (uint32_t)cursor->position, room,
			(unsigned char *)ids + n * sizeof(uint64_t),
			records + n * schema->record_floats, &got, err);
		pthread_rwlock_unlock(lock);
		if (status != STATUS_OK)
			return status;
		n += got;
		cursor->position += got;
		if (got == 0)
			*cursor = (struct store_cursor){.virtual_shard = cursor->virtual_shard + 1};
	}
	*ret_n = n;
	return STATUS_OK;
}

enum status store_cut_read(struct store *store, uint32_t table, struct store_cursor *cursor,
	size_t max, void *ids, float *records, size_t *ret_n, struct error *err)
{
	enum status status = store_check_snapshot(cursor, max, err);
	if (status != STATUS_OK)
		return status;
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return store_no_table(table, err);
	struct store_cursor next = *cursor;
	status = pass_before(store, opened, cursor, err);
	if (status == STATUS_OK)
		status = read_on(store, opened, &next, max, ids, records, ret_n, err);
	store_close(store);
	if (status == STATUS_OK)
		*cursor = next;
	return status;
}
