#include "pserver/store.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Ids that are grouped by partition at a time, on the stack; a lock is taken once per block. */
#define BLOCK 4096u

/* A partition and its lock have cache lines of their own. */
struct shard {
	_Alignas(64) pthread_rwlock_t lock;
	struct table_partition partition; /* guarded by lock */
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

/* ---- tables -------------------------------------------------------------------------------- */

static void store_table_free(struct store_table *table, uint32_t shard_total)
{
	if (!table)
		return;
	for (uint32_t s = 0; table->shards && s < shard_total; s++) {
		table_partition_fini(&table->shards[s].partition, &table->schema);
		pthread_rwlock_destroy(&table->shards[s].lock);
	}
	free(table->shards);
	free(table);
}

static enum status store_table_new(struct store_table **ret, const struct table_spec *spec,
	uint64_t seed, uint32_t shard_total, struct error *err)
{
	struct store_table *table;
	enum status status = memory_zalloc(&table, 1, sizeof(*table), "table", err);
	if (status != STATUS_OK)
		return status;
	table->schema = table_schema_of(spec, seed);
	status = memory_zalloc(
		&table->shards, shard_total, sizeof(*table->shards), "table's shards", err);
	if (status != STATUS_OK) {
		free(table);
		return status;
	}
	/* On Linux a lock's initialisation takes no resources and cannot fail. */
	for (uint32_t s = 0; s < shard_total; s++)
		pthread_rwlock_init(&table->shards[s].lock, NULL);
	*ret = table;
	return STATUS_OK;
}

enum status store_new(struct store **ret, const struct store_options *options, struct error *err)
{
	const uint32_t count = options->shard_count ? options->shard_count : 1;
	if (count > VIRTUAL_SHARDS || options->shard_index >= count)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"server %u of %u: there are at most %u, counted from 0",
			options->shard_index, count, VIRTUAL_SHARDS);
	struct store *store;
	enum status status = memory_zalloc(&store, 1, sizeof(*store), "store", err);
	if (status != STATUS_OK)
		return status;
	store->shard_index = options->shard_index;
	store->shard_count = count;
	store->first = shard_first(store->shard_index, count);
	store->shard_total = shard_end(store->shard_index, count) - store->first;
	store->seed = options->seed;
	pthread_rwlock_init(&store->lock, NULL);
	*ret = store;
	return STATUS_OK;
}

static void drop_tables(struct store *store)
{
	for (uint32_t t = 0; t < store->table_count; t++) {
		store_table_free(store->tables[t], store->shard_total);
		store->tables[t] = NULL;
	}
	store->table_count = 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	drop_tables(store);
	pthread_rwlock_destroy(&store->lock);
	free(store);
}

void store_reset(struct store *store, uint64_t seed)
{
	pthread_rwlock_wrlock(&store->lock);
	drop_tables(store);
	store->seed = seed;
	pthread_rwlock_unlock(&store->lock);
}

static enum status create_table_locked(
	struct store *store, const struct table_spec *spec, uint32_t *ret_table, struct error *err)
{
	for (uint32_t t = 0; t < store->table_count; t++) {
		const struct table_spec *there = &store->tables[t]->schema.spec;
		if (strcmp(there->name, spec->name) != 0)
			continue;
		if (!table_spec_equal(there, spec))
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"table %s is there already, with another dim, init_limit or "
				"optimizer",
				spec->name);
		*ret_table = t;
		return STATUS_OK;
	}
	if (store->table_count == STORE_TABLES_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"table %s: there are %u tables already", spec->name, STORE_TABLES_MAX);
	enum status status = store_table_new(
		&store->tables[store->table_count], spec, store->seed, store->shard_total, err);
	if (status == STATUS_OK)
		*ret_table = store->table_count++;
	return status;
}

enum status store_create_table(
	struct store *store, const struct table_spec *spec, uint32_t *ret_table, struct error *err)
{
	enum status status = table_spec_validate(spec, err);
	if (status != STATUS_OK)
		return status;
	pthread_rwlock_wrlock(&store->lock);
	status = create_table_locked(store, spec, ret_table, err);
	pthread_rwlock_unlock(&store->lock);
	return status;
}

/*
 * Opens a table for a call: on success the list stays locked, shared, until store_close(). Without
 * it there is nothing to close.
 */
static struct store_table *store_open(struct store *store, uint32_t table)
{
	pthread_rwlock_rdlock(&store->lock);
	if (table < store->table_count)
		return store->tables[table];
	pthread_rwlock_unlock(&store->lock);
	return NULL;
}

static void store_close(struct store *store)
{
	pthread_rwlock_unlock(&store->lock);
}

static enum status no_table(uint32_t table, struct error *err)
{
	return error_set(err, STATUS_NOT_FOUND, "there is no table %u", table);
}

/* ---- what there is ------------------------------------------------------------------------- */

uint32_t store_table_count(struct store *store)
{
	pthread_rwlock_rdlock(&store->lock);
	uint32_t count = store->table_count;
	pthread_rwlock_unlock(&store->lock);
	return count;
}

enum status store_table_spec(
	struct store *store, uint32_t table, struct table_spec *ret, struct error *err)
{
	const struct store_table *opened = store_open(store, table);
	if (!opened)
		return no_table(table, err);
	*ret = opened->schema.spec;
	store_close(store);
	return STATUS_OK;
}

uint32_t store_record_floats(struct store *store, uint32_t table)
{
	const struct store_table *opened = store_open(store, table);
	if (!opened)
		return 0;
	uint32_t floats = opened->schema.record_floats;
	store_close(store);
	return floats;
}

uint64_t store_count(struct store *store, uint32_t table)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return 0;
	uint64_t count = 0;
	for (uint32_t s = 0; s < store->shard_total; s++) {
		struct shard *shard = &opened->shards[s];
		pthread_rwlock_rdlock(&shard->lock);
		count += table_count(&shard->partition);
		pthread_rwlock_unlock(&shard->lock);
	}
	store_close(store);
	return count;
}

uint64_t store_bytes(struct store *store)
{
	uint64_t bytes = 0;
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++) {
		struct store_table *table = store->tables[t];
		for (uint32_t s = 0; s < store->shard_total; s++) {
			struct shard *shard = &table->shards[s];
			pthread_rwlock_rdlock(&shard->lock);
			bytes += table_bytes(&shard->partition, &table->schema);
			pthread_rwlock_unlock(&shard->lock);
		}
	}
	pthread_rwlock_unlock(&store->lock);
	return bytes;
}

/* ---- batches ------------------------------------------------------------------------------- */

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
		return no_table(table, err);
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
		return no_table(table, err);
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

/* ---- snapshots ----------------------------------------------------------------------------- */

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

enum status store_snapshot(struct store *store, uint32_t table, struct store_cursor *cursor,
	size_t max, void *ids, float *records, size_t *ret_n, struct error *err)
{
	if (cursor->virtual_shard > VIRTUAL_SHARDS || cursor->position > UINT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"snapshot: there is no cursor (%llu, %llu)",
			(unsigned long long)cursor->virtual_shard,
			(unsigned long long)cursor->position);
	if (max == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "snapshot: no room for records");
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return no_table(table, err);
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
