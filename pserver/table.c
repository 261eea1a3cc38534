#include "pserver/table.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "pserver/placement.h"

#include <math.h>
#include <string.h>

/*
 * A batch is looked up in groups: hash all, prefetch the index; probe all, prefetch the records;
 * then work. The cache misses of a group overlap, and a group's records stay in the L1 cache.
 */
#define LOOKUP_GROUP	 32u
#define PREFETCHED_LINES 8u

/* The largest record: two state floats per element (Adam, FTRL). */
_Static_assert(3 * TABLE_DIM_MAX * sizeof(float) <= SLAB_RECORD_BYTES_MAX,
	"two of the largest records fit a chunk");

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

enum status table_spec_validate(const struct table_spec *spec, struct error *err)
{
	const char *end = memchr(spec->name, 0, TABLE_NAME_SIZE);
	if (!end || end == spec->name)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table name '%.*s' has no or more than %u characters", TABLE_NAME_SIZE,
			spec->name, TABLE_NAME_SIZE - 1);
	for (const char *c = spec->name; *c; c++)
		if (!is_name_character(*c))
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"table name: character 0x%02x at %d is not a letter, digit, "
				"'_', '.' or '-'",
				(unsigned int)(unsigned char)*c, (int)(c - spec->name));
	if (spec->dim == 0 || spec->dim > TABLE_DIM_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table %s: dim is %u, expected 1 to %u", spec->name, spec->dim,
			TABLE_DIM_MAX);
	if (!isfinite(spec->init_limit) || spec->init_limit < 0.0f)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table %s: init_limit is %g, expected at least 0 and finite", spec->name,
			(double)spec->init_limit);
	enum status status = optimizer_config_validate(&spec->optimizer, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "table %s", spec->name);
	return STATUS_OK;
}

bool table_spec_equal(const struct table_spec *a, const struct table_spec *b)
{
	return strcmp(a->name, b->name) == 0 && a->dim == b->dim &&
	       a->init_limit == b->init_limit && a->pooled == b->pooled &&
	       optimizer_config_equal(&a->optimizer, &b->optimizer);
}

struct table_schema table_schema_of(const struct table_spec *spec, uint64_t seed)
{
	struct table_schema schema = {
		.spec = *spec, .seed = seed, .stream = random_stream(spec->name)};
	schema.record_floats =
		spec->dim + (uint32_t)optimizer_slot_floats(&spec->optimizer, spec->dim);
	schema.layout = slab_layout_of(schema.record_floats);
	return schema;
}

void table_partition_fini(struct table_partition *partition, const struct table_schema *schema)
{
	row_slab_fini(&partition->slab, &schema->layout);
	row_index_fini(&partition->index);
}

static void initial_row(const struct table_schema *schema, uint64_t id, float *row)
{
	random_uniform_row(
		schema->seed, schema->stream, id, schema->spec.init_limit, row, schema->spec.dim);
}

/* The lines of a record, all but those far behind its beginning. */
static inline void prefetch_record(const float *record, const struct slab_layout *layout)
{
	const char *first = (const char *)record;
	const uint32_t lines = layout->lines < PREFETCHED_LINES ? layout->lines : PREFETCHED_LINES;
	for (uint32_t i = 0; i < lines; i++)
		__builtin_prefetch(first + i * CACHE_LINE);
}

/* For short rows a call of memcpy() takes longer than the copying. */
static inline void copy_floats(float *to, const float *from, size_t n)
{
	for (; n >= 16; n -= 16, to += 16, from += 16)
		memcpy(to, from, 16 * sizeof(float));
	for (size_t i = 0; i < n; i++)
		to[i] = from[i];
}

/* An id of a batch and where it lives. */
struct lookup {
	uint64_t id;
	uint64_t hash;
	struct table_partition *partition;
	float *record; /* NULL: absent */
};

/* The number of id i's row, gradient or record. */
static inline size_t place_of(const struct table_batch *batch, size_t i)
{
	return batch->where ? batch->where[i] : i;
}

