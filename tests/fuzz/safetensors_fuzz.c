/* One file, read as safetensors and as everything that is made of it. */
#include "common/checkpoint/catalog_file.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"
#include "tests/fuzz/fuzz.h"

static uint64_t sum_of(const void *bytes, uint64_t size)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < size; i++)
		sum += ((const unsigned char *)bytes)[i];
	return sum;
}

/* Every byte that the header promises can be read. */
static void read_tensors(const char *path)
{
	struct safetensors file;
	struct error err;
	if (safetensors_open(&file, path, &err) != STATUS_OK)
		return;
	for (size_t i = 0; i < file.count; i++) {
		const struct tensor *tensor = &file.tensors[i];
		FUZZ_CHECK(sum_of(tensor->bytes, tensor->size) <= UINT8_MAX * tensor->size);
		FUZZ_CHECK(safetensors_find(&file, tensor->name) != NULL);
	}
	safetensors_close(&file);
}

static void read_shard(const char *path)
{
	struct shard_reader *reader;
	struct error err;
	size_t count;
	if (shard_reader_open(&reader, path, &err) != STATUS_OK)
		return;
	const struct shard_table *tables = shard_reader_tables(reader, &count);
	for (size_t t = 0; t < count; t++) {
		const size_t floats = (size_t)tables[t].dim + tables[t].slots;
		uint64_t *ids = calloc(tables[t].count + 1, sizeof(*ids));
		float *records = calloc(tables[t].count * floats + 1, sizeof(*records));
		FUZZ_CHECK(ids && records);
		FUZZ_CHECK(shard_reader_read(reader, t, 0, tables[t].count, ids, records, &err) ==
			   STATUS_OK);
		free(records);
		free(ids);
	}
	shard_reader_close(reader);
}

static void read_dense(const char *path)
{
	struct dense_file dense;
	struct error err;
	struct digest digest = {0};
	if (dense_file_open(&dense, path, &err) != STATUS_OK)
		return;
	(void)!dense_digest(&digest, dense.tensors, dense.count, &err);
	dense_file_close(&dense);
}

static void read_catalog(const char *path)
{
	struct catalog catalog;
	struct catalog_trained trained;
	struct error err;
	if (catalog_file_read(&catalog, &trained, path, &err) != STATUS_OK)
		return;
	catalog_trained_fini(&trained);
	catalog_fini(&catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file file;
	fuzz_file_open(&file, data, size);
	read_tensors(file.path);
	read_shard(file.path);
	read_dense(file.path);
	read_catalog(file.path);
	fuzz_file_close(&file);
	return 0;
}
