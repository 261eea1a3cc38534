#include "pserver/store.h"

#include "common/base/memory.h"
#include "pserver/store_private.h"

#include <stdlib.h>
#include <string.h>

static void store_table_free(struct store_table *table, const struct store *store)
{
	if (!table)
		return;
	for (uint32_t s = 0; s < store->shard_total; s++) {
		table_cut_end(&table->cuts[s], &table->table.schema);
		table_partition_fini(&table->table.partitions[s], &table->table.schema);
	}
	for (uint32_t s = 0; s < store->stripe_count; s++)
		pthread_rwlock_destroy(&table->stripes[s].lock);
	free(table->orders);
	free(table->cuts);
	free(table->table.partitions);
	free(table);
}

static enum status store_table_new(struct store_table **ret, const struct table_spec *spec,
	const struct store *store, struct error *err)
{
	struct store_table *table;
	enum status status = memory_zalloc(&table, 1, sizeof(*table), "table", err);
	if (status != STATUS_OK)
		return status;
	table->table.schema = table_schema_of(spec, store->seed);
	table->table.first_shard = store->first;
	status = memory_zalloc(&table->table.partitions, store->shard_total,
		sizeof(*table->table.partitions), "table's partitions", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&table->cuts, store->shard_total, sizeof(*table->cuts),
			"table's cuts", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&table->orders, store->shard_total, sizeof(*table->orders),
			"table's orders", err);
	if (status != STATUS_OK) {
		free(table->cuts);
		free(table->table.partitions);
		free(table);
		return status;
	}
	for (uint32_t s = 0; s < store->shard_total; s++) {
		struct table_partition *partition = &table->table.partitions[s];
		partition->slab.stock = partition->index.stock = store->stock;
		partition->index.order = &table->orders[s];
	}
	/* On Linux a lock's initialisation takes no resources and cannot fail. */
	for (uint32_t s = 0; s < store->stripe_count; s++)
		pthread_rwlock_init(&table->stripes[s].lock, NULL);
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
	const uint32_t stripes = options->one_thread_per_table ? 1 : STRIPES_MAX;
	while ((store->shard_total - 1) >> store->stripe_shift >= stripes)
		store->stripe_shift++;
	store->stripe_count = stripe_of(store, store->shard_total - 1) + 1;
	store->seed = options->seed;
	store->crew = options->crew;
	status = page_stock_new(&store->stock, err);
	if (status == STATUS_OK && store->crew)
		status = memory_alloc(
			&store->crew_ids, 1, sizeof(*store->crew_ids), "sorted ids", err);
	if (status != STATUS_OK) {
		page_stock_free(store->stock);
		free(store);
		return status;
	}
	pthread_rwlock_init(&store->lock, NULL);
	*ret = store;
	return STATUS_OK;
}

static void drop_tables(struct store *store)
{
	for (uint32_t t = 0; t < store->table_count; t++) {
		store_table_free(store->tables[t], store);
		store->tables[t] = NULL;
	}
	store->table_count = 0;
	page_stock_reset(store->stock);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	drop_tables(store);
	page_stock_free(store->stock);
	free(store->crew_ids);
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
		const struct table_spec *there = &store->tables[t]->table.schema.spec;
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
	enum status status = store_table_new(&store->tables[store->table_count], spec, store, err);
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

struct store_table *store_open(struct store *store, uint32_t table)
{
	pthread_rwlock_rdlock(&store->lock);
	if (table < store->table_count)
		return store->tables[table];
	pthread_rwlock_unlock(&store->lock);
	return NULL;
}

void store_close(struct store *store)
{
	pthread_rwlock_unlock(&store->lock);
}

enum status store_no_table(uint32_t table, struct error *err)
{
	return error_set(err, STATUS_NOT_FOUND, "there is no table %u", table);
}

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
		return store_no_table(table, err);
	*ret = opened->table.schema.spec;
	store_close(store);
	return STATUS_OK;
}

uint32_t store_record_floats(struct store *store, uint32_t table)
{
	const struct store_table *opened = store_open(store, table);
	if (!opened)
		return 0;
	uint32_t floats = opened->table.schema.record_floats;
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
		pthread_rwlock_t *lock = store_lock_of(store, opened, s);
		pthread_rwlock_rdlock(lock);
		count += table_count(&opened->table.partitions[s]);
		pthread_rwlock_unlock(lock);
	}
	store_close(store);
	return count;
}

/* The list is locked. */
static void measure(struct store *store, struct store_table *table, struct store_table_stats *ret)
{
	const struct table_schema *schema = &table->table.schema;
	*ret = (struct store_table_stats){
		.pulled = atomic_load_explicit(&table->pulled, memory_order_relaxed),
		.pushed = atomic_load_explicit(&table->pushed, memory_order_relaxed),
	};
	for (uint32_t s = 0; s < store->shard_total; s++) {
		pthread_rwlock_t *lock = store_lock_of(store, table, s);
		pthread_rwlock_rdlock(lock);
		ret->rows += table_count(&table->table.partitions[s]);
		ret->bytes += table_bytes(&table->table.partitions[s], schema) +
			      table_bytes(&table->cuts[s].aside, schema);
		pthread_rwlock_unlock(lock);
	}
}

uint64_t store_bytes(struct store *store)
{
	uint64_t bytes = 0;
	pthread_rwlock_rdlock(&store->lock);
	for (uint32_t t = 0; t < store->table_count; t++) {
		struct store_table_stats stats;
		measure(store, store->tables[t], &stats);
		bytes += stats.bytes;
	}
	pthread_rwlock_unlock(&store->lock);
	return bytes;
}

void store_table_stats(struct store *store, uint32_t table, struct store_table_stats *ret)
{
	*ret = (struct store_table_stats){0};
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return;
	measure(store, opened, ret);
	store_close(store);
}

void store_count_examples(struct store *store, uint32_t table, uint64_t examples)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return;
	atomic_fetch_add_explicit(&opened->examples, examples, memory_order_relaxed);
	store_close(store);
}

void store_set_examples(struct store *store, uint32_t table, uint64_t examples)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return;
	atomic_store_explicit(&opened->examples, examples, memory_order_relaxed);
	store_close(store);
}

uint64_t store_examples(struct store *store, uint32_t table)
{
	struct store_table *opened = store_open(store, table);
	if (!opened)
		return 0;
	uint64_t examples = atomic_load_explicit(&opened->examples, memory_order_relaxed);
	store_close(store);
	return examples;
}
