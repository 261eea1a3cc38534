#include "pserver/aggregate.h"

#include "common/base/id_set.h"
#include "common/base/lane_tree.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Sums are formed for so many ids at a time that they are still in the L2 cache when applied. */
#define SUMS_BYTES    ((size_t)512 << 10)
#define SUMS_ROWS_MIN 16u
/* Contributions to one table in one step. */
#define CONTRIBUTIONS_MAX (UINT32_MAX / 4)

/*
 * The contributions to one table, by id: id u has the gradients [begin[u], begin[u + 1]), in slot
 * order. Unused (count 0) when the table has a single segment.
 */
struct merge {
	struct id_set ids;
	uint32_t *begin; /* [ids.count + 1] */
	size_t begin_capacity;
	uint32_t *numbers; /* [contributions]: position in ids */
	size_t numbers_capacity;
	const float **gradients; /* [contributions] */
	size_t gradients_capacity;
	uint8_t *slots; /* [contributions] */
	size_t slots_capacity;
	bool ready; /* ids is initialised */
};

struct aggregate {
	struct store *store;
	struct pool *pool; /* borrowed; NULL: none */
	float pool_weight;
	struct aggregate_segment *segments;
	size_t count, capacity;
	struct merge *merges[STORE_TABLES_MAX]; /* made when first needed */
	float *sums;
	size_t sums_capacity;
};

static void merge_free(struct merge *merge)
{
	if (!merge)
		return;
	if (merge->ready)
		id_set_fini(&merge->ids);
	free(merge->begin);
	free(merge->numbers);
	free(merge->gradients);
	free(merge->slots);
	free(merge);
}

enum status aggregate_new(struct aggregate **ret, struct store *store, struct error *err)
{
	struct aggregate *aggregate;
	enum status status = memory_zalloc(&aggregate, 1, sizeof(*aggregate), "aggregate", err);
	if (status != STATUS_OK)
		return status;
	aggregate->store = store;
	*ret = aggregate;
	return STATUS_OK;
}

void aggregate_use_pool(struct aggregate *aggregate, struct pool *pool, float weight)
{
	aggregate->pool = pool;
	aggregate->pool_weight = weight;
}

void aggregate_free(struct aggregate *aggregate)
{
	if (!aggregate)
		return;
	for (uint32_t t = 0; t < STORE_TABLES_MAX; t++)
		merge_free(aggregate->merges[t]);
	free(aggregate->segments);
	free(aggregate->sums);
	free(aggregate);
}

enum status aggregate_add(
	struct aggregate *aggregate, const struct aggregate_segment *segment, struct error *err)
{
	const uint32_t table = segment->table, slot = segment->slot;
	if (slot >= LANES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"segment of table %u: slot %u is no lane, there are at most %u", table,
			slot, LANES_MAX);
	if (segment->n > CONTRIBUTIONS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"segment of table %u: %zu ids, at most %u fit", table, segment->n,
			CONTRIBUTIONS_MAX);
	for (size_t i = 0; i < aggregate->count; i++)
		if (aggregate->segments[i].table == table && aggregate->segments[i].slot == slot)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"segment of table %u: slot %u has one already", table, slot);
	enum status status =
		store_check_ids(aggregate->store, table, segment->ids, segment->n, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "segment of slot %u", slot);
	status = memory_grow(&aggregate->segments, &aggregate->capacity, aggregate->count + 1,
		sizeof(*aggregate->segments), "segments", err);
	if (status == STATUS_OK)
		aggregate->segments[aggregate->count++] = *segment;
	return status;
}

size_t aggregate_count(const struct aggregate *aggregate)
{
	return aggregate->count;
}

void aggregate_cut(struct aggregate *aggregate, size_t count)
{
	if (count < aggregate->count)
		aggregate->count = count;
}

