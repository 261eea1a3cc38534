#include "pserver/table.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <math.h>
#include <string.h>

/*
 * A batch is looked up in groups: hash all, prefetch the index; probe all, prefetch the records;
 * then work. The cache misses of a group overlap, and a group's records stay in the L1 cache.
 */
#define LOOKUP_GROUP	 32u
#define PREFETCHED_BYTES ((size_t)512)

/* The largest record: two state floats per element (Adam, FTRL). */
_Static_assert(
	sizeof(struct row_record) + 3 * TABLE_DIM_MAX * sizeof(float) <= SLAB_RECORD_BYTES_MAX,
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
	       a->init_limit == b->init_limit &&
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

/* The lines of a row or a record, all but those far behind its beginning. */
static inline void prefetch_lines(const void *memory, size_t bytes)
{
	const char *first = memory;
	if (bytes > PREFETCHED_BYTES)
		bytes = PREFETCHED_BYTES;
	for (size_t at = 0; at < bytes; at += CACHE_LINE)
		__builtin_prefetch(first + at);
	__builtin_prefetch(first + bytes - 1);
}

/* The same for memory that will be written. */
static inline void prefetch_lines_to_write(void *memory, size_t bytes)
{
	char *first = memory;
	if (bytes > PREFETCHED_BYTES)
		bytes = PREFETCHED_BYTES;
	for (size_t at = 0; at < bytes; at += CACHE_LINE)
		__builtin_prefetch(first + at, 1);
	__builtin_prefetch(first + bytes - 1, 1);
}

/* The records of a group of at most LOOKUP_GROUP ids, NULL for absent ones. */
static void find_group(const struct table_partition *partition, const struct table_schema *schema,
	const uint64_t *ids, uint32_t n, struct row_record *ret_records[LOOKUP_GROUP])
{
	const struct row_slab *slab = &partition->slab;
	const struct slab_layout *layout = &schema->layout;
	uint32_t hashes[LOOKUP_GROUP];
	for (uint32_t i = 0; i < n; i++) {
		hashes[i] = row_index_hash(ids[i]);
		row_index_prefetch(&partition->index, hashes[i]);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t position = row_index_candidate(&partition->index, hashes[i]);
		ret_records[i] = NULL;
		if (position == POSITION_NONE)
			continue;
		ret_records[i] = row_slab_at(slab, layout, position);
		prefetch_lines(ret_records[i], layout->record_bytes);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!ret_records[i] || ret_records[i]->id == ids[i])
			continue;
		uint32_t position =
			row_index_find(&partition->index, slab, layout, ids[i], hashes[i]);
		ret_records[i] =
			position == POSITION_NONE ? NULL : row_slab_at(slab, layout, position);
	}
}

void table_pull(const struct table_partition *partition, const struct table_schema *schema,
	const uint64_t *ids, const uint16_t *where, uint32_t n, float *rows)
{
	const size_t dim = schema->spec.dim;
	for (uint32_t first = 0; first < n; first += LOOKUP_GROUP) {
		struct row_record *records[LOOKUP_GROUP];
		uint32_t group = n - first < LOOKUP_GROUP ? n - first : LOOKUP_GROUP;
		find_group(partition, schema, ids + first, group, records);
		/* A partition's rows lie scattered over the caller's array: ask for them too. */
		for (uint32_t i = 0; i < group; i++)
			prefetch_lines_to_write(rows + where[first + i] * dim, dim * sizeof(float));
		for (uint32_t i = 0; i < group; i++) {
			float *row = rows + where[first + i] * dim;
			if (records[i])
				memcpy(row, records[i]->values, dim * sizeof(float));
			else
				initial_row(schema, ids[first + i], row);
		}
	}
}

