#include "common/checkpoint/shard_file.h"

#include "common/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Floats of a column strip that is gathered before a write: half of an L2 cache. */
#define STRIP_FLOATS ((size_t)1 << 16)

/* The three tensors of table t in the plan. */
enum { PART_IDS, PART_ROWS, PART_SLOTS, PARTS };
static const char *const part_names[PARTS] = {"ids", "rows", "slots"};

/* A file on its way. */
struct shard_job {
	struct safetensors_writer *file;
	const struct shard_table *tables;
	const struct shard_piece *pieces;
	size_t table_count, piece_count;
	float *strip; /* [strip_floats], at least a row of every table */
	size_t strip_floats;
};

static void plan_table(struct tensor_plan plan[PARTS], const struct shard_table *table)
{
	for (int part = 0; part < PARTS; part++) {
		plan[part] = (struct tensor_plan){
			.type = part == PART_IDS ? TENSOR_U64 : TENSOR_F32,
			.rank = part == PART_IDS ? 1 : 2,
			.shape = {table->count, part == PART_ROWS ? table->dim : table->slots}};
		snprintf(plan[part].name, sizeof(plan[part].name), "%s.%s", table->name,
			part_names[part]);
	}
}

/* Writes columns [first, first + width) of a piece's records on from byte `offset` of the tensor.
 */
static enum status put_columns(const struct shard_job *job, size_t tensor, uint64_t offset,
	const struct shard_piece *piece, size_t first, size_t width, struct error *err)
{
	const struct shard_table *table = &job->tables[piece->table];
	const size_t floats = (size_t)table->dim + table->slots;
	const size_t rows_per_strip = job->strip_floats / width;
	if (width == floats)
		return safetensors_writer_put(job->file, tensor, offset, piece->records,
			piece->count * width * sizeof(float), err);
	for (size_t done = 0; done < piece->count;) {
		const size_t left = piece->count - done;
		const size_t rows = left < rows_per_strip ? left : rows_per_strip;
		for (size_t i = 0; i < rows; i++)
			memcpy(job->strip + i * width, piece->records + (done + i) * floats + first,
				width * sizeof(float));
		enum status status = safetensors_writer_put(job->file, tensor,
			offset + done * width * sizeof(float), job->strip,
			rows * width * sizeof(float), err);
		if (status != STATUS_OK)
			return status;
		done += rows;
	}
	return STATUS_OK;
}

/* One tensor from all of its table's pieces. */
static enum status put_part(const struct shard_job *job, size_t table, int part, struct error *err)
{
	const struct shard_table *to = &job->tables[table];
	const size_t tensor = table * PARTS + (size_t)part;
	const size_t width = part == PART_ROWS ? to->dim : to->slots;
	enum status status = STATUS_OK;
	uint64_t offset = 0;
	for (size_t i = 0; status == STATUS_OK && i < job->piece_count; i++) {
		const struct shard_piece *piece = &job->pieces[i];
		if (piece->table != table || (part != PART_IDS && width == 0))
			continue;
		if (part == PART_IDS) {
			const uint64_t bytes = piece->count * sizeof(*piece->ids);
			status = safetensors_writer_put(
				job->file, tensor, offset, piece->ids, bytes, err);
			offset += bytes;
		} else {
			status = put_columns(job, tensor, offset, piece,
				part == PART_ROWS ? 0 : to->dim, width, err);
			offset += piece->count * width * sizeof(float);
		}
	}
	return status;
}

/* In the order of the file: ids, whose elements are larger, come first. */
static enum status put_tables(const struct shard_job *job, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t t = 0; status == STATUS_OK && t < job->table_count; t++)
		status = put_part(job, t, PART_IDS, err);
	for (size_t t = 0; status == STATUS_OK && t < job->table_count; t++) {
		status = put_part(job, t, PART_ROWS, err);
		if (status == STATUS_OK)
			status = put_part(job, t, PART_SLOTS, err);
	}
	return status;
}

