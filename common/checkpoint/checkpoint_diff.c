#include "common/checkpoint/checkpoint_diff.h"

#include "common/base/id_set.h"
#include "common/base/memory.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One checkpoint's files, open. */
struct side {
	struct shard_reader **shards;
	size_t shard_count;
	struct dense_file dense;
};

struct result {
	struct checkpoint_difference *entries;
	size_t count, capacity;
};

static void side_close(struct side *side)
{
	for (size_t i = 0; i < side->shard_count; i++)
		shard_reader_close(side->shards[i]);
	free(side->shards);
	dense_file_close(&side->dense);
}

static enum status side_open(
	struct side *side, const struct checkpoint *checkpoint, struct error *err)
{
	const struct manifest *manifest = &checkpoint->manifest;
	char path[PATH_SIZE];
	enum status status = memory_zalloc(
		&side->shards, manifest->file_count, sizeof(struct shard_reader *), "shards", err);
	for (size_t i = 0; status == STATUS_OK && i < manifest->file_count; i++) {
		const char *name = manifest->files[i].name;
		status = path_join(path, checkpoint->path, name, err);
		if (status == STATUS_OK && strcmp(name, CHECKPOINT_DENSE_NAME) == 0)
			status = dense_file_open(&side->dense, path, err);
		if (status != STATUS_OK || !checkpoint_is_shard(name))
			continue;
		status = shard_reader_open(&side->shards[side->shard_count], path, err);
		side->shard_count += status == STATUS_OK;
	}
	return status;
}

/* The entry of this name, added when it is new. */
static enum status find_entry(struct result *result, const char *name, bool table,
	struct checkpoint_difference **ret, struct error *err)
{
	for (size_t i = 0; i < result->count; i++) {
		if (result->entries[i].table == table &&
			strcmp(result->entries[i].name, name) == 0) {
			*ret = &result->entries[i];
			return STATUS_OK;
		}
	}
	enum status status = memory_grow(&result->entries, &result->capacity, result->count + 1,
		sizeof(*result->entries), "differences", err);
	if (status != STATUS_OK)
		return status;
	*ret = &result->entries[result->count++];
	**ret = (struct checkpoint_difference){.table = table};
	memcpy((*ret)->name, name, strlen(name) + 1);
	return STATUS_OK;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
	double largest = 0;
	for (size_t i = 0; i < n; i++) {
		const double difference = fabs((double)a[i] - (double)b[i]);
		if (difference > largest)
			largest = difference;
	}
	return largest;
}

/* One record on both sides: the row, and the state behind it. */
static void compare_record(struct checkpoint_difference *entry, const float *a, const float *b,
	size_t dim, size_t floats)
{
	if (memcmp(a, b, floats * sizeof(float)) == 0) {
		entry->same++;
		return;
	}
	entry->different++;
	entry->largest = fmax(entry->largest, largest_difference(a, b, dim));
	entry->largest_state =
		fmax(entry->largest_state, largest_difference(a + dim, b + dim, floats - dim));
}

/* The table's position in a shard, or the number of tables. */
static size_t table_position(const struct shard_reader *shard, const char *name, size_t *ret_count)
{
	size_t t = 0;
	const struct shard_table *tables = shard_reader_tables(shard, ret_count);
	while (t < *ret_count && strcmp(tables[t].name, name) != 0)
		t++;
	return t;
}

/* The right side's records of one table: record n of the set is entry n - first[s] of shard s, the
 * last s whose first is not above n. */
struct right_table {
	struct id_set ids;
	uint64_t *first; /* [shards + 1] */
};

static enum status index_right(
	struct right_table *table, const struct side *right, const char *name, struct error *err)
{
	enum status status = memory_zalloc(
		&table->first, right->shard_count + 1, sizeof(*table->first), "record index", err);
	for (size_t s = 0; status == STATUS_OK && s < right->shard_count; s++) {
		size_t count;
		const size_t t = table_position(right->shards[s], name, &count);
		table->first[s] = table->ids.count;
		if (t == count)
			continue;
		const uint64_t *ids = shard_reader_ids(right->shards[s], t);
		const uint64_t n = shard_reader_tables(right->shards[s], &count)[t].count;
		for (uint64_t i = 0; status == STATUS_OK && i < n; i++) {
			uint32_t position;
			const uint32_t before = table->ids.count;
			status = id_set_add(&table->ids, ids[i], &position, err);
			if (status == STATUS_OK && table->ids.count == before)
				status = error_set(err, STATUS_DATA_LOSS,
					"table '%s': id %" PRIu64 " comes twice", name, ids[i]);
		}
	}
	if (status == STATUS_OK)
		table->first[right->shard_count] = table->ids.count;
	return status;
}

