#include "pserver/store.h"

#include "pserver/store_private.h"

#include <string.h>

/* Ids that are grouped by partition at a time, on the stack; a lock is taken once per block. */
#define BLOCK 4096u

/* A block of ids by partition: shard s has the entries [begin[s], begin[s + 1]). */
struct block {
	uint64_t ids[BLOCK];
	uint16_t where[BLOCK]; /* position in the caller's arrays, from the block's start */
	uint32_t begin[VIRTUAL_SHARDS + 1];
};

static uint64_t load_id(const void *ids, size_t i)
{
	uint64_t id;
	memcpy(&id, (const unsigned char *)ids + i * sizeof(id), sizeof(id));
	return id;
}

static enum status check_ids(const struct store *store, const struct table_schema *schema,
	const void *ids, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t id = load_id(ids, i);
		uint32_t virtual_shard = virtual_shard_of(id);
		if (virtual_shard - store->first >= store->shard_total)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"table %s: id %llu belongs to server %u, this is %u of %u",
				schema->spec.name, (unsigned long long)id,
				shard_of(virtual_shard, store->shard_count), store->shard_index,
				store->shard_count);
	}
	return STATUS_OK;
}

enum status store_check_ids(
	struct store *store, uint32_t table, const void *ids, size_t n, struct error *err)
{
	const struct store_table *opened = store_open(store, table);
	if (!opened)
		return store_no_table(table, err);
	enum status status = check_ids(store, &opened->schema, ids, n, err);
	store_close(store);
	return status;
}

/* A counting sort of n <= BLOCK ids by partition; it keeps the order within a partition. */
static void block_group(struct block *block, const struct store *store, const void *ids, uint32_t n)
{
	uint32_t next[VIRTUAL_SHARDS + 1] = {0};
	for (uint32_t i = 0; i < n; i++)
		next[virtual_shard_of(load_id(ids, i)) - store->first + 1]++;
	for (uint32_t s = 0; s < store->shard_total; s++)
		next[s + 1] += next[s];
	memcpy(block->begin, next, sizeof(next));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = load_id(ids, i);
		uint32_t at = next[virtual_shard_of(id) - store->first]++;
		block->ids[at] = id;
		block->where[at] = (uint16_t)i;
	}
}

enum batch_kind { BATCH_PULL, BATCH_APPLY, BATCH_RESTORE };

/* A call over many ids. `values` is [n x width] floats: rows, gradients or records. */
struct batch {
	enum batch_kind kind;
	const void *ids;
	size_t n;
	float *rows;	     /* of a pull */
	const float *values; /* of the others */
	struct optimizer_step step;
};

static enum status shard_run(struct shard *shard, const struct table_schema *schema,
	const struct batch *batch, size_t offset, const uint64_t *ids, const uint16_t *where,
	uint32_t n, struct error *err)
{
	enum status status = STATUS_OK;
	if (batch->kind == BATCH_PULL) {
		pthread_rwlock_rdlock(&shard->lock);
		table_pull(&shard->partition, schema, ids, where, n,
			batch->rows + offset * schema->spec.dim);
	} else {
		pthread_rwlock_wrlock(&shard->lock);
		if (shard->cut.active)
			table_cut_keep(&shard->cut, &shard->partition, schema, ids, n);
		if (batch->kind == BATCH_APPLY)
			status = table_apply(&shard->partition, schema, &batch->step, ids, where, n,
				batch->values + offset * schema->spec.dim, err);
		else
			status = table_restore(&shard->partition, schema, ids, where, n,
				batch->values + offset * schema->record_floats, err);
	}
	pthread_rwlock_unlock(&shard->lock);
	return status;
}

static enum status batch_run(struct store *store, struct store_table *table,
	const struct batch *batch, struct error *err)
{
	const uint32_t total = store->shard_total;
	struct block block;
	for (size_t offset = 0; offset < batch->n; offset += BLOCK) {
		const unsigned char *ids =
			(const unsigned char *)batch->ids + offset * sizeof(uint64_t);
		uint32_t n = batch->n - offset < BLOCK ? (uint32_t)(batch->n - offset) : BLOCK;
		block_group(&block, store, ids, n);
		/* Callers start at different partitions, so that they do not go in a convoy. */
		uint32_t start = virtual_shard_of(load_id(ids, 0)) - store->first;
		for (uint32_t i = 0; i < total; i++) {
			uint32_t s = start + i < total ? start + i : start + i - total;
			uint32_t first = block.begin[s], count = block.begin[s + 1] - first;
			if (count == 0)
				continue;
			enum status status = shard_run(&table->shards[s], &table->schema, batch,
				offset, block.ids + first, block.where + first, count, err);
			if (status != STATUS_OK)
				return error_wrap(err, status, "table %s", table->schema.spec.name);
		}
	}
	return STATUS_OK;
}

