/*
 * Cuts: the store's tables as they were at one moment, read while they change.
 *
 * A cut is begun in every partition and read partition by partition. A read holds a partition's
 * lock for a few records only, so that what is applied beside it never waits for long.
 */
#include "pserver/store_private.h"

#include <string.h>

/* Records read under a lock at a time: some 50 us of copying for rows of 32 floats. */
#define READ_MAX 1024u

void store_cut(struct store *store)
{
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++) {
		struct store_table *table = store->tables[t];
		for (uint32_t s = 0; s < store->shard_total; s++) {
			struct shard *shard = &table->shards[s];
			pthread_rwlock_wrlock(&shard->lock);
			table_cut_begin(&shard->cut, &shard->partition, &table->schema);
			pthread_rwlock_unlock(&shard->lock);
		}
	}
	pthread_rwlock_unlock(&store->lock);
}

void store_uncut(struct store *store)
{
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++) {
		struct store_table *table = store->tables[t];
		for (uint32_t s = 0; s < store->shard_total; s++) {
			struct shard *shard = &table->shards[s];
			pthread_rwlock_wrlock(&shard->lock);
			table_cut_end(&shard->cut, &table->schema);
			pthread_rwlock_unlock(&shard->lock);
		}
	}
	pthread_rwlock_unlock(&store->lock);
}

/* Passes the records of a partition before `position`, which must not have been passed before. */
static enum status pass(struct shard *shard, const struct table_schema *schema, uint32_t position,
	struct error *err)
{
	enum status status = STATUS_OK;
	pthread_rwlock_wrlock(&shard->lock);
	if (!shard->cut.active)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"table %s: there is no cut to read", schema->spec.name);
	else if (position < shard->cut.done)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"table %s: the cut has been read beyond record %u of a partition, up to %u",
			schema->spec.name, position, shard->cut.done);
	else
		table_cut_pass(&shard->cut, schema, position);
	pthread_rwlock_unlock(&shard->lock);
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
			status = pass(&table->shards[s], &table->schema, UINT32_MAX, err);
		else if (virtual_shard == cursor->virtual_shard)
			status = pass(
				&table->shards[s], &table->schema, (uint32_t)cursor->position, err);
	}
	return status;
}

static enum status read_on(const struct store *store, struct store_table *table,
	struct store_cursor *cursor, size_t max, void *ids, float *records, size_t *ret_n,
	struct error *err)
{
	const uint64_t first = store->first, end = first + store->shard_total;
	size_t n = 0;
	if (cursor->virtual_shard < first)
		*cursor = (struct store_cursor){.virtual_shard = first};
	while (n < max && cursor->virtual_shard < end) {
		struct shard *shard = &table->shards[cursor->virtual_shard - first];
		uint32_t room = max - n < READ_MAX ? (uint32_t)(max - n) : READ_MAX;
		uint32_t got;
		pthread_rwlock_rdlock(&shard->lock);
		enum status status = table_cut_read(&shard->cut, &shard->partition, &table->schema,
			(uint32_t)cursor->position, room,
			(unsigned char *)ids + n * sizeof(uint64_t),
			records + n * table->schema.record_floats, &got, err);
		pthread_rwlock_unlock(&shard->lock);
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
