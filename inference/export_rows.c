/*
 * Design notes. Of a window of the tensor's rows a scan over all ids first notes where each row
 * lies; then the rows are copied in order, those some rows ahead being fetched meanwhile. So a
 * table of up to WINDOW_ROWS takes one scan, the rows are read once, at random, and memory is 8
 * bytes a row of a window.
 */
#include "inference/export_rows.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_ROWS ((size_t)1 << 24)
/* Rows that are fetched in advance: as many as a core can have under way. */
#define AHEAD 16u
/* Of a long row the processor sees by itself how it goes on. */
#define AHEAD_LINES 4u

struct export_rows export_rows_of(const struct export_tables *tables, uint32_t t)
{
	const struct catalog *catalog = tables->catalog;
	const struct model_table *table = model_table(tables->model, t);
	struct export_rows rows = {.tables = tables,
		.table = table,
		.entity = table_entity_of(table),
		.compact = table_is_compact(table, catalog),
		.unknown = &tables->unknown[t]};
	rows.rows = rows.compact ? table_entity_count(table, catalog) : table->rows;
	if (rows.entity == ENTITY_USER) {
		rows.entities = catalog->user_ids;
		rows.trained = tables->trained->users;
	} else if (rows.entity == ENTITY_MOVIE) {
		rows.entities = catalog->movie_ids;
		rows.trained = tables->trained->movies;
	}
	return rows;
}

static void draw(const struct export_rows *rows, uint64_t id, float *values)
{
	random_uniform_row(rows->tables->seed, random_stream(rows->table->name), id,
		rows->table->init_limit, values, rows->table->dim);
}

enum status export_rows_begin(struct export_rows *rows, struct error *err)
{
	const char *name = rows->table->name;
	enum status status = STATUS_OK;
	rows->capacity = rows->tables->window_rows ? rows->tables->window_rows : WINDOW_ROWS;
	if (rows->capacity > rows->rows)
		rows->capacity = (size_t)rows->rows;
	if (rows->entity != ENTITY_FEATURE) {
		status = memory_alloc(
			&rows->unknown->row, rows->table->dim, sizeof(float), "unknown row", err);
		if (status == STATUS_OK)
			draw(rows, UNKNOWN_ID, rows->unknown->row);
	}
	if (status == STATUS_OK)
		status = memory_alloc(&rows->from, rows->capacity, sizeof(*rows->from), name, err);
	return status;
}

void export_rows_end(struct export_rows *rows)
{
	free(rows->from);
	rows->from = NULL;
}

/* ---- where rows lie ---- */

static enum status wrong_id(const struct export_rows *rows, uint64_t id, struct error *err)
{
	return error_set(err, STATUS_DATA_LOSS, "table '%s': id %" PRIu64 " is not in the catalog",
		rows->table->name, id);
}

static enum status note_row(
	struct export_rows *rows, uint64_t id, const float *values, struct error *err)
{
	uint64_t row = id;
	if (id == UNKNOWN_ID && rows->unknown->row) {
		memcpy(rows->unknown->row, values, rows->table->dim * sizeof(*values));
		rows->unknown->trained = true;
		return STATUS_OK;
	}
	if (rows->compact) {
		const uint32_t entity = table_entity_find(rows->table, rows->tables->catalog, id);
		if (entity == UINT32_MAX)
			return wrong_id(rows, id, err);
		row = entity;
	}
	if (row >= rows->rows)
		return wrong_id(rows, id, err);
	/* One of another window is noted with that one. */
	if (row - rows->first >= rows->count)
		return STATUS_OK;
	const float **from = &rows->from[row - rows->first];
	if (*from)
		return error_set(err, STATUS_DATA_LOSS, "table '%s': id %" PRIu64 " comes twice",
			rows->table->name, id);
	*from = values;
	return STATUS_OK;
}

/* The window's rows that are in a shard. */
static enum status note_shard(
	struct export_rows *rows, const struct shard_reader *shard, struct error *err)
{
	size_t count;
	const struct shard_table *tables = shard_reader_tables(shard, &count);
	for (size_t t = 0; t < count; t++) {
		if (strcmp(tables[t].name, rows->table->name) != 0)
			continue;
		if (tables[t].dim != rows->table->dim)
			return error_set(err, STATUS_DATA_LOSS,
				"table '%s': rows of %u floats, the model has %u",
				rows->table->name, tables[t].dim, rows->table->dim);
		const uint64_t *ids = shard_reader_ids(shard, t);
		const float *values = shard_reader_rows(shard, t);
		for (uint64_t i = 0; i < tables[t].count; i++) {
			enum status status =
				note_row(rows, ids[i], values + (size_t)i * tables[t].dim, err);
			if (status != STATUS_OK)
				return status;
		}
	}
	return STATUS_OK;
}

static enum status open_window(struct export_rows *rows, uint64_t first, struct error *err)
{
	const uint64_t left = rows->rows - first;
	rows->first = first;
	rows->count = left < rows->capacity ? (size_t)left : rows->capacity;
	memset(rows->from, 0, rows->count * sizeof(*rows->from));
	enum status status = STATUS_OK;
	for (size_t s = 0; status == STATUS_OK && s < rows->tables->shard_count; s++)
		status = note_shard(rows, rows->tables->shards[s], err);
	return status;
}

/* ---- the rows ---- */

static void fetch(const struct export_rows *rows, size_t i)
{
	const float *from = i < rows->count ? rows->from[i] : NULL;
	const size_t lines = rows->table->dim * sizeof(*from) / CACHE_LINE + 1;
	for (size_t line = 0; from && line < lines && line < AHEAD_LINES; line++)
		__builtin_prefetch((const char *)from + line * CACHE_LINE);
}

/* A row of the tensor that somebody sent is trained, and is an entity's. */
static enum status mark(struct export_rows *rows, uint64_t row, struct error *err)
{
	size_t entity = (size_t)row;
	if (rows->entity == ENTITY_FEATURE)
		return STATUS_OK;
	if (!rows->compact) {
		const size_t count = table_entity_count(rows->table, rows->tables->catalog);
		while (rows->next_entity < count && rows->entities[rows->next_entity] < row)
			rows->next_entity++;
		entity = rows->next_entity;
		if (entity == count || rows->entities[entity] != row)
			return wrong_id(rows, row, err);
	}
	rows->trained[entity] = 1;
	return STATUS_OK;
}

enum status export_rows_take(
	struct export_rows *rows, uint64_t first, size_t n, float *values, struct error *err)
{
	const size_t dim = rows->table->dim;
	enum status status = STATUS_OK;
	for (uint64_t row = first; status == STATUS_OK && row < first + n; row++, values += dim) {
		if (row == rows->first + rows->count)
			status = open_window(rows, row, err);
		if (status != STATUS_OK)
			break;
		const size_t i = (size_t)(row - rows->first);
		fetch(rows, i + AHEAD);
		if (rows->from[i]) {
			memcpy(values, rows->from[i], dim * sizeof(*values));
			status = mark(rows, row, err);
		} else {
			draw(rows, rows->compact ? rows->entities[row] : row, values);
		}
	}
	return status;
}
