/*
 * A table's rows: the schema that the whole table shares, and its partitions (the rows of one
 * virtual shard each).
 *
 * A row's first value depends on (seed, table name, id) only. Reading never creates a row; the
 * first gradient does.
 *
 * A batch may touch several partitions, in any order of its ids: the cache misses of a group of ids
 * overlap wherever the ids live.
 *
 * Threads: table_schema is immutable after init. A partition is externally locked, by whoever makes
 * a call with ids of that partition; table_pull() and the functions that take it const may share
 * it.
 */
#ifndef MARQUEE_PSERVER_TABLE_H
#define MARQUEE_PSERVER_TABLE_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "pserver/optimizer.h"
#include "pserver/row_index.h"
#include "pserver/row_slab.h"

#include <stddef.h>
#include <stdint.h>

#define TABLE_NAME_SIZE 32u /* with the terminator */
#define TABLE_DIM_MAX	65536u

/* What a job says of a table. */
struct table_spec {
	char name[TABLE_NAME_SIZE]; /* [A-Za-z0-9_.-]+ */
	uint32_t dim;		    /* 1..TABLE_DIM_MAX floats a row */
	float init_limit;	    /* rows start uniform in [-init_limit, init_limit) */
	/* ssp, async: the gradients of a push of every member are applied as one (pool.h) */
	bool pooled;
	struct optimizer_config optimizer;
};

/* Checks a spec that may come from a peer: INVALID_ARGUMENT naming the table and the field. */
MUST_CHECK enum status table_spec_validate(const struct table_spec *spec, struct error *err);
/* The same in everything. */
bool table_spec_equal(const struct table_spec *a, const struct table_spec *b);

struct table_schema {
	struct table_spec spec;
	uint64_t seed;
	uint64_t stream; /* random_stream(name) */
	uint32_t record_floats;
	struct slab_layout layout;
};

/* A record: the row, then the optimizer's state, [dim + slot floats]. The spec is valid. */
struct table_schema table_schema_of(const struct table_spec *spec, uint64_t seed);

struct table_partition {
	struct row_index index;
	struct row_slab slab;
};

/* A partition of all zeros is valid and empty. */
void table_partition_fini(struct table_partition *partition, const struct table_schema *schema);

struct table {
	struct table_schema schema;	    /* immutable */
	uint32_t first_shard;		    /* immutable */
	struct table_partition *partitions; /* by virtual shard - first_shard */
};

/*
 * The ids of a call. The row, gradient or record of id i is number where[i] of the caller's array,
 * so that a store can sort a caller's ids without moving the rows; where NULL stands for 0, 1, 2...
 */
struct table_batch {
	const void *ids; /* [n] u64, any alignment; all in the table's virtual shards */
	const uint16_t *where;
	size_t n;
};

/* rows [.. x dim]: the rows as they are, or the values they would start with. Creates nothing. */
void table_pull(const struct table *table, const struct table_batch *batch, float *rows);

/*
 * gradients [.. x dim]: creates absent rows, then applies the optimizer. An id that comes twice
 * gets both gradients, one after the other. RESOURCE_EXHAUSTED: the ids before the failing one are
 * applied, the others are untouched.
 */
MUST_CHECK enum status table_apply(struct table *table, const struct optimizer_step *step,
	const struct table_batch *batch, const float *gradients, struct error *err);

/* records [.. x record_floats]: creates or overwrites. Fails as table_apply(). */
MUST_CHECK enum status table_restore(struct table *table, const struct table_batch *batch,
	const float *records, struct error *err);

/* Creates or overwrites one record: record_floats values. Fails as table_apply(). */
MUST_CHECK enum status table_put(struct table_partition *partition,
	const struct table_schema *schema, uint64_t id, const float *values, struct error *err);

static inline uint32_t table_count(const struct table_partition *partition)
{
	return partition->slab.count;
}

/*
 * Copies up to max records from a position on, in order of creation: ids (u64, any alignment),
 * records [.. x record_floats]. Returns their number, 0 at the end.
 */
uint32_t table_read(const struct table_partition *partition, const struct table_schema *schema,
	uint32_t position, uint32_t max, void *ret_ids, float *ret_records);

/* digest_add() of every record under the table's stream. */
void table_digest(const struct table_partition *partition, const struct table_schema *schema,
	struct digest *digest);

/* Bytes of slab and index. */
size_t table_bytes(const struct table_partition *partition, const struct table_schema *schema);

#endif
