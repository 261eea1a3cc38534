#include "pserver/store.h"

#include "pserver/crew.h"
#include "pserver/store_private.h"

#include <string.h>

/* Ids at a time under one set of locks: some 50 us for rows of 32 floats. */
#define BLOCK 1024u
/* A call of so many ids is worth a helper's waking, some 10 us, and so many make a part of it. */
#define CREW_IDS_MIN 1024u
#define CREW_PULL    512u

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

/*
 * Stripe after stripe: where others are at work beside this call, which would wait for all of its
 * block, or keep it waiting, and sleep.
 */
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
			if (batch->kind == BATCH_PULL)
				pthread_rwlock_rdlock(&stripe->lock);
			else
				pthread_rwlock_wrlock(&stripe->lock);
			status = part_run(table, batch, offset, &part, stripe->cut, err);
			pthread_rwlock_unlock(&stripe->lock);
		}
		s = s + 1 < store->stripe_count ? s + 1 : 0;
	}
	return status;
}

/* The ids [from, end) of a call. */
static enum status batch_run(struct store *store, struct store_table *table,
	const struct batch *batch, size_t from, size_t end, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t offset = from; status == STATUS_OK && offset < end; offset += BLOCK) {
		const struct table_batch ids = {
			.ids = (const unsigned char *)batch->ids + offset * sizeof(uint64_t),
			.n = end - offset < BLOCK ? end - offset : BLOCK};
		const bool alone = store->stripe_count == 1 || atomic_load(&store->calls) == 1;
		bool cut;
		if (alone && lock_all(store, table, batch->kind == BATCH_PULL, &cut)) {
			status = part_run(table, batch, offset, &ids, cut, err);
			unlock_all(store, table);
		} else {
			status = run_by_stripe(store, table, batch, offset, &ids, err);
		}
	}
	return status;
}

/* ---- large calls, in parts for a crew ---- */

struct crew_call {
	struct store *store;
	struct store_table *table;
	const struct batch *batch;
	size_t offset;	       /* of the ids that are sorted */
	enum status *statuses; /* [parts] of a call that changes rows */
	struct error *errors;  /* [parts] */
};

static void crew_pull(void *context, uint32_t i)
{
	const struct crew_call *call = context;
	const size_t from = (size_t)i * CREW_PULL;
	const size_t left = call->batch->n - from;
	/* A pull of ids that have been checked does not fail. */
	(void)!batch_run(call->store, call->table, call->batch, from,
		from + (left < CREW_PULL ? left : CREW_PULL), NULL);
}

static void crew_change(void *context, uint32_t s)
{
	const struct crew_call *call = context;
	const struct crew_ids *sorted = call->store->crew_ids;
	struct stripe *stripe = &call->table->stripes[s];
	const uint32_t first = sorted->begin[s];
	const struct table_batch part = {.ids = sorted->ids + first,
		.where = sorted->where + first,
		.n = sorted->begin[s + 1] - first};
	call->statuses[s] = STATUS_OK;
	if (part.n == 0)
		return;
	pthread_rwlock_wrlock(&stripe->lock);
	call->statuses[s] = part_run(
		call->table, call->batch, call->offset, &part, stripe->cut, &call->errors[s]);
	pthread_rwlock_unlock(&stripe->lock);
}

/* A counting sort of n <= CREW_IDS ids by stripe; it keeps the order within a stripe. */
static void crew_sort(const struct store *store, const void *ids, uint32_t n)
{
	struct crew_ids *sorted = store->crew_ids;
	uint32_t next[STRIPES_MAX + 1] = {0};
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t s =
			stripe_of(store, virtual_shard_of(load_id(ids, i)) - store->first);
		sorted->stripes[i] = (uint8_t)s;
		next[s + 1]++;
	}
	for (uint32_t s = 0; s < store->stripe_count; s++)
		next[s + 1] += next[s];
	memcpy(sorted->begin, next, sizeof(next));
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t at = next[sorted->stripes[i]]++;
		sorted->ids[at] = load_id(ids, i);
		sorted->where[at] = (uint16_t)i;
	}
}

static enum status crew_apply(struct store *store, struct store_table *table,
	const struct batch *batch, struct error *err)
{
	enum status statuses[STRIPES_MAX];
	struct error errors[STRIPES_MAX];
	struct crew_call call = {.store = store,
		.table = table,
		.batch = batch,
		.statuses = statuses,
		.errors = errors};
	enum status status = STATUS_OK;
	for (; status == STATUS_OK && call.offset < batch->n; call.offset += CREW_IDS) {
		const size_t left = batch->n - call.offset;
		crew_sort(store, (const unsigned char *)batch->ids + call.offset * sizeof(uint64_t),
			(uint32_t)(left < CREW_IDS ? left : CREW_IDS));
		crew_run(store->crew, store->stripe_count, crew_change, &call);
		for (uint32_t s = 0; s < store->stripe_count && status == STATUS_OK; s++)
			if ((status = statuses[s]) != STATUS_OK)
				error_set(err, status, "%s", errors[s].message);
	}
	return status;
}

/* Where others are at work beside this call no core is free to help. */
static bool may_share(struct store *store, const struct batch *batch)
{
	return store->crew && batch->n >= CREW_IDS_MIN && batch->kind != BATCH_RESTORE &&
	       store->stripe_count > 1 && atomic_load(&store->calls) == 1 && crew_take(store->crew);
}

static enum status run_any(struct store *store, struct store_table *table,
	const struct batch *batch, struct error *err)
{
	if (!may_share(store, batch))
		return batch_run(store, table, batch, 0, batch->n, err);
	enum status status = STATUS_OK;
	struct crew_call call = {.store = store, .table = table, .batch = batch};
	if (batch->kind == BATCH_PULL)
		crew_run(store->crew, (uint32_t)((batch->n + CREW_PULL - 1) / CREW_PULL), crew_pull,
			&call);
	else
		status = crew_apply(store, table, batch, err);
	crew_leave(store->crew);
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
		atomic_fetch_add(&store->calls, 1);
		status = run_any(store, opened, batch, err);
		atomic_fetch_sub(&store->calls, 1);
		if (status != STATUS_OK)
			error_wrap(err, status, "table %s", opened->table.schema.spec.name);
		if (batch->kind == BATCH_PULL)
			atomic_fetch_add_explicit(&opened->pulled, batch->n, memory_order_relaxed);
		if (batch->kind == BATCH_APPLY)
			atomic_fetch_add_explicit(&opened->pushed, batch->n, memory_order_relaxed);
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
