#include "pserver/table_cut.h"

#include "common/base/memory.h"
#include "pserver/placement.h"

#include <stdlib.h>
#include <string.h>

/* As table.c's: the cache misses of a group overlap. */
#define LOOKUP_GROUP 32u
#define WORD_BITS    64u

/* Nothing is aside any more. */
static void drop_aside(struct table_cut *cut, const struct table_schema *schema)
{
	table_partition_fini(&cut->aside, schema);
	free(cut->is_aside);
	cut->is_aside = NULL;
}

void table_cut_begin(struct table_cut *cut, const struct table_partition *partition,
	const struct table_schema *schema)
{
	table_cut_end(cut, schema);
	cut->active = true;
	cut->count = table_count(partition);
}

void table_cut_end(struct table_cut *cut, const struct table_schema *schema)
{
	drop_aside(cut, schema);
	*cut = (struct table_cut){0};
}

static uint32_t find(
	const struct table_partition *partition, const struct table_schema *schema, uint64_t hash)
{
	return row_index_find(&partition->index, &partition->slab, &schema->layout, hash);
}

/* Puts the record of an id aside, unless that has been done. */
static enum status keep(struct table_cut *cut, const struct table_partition *partition,
	const struct table_schema *schema, uint64_t id, uint64_t hash)
{
	uint32_t position = find(partition, schema, hash);
	if (position == POSITION_NONE || position < cut->done || position >= cut->count)
		return STATUS_OK;
	enum status status = STATUS_OK;
	if (!cut->is_aside)
		status = memory_zalloc(&cut->is_aside, ((size_t)cut->count - 1) / WORD_BITS + 1,
			sizeof(*cut->is_aside), "cut", NULL);
	if (status != STATUS_OK)
		return status;
	uint64_t *word = &cut->is_aside[position / WORD_BITS];
	const uint64_t bit = UINT64_C(1) << position % WORD_BITS;
	if (*word & bit)
		return STATUS_OK;
	status = table_put(&cut->aside, schema, id,
		row_slab_at(&partition->slab, &schema->layout, position), NULL);
	if (status == STATUS_OK)
		*word |= bit;
	return status;
}

void table_cut_keep(
	struct table_cut *cuts, const struct table *table, const struct table_batch *batch)
{
	const struct table_schema *schema = &table->schema;
	for (size_t first = 0; first < batch->n; first += LOOKUP_GROUP) {
		uint64_t ids[LOOKUP_GROUP];
		uint64_t hashes[LOOKUP_GROUP];
		uint32_t shards[LOOKUP_GROUP];
		size_t group = batch->n - first < LOOKUP_GROUP ? batch->n - first : LOOKUP_GROUP;
		memcpy(ids, (const unsigned char *)batch->ids + first * sizeof(*ids),
			group * sizeof(*ids));
		for (size_t i = 0; i < group; i++) {
			hashes[i] = hash_u64(ids[i]);
			shards[i] = virtual_shard_of_hash(hashes[i]) - table->first_shard;
			row_index_prefetch(&table->partitions[shards[i]].index, hashes[i]);
		}
		for (size_t i = 0; i < group; i++) {
			struct table_cut *cut = &cuts[shards[i]];
			if (!cut->active || cut->lost)
				continue;
			cut->lost = keep(cut, &table->partitions[shards[i]], schema, ids[i],
					    hashes[i]) != STATUS_OK;
			if (cut->lost)
				drop_aside(cut, schema);
		}
	}
}

void table_cut_pass(struct table_cut *cut, const struct table_schema *schema, uint32_t position)
{
	if (position > cut->done)
		cut->done = position;
	if (cut->done >= cut->count)
		drop_aside(cut, schema);
}

/*
 * Puts the old values of those records that are aside in the place of the new ones: n of them, from
 * a position on.
 */
static void take_back(const struct table_cut *cut, const struct table_schema *schema,
	uint32_t position, const unsigned char *ids, float *records, uint32_t n)
{
	const size_t floats = schema->record_floats;
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t at = position + i;
		if (!(cut->is_aside[at / WORD_BITS] >> at % WORD_BITS & 1))
			continue;
		uint64_t id;
		memcpy(&id, ids + i * sizeof(id), sizeof(id));
		const uint32_t old = find(&cut->aside, schema, hash_u64(id));
		memcpy(records + i * floats, row_slab_at(&cut->aside.slab, &schema->layout, old),
			floats * sizeof(float));
	}
}

enum status table_cut_read(const struct table_cut *cut, const struct table_partition *partition,
	const struct table_schema *schema, uint32_t position, uint32_t max, void *ret_ids,
	float *ret_records, uint32_t *ret_n, struct error *err)
{
	if (cut->lost)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"no memory to keep rows of table %s as they were at the cut",
			schema->spec.name);
	uint32_t left = position < cut->count ? cut->count - position : 0;
	uint32_t n = table_read(
		partition, schema, position, max < left ? max : left, ret_ids, ret_records);
	if (cut->is_aside)
		take_back(cut, schema, position, ret_ids, ret_records, n);
	*ret_n = n;
	return STATUS_OK;
}