static int compare_segments(const void *left, const void *right)
{
	const struct aggregate_segment *a = left, *b = right;
	if (a->table != b->table)
		return a->table < b->table ? -1 : 1;
	return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static uint64_t load_id(const void *ids, size_t i)
{
	uint64_t id;
	memcpy(&id, (const unsigned char *)ids + i * sizeof(id), sizeof(id));
	return id;
}

/* The segments [first, end) of one table, in slot order. */
struct run {
	const struct aggregate_segment *first;
	const struct aggregate_segment *end;
};

/* Takes the run that starts at *at, and moves *at behind it. */
static struct run next_run(const struct aggregate_segment **at, const struct aggregate_segment *end)
{
	struct run run = {.first = *at, .end = *at};
	while (run.end < end && run.end->table == run.first->table)
		run.end++;
	*at = run.end;
	return run;
}

static enum status merge_of(
	struct aggregate *aggregate, uint32_t table, struct merge **ret, struct error *err)
{
	struct merge *merge = aggregate->merges[table];
	enum status status = STATUS_OK;
	if (!merge) {
		status = memory_zalloc(&merge, 1, sizeof(*merge), "aggregate's table", err);
		if (status != STATUS_OK)
			return status;
		aggregate->merges[table] = merge;
	}
	if (!merge->ready) {
		status = id_set_init(&merge->ids, 0, err);
		merge->ready = status == STATUS_OK;
	}
	if (status == STATUS_OK)
		*ret = merge;
	return status;
}

/* Numbers the ids, in slot order, and counts each one's contributions into begin[number]. */
static enum status merge_count(struct merge *merge, const struct run *run, struct error *err)
{
	uint32_t at = 0;
	id_set_clear(&merge->ids);
	for (const struct aggregate_segment *segment = run->first; segment < run->end; segment++) {
		for (uint32_t i = 0; i < segment->n; i++, at++) {
			uint32_t known = merge->ids.count;
			uint32_t number;
			enum status status =
				id_set_add(&merge->ids, load_id(segment->ids, i), &number, err);
			if (status != STATUS_OK)
				return status;
			if (number == known)
				merge->begin[number] = 0;
			merge->begin[number]++;
			merge->numbers[at] = number;
		}
	}
	return STATUS_OK;
}

/*
 * Lists the contributions by id: begin's counts become ends and go down to beginnings. From the
 * last slot to the first, so that an id's contributions stand in slot order.
 */
static void merge_list(struct merge *merge, const struct run *run, uint32_t total, size_t dim)
{
	uint32_t sum = 0;
	for (uint32_t u = 0; u < merge->ids.count; u++)
		sum = merge->begin[u] += sum;
	merge->begin[merge->ids.count] = sum;

	uint32_t at = total;
	for (const struct aggregate_segment *segment = run->end; segment-- > run->first;) {
		for (uint32_t i = (uint32_t)segment->n; i-- > 0;) {
			uint32_t entry = --merge->begin[merge->numbers[--at]];
			merge->gradients[entry] = segment->gradients + i * dim;
			merge->slots[entry] = (uint8_t)segment->slot;
		}
	}
}

static enum status merge_check_distinct(
	const struct merge *merge, const struct run *run, struct error *err)
{
	for (uint32_t u = 0; u < merge->ids.count; u++)
		for (uint32_t k = merge->begin[u] + 1; k < merge->begin[u + 1]; k++)
			if (merge->slots[k] == merge->slots[k - 1])
				return error_set(err, STATUS_INVALID_ARGUMENT,
					"segment of table %u, slot %u: id %llu comes twice",
					run->first->table, merge->slots[k],
					(unsigned long long)merge->ids.ids[u]);
	return STATUS_OK;
}

static enum status merge_group(
	struct aggregate *aggregate, const struct run *run, size_t dim, struct error *err)
{
	struct merge *merge;
	enum status status = merge_of(aggregate, run->first->table, &merge, err);
	if (status != STATUS_OK)
		return status;
	size_t total = 0;
	for (const struct aggregate_segment *segment = run->first; segment < run->end; segment++)
		total += segment->n;
	if (total > CONTRIBUTIONS_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"table %u: %zu contributions in one step", run->first->table, total);
	status = memory_grow(&merge->begin, &merge->begin_capacity, total + 1,
		sizeof(*merge->begin), "aggregate", err);
	if (status == STATUS_OK)
		status = memory_grow(&merge->numbers, &merge->numbers_capacity, total,
			sizeof(*merge->numbers), "aggregate", err);
	if (status == STATUS_OK)
		status = memory_grow(&merge->gradients, &merge->gradients_capacity, total,
			sizeof(*merge->gradients), "aggregate", err);
	if (status == STATUS_OK)
		status = memory_grow(&merge->slots, &merge->slots_capacity, total,
			sizeof(*merge->slots), "aggregate", err);
	if (status == STATUS_OK)
		status = merge_count(merge, run, err);
	if (status != STATUS_OK)
		return status;
	merge_list(merge, run, (uint32_t)total, dim);
	return merge_check_distinct(merge, run, err);
}

static uint32_t sums_rows(size_t dim)
{
	size_t rows = SUMS_BYTES / (dim * sizeof(float));
	return rows > SUMS_ROWS_MIN ? (uint32_t)rows : SUMS_ROWS_MIN;
}

static enum status apply(struct aggregate *aggregate, uint32_t table, const void *ids, size_t n,
	const float *gradients, uint64_t step, struct error *err)
{
	if (aggregate->pool && pool_has(aggregate->pool, table))
		return pool_add(
			aggregate->pool, table, ids, n, gradients, aggregate->pool_weight, err);
	return store_apply(aggregate->store, table, ids, n, gradients, step, err);
}

/* Sums and applies a grouped table, a part at a time. */
static enum status merge_apply(
	struct aggregate *aggregate, uint32_t table, size_t dim, uint64_t step, struct error *err)
{
	const struct merge *merge = aggregate->merges[table];
	const uint32_t count = merge->ids.count;
	const uint32_t part = sums_rows(dim);
	enum status status = memory_grow(&aggregate->sums, &aggregate->sums_capacity,
		(count < part ? count : part) * dim, sizeof(float), "sums of gradients", err);
	for (uint32_t first = 0; status == STATUS_OK && first < count; first += part) {
		uint32_t n = count - first < part ? count - first : part;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t begin = merge->begin[first + i];
			lane_tree_sum_sparse(aggregate->sums + i * dim, merge->gradients + begin,
				merge->slots + begin, merge->begin[first + i + 1] - begin, dim);
		}
		status = apply(
			aggregate, table, merge->ids.ids + first, n, aggregate->sums, step, err);
	}
	return status;
}