static enum status open_job(struct shard_job *job, const char *path, struct error *err)
{
	struct tensor_plan *plan;
	enum status status =
		memory_alloc(&plan, job->table_count * PARTS, sizeof(*plan), path, err);
	if (status != STATUS_OK)
		return status;
	job->strip_floats = STRIP_FLOATS;
	for (size_t t = 0; t < job->table_count; t++) {
		const struct shard_table *table = &job->tables[t];
		plan_table(plan + t * PARTS, table);
		if (job->strip_floats < (size_t)table->dim + table->slots)
			job->strip_floats = (size_t)table->dim + table->slots;
	}
	status = memory_alloc(&job->strip, job->strip_floats, sizeof(float), path, err);
	const struct tensor_metadata metadata[] = {{"format", "marquee-shard"}, {"version", "1"}};
	if (status == STATUS_OK)
		status = safetensors_writer_open(
			&job->file, path, plan, job->table_count * PARTS, metadata, 2, err);
	free(plan);
	return status;
}

enum status shard_file_write(const char *path, const struct shard_table *tables, size_t table_count,
	const struct shard_piece *pieces, size_t piece_count, struct file_stamp *ret_stamp,
	struct error *err)
{
	struct shard_job job = {.tables = tables,
		.table_count = table_count,
		.pieces = pieces,
		.piece_count = piece_count};
	enum status status = open_job(&job, path, err);
	if (status == STATUS_OK) {
		status = put_tables(&job, err);
		if (status == STATUS_OK)
			status = safetensors_writer_close(job.file, ret_stamp, err);
		else
			safetensors_writer_abandon(job.file);
	}
	free(job.strip);
	return status;
}

struct reader_table {
	const uint64_t *ids;
	const float *rows;
	const float *slots;
};

struct shard_reader {
	struct safetensors file;
	struct shard_table *tables;
	struct reader_table *parts;
	size_t table_count;
};

/* True when the tensor is a "<table>.ids", whose table name is then in name. */
static bool is_ids(const struct tensor *tensor, char name[SHARD_TABLE_NAME_SIZE])
{
	const char *dot = strrchr(tensor->name, '.');
	if (!dot || strcmp(dot, ".ids") != 0)
		return false;
	size_t length = (size_t)(dot - tensor->name);
	if (length == 0 || length >= SHARD_TABLE_NAME_SIZE)
		return false;
	memcpy(name, tensor->name, length);
	name[length] = '\0';
	return true;
}

static enum status expect_part(const struct shard_reader *reader, const struct shard_table *table,
	int part, const struct tensor **ret, struct error *err)
{
	char name[TENSOR_NAME_SIZE];
	snprintf(name, sizeof(name), "%s.%s", table->name, part_names[part]);
	const uint64_t shape[2] = {part == PART_IDS ? TENSOR_ANY : table->count, TENSOR_ANY};
	enum status status =
		safetensors_expect(&reader->file, name, part == PART_IDS ? TENSOR_U64 : TENSOR_F32,
			part == PART_IDS ? 1 : 2, shape, ret, err);
	if (status == STATUS_OK && part != PART_IDS && (*ret)->shape[1] > UINT32_MAX)
		status = error_set(err, STATUS_DATA_LOSS,
			"%s: tensor '%s': rows of %" PRIu64 " floats are too wide",
			reader->file.path, name, (*ret)->shape[1]);
	return status;
}

