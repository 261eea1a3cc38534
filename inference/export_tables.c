/*
 * Design notes. Rows are gathered a chunk at a time, and a chunk is encoded and written by a thread
 * of its own while the next one is gathered: the disk has something to do from the first chunk on.
 * Tensors are written in the order of the file, so that they are hashed on their way.
 */
#include "inference/export_tables.h"

#include "common/base/memory.h"
#include "inference/export_rows.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_FLOATS ((size_t)1 << 21)

struct chunk {
	uint64_t first; /* row of the tensor */
	size_t rows;
	float *values; /* [capacity x dim] */
	void *encoded; /* the same as they are written; NULL: values are */
	float *scales; /* [capacity], NULL where the rows have none */
};

/* Tensors of the file that are a table's. */
struct table_tensors {
	size_t weight, scale; /* scale: of int8 rows only */
};

/* A chunk on its way to the file. */
struct chunk_put {
	struct safetensors_writer *writer;
	struct table_tensors tensors;
	size_t row_bytes;
	enum row_type type;
	size_t dim;
	const struct chunk *chunk;
	bool running; /* the thread is to be joined */
	pthread_t thread;
	enum status status;
	struct error error;
};

static void *run_put(void *context)
{
	struct chunk_put *put = context;
	const struct chunk *chunk = put->chunk;
	if (chunk->encoded)
		rows_encode(put->type, chunk->values, chunk->rows, put->dim, chunk->encoded,
			chunk->scales);
	put->status = safetensors_writer_put(put->writer, put->tensors.weight,
		chunk->first * put->row_bytes, chunk->encoded ? chunk->encoded : chunk->values,
		chunk->rows * put->row_bytes, &put->error);
	if (put->status == STATUS_OK && chunk->scales)
		put->status = safetensors_writer_put(put->writer, put->tensors.scale,
			chunk->first * sizeof(*chunk->scales), chunk->scales,
			chunk->rows * sizeof(*chunk->scales), &put->error);
	return NULL;
}

/* Waits for the put that is under way, if there is one. */
static enum status finish_put(struct chunk_put *put, struct error *err)
{
	if (!put->running)
		return STATUS_OK;
	pthread_join(put->thread, NULL);
	put->running = false;
	if (put->status != STATUS_OK && err)
		*err = put->error;
	return put->status;
}

static enum status start_put(struct chunk_put *put, const struct chunk *chunk, struct error *err)
{
	put->chunk = chunk;
	int rv = pthread_create(&put->thread, NULL, run_put, put);
	if (rv != 0)
		return error_set_errno(err, rv, "cannot start a thread");
	put->running = true;
	return STATUS_OK;
}

/* Gathers and writes chunk after chunk, in turns of two. */
static enum status write_chunks(struct export_rows *rows, struct chunk chunks[2], size_t capacity,
	struct chunk_put *put, struct error *err)
{
	enum status status = STATUS_OK;
	unsigned int turn = 0;
	for (uint64_t first = 0; status == STATUS_OK && first < rows->rows;) {
		struct chunk *chunk = &chunks[turn];
		const uint64_t left = rows->rows - first;
		chunk->first = first;
		chunk->rows = left < capacity ? (size_t)left : capacity;
		first += chunk->rows;
		status = export_rows_take(rows, chunk->first, chunk->rows, chunk->values, err);
		if (status == STATUS_OK)
			status = finish_put(put, err);
		if (status == STATUS_OK)
			status = start_put(put, chunk, err);
		turn = 1 - turn;
	}
	if (status == STATUS_OK)
		return finish_put(put, err);
	(void)!finish_put(put, NULL);
	return status;
}

static enum status chunk_init(struct chunk *chunk, const struct export_rows *rows, size_t capacity,
	size_t row_bytes, struct error *err)
{
	const char *what = rows->table->name;
	const size_t dim = rows->table->dim;
	enum status status =
		memory_alloc(&chunk->values, capacity, dim * sizeof(*chunk->values), what, err);
	if (status == STATUS_OK && rows->tables->rows != ROWS_F32)
		status = memory_alloc(&chunk->encoded, capacity, row_bytes, what, err);
	if (status == STATUS_OK && rows->tables->rows == ROWS_INT8)
		status = memory_alloc(&chunk->scales, capacity, sizeof(*chunk->scales), what, err);
	return status;
}

/* Takes a zeroed struct. */
static void chunk_fini(struct chunk *chunk)
{
	free(chunk->values);
	free(chunk->encoded);
	free(chunk->scales);
}