static inline void find(struct lookup *lookup, const struct slab_layout *layout)
{
	const struct table_partition *partition = lookup->partition;
	const uint32_t position =
		row_index_find(&partition->index, &partition->slab, layout, lookup->hash);
	lookup->record =
		position == POSITION_NONE ? NULL : row_slab_at(&partition->slab, layout, position);
}

/* Looks up the n <= LOOKUP_GROUP ids from `first` on. */
static void find_group(const struct table *table, const struct table_batch *batch, size_t first,
	uint32_t n, struct lookup lookups[LOOKUP_GROUP])
{
	const struct slab_layout layout = table->schema.layout;
	const uint32_t first_shard = table->first_shard;
	struct table_partition *partitions = table->partitions;
	const unsigned char *ids = (const unsigned char *)batch->ids + first * sizeof(uint64_t);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id;
		memcpy(&id, ids + i * sizeof(id), sizeof(id));
		const uint64_t hash = hash_u64(id);
		struct table_partition *partition =
			&partitions[virtual_shard_of_hash(hash) - first_shard];
		row_index_prefetch(&partition->index, hash);
		lookups[i] = (struct lookup){.id = id, .hash = hash, .partition = partition};
	}
	for (uint32_t i = 0; i < n; i++) {
		find(&lookups[i], &layout);
		if (lookups[i].record)
			prefetch_record(lookups[i].record, &layout);
	}
}

static uint32_t group_size(const struct table_batch *batch, size_t first)
{
	return batch->n - first < LOOKUP_GROUP ? (uint32_t)(batch->n - first) : LOOKUP_GROUP;
}

void table_pull(const struct table *table, const struct table_batch *batch, float *rows)
{
	const size_t dim = table->schema.spec.dim;
	struct lookup lookups[LOOKUP_GROUP];
	for (size_t first = 0; first < batch->n; first += LOOKUP_GROUP) {
		const uint32_t group = group_size(batch, first);
		find_group(table, batch, first, group, lookups);
		for (uint32_t i = 0; i < group; i++) {
			float *row = rows + place_of(batch, first + i) * dim;
			if (lookups[i].record)
				copy_floats(row, lookups[i].record, dim);
			else
				initial_row(&table->schema, lookups[i].id, row);
		}
	}
}

/* Appends the record of an id that is absent; its values are to be set. */
static enum status create(
	const struct table_schema *schema, struct lookup *lookup, struct error *err)
{
	struct row_index *index = &lookup->partition->index;
	struct row_slab *slab = &lookup->partition->slab;
	enum status status = row_index_reserve(index, slab->count, err);
	if (status == STATUS_OK)
		status = row_slab_reserve(slab, &schema->layout, err);
	if (status != STATUS_OK)
		return status;
	row_index_insert(index, lookup->hash, slab->count);
	lookup->record = row_slab_append(slab, &schema->layout, lookup->id);
	return STATUS_OK;
}

/*
 * Sees to it that the first of the lookups before `end` has a record; *ret_created says whether its
 * values are to be set. The others are kept right.
 */
static enum status ensure_record(const struct table_schema *schema, struct lookup *lookup,
	const struct lookup *end, bool *ret_created, struct error *err)
{
	struct table_partition *partition = lookup->partition;
	const struct slab_layout *layout = &schema->layout;
	*ret_created = false;
	row_index_move(&partition->index, &partition->slab, layout);
	if (lookup->record)
		return STATUS_OK;
	/* The group may have the id twice. */
	find(lookup, layout);
	if (lookup->record)
		return STATUS_OK;
	enum status status = create(schema, lookup, err);
	if (status != STATUS_OK)
		return status;
	*ret_created = true;
	/* A slab of one chunk moves its records when it grows. */
	for (struct lookup *other = lookup + 1;
		partition->slab.count <= slab_chunk_rows(layout) && other < end; other++)
		if (other->partition == partition)
			find(other, layout);
	return STATUS_OK;
}

/* Sorted ids scatter their gradients: no processor sees the next one coming. */
static void prefetch_gradients(const struct table_batch *batch, size_t first, uint32_t n,
	const float *gradients, size_t dim)
{
	const size_t floats = dim < PREFETCHED_LINES * CACHE_LINE / sizeof(float)
				      ? dim
				      : PREFETCHED_LINES * CACHE_LINE / sizeof(float);
	for (uint32_t i = 0; batch->where && i < n; i++) {
		const float *gradient = gradients + batch->where[first + i] * dim;
		for (size_t k = 0; k < floats; k += CACHE_LINE / sizeof(float))
			__builtin_prefetch(gradient + k);
	}
}