/* The record of an id that may be new; *ret_created says whether its values are to be set. */
static enum status find_or_create(struct table_partition *partition,
	const struct table_schema *schema, uint64_t id, struct row_record **ret, bool *ret_created,
	struct error *err)
{
	struct row_slab *slab = &partition->slab;
	const uint32_t hash = row_index_hash(id);
	uint32_t position = row_index_find(&partition->index, slab, &schema->layout, id, hash);
	if (position != POSITION_NONE) {
		*ret = row_slab_at(slab, &schema->layout, position);
		*ret_created = false;
		return STATUS_OK;
	}
	enum status status = row_index_reserve(&partition->index, slab->count, err);
	if (status == STATUS_OK)
		status = row_slab_reserve(slab, &schema->layout, err);
	if (status != STATUS_OK)
		return status;
	row_index_insert(&partition->index, hash, slab->count);
	*ret = row_slab_append(slab, &schema->layout);
	(*ret)->id = id;
	*ret_created = true;
	return STATUS_OK;
}

enum status table_apply(struct table_partition *partition, const struct table_schema *schema,
	const struct optimizer_step *step, const uint64_t *ids, const uint16_t *where, uint32_t n,
	const float *gradients, struct error *err)
{
	const size_t dim = schema->spec.dim;
	for (uint32_t first = 0; first < n; first += LOOKUP_GROUP) {
		struct row_record *records[LOOKUP_GROUP];
		uint32_t group = n - first < LOOKUP_GROUP ? n - first : LOOKUP_GROUP;
		for (uint32_t i = 0; i < group; i++)
			prefetch_lines(gradients + where[first + i] * dim, dim * sizeof(float));
		find_group(partition, schema, ids + first, group, records);
		for (uint32_t i = 0; i < group; i++) {
			struct row_record *record = records[i];
			bool created = false;
			row_index_move(&partition->index, &partition->slab, &schema->layout);
			if (!record) {
				/* Looks again: the group may have the id twice. */
				enum status status = find_or_create(
					partition, schema, ids[first + i], &record, &created, err);
				if (status != STATUS_OK)
					return status;
			}
			float *row = record->values;
			if (created) {
				initial_row(schema, record->id, row);
				optimizer_init_slots(
					&schema->spec.optimizer, row, row + dim, dim, dim);
			}
			optimizer_apply(
				step, row, row + dim, dim, gradients + where[first + i] * dim, dim);
		}
	}
	return STATUS_OK;
}

enum status table_restore(struct table_partition *partition, const struct table_schema *schema,
	const uint64_t *ids, const uint16_t *where, uint32_t n, const float *records,
	struct error *err)
{
	const size_t floats = schema->record_floats;
	for (uint32_t i = 0; i < n; i++) {
		struct row_record *record;
		bool created;
		row_index_move(&partition->index, &partition->slab, &schema->layout);
		enum status status =
			find_or_create(partition, schema, ids[i], &record, &created, err);
		if (status != STATUS_OK)
			return status;
		memcpy(record->values, records + where[i] * floats, floats * sizeof(float));
	}
	return STATUS_OK;
}

uint32_t table_read(const struct table_partition *partition, const struct table_schema *schema,
	uint32_t position, uint32_t max, void *ret_ids, float *ret_records)
{
	const uint32_t count = partition->slab.count;
	if (position >= count)
		return 0;
	const uint32_t n = count - position < max ? count - position : max;
	const size_t floats = schema->record_floats;
	unsigned char *ids = ret_ids;
	for (uint32_t i = 0; i < n; i++) {
		const struct row_record *record =
			row_slab_at(&partition->slab, &schema->layout, position + i);
		memcpy(ids + i * sizeof(record->id), &record->id, sizeof(record->id));
		memcpy(ret_records + i * floats, record->values, floats * sizeof(float));
	}
	return n;
}

void table_digest(const struct table_partition *partition, const struct table_schema *schema,
	struct digest *digest)
{
	for (uint32_t i = 0; i < partition->slab.count; i++) {
		const struct row_record *record = row_slab_at(&partition->slab, &schema->layout, i);
		digest_add(digest, schema->stream, record->id, record->values,
			schema->record_floats * sizeof(float));
	}
}

size_t table_bytes(const struct table_partition *partition, const struct table_schema *schema)
{
	return row_slab_bytes(&partition->slab, &schema->layout) +
	       row_index_bytes(&partition->index);
}