/* The table's records of one left shard against the right side. */
static enum status compare_shard(struct checkpoint_difference *entry,
	const struct shard_reader *left, size_t t, const struct side *right,
	const struct right_table *index, struct error *err)
{
	size_t count;
	const struct shard_table table = shard_reader_tables(left, &count)[t];
	const size_t floats = (size_t)table.dim + table.slots;
	const uint64_t *ids = shard_reader_ids(left, t);
	float *records;
	enum status status = memory_alloc(&records, 2 * floats, sizeof(float), "records", err);
	for (uint64_t i = 0; status == STATUS_OK && i < table.count; i++) {
		const uint32_t position = id_set_find(&index->ids, ids[i]);
		if (position == UINT32_MAX) {
			entry->only_left++;
			continue;
		}
		size_t s = right->shard_count - 1;
		while (index->first[s] > position)
			s--;
		const size_t u = table_position(right->shards[s], table.name, &count);
		const struct shard_table *other = &shard_reader_tables(right->shards[s], &count)[u];
		entry->only_right--;
		if (other->dim != table.dim || other->slots != table.slots) {
			entry->other_shape = true;
			entry->different++;
			continue;
		}
		status = shard_reader_read(left, t, i, 1, NULL, records, err);
		if (status == STATUS_OK)
			status = shard_reader_read(right->shards[s], u, position - index->first[s],
				1, NULL, records + floats, err);
		if (status == STATUS_OK)
			compare_record(entry, records, records + floats, table.dim, floats);
	}
	free(records);
	return status;
}

static enum status compare_table(struct result *result, const struct side *left,
	const struct side *right, const char *name, struct error *err)
{
	const size_t before = result->count;
	struct checkpoint_difference *entry;
	struct right_table index = {0};
	enum status status = find_entry(result, name, true, &entry, err);
	/* Another shard had the table as well: it is compared. */
	if (status != STATUS_OK || result->count == before)
		return status;
	status = id_set_init(&index.ids, 1024, err);
	if (status != STATUS_OK)
		return status;
	status = index_right(&index, right, name, err);
	/* Every right record is alone until the left one is met. */
	entry->only_right = index.ids.count;
	for (size_t s = 0; status == STATUS_OK && s < left->shard_count; s++) {
		size_t count;
		const size_t t = table_position(left->shards[s], name, &count);
		if (t < count)
			status = compare_shard(entry, left->shards[s], t, right, &index, err);
	}
	id_set_fini(&index.ids);
	free(index.first);
	return status;
}

static enum status compare_tables(struct result *result, const struct side *left,
	const struct side *right, const struct side *names, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t s = 0; s < names->shard_count; s++) {
		size_t count;
		const struct shard_table *tables = shard_reader_tables(names->shards[s], &count);
		for (size_t t = 0; status == STATUS_OK && t < count; t++)
			status = compare_table(result, left, right, tables[t].name, err);
	}
	return status;
}

/* Row r of a tensor and of its slots, one behind the other. */
static void tensor_record(const struct named_tensor *tensor, size_t r, size_t width, float *record)
{
	memcpy(record, tensor->data + r * width, width * sizeof(float));
	for (uint32_t k = 0; k < tensor->slot_count; k++)
		memcpy(record + (k + 1) * width, tensor->slots[k] + r * width,
			width * sizeof(float));
}

static enum status compare_tensor(struct checkpoint_difference *entry, const struct named_tensor *a,
	const struct named_tensor *b, struct error *err)
{
	const size_t rows = a->rank == 1 ? 1 : a->rows;
	const size_t width = a->rank == 1 ? a->rows : a->cols;
	const size_t floats = width * (1 + a->slot_count);
	if (a->rank != b->rank || a->rows != b->rows || a->cols != b->cols ||
		a->slot_count != b->slot_count) {
		entry->other_shape = true;
		entry->different += rows;
		return STATUS_OK;
	}
	float *records;
	enum status status = memory_alloc(&records, 2 * floats, sizeof(float), "records", err);
	if (status != STATUS_OK)
		return status;
	for (size_t r = 0; r < rows; r++) {
		tensor_record(a, r, width, records);
		tensor_record(b, r, width, records + floats);
		compare_record(entry, records, records + floats, width, floats);
	}
	free(records);
	return STATUS_OK;
}

static enum status compare_dense(
	struct result *result, const struct side *left, const struct side *right, struct error *err)
{
	struct checkpoint_difference *entry;
	enum status status = STATUS_OK;
	for (size_t i = 0; status == STATUS_OK && i < left->dense.count; i++) {
		const struct named_tensor *a = &left->dense.tensors[i];
		const struct named_tensor *b = dense_file_find(&right->dense, a->name);
		status = find_entry(result, a->name, false, &entry, err);
		if (status == STATUS_OK && b)
			status = compare_tensor(entry, a, b, err);
		else if (status == STATUS_OK)
			entry->only_left += a->rank == 1 ? 1 : a->rows;
	}
	for (size_t i = 0; status == STATUS_OK && i < right->dense.count; i++) {
		const struct named_tensor *b = &right->dense.tensors[i];
		if (dense_file_find(&left->dense, b->name))
			continue;
		status = find_entry(result, b->name, false, &entry, err);
		if (status == STATUS_OK)
			entry->only_right += b->rank == 1 ? 1 : b->rows;
	}
	return status;
}

enum status checkpoint_diff(const struct checkpoint *left, const struct checkpoint *right,
	struct checkpoint_difference **ret, size_t *ret_count, struct error *err)
{
	struct side a = {0}, b = {0};
	struct result result = {0};
	enum status status = side_open(&a, left, err);
	if (status == STATUS_OK)
		status = side_open(&b, right, err);
	if (status == STATUS_OK)
		status = compare_tables(&result, &a, &b, &a, err);
	if (status == STATUS_OK)
		status = compare_tables(&result, &a, &b, &b, err);
	if (status == STATUS_OK)
		status = compare_dense(&result, &a, &b, err);
	side_close(&a);
	side_close(&b);
	if (status != STATUS_OK) {
		free(result.entries);
		return status;
	}
	*ret = result.entries;
	*ret_count = result.count;
	return STATUS_OK;
}
