#include "worker/spans.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static enum status span_init(
	struct span *span, struct lane_span lanes, const struct model *model, struct error *err)
{
	uint32_t tables = model_table_count(model);
	span->lanes = lanes;
	enum status status =
		memory_zalloc(&span->tables, tables, sizeof(*span->tables), "span", err);
	for (uint32_t t = 0; t < tables && status == STATUS_OK; t++) {
		span->tables[t].dim = model_table(model, t)->dim;
		status = id_set_init(&span->tables[t].ids, 64, err);
	}
	return status;
}

enum status spans_init(struct spans *spans, uint32_t turn, const struct model *model,
	uint32_t lanes, struct lane_span block, struct error *err)
{
	struct lane_span cuts[LANES_MAX];
	uint32_t count = lane_spans(lanes, block, cuts);
	uint32_t tables = model_table_count(model);
	*spans = (struct spans){.turn = turn, .table_count = tables};
	enum status status =
		memory_zalloc(&spans->spans, count, sizeof(*spans->spans), "spans", err);
	for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
		spans->count = i + 1;
		status = span_init(&spans->spans[i], cuts[i], model, err);
	}
	size_t requests = (size_t)count * tables;
	if (status == STATUS_OK)
		status =
			memory_zalloc(&spans->pulls, requests, sizeof(*spans->pulls), "spans", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&spans->pushes, requests, sizeof(*spans->pushes), "spans", err);
	if (status != STATUS_OK)
		spans_fini(spans);
	return status;
}

void spans_fini(struct spans *spans)
{
	for (uint32_t i = 0; i < spans->count; i++) {
		struct span *span = &spans->spans[i];
		for (uint32_t t = 0; span->tables && t < spans->table_count; t++) {
			struct span_table *table = &span->tables[t];
			id_set_fini(&table->ids);
			free(table->rows);
			free(table->gradients);
			free(table->starts);
			free(table->entries);
			free(table->index);
		}
		free(span->tables);
	}
	free(spans->spans);
	free(spans->pulls);
	free(spans->pushes);
	*spans = (struct spans){0};
}

/* The two row buffers share a capacity: both grow together. */
static enum status grow_rows(struct span_table *table, struct error *err)
{
	size_t needed = (size_t)table->ids.count * table->dim;
	if (needed <= table->row_capacity)
		return STATUS_OK;
	size_t capacity = needed * 2;
	free(table->rows);
	free(table->gradients);
	table->rows = table->gradients = NULL;
	table->row_capacity = 0;
	enum status status =
		memory_alloc(&table->rows, capacity, sizeof(*table->rows), "rows", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&table->gradients, capacity, sizeof(*table->gradients), "gradients", err);
	if (status == STATUS_OK)
		table->row_capacity = capacity;
	return status;
}

/* Numbers the ids of all lanes, and counts the contributions to each in starts[i + 1]. */
static enum status number_ids(struct span_table *table, uint32_t table_number, uint32_t turn,
	const struct lane *lanes, uint32_t lane_count, struct error *err)
{
	uint32_t total = 0;
	id_set_clear(&table->ids);
	for (uint32_t l = 0; l < lane_count; l++) {
		uint32_t count;
		const uint64_t *ids =
			model_plan_ids(lanes[l].batches[turn].workspace, table_number, &count);
		table->index_starts[l] = total;
		enum status status = memory_grow(&table->index, &table->index_capacity,
			(size_t)total + count, sizeof(*table->index), "row index", err);
		for (uint32_t i = 0; i < count && status == STATUS_OK; i++)
			status = id_set_add(&table->ids, ids[i], &table->index[total + i], err);
		if (status != STATUS_OK)
			return status;
		total += count;
	}
	table->index_starts[lane_count] = total;
	table->entry_count = total;
	return STATUS_OK;
}

/* Counting sort of the contributions by id; within an id they stay in lane order. */
static enum status group_entries(struct span_table *table, uint32_t lane_count, struct error *err)
{
	size_t ids = table->ids.count;
	enum status status = memory_grow(&table->starts, &table->start_capacity, ids + 2,
		sizeof(*table->starts), "row index", err);
	if (status == STATUS_OK)
		status = memory_grow(&table->entries, &table->entry_capacity, table->entry_count,
			sizeof(*table->entries), "row index", err);
	if (status != STATUS_OK)
		return status;
	memset(table->starts, 0, (ids + 2) * sizeof(*table->starts));
	for (uint32_t i = 0; i < table->entry_count; i++)
		table->starts[table->index[i] + 2]++;
	for (size_t i = 2; i <= ids; i++)
		table->starts[i] += table->starts[i - 1];
	/* starts[i + 1] is id i's next free place; after the pass it is id i's end. */
	for (uint32_t l = 0; l < lane_count; l++) {
		uint32_t first = table->index_starts[l];
		for (uint32_t i = first; i < table->index_starts[l + 1]; i++)
			table->entries[table->starts[table->index[i] + 1]++] =
				(struct span_entry){.lane = l, .position = i - first};
	}
	return STATUS_OK;
}

