/*
 * Design notes. A shard's rows come in hash order, the file's in id order. A chunk of consecutive
 * rows is gathered at a time by a scan over all ids, rows that nobody sent are drawn, and the chunk
 * is encoded and written, by a thread of its own while the next one is gathered. That is one scan
 * for a table of up to CHUNK_FLOATS and keeps memory flat beyond it. Tensors are written in the
 * order of the file, so that they are hashed on their way.
 */
#include "inference/export_tables.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "inference/model_directory.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_FLOATS ((size_t)1 << 24)

struct chunk {
	uint64_t first; /* row of the tensor */
	size_t rows, capacity;
	float *values;	 /* [capacity x dim] */
	void *encoded;	 /* the same as they are written; NULL: values are */
	float *scales;	 /* [capacity], NULL where the rows have none */
	uint8_t *filled; /* [capacity] */
};

/* Tensors of the file that are a table's. */
struct table_tensors {
	size_t weight, scale; /* scale: of int8 rows only */
};

/* One table on its way. */
struct table_job {
	const struct export_tables *tables;
	const struct model_table *table;
	enum table_entity entity;
	bool compact;
	uint64_t rows;	  /* of the tensor */
	uint8_t *trained; /* marks of the entities, NULL for features */
	struct export_unknown *unknown;
};

static struct table_job job_of(const struct export_tables *tables, uint32_t t)
{
	const struct model_table *table = model_table(tables->model, t);
	const enum table_entity entity = table_entity_of(table);
	const bool compact = table_is_compact(table, tables->catalog);
	uint8_t *trained = entity == ENTITY_USER    ? tables->trained->users
			   : entity == ENTITY_MOVIE ? tables->trained->movies
						    : NULL;
	return (struct table_job){.tables = tables,
		.table = table,
		.entity = entity,
		.compact = compact,
		.rows = compact ? table_entity_count(table, tables->catalog) : table->rows,
		.trained = trained,
		.unknown = &tables->unknown[t]};
}

/* The id that a row of the tensor belongs to. */
static uint64_t id_of_row(const struct table_job *job, uint64_t row)
{
	if (!job->compact)
		return row;
	return job->entity == ENTITY_USER ? job->tables->catalog->user_ids[row]
					  : job->tables->catalog->movie_ids[row];
}

static enum status wrong_id(const struct table_job *job, uint64_t id, struct error *err)
{
	return error_set(err, STATUS_DATA_LOSS, "table '%s': id %" PRIu64 " is not in the catalog",
		job->table->name, id);
}

/* The row of the tensor that an id of a shard goes to, and its mark. */
static enum status row_of_id(
	const struct table_job *job, uint64_t id, uint64_t *ret_row, struct error *err)
{
	uint64_t row = id;
	if (job->entity != ENTITY_FEATURE) {
		const uint32_t entity = table_entity_find(job->table, job->tables->catalog, id);
		if (entity == UINT32_MAX)
			return wrong_id(job, id, err);
		job->trained[entity] = 1;
		if (job->compact)
			row = entity;
	}
	if (row >= job->rows)
		return wrong_id(job, id, err);
	*ret_row = row;
	return STATUS_OK;
}

static enum status take_row(const struct table_job *job, struct chunk *chunk, uint64_t id,
	const float *values, struct error *err)
{
	const size_t bytes = job->table->dim * sizeof(float);
	uint64_t row;
	if (id == UNKNOWN_ID && job->unknown->row) {
		memcpy(job->unknown->row, values, bytes);
		job->unknown->trained = true;
		return STATUS_OK;
	}
	/* Another chunk's row is looked up and checked with that one. */
	if (!job->compact && id < job->rows && id - chunk->first >= chunk->rows)
		return STATUS_OK;
	enum status status = row_of_id(job, id, &row, err);
	if (status != STATUS_OK)
		return status;
	if (row < chunk->first || row - chunk->first >= chunk->rows)
		return STATUS_OK;
	const size_t at = (size_t)(row - chunk->first);
	if (chunk->filled[at])
		return error_set(err, STATUS_DATA_LOSS, "table '%s': id %" PRIu64 " comes twice",
			job->table->name, id);
	chunk->filled[at] = 1;
	memcpy(chunk->values + at * job->table->dim, values, bytes);
	return STATUS_OK;
}

/* The chunk's rows that are in a shard. */
static enum status take_shard(const struct table_job *job, struct chunk *chunk,
	const struct shard_reader *shard, struct error *err)
{
	size_t count;
	const struct shard_table *tables = shard_reader_tables(shard, &count);
	for (size_t t = 0; t < count; t++) {
		if (strcmp(tables[t].name, job->table->name) != 0)
			continue;
		if (tables[t].dim != job->table->dim)
			return error_set(err, STATUS_DATA_LOSS,
				"table '%s': rows of %u floats, the model has %u", job->table->name,
				tables[t].dim, job->table->dim);
		const uint64_t *ids = shard_reader_ids(shard, t);
		const float *rows = shard_reader_rows(shard, t);
		for (uint64_t i = 0; i < tables[t].count; i++) {
			enum status status =
				take_row(job, chunk, ids[i], rows + (size_t)i * tables[t].dim, err);
			if (status != STATUS_OK)
				return status;
		}
	}
	return STATUS_OK;
}

static void draw(const struct table_job *job, uint64_t id, float *values)
{
	random_uniform_row(job->tables->seed, random_stream(job->table->name), id,
		job->table->init_limit, values, job->table->dim);
}

