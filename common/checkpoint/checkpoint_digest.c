#include "common/checkpoint/checkpoint_digest.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/shard_file.h"

#include <stdlib.h>
#include <string.h>

#define RECORDS_PER_READ ((size_t)1024)

static enum status add_table(struct digest *digest, const struct shard_reader *reader, size_t t,
	const struct shard_table *table, struct error *err)
{
	const uint64_t stream = random_stream(table->name);
	const size_t floats = (size_t)table->dim + table->slots;
	const uint64_t *ids = shard_reader_ids(reader, t);
	float *records;
	enum status status =
		memory_alloc(&records, RECORDS_PER_READ * floats, sizeof(float), table->name, err);
	if (status != STATUS_OK)
		return status;
	for (uint64_t first = 0; status == STATUS_OK && first < table->count;
		first += RECORDS_PER_READ) {
		const uint64_t left = table->count - first;
		const size_t n = left < RECORDS_PER_READ ? (size_t)left : RECORDS_PER_READ;
		status = shard_reader_read(reader, t, first, n, NULL, records, err);
		for (size_t i = 0; status == STATUS_OK && i < n; i++)
			digest_add(digest, stream, ids[first + i], records + i * floats,
				floats * sizeof(float));
	}
	free(records);
	return status;
}

static enum status add_shard(struct digest *digest, const char *path, struct error *err)
{
	struct shard_reader *reader;
	size_t count;
	enum status status = shard_reader_open(&reader, path, err);
	if (status != STATUS_OK)
		return status;
	const struct shard_table *tables = shard_reader_tables(reader, &count);
	for (size_t t = 0; status == STATUS_OK && t < count; t++)
		status = add_table(digest, reader, t, &tables[t], err);
	shard_reader_close(reader);
	return status;
}

static enum status add_dense(struct digest *digest, const char *path, struct error *err)
{
	struct dense_file dense;
	enum status status = dense_file_open(&dense, path, err);
	if (status != STATUS_OK)
		return status;
	status = dense_digest(digest, dense.tensors, dense.count, err);
	dense_file_close(&dense);
	return status;
}

enum status checkpoint_digest(
	const char *path, const struct manifest *manifest, struct digest *ret, struct error *err)
{
	struct digest digest = {0};
	enum status status = STATUS_OK;
	for (size_t i = 0; status == STATUS_OK && i < manifest->file_count; i++) {
		const char *name = manifest->files[i].name;
		char file[PATH_SIZE];
		status = path_join(file, path, name, err);
		if (status == STATUS_OK && checkpoint_is_shard(name))
			status = add_shard(&digest, file, err);
		else if (status == STATUS_OK && strcmp(name, CHECKPOINT_DENSE_NAME) == 0)
			status = add_dense(&digest, file, err);
	}
	if (status == STATUS_OK)
		*ret = digest;
	return status;
}