enum status table_apply(struct table *table, const struct optimizer_step *step,
	const struct table_batch *batch, const float *gradients, struct error *err)
{
	const struct table_schema *schema = &table->schema;
	const size_t dim = schema->spec.dim;
	struct lookup lookups[LOOKUP_GROUP];
	for (size_t first = 0; first < batch->n; first += LOOKUP_GROUP) {
		const uint32_t group = group_size(batch, first);
		find_group(table, batch, first, group, lookups);
		prefetch_gradients(batch, first, group, gradients, dim);
		for (uint32_t i = 0; i < group; i++) {
			bool created;
			enum status status =
				ensure_record(schema, &lookups[i], lookups + group, &created, err);
			if (status != STATUS_OK)
				return status;
			float *row = lookups[i].record;
			if (created) {
				initial_row(schema, lookups[i].id, row);
				optimizer_init_slots(
					&schema->spec.optimizer, row, row + dim, dim, dim);
			}
			optimizer_apply(step, row, row + dim, dim,
				gradients + place_of(batch, first + i) * dim, dim);
		}
	}
	return STATUS_OK;
}

static enum status put(const struct table_schema *schema, struct lookup *lookup,
	const struct lookup *end, const float *values, struct error *err)
{
	bool created;
	enum status status = ensure_record(schema, lookup, end, &created, err);
	if (status == STATUS_OK)
		memcpy(lookup->record, values, schema->record_floats * sizeof(float));
	return status;
}

enum status table_restore(struct table *table, const struct table_batch *batch,
	const float *records, struct error *err)
{
	const struct table_schema *schema = &table->schema;
	enum status status = STATUS_OK;
	struct lookup lookups[LOOKUP_GROUP];
	for (size_t first = 0; status == STATUS_OK && first < batch->n; first += LOOKUP_GROUP) {
		const uint32_t group = group_size(batch, first);
		find_group(table, batch, first, group, lookups);
		for (uint32_t i = 0; status == STATUS_OK && i < group; i++)
			status = put(schema, &lookups[i], lookups + group,
				records + place_of(batch, first + i) * schema->record_floats, err);
	}
	return status;
}

enum status table_put(struct table_partition *partition, const struct table_schema *schema,
	uint64_t id, const float *values, struct error *err)
{
	struct lookup lookup = {.id = id, .hash = hash_u64(id), .partition = partition};
	find(&lookup, &schema->layout);
	return put(schema, &lookup, &lookup + 1, values, err);
}

uint32_t table_read(const struct table_partition *partition, const struct table_schema *schema,
	uint32_t position, uint32_t max, void *ret_ids, float *ret_records)
{
	const uint32_t count = partition->slab.count;
	if (position >= count)
		return 0;
	const uint32_t n = count - position < max ? count - position : max;
	const size_t floats = schema->record_floats;
	for (uint32_t i = 0; i < n; i++) {
		memcpy((unsigned char *)ret_ids + i * sizeof(uint64_t),
			row_slab_ids(&partition->slab, &schema->layout, position + i),
			sizeof(uint64_t));
		memcpy(ret_records + i * floats,
			row_slab_at(&partition->slab, &schema->layout, position + i),
			floats * sizeof(float));
	}
	return n;
}

void table_digest(const struct table_partition *partition, const struct table_schema *schema,
	struct digest *digest)
{
	const struct row_slab *slab = &partition->slab;
	for (uint32_t i = 0; i < slab->count; i++)
		digest_add(digest, schema->stream, *row_slab_ids(slab, &schema->layout, i),
			row_slab_at(slab, &schema->layout, i),
			schema->record_floats * sizeof(float));
}

size_t table_bytes(const struct table_partition *partition, const struct table_schema *schema)
{
	return row_slab_bytes(&partition->slab, &schema->layout) +
	       row_index_bytes(&partition->index);
}
