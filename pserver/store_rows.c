#include "pserver/store.h"

#include "pserver/store_private.h"

#include <string.h>

/* Ids at a time under one set of locks: some 50 us for rows of 32 floats. */
#define BLOCK 1024u

/* A block of ids by the lock of their partition: stripe s has the entries [begin[s], begin[s + 1]).
 */
struct block {
	uint64_t ids[BLOCK];
	uint16_t where[BLOCK]; /* position in the caller's arrays, from the block's start */
	uint32_t begin[STRIPES_MAX + 1];
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
	for (size_t i = 0; store->shard_total < VIRTUAL_SHARDS && i < n; i++) {
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
	enum status status = check_ids(store, &opened->table.schema, ids, n, err);
	store_close(store);
	return status;
}

/* A counting sort of n <= BLOCK ids by stripe; it keeps the order within a stripe. */
static void block_sort(struct block *block, const struct store *store, const void *ids, uint32_t n)
{
	uint32_t next[STRIPES_MAX + 1] = {0};
	for (uint32_t i = 0; i < n; i++)
		next[stripe_of(store, virtual_shard_of(load_id(ids, i)) - store->first) + 1]++;
	for (uint32_t s = 0; s < store->stripe_count; s++)
		next[s + 1] += next[s];
	memcpy(block->begin, next, sizeof(next));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = load_id(ids, i);
		uint32_t at = next[stripe_of(store, virtual_shard_of(id) - store->first)]++;
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

/* The rows, gradients or records of the call begin at `offset`. The ids' stripes are locked. */
static enum status part_run(struct store_table *table, const struct batch *batch, size_t offset,
	const struct table_batch *part, bool cut, struct error *err)
{
	const struct table_schema *schema = &table->table.schema;
	if (batch->kind == BATCH_PULL) {
		table_pull(&table->table, part, batch->rows + offset * schema->spec.dim);
		return STATUS_OK;
	}
	if (cut)
		table_cut_keep(table->cuts, &table->table, part);
	if (batch->kind == BATCH_APPLY)
		return table_apply(&table->table, &batch->step, part,
			batch->values + offset * schema->spec.dim, err);
	return table_restore(
		&table->table, part, batch->values + offset * schema->record_floats, err);
}

/*
 * Locks all stripes, in order: for a pull, which shares them, and for another call if nobody is
 * there. *ret_cut: some partition is being cut.
 */
static bool lock_all(
	const struct store *store, struct store_table *table, bool shared, bool *ret_cut)
{
	uint32_t s;
	*ret_cut = false;
	for (s = 0; s < store->stripe_count; s++) {
		struct stripe *stripe = &table->stripes[s];
		if (shared)
			pthread_rwlock_rdlock(&stripe->lock);
		else if (pthread_rwlock_trywrlock(&stripe->lock) != 0)
			break;
		*ret_cut |= stripe->cut;
	}
	if (s == store->stripe_count)
		return true;
	while (s-- > 0)
		pthread_rwlock_unlock(&table->stripes[s].lock);
	return false;
}

static void unlock_all(const struct store *store, struct store_table *table)
{
	for (uint32_t s = 0; s < store->stripe_count; s++)
		pthread_rwlock_unlock(&table->stripes[s].lock);
}

/* Changes stripe after stripe: where others are at work beside this call. */
static enum status run_by_stripe(struct store *store, struct store_table *table,
	const struct batch *batch, size_t offset, const struct table_batch *ids, struct error *err)
{
	enum status status = STATUS_OK;
	struct block block;
	block_sort(&block, store, ids->ids, (uint32_t)ids->n);
	/* Callers start at different stripes, so that they do not go in a convoy. */
	uint32_t s = stripe_of(store, virtual_shard_of(load_id(ids->ids, 0)) - store->first);
	for (uint32_t i = 0; status == STATUS_OK && i < store->stripe_count; i++) {
		struct stripe *stripe = &table->stripes[s];
		const uint32_t first = block.begin[s];
		const struct table_batch part = {.ids = block.ids + first,
			.where = block.where + first,
			.n = block.begin[s + 1] - first};
		if (part.n > 0) {
			pthread_rwlock_wrlock(&stripe->lock);
			status = part_run(table, batch, offset, &part, stripe->cut, err);
			pthread_rwlock_unlock(&stripe->lock);
		}
		s = s + 1 < store->stripe_count ? s + 1 : 0;
	}
	return status;
}

static enum status batch_run(struct store *store, struct store_table *table,
	const struct batch *batch, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t offset = 0; status == STATUS_OK && offset < batch->n; offset += BLOCK) {
		const struct table_batch ids = {
			.ids = (const unsigned char *)batch->ids + offset * sizeof(uint64_t),
			.n = batch->n - offset < BLOCK ? batch->n - offset : BLOCK};
		bool cut;
		if (lock_all(store, table, batch->kind == BATCH_PULL, &cut)) {
			status = part_run(table, batch, offset, &ids, cut, err);
			unlock_all(store, table);
		} else {
			status = run_by_stripe(store, table, batch, offset, &ids, err);
		}
	}
	return status;
}

static enum status store_run(
	struct store *store, uint32_t table, struct batch *batch, uint64_t step, struct error *err)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return store_no_table(table, err);
	enum status status = check_ids(store, &opened->table.schema, batch->ids, batch->n, err);
	if (status == STATUS_OK) {
		batch->step = optimizer_prepare(&opened->table.schema.spec.optimizer, step);
		status = batch_run(store, opened, batch, err);
		if (status != STATUS_OK)
			error_wrap(err, status, "table %s", opened->table.schema.spec.name);
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
		const uint32_t shard = (uint32_t)(cursor->virtual_shard - first);
		const struct table_schema *schema = &table->table.schema;
		size_t room = max - n < UINT32_MAX ? max - n : UINT32_MAX;
		pthread_rwlock_t *lock = store_lock_of(store, table, shard);
		pthread_rwlock_rdlock(lock);
		uint32_t got = table_read(&table->table.partitions[shard], schema,
			(uint32_t)cursor->position, (uint32_t)room,
			(unsigned char *)ids + n * sizeof(uint64_t),
			records + n * schema->record_floats);
		pthread_rwlock_unlock(lock);
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
			pthread_rwlock_t *lock = store_lock_of(store, table, s);
			pthread_rwlock_rdlock(lock);
			table_digest(&table->table.partitions[s], &table->table.schema, digest);
			pthread_rwlock_unlock(lock);
		}
	}
	pthread_rwlock_unlock(&store->lock);
}
