#include "common/checkpoint/shard_stream.h"

#include "common/base/memory.h"
#include "common/checkpoint/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Records on their way to one file. */
struct pack {
	unsigned char *bytes; /* [pack_bytes], NULL before its first use */
	size_t used;	      /* a multiple of 8 */
	struct shard_piece *pieces;
	size_t piece_count, piece_capacity;
	uint32_t shard; /* the file's number */
};

struct shard_stream {
	/* immutable after open */
	char directory[PATH_SIZE];
	struct shard_table *tables;
	size_t table_count;
	size_t pack_bytes;

	/* the owner's */
	struct pack packs[2];
	unsigned int filling;
	uint32_t shards; /* numbers given out */
	bool started;	 /* the thread runs */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* guarded by lock */
	struct pack *full; /* being written, or to be; NULL: the thread waits */
	bool ending;
	struct file_stamp *stamps; /* by number of the shard */
	size_t stamp_capacity;
	enum status status; /* the first failure */
	struct error error;
};

enum status shard_stream_open(struct shard_stream **ret, const char *directory,
	const struct shard_table *tables, size_t table_count, size_t pack_bytes, struct error *err)
{
	struct shard_stream *stream;
	if (strlen(directory) >= PATH_SIZE)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", directory);
	enum status status = memory_zalloc(&stream, 1, sizeof(*stream), "shard stream", err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(&stream->tables, table_count, sizeof(*tables), "shard stream", err);
	if (status != STATUS_OK) {
		free(stream);
		return status;
	}
	memcpy(stream->directory, directory, strlen(directory) + 1);
	memcpy(stream->tables, tables, table_count * sizeof(*tables));
	stream->table_count = table_count;
	stream->pack_bytes = pack_bytes ? pack_bytes : SHARD_PACK_BYTES_DEFAULT;
	stream->pack_bytes &= ~(size_t)7;
	pthread_mutex_init(&stream->lock, NULL);
	pthread_cond_init(&stream->changed, NULL);
	*ret = stream;
	return STATUS_OK;
}

/* ---- the writing side ---- */

/* Counts what the pack holds of every table, and writes its file. */
static enum status write_pack(const struct shard_stream *stream, const struct pack *pack,
	struct file_stamp *ret_stamp, struct error *err)
{
	char name[MANIFEST_FILE_NAME_SIZE], path[PATH_SIZE];
	struct shard_table *tables;
	enum status status =
		memory_alloc(&tables, stream->table_count, sizeof(*tables), "shard", err);
	if (status != STATUS_OK)
		return status;
	for (size_t t = 0; t < stream->table_count; t++) {
		tables[t] = stream->tables[t];
		tables[t].count = 0;
	}
	for (size_t i = 0; i < pack->piece_count; i++)
		tables[pack->pieces[i].table].count += pack->pieces[i].count;
	checkpoint_shard_name(pack->shard, name);
	status = path_join(path, stream->directory, name, err);
	if (status == STATUS_OK)
		status = shard_file_write(path, tables, stream->table_count, pack->pieces,
			pack->piece_count, ret_stamp, err);
	free(tables);
	return status;
}

/* Writes the pack's file and takes note of how that ended. The lock is free. */
static void finish_pack(struct shard_stream *stream, struct pack *pack)
{
	struct file_stamp stamp;
	struct error err;
	enum status status = write_pack(stream, pack, &stamp, &err);
	pthread_mutex_lock(&stream->lock);
	if (status == STATUS_OK)
		status = memory_grow(&stream->stamps, &stream->stamp_capacity,
			(size_t)pack->shard + 1, sizeof(stamp), "shard stream", &err);
	if (status == STATUS_OK)
		stream->stamps[pack->shard] = stamp;
	if (status != STATUS_OK && stream->status == STATUS_OK) {
		stream->status = status;
		stream->error = err;
	}
	pack->used = 0;
	pack->piece_count = 0;
	pthread_mutex_unlock(&stream->lock);
}

static void *run_writer(void *context)
{
	struct shard_stream *stream = context;
	pthread_mutex_lock(&stream->lock);
	for (;;) {
		while (!stream->full && !stream->ending)
			pthread_cond_wait(&stream->changed, &stream->lock);
		if (!stream->full)
			break;
		pthread_mutex_unlock(&stream->lock);
		finish_pack(stream, stream->full);
		pthread_mutex_lock(&stream->lock);
		stream->full = NULL;
		pthread_cond_broadcast(&stream->changed);
	}
	pthread_mutex_unlock(&stream->lock);
	return NULL;
}

/* ---- the owner's side ---- */

static enum status start_writer(struct shard_stream *stream, struct error *err)
{
	if (stream->started)
		return STATUS_OK;
	int rv = pthread_create(&stream->thread, NULL, run_writer, stream);
	if (rv != 0)
		return error_set_errno(err, rv, "cannot start a thread");
	stream->started = true;
	return STATUS_OK;
}

/* The failure so far. The lock is held. */
static enum status failure(const struct shard_stream *stream, struct error *err)
{
	if (stream->status != STATUS_OK && err)
		*err = stream->error;
	return stream->status;
}

/* Gives the pack that is being filled to the thread and turns to the other one. */
static enum status hand_over(struct shard_stream *stream, struct error *err)
{
	enum status status = start_writer(stream, err);
	if (status != STATUS_OK)
		return status;
	pthread_mutex_lock(&stream->lock);
	while (stream->full)
		pthread_cond_wait(&stream->changed, &stream->lock);
	status = failure(stream, err);
	if (status == STATUS_OK) {
		stream->full = &stream->packs[stream->filling];
		stream->full->shard = stream->shards++;
		stream->filling = 1 - stream->filling;
		pthread_cond_broadcast(&stream->changed);
	}
	pthread_mutex_unlock(&stream->lock);
	return status;
}

/* Bytes that a piece of n records takes in a pack. */
static size_t piece_bytes(size_t floats, size_t n)
{
	return n * sizeof(uint64_t) + ((n * floats * sizeof(float) + 7) & ~(size_t)7);
}

/* Copies as many of the n records as there is room for, perhaps none. */
static enum status fill(const struct shard_stream *stream, struct pack *pack, size_t table,
	const uint64_t *ids, const float *records, size_t n, size_t *ret_taken, struct error *err)
{
	const size_t floats = (size_t)stream->tables[table].dim + stream->tables[table].slots;
	const size_t room = stream->pack_bytes - pack->used;
	enum status status = STATUS_OK;
	if (n > room / (sizeof(*ids) + floats * sizeof(*records)))
		n = room / (sizeof(*ids) + floats * sizeof(*records));
	while (n > 0 && piece_bytes(floats, n) > room)
		n--; /* for the padding */
	*ret_taken = n;
	if (n == 0)
		return STATUS_OK;
	if (!pack->bytes)
		status = memory_alloc(&pack->bytes, stream->pack_bytes, 1, "shard stream", err);
	if (status == STATUS_OK)
		status = memory_grow(&pack->pieces, &pack->piece_capacity, pack->piece_count + 1,
			sizeof(*pack->pieces), "shard stream", err);
	if (status != STATUS_OK)
		return status;
	unsigned char *to_ids = pack->bytes + pack->used;
	unsigned char *to_records = to_ids + n * sizeof(*ids);
	memcpy(to_ids, ids, n * sizeof(*ids));
	memcpy(to_records, records, n * floats * sizeof(*records));
	pack->pieces[pack->piece_count++] = (struct shard_piece){.table = table,
		.count = n,
		.ids = (const uint64_t *)(const void *)to_ids,
		.records = (const float *)(const void *)to_records};
	pack->used += piece_bytes(floats, n);
	return STATUS_OK;
}

enum status shard_stream_append(struct shard_stream *stream, size_t table, const uint64_t *ids,
	const float *records, size_t n, struct error *err)
{
	if (table >= stream->table_count)
		return error_set(err, STATUS_INVALID_ARGUMENT, "no table number %zu", table);
	const size_t floats = (size_t)stream->tables[table].dim + stream->tables[table].slots;
	if (piece_bytes(floats, 1) > stream->pack_bytes)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table '%s': a record is larger than a shard", stream->tables[table].name);
	while (n > 0) {
		size_t taken;
		enum status status = fill(stream, &stream->packs[stream->filling], table, ids,
			records, n, &taken, err);
		ids += taken;
		records += taken * floats;
		n -= taken;
		if (status == STATUS_OK && n > 0)
			status = hand_over(stream, err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* Ends the thread, which first writes what it was given. */
static void join_writer(struct shard_stream *stream)
{
	if (!stream->started)
		return;
	pthread_mutex_lock(&stream->lock);
	stream->ending = true;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
	pthread_join(stream->thread, NULL);
	stream->started = false;
}

enum status shard_stream_close(
	struct shard_stream *stream, struct manifest *manifest, struct error *err)
{
	struct pack *last = &stream->packs[stream->filling];
	if (last->piece_count > 0 || stream->shards == 0) {
		/* Beside the thread, which may still write the one before. */
		last->shard = stream->shards++;
		finish_pack(stream, last);
	}
	join_writer(stream);
	enum status status = failure(stream, err);
	for (uint32_t s = 0; status == STATUS_OK && s < stream->shards; s++) {
		char name[MANIFEST_FILE_NAME_SIZE];
		checkpoint_shard_name(s, name);
		status = manifest_add_file(manifest, name, &stream->stamps[s], err);
	}
	shard_stream_abandon(stream);
	return status;
}

void shard_stream_abandon(struct shard_stream *stream)
{
	if (!stream)
		return;
	join_writer(stream);
	for (int i = 0; i < 2; i++) {
		free(stream->packs[i].bytes);
		free(stream->packs[i].pieces);
	}
	pthread_cond_destroy(&stream->changed);
	pthread_mutex_destroy(&stream->lock);
	free(stream->stamps);
	free(stream->tables);
	free(stream);
}