static enum status write_table(struct export_rows *rows, struct safetensors_writer *writer,
	struct table_tensors tensors, struct error *err)
{
	const enum row_type type = rows->tables->rows;
	const size_t dim = rows->table->dim;
	const size_t row_bytes = dim * tensor_type_size(row_type_tensor(type));
	struct chunk chunks[2] = {0};
	struct chunk_put put = {.writer = writer,
		.tensors = tensors,
		.row_bytes = row_bytes,
		.type = type,
		.dim = dim};
	size_t capacity = dim < CHUNK_FLOATS ? CHUNK_FLOATS / dim : 1;
	enum status status = export_rows_begin(rows, err);
	if (capacity > rows->rows)
		capacity = (size_t)rows->rows;
	/* A table of one chunk takes no second one. */
	for (unsigned int i = 0; status == STATUS_OK && i < (capacity < rows->rows ? 2 : 1); i++)
		status = chunk_init(&chunks[i], rows, capacity, row_bytes, err);
	if (status == STATUS_OK)
		status = write_chunks(rows, chunks, capacity, &put, err);
	for (unsigned int i = 0; i < 2; i++)
		chunk_fini(&chunks[i]);
	export_rows_end(rows);
	return status;
}

static enum status write_ids(const struct export_rows *rows, struct safetensors_writer *writer,
	size_t tensor, struct error *err)
{
	return safetensors_writer_put(
		writer, tensor, 0, rows->entities, rows->rows * sizeof(*rows->entities), err);
}

static enum status write_dense(const struct export_tables *tables,
	struct safetensors_writer *writer, size_t first, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t i = 0; status == STATUS_OK && i < model_tensor_count(tables->model); i++) {
		const struct model_tensor *tensor = model_tensor(tables->model, i);
		const struct named_tensor *from = dense_file_find(tables->dense, tensor->name);
		if (!from || from->rank != tensor->rank || from->rows != tensor->rows ||
			from->cols != tensor->cols)
			return error_set(err, STATUS_DATA_LOSS,
				"%s: tensor '%s': is missing or has another shape than the model's",
				tables->dense->file.path, tensor->name);
		status = safetensors_writer_put(writer, first + i, 0, from->data,
			(uint64_t)tensor->rows * tensor->cols * sizeof(float), err);
	}
	return status;
}

/* The tensors: the ids of compact tables, every table's weight, the scales of int8 rows, the dense
 * ones. plan has room for three a table. */
static size_t plan_tensors(const struct export_tables *tables, struct tensor_plan *plan)
{
	size_t count = 0;
	for (uint32_t t = 0; t < model_table_count(tables->model); t++) {
		const struct export_rows rows = export_rows_of(tables, t);
		if (!rows.compact)
			continue;
		plan[count] =
			(struct tensor_plan){.type = TENSOR_U64, .rank = 1, .shape = {rows.rows}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.ids", rows.table->name);
	}
	for (uint32_t t = 0; t < model_table_count(tables->model); t++) {
		const struct export_rows rows = export_rows_of(tables, t);
		plan[count] = (struct tensor_plan){.type = row_type_tensor(tables->rows),
			.rank = 2,
			.shape = {rows.rows, rows.table->dim}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.weight", rows.table->name);
	}
	for (uint32_t t = 0; tables->rows == ROWS_INT8 && t < model_table_count(tables->model);
		t++) {
		const struct export_rows rows = export_rows_of(tables, t);
		plan[count] =
			(struct tensor_plan){.type = TENSOR_F32, .rank = 1, .shape = {rows.rows}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.scale", rows.table->name);
	}
	for (uint32_t i = 0; i < model_tensor_count(tables->model); i++) {
		const struct model_tensor *tensor = model_tensor(tables->model, i);
		plan[count] = (struct tensor_plan){.type = TENSOR_F32,
			.rank = tensor->rank,
			.shape = {tensor->rows, tensor->cols}};
		memcpy(plan[count++].name, tensor->name, sizeof(tensor->name));
	}
	return count;
}

enum status export_tables_write(const struct export_tables *tables, const char *path,
	struct file_stamp *ret_stamp, struct error *err)
{
	struct tensor_plan *plan;
	struct safetensors_writer *writer;
	const uint32_t table_count = model_table_count(tables->model);
	const size_t most = 3u * table_count + model_tensor_count(tables->model);
	const struct tensor_metadata metadata[] = {{"format", "marquee-model"}, {"version", "1"}};
	enum status status = memory_zalloc(&plan, most, sizeof(*plan), path, err);
	if (status != STATUS_OK)
		return status;
	const size_t count = plan_tensors(tables, plan);
	status = safetensors_writer_open(&writer, path, plan, count, metadata, 2, err);
	free(plan);
	if (status != STATUS_OK)
		return status;
	size_t at = 0;
	for (uint32_t t = 0; status == STATUS_OK && t < table_count; t++) {
		const struct export_rows rows = export_rows_of(tables, t);
		if (rows.compact)
			status = write_ids(&rows, writer, at++, err);
	}
	for (uint32_t t = 0; status == STATUS_OK && t < table_count; t++) {
		struct export_rows rows = export_rows_of(tables, t);
		const struct table_tensors tensors = {at + t, at + table_count + t};
		status = write_table(&rows, writer, tensors, err);
	}
	at += tables->rows == ROWS_INT8 ? 2u * table_count : table_count;
	if (status == STATUS_OK)
		status = write_dense(tables, writer, at, err);
	if (status != STATUS_OK) {
		safetensors_writer_abandon(writer);
		return status;
	}
	return safetensors_writer_close(writer, ret_stamp, err);
}