static enum status read_table(struct shard_reader *reader, const char *name, struct error *err)
{
	struct shard_table *table = &reader->tables[reader->table_count];
	struct reader_table *parts = &reader->parts[reader->table_count];
	const struct tensor *ids, *rows, *slots;
	memcpy(table->name, name, strlen(name) + 1);
	enum status status = expect_part(reader, table, PART_IDS, &ids, err);
	if (status != STATUS_OK)
		return status;
	table->count = ids->shape[0];
	status = expect_part(reader, table, PART_ROWS, &rows, err);
	if (status == STATUS_OK)
		status = expect_part(reader, table, PART_SLOTS, &slots, err);
	if (status != STATUS_OK)
		return status;
	if (rows->shape[1] == 0)
		return error_set(err, STATUS_DATA_LOSS, "%s: tensor '%s': rows of no floats",
			reader->file.path, rows->name);
	table->dim = (uint32_t)rows->shape[1];
	table->slots = (uint32_t)slots->shape[1];
	*parts = (struct reader_table){
		.ids = ids->bytes, .rows = rows->bytes, .slots = slots->bytes};
	reader->table_count++;
	return STATUS_OK;
}

static enum status read_tables(struct shard_reader *reader, struct error *err)
{
	const size_t most = reader->file.count / PARTS;
	enum status status =
		memory_zalloc(&reader->tables, most, sizeof(*reader->tables), "tables", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&reader->parts, most, sizeof(*reader->parts), "tables", err);
	for (size_t i = 0; status == STATUS_OK && i < reader->file.count; i++) {
		char name[SHARD_TABLE_NAME_SIZE];
		if (is_ids(&reader->file.tensors[i], name) && reader->table_count < most)
			status = read_table(reader, name, err);
	}
	if (status == STATUS_OK && reader->table_count * PARTS != reader->file.count)
		status = error_set(err, STATUS_DATA_LOSS,
			"%s: has tensors that are not the ids, rows or slots of a table",
			reader->file.path);
	return status;
}

enum status shard_reader_open(struct shard_reader **ret, const char *path, struct error *err)
{
	struct shard_reader *reader;
	enum status status = memory_zalloc(&reader, 1, sizeof(*reader), "shard reader", err);
	if (status != STATUS_OK)
		return status;
	status = safetensors_open(&reader->file, path, err);
	if (status == STATUS_OK)
		status = read_tables(reader, err);
	if (status != STATUS_OK) {
		shard_reader_close(reader);
		return status;
	}
	*ret = reader;
	return STATUS_OK;
}

void shard_reader_fetch(const struct shard_reader *reader)
{
	file_map_fetch(&reader->file.map);
}

void shard_reader_close(struct shard_reader *reader)
{
	if (!reader)
		return;
	free(reader->tables);
	free(reader->parts);
	safetensors_close(&reader->file);
	free(reader);
}

const struct shard_table *shard_reader_tables(const struct shard_reader *reader, size_t *ret_count)
{
	*ret_count = reader->table_count;
	return reader->tables;
}

enum status shard_reader_read(const struct shard_reader *reader, size_t table, uint64_t first,
	size_t n, uint64_t *ids, float *records, struct error *err)
{
	if (table >= reader->table_count)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s: no table number %zu",
			reader->file.path, table);
	const struct shard_table *from = &reader->tables[table];
	const struct reader_table *parts = &reader->parts[table];
	if (first > from->count || n > from->count - first)
		return error_set(err, STATUS_OUT_OF_RANGE,
			"%s: table '%s': records %" PRIu64 " to %" PRIu64 " of %" PRIu64,
			reader->file.path, from->name, first, first + n, from->count);
	if (ids)
		memcpy(ids, parts->ids + first, n * sizeof(*ids));
	if (!records)
		return STATUS_OK;
	const size_t dim = from->dim, slots = from->slots;
	for (size_t i = 0; i < n; i++) {
		float *record = records + i * (dim + slots);
		memcpy(record, parts->rows + (first + i) * dim, dim * sizeof(float));
		memcpy(record + dim, parts->slots + (first + i) * slots, slots * sizeof(float));
	}
	return STATUS_OK;
}

const uint64_t *shard_reader_ids(const struct shard_reader *reader, size_t table)
{
	return reader->parts[table].ids;
}

const float *shard_reader_rows(const struct shard_reader *reader, size_t table)
{
	return reader->parts[table].rows;
}