static bool is_single(const struct run *run)
{
	return run->end - run->first == 1;
}

static enum status table_dim(
	struct aggregate *aggregate, const struct run *run, size_t *ret_dim, struct error *err)
{
	struct table_spec spec;
	enum status status = store_table_spec(aggregate->store, run->first->table, &spec, err);
	if (status == STATUS_OK)
		*ret_dim = spec.dim;
	return status;
}

/* Everything that can be refused comes first, for all tables. */
static enum status group_all(struct aggregate *aggregate, struct error *err)
{
	const struct aggregate_segment *end = aggregate->segments + aggregate->count;
	enum status status = STATUS_OK;
	for (const struct aggregate_segment *at = aggregate->segments;
		status == STATUS_OK && at < end;) {
		struct run run = next_run(&at, end);
		size_t dim = 0;
		status = table_dim(aggregate, &run, &dim, err);
		if (status == STATUS_OK && !is_single(&run))
			status = merge_group(aggregate, &run, dim, err);
	}
	return status;
}

static void count_examples(struct aggregate *aggregate, uint32_t table, uint64_t examples)
{
	if (aggregate->pool && pool_has(aggregate->pool, table))
		pool_count_examples(aggregate->pool, table, examples);
	else
		store_count_examples(aggregate->store, table, examples);
}

static uint64_t run_examples(const struct run *run)
{
	uint64_t examples = 0;
	for (const struct aggregate_segment *segment = run->first; segment < run->end; segment++)
		examples += segment->examples;
	return examples;
}

static enum status apply_all(struct aggregate *aggregate, uint64_t step, struct error *err)
{
	const struct aggregate_segment *end = aggregate->segments + aggregate->count;
	enum status status = STATUS_OK;
	for (const struct aggregate_segment *at = aggregate->segments;
		status == STATUS_OK && at < end;) {
		struct run run = next_run(&at, end);
		const struct aggregate_segment *only = run.first;
		size_t dim = 0;
		if (is_single(&run))
			status = apply(aggregate, only->table, only->ids, only->n, only->gradients,
				step, err);
		else if ((status = table_dim(aggregate, &run, &dim, err)) == STATUS_OK)
			status = merge_apply(aggregate, only->table, dim, step, err);
		if (status == STATUS_OK)
			count_examples(aggregate, only->table, run_examples(&run));
	}
	return status;
}

enum status aggregate_apply(struct aggregate *aggregate, uint64_t step, struct error *err)
{
	enum status status = STATUS_OK;
	if (aggregate->count > 0) {
		qsort(aggregate->segments, aggregate->count, sizeof(*aggregate->segments),
			compare_segments);
		status = group_all(aggregate, err);
		if (status == STATUS_OK)
			status = apply_all(aggregate, step, err);
	}
	aggregate->count = 0;
	return status == STATUS_OK ? STATUS_OK
				   : error_wrap(err, status, "step %llu", (unsigned long long)step);
}