static enum status fill_chunk(const struct table_job *job, struct chunk *chunk, struct error *err)
{
	memset(chunk->filled, 0, chunk->rows);
	for (size_t s = 0; s < job->tables->shard_count; s++) {
		enum status status = take_shard(job, chunk, job->tables->shards[s], err);
		if (status != STATUS_OK)
			return status;
	}
	for (size_t i = 0; i < chunk->rows; i++)
		if (!chunk->filled[i])
			draw(job, id_of_row(job, chunk->first + i),
				chunk->values + i * job->table->dim);
	if (chunk->encoded)
		rows_encode(job->tables->rows, chunk->values, chunk->rows, job->table->dim,
			chunk->encoded, chunk->scales);
	return STATUS_OK;
}

/* A chunk on its way to the file. */
struct chunk_put {
	struct safetensors_writer *writer;
	struct table_tensors tensors;
	size_t row_bytes;
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

/* Fills and writes chunk after chunk, in turns of two. */
static enum status write_chunks(const struct table_job *job, struct chunk chunks[2],
	struct chunk_put *put, struct error *err)
{
	enum status status = STATUS_OK;
	unsigned int turn = 0;
	for (uint64_t first = 0; status == STATUS_OK && first < job->rows;) {
		struct chunk *chunk = &chunks[turn];
		const uint64_t left = job->rows - first;
		chunk->first = first;
		chunk->rows = left < chunk->capacity ? (size_t)left : chunk->capacity;
		first += chunk->rows;
		status = fill_chunk(job, chunk, err);
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

static enum status chunk_init(struct chunk *chunk, const struct table_job *job, size_t capacity,
	size_t row_bytes, struct error *err)
{
	const char *what = job->table->name;
	const size_t dim = job->table->dim;
	chunk->capacity = capacity;
	enum status status =
		memory_alloc(&chunk->values, capacity, dim * sizeof(*chunk->values), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(&chunk->filled, capacity, 1, what, err);
	if (status == STATUS_OK && job->tables->rows != ROWS_F32)
		status = memory_alloc(&chunk->encoded, capacity, row_bytes, what, err);
	if (status == STATUS_OK && job->tables->rows == ROWS_INT8)
		status = memory_alloc(&chunk->scales, capacity, sizeof(*chunk->scales), what, err);
	return status;
}

/* Takes a zeroed struct. */
static void chunk_fini(struct chunk *chunk)
{
	free(chunk->values);
	free(chunk->filled);
	free(chunk->encoded);
	free(chunk->scales);
}

static enum status write_table(const struct table_job *job, struct safetensors_writer *writer,
	struct table_tensors tensors, struct error *err)
{
	const size_t row_bytes =
		job->table->dim * tensor_type_size(row_type_tensor(job->tables->rows));
	struct chunk chunks[2] = {0};
	struct chunk_put put = {.writer = writer, .tensors = tensors, .row_bytes = row_bytes};
	enum status status = STATUS_OK;
	size_t capacity = CHUNK_FLOATS / job->table->dim;
	if (capacity > job->rows)
		capacity = (size_t)job->rows;
	/* A table of one chunk takes no second one. */
	for (unsigned int i = 0; status == STATUS_OK && i < (capacity < job->rows ? 2 : 1); i++)
		status = chunk_init(&chunks[i], job, capacity, row_bytes, err);
	if (status == STATUS_OK && job->entity != ENTITY_FEATURE) {
		status = memory_alloc(
			&job->unknown->row, job->table->dim, sizeof(float), "unknown row", err);
		if (status == STATUS_OK)
			draw(job, UNKNOWN_ID, job->unknown->row);
	}
	if (status == STATUS_OK)
		status = write_chunks(job, chunks, &put, err);
	for (unsigned int i = 0; i < 2; i++)
		chunk_fini(&chunks[i]);
	return status;
}

static enum status write_ids(const struct table_job *job, struct safetensors_writer *writer,
	size_t tensor, struct error *err)
{
	const uint64_t *ids = job->entity == ENTITY_USER ? job->tables->catalog->user_ids
							 : job->tables->catalog->movie_ids;
	return safetensors_writer_put(writer, tensor, 0, ids, job->rows * sizeof(*ids), err);
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
		const struct table_job job = job_of(tables, t);
		if (!job.compact)
			continue;
		plan[count] =
			(struct tensor_plan){.type = TENSOR_U64, .rank = 1, .shape = {job.rows}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.ids", job.table->name);
	}
	for (uint32_t t = 0; t < model_table_count(tables->model); t++) {
		const struct table_job job = job_of(tables, t);
		plan[count] = (struct tensor_plan){.type = row_type_tensor(tables->rows),
			.rank = 2,
			.shape = {job.rows, job.table->dim}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.weight", job.table->name);
	}
	for (uint32_t t = 0; tables->rows == ROWS_INT8 && t < model_table_count(tables->model);
		t++) {
		const struct table_job job = job_of(tables, t);
		plan[count] =
			(struct tensor_plan){.type = TENSOR_F32, .rank = 1, .shape = {job.rows}};
		snprintf(plan[count++].name, TENSOR_NAME_SIZE, "%s.scale", job.table->name);
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
		const struct table_job job = job_of(tables, t);
		if (job.compact)
			status = write_ids(&job, writer, at++, err);
	}
	for (uint32_t t = 0; status == STATUS_OK && t < table_count; t++) {
		const struct table_job job = job_of(tables, t);
		const struct table_tensors tensors = {at + t, at + table_count + t};
		status = write_table(&job, writer, tensors, err);
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