static enum status store_run(
	struct store *store, uint32_t table, struct batch *batch, uint64_t step, struct error *err)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return store_no_table(table, err);
	enum status status = check_ids(store, &opened->schema, batch->ids, batch->n, err);
	if (status == STATUS_OK) {
		batch->step = optimizer_prepare(&opened->schema.spec.optimizer, step);
		status = batch_run(store, opened, batch, err);
	}
	store_close(store);
	return status;
}

enum status store_pull(struct store *store, uint32_t table, const void *ids, size_t n, float *rows,
	struct error *err)
{
	struct batch batch = {.kind = BATCH_PULL, .ids = ids, .n = n, .rows = rows};
	return store_run(store, table, &batch, 0, err);
}

enum status store_apply(struct store *store, uint32_t table, const void *ids, size_t n,
	const float *gradients, uint64_t step, struct error *err)
{
	struct batch batch = {.kind = BATCH_APPLY, .ids = ids, .n = n, .values = gradients};
	return store_run(store, table, &batch, step, err);
}

enum status store_restore(struct store *store, uint32_t table, const void *ids, size_t n,
	const float *records, struct error *err)
{
	struct batch batch = {.kind = BATCH_RESTORE, .ids = ids, .n = n, .values = records};
	return store_run(store, table, &batch, 0, err);
}

static size_t snapshot_read(struct store *store, struct store_table *table,
	struct store_cursor *cursor, size_t max, void *ids, float *records)
{
	const uint64_t first = store->first, end = first + store->shard_total;
	size_t n = 0;
	if (cursor->virtual_shard < first)
		*cursor = (struct store_cursor){.virtual_shard = first};
	while (n < max && cursor->virtual_shard < end) {
		struct shard *shard = &table->shards[cursor->virtual_shard - first];
		size_t room = max - n < UINT32_MAX ? max - n : UINT32_MAX;
		pthread_rwlock_rdlock(&shard->lock);
		uint32_t got =
			table_read(&shard->partition, &table->schema, (uint32_t)cursor->position,
				(uint32_t)room, (unsigned char *)ids + n * sizeof(uint64_t),
				records + n * table->schema.record_floats);
		pthread_rwlock_unlock(&shard->lock);
		n += got;
		cursor->position += got;
		if (got == 0)
			*cursor = (struct store_cursor){.virtual_shard = cursor->virtual_shard + 1};
	}
	return n;
}

enum status store_check_snapshot(const struct store_cursor *cursor, size_t max, struct error *err)
{
	if (cursor->virtual_shard > VIRTUAL_SHARDS || cursor->position > UINT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"snapshot: there is no cursor (%llu, %llu)",
			(unsigned long long)cursor->virtual_shard,
			(unsigned long long)cursor->position);
	if (max == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "snapshot: no room for records");
	return STATUS_OK;
}

enum status store_snapshot(struct store *store, uint32_t table, struct store_cursor *cursor,
	size_t max, void *ids, float *records, size_t *ret_n, struct error *err)
{
	enum status status = store_check_snapshot(cursor, max, err);
	if (status != STATUS_OK)
		return status;
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return store_no_table(table, err);
	*ret_n = snapshot_read(store, opened, cursor, max, ids, records);
	store_close(store);
	return STATUS_OK;
}

void store_digest(struct store *store, struct digest *digest)
{
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++) {
		struct store_table *table = store->tables[t];
		for (uint32_t s = 0; s < store->shard_total; s++) {
			struct shard *shard = &table->shards[s];
			pthread_rwlock_rdlock(&shard->lock);
			table_digest(&shard->partition, &table->schema, digest);
			pthread_rwlock_unlock(&shard->lock);
		}
	}
	pthread_rwlock_unlock(&store->lock);
}
