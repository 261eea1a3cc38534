#include "pserver/pool.h"

#include "common/base/id_set.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pooled {
	uint32_t dim; /* 0: this table is not pooled */
	struct id_set ids;
	float *sums; /* [ids.count * dim] */
	size_t capacity;
	uint64_t examples;
};

struct pool {
	/* immutable, but for what pooled tables hold */
	struct store *store;
	uint32_t table_count;
	struct pooled *tables; /* [table_count] */

	pthread_mutex_t lock;
	/* what it guards, with the tables' ids and sums */
	uint32_t members;
	uint32_t pushes; /* since the last round ended */
	uint64_t first_step;
	atomic_uint_least64_t rounds; /* read without it */
};

enum status pool_new(struct pool **ret, struct store *store, const struct table_spec *tables,
	uint32_t table_count, uint32_t members, uint64_t first_step, struct error *err)
{
	struct pool *pool;
	enum status status = memory_zalloc(&pool, 1, sizeof(*pool), "pool", err);
	if (status != STATUS_OK)
		return status;
	pthread_mutex_init(&pool->lock, NULL);
	pool->store = store;
	pool->members = members;
	pool->first_step = first_step;
	atomic_init(&pool->rounds, 0);
	status = memory_zalloc(&pool->tables, table_count, sizeof(*pool->tables), "pool", err);
	for (uint32_t t = 0; t < table_count && status == STATUS_OK; t++) {
		pool->table_count = t + 1;
		if (!tables[t].pooled)
			continue;
		status = id_set_init(&pool->tables[t].ids, 0, err);
		if (status == STATUS_OK)
			pool->tables[t].dim = tables[t].dim;
	}
	if (status != STATUS_OK) {
		pool_free(pool);
		return status;
	}
	*ret = pool;
	return STATUS_OK;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	for (uint32_t t = 0; t < pool->table_count; t++) {
		if (pool->tables[t].dim > 0)
			id_set_fini(&pool->tables[t].ids);
		free(pool->tables[t].sums);
	}
	free(pool->tables);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

bool pool_has(const struct pool *pool, uint32_t table)
{
	return table < pool->table_count && pool->tables[table].dim > 0;
}

uint64_t pool_rounds(const struct pool *pool)
{
	return atomic_load_explicit(&pool->rounds, memory_order_acquire);
}

float pool_weight(uint64_t rounds_old)
{
	return rounds_old > 1 ? 1.0f / (float)rounds_old : 1.0f;
}

static enum status add(struct pooled *table, const unsigned char *ids, size_t n,
	const float *gradients, float weight, struct error *err)
{
	const size_t dim = table->dim;
	enum status status = memory_grow(&table->sums, &table->capacity,
		(table->ids.count + n) * dim, sizeof(*table->sums), "pool", err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		uint64_t id;
		uint32_t at, known = table->ids.count;
		memcpy(&id, ids + i * sizeof(id), sizeof(id));
		status = id_set_add(&table->ids, id, &at, err);
		if (status != STATUS_OK)
			break;
		float *sum = table->sums + at * dim;
		if (at == known)
			memset(sum, 0, dim * sizeof(*sum));
		for (size_t d = 0; d < dim; d++)
			sum[d] += weight * gradients[i * dim + d];
	}
	return status;
}

enum status pool_add(struct pool *pool, uint32_t table, const void *ids, size_t n,
	const float *gradients, float weight, struct error *err)
{
	pthread_mutex_lock(&pool->lock);
	enum status status = add(&pool->tables[table], ids, n, gradients, weight, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}

void pool_count_examples(struct pool *pool, uint32_t table, uint64_t examples)
{
	pthread_mutex_lock(&pool->lock);
	pool->tables[table].examples += examples;
	pthread_mutex_unlock(&pool->lock);
}

/*
 * The lock is held. Of a push that is being added just now the rest goes with the next round: each
 * gradient is applied once all the same.
 */
static enum status end_round(struct pool *pool, struct error *err)
{
	enum status status = STATUS_OK;
	if (pool->pushes == 0)
		return STATUS_OK;
	pool->pushes = 0;
	const uint64_t step = pool->first_step + atomic_fetch_add(&pool->rounds, 1) + 1;
	for (uint32_t t = 0; t < pool->table_count && status == STATUS_OK; t++) {
		struct pooled *table = &pool->tables[t];
		if (table->dim == 0)
			continue;
		status = store_apply(
			pool->store, t, table->ids.ids, table->ids.count, table->sums, step, err);
		id_set_clear(&table->ids);
		store_count_examples(pool->store, t, table->examples);
		table->examples = 0;
	}
	return status;
}

enum status pool_end_push(struct pool *pool, struct error *err)
{
	enum status status = STATUS_OK;
	pthread_mutex_lock(&pool->lock);
	if (++pool->pushes >= pool->members)
		status = end_round(pool, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}

void pool_set_members(struct pool *pool, uint32_t members)
{
	pthread_mutex_lock(&pool->lock);
	pool->members = members;
	pthread_mutex_unlock(&pool->lock);
}

enum status pool_flush(struct pool *pool, struct error *err)
{
	pthread_mutex_lock(&pool->lock);
	enum status status = end_round(pool, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}