static uint32_t count_examples(const struct lane *lanes, uint32_t lane_count, uint32_t turn)
{
	uint32_t examples = 0;
	for (uint32_t l = 0; l < lane_count; l++)
		examples += lanes[l].batches[turn].examples.example_count;
	return examples;
}

/* lanes: the span's. */
static void make_requests(
	struct spans *spans, const struct lane *lanes, uint32_t span_number, uint32_t table_number)
{
	const struct span *span = &spans->spans[span_number];
	const struct span_table *table = &span->tables[table_number];
	uint32_t at = table_number * spans->count + span_number;
	spans->pulls[at] = (struct params_pull){.table = table_number,
		.count = table->ids.count,
		.ids = table->ids.ids,
		.rows = table->rows};
	spans->pushes[at] = (struct params_push){.table = table_number,
		.slot = span->lanes.first,
		.count = table->ids.count,
		.examples = count_examples(lanes, span->lanes.count, spans->turn),
		.ids = table->ids.ids,
		.gradients = table->gradients};
}

enum status spans_collect(
	struct spans *spans, const struct lane *lanes, uint32_t table, struct error *err)
{
	uint32_t first = spans->spans[0].lanes.first;
	for (uint32_t s = 0; s < spans->count; s++) {
		const struct lane_span *block = &spans->spans[s].lanes;
		const struct lane *own = lanes + (block->first - first);
		struct span_table *at = &spans->spans[s].tables[table];
		enum status status = number_ids(at, table, spans->turn, own, block->count, err);
		if (status == STATUS_OK)
			status = group_entries(at, block->count, err);
		if (status == STATUS_OK)
			status = grow_rows(at, err);
		if (status != STATUS_OK)
			return status;
		make_requests(spans, own, s, table);
	}
	return STATUS_OK;
}

static const struct span *span_of_lane(
	const struct spans *spans, uint32_t lane, uint32_t *ret_within)
{
	const struct span *span = spans->spans;
	while (lane >= span->lanes.count) {
		lane -= span->lanes.count;
		span++;
	}
	*ret_within = lane;
	return span;
}

uint64_t spans_row_count(const struct spans *spans)
{
	uint64_t rows = 0;
	for (uint32_t i = 0; i < spans->table_count * spans->count; i++)
		rows += spans->pulls[i].count;
	return rows;
}

void spans_lane_rows(const struct spans *spans, uint32_t lane, struct model_rows *ret_rows)
{
	uint32_t within;
	const struct span *span = span_of_lane(spans, lane, &within);
	for (uint32_t t = 0; t < spans->table_count; t++) {
		const struct span_table *table = &span->tables[t];
		ret_rows[t] = (struct model_rows){
			.base = table->rows,
			.index = table->index + table->index_starts[within],
		};
	}
}

static void merge_span(
	const struct span *span, uint32_t table_number, uint32_t turn, const struct lane *lanes)
{
	const struct span_table *table = &span->tables[table_number];
	const float *lane_gradients[LANES_MAX], *arrays[LANES_MAX];
	uint8_t slots[LANES_MAX];
	for (uint32_t l = 0; l < span->lanes.count; l++)
		lane_gradients[l] =
			model_table_gradient(lanes[l].batches[turn].workspace, table_number);
	const size_t dim = table->dim;
	for (uint32_t i = 0; i < table->ids.count; i++) {
		const struct span_entry *entries = table->entries + table->starts[i];
		uint32_t count = table->starts[i + 1] - table->starts[i];
		for (uint32_t e = 0; e < count; e++) {
			arrays[e] = lane_gradients[entries[e].lane] + entries[e].position * dim;
			slots[e] = (uint8_t)entries[e].lane;
		}
		lane_tree_sum_sparse(table->gradients + i * dim, arrays, slots, count, dim);
	}
}

void spans_merge(struct spans *spans, const struct lane *lanes, uint32_t table)
{
	uint32_t first = spans->spans[0].lanes.first;
	for (uint32_t s = 0; s < spans->count; s++) {
		const struct span *span = &spans->spans[s];
		merge_span(span, table, spans->turn, lanes + (span->lanes.first - first));
	}
}
