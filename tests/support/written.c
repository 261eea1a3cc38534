#include "tests/support/written.h"

#include "common/base/random.h"
#include "common/checkpoint/checkpoint_digest.h"
#include "common/checkpoint/dense_file.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <string.h>

const struct shard_table written_tables[WRITTEN_TABLES] = {
	{.name = "user", .dim = WRITTEN_DIM, .slots = WRITTEN_SLOT, .count = WRITTEN_ROWS},
	{.name = "word", .dim = WRITTEN_DIM, .slots = 0, .count = WRITTEN_ROWS},
	{.name = "empty", .dim = 1, .slots = 1, .count = 0},
};

void written_fill(float *values, size_t n, uint64_t seed)
{
	random_uniform_row(seed, 1, 2, 1.0f, values, n);
}

void written_shard(const char *path, uint64_t first, size_t n, struct file_stamp *stamp)
{
	struct error err;
	struct shard_table planned[WRITTEN_TABLES];
	float user[WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT)], word[WRITTEN_ROWS * WRITTEN_DIM];
	uint64_t ids[WRITTEN_ROWS];
	memcpy(planned, written_tables, sizeof(planned));
	planned[0].count = planned[1].count = n;
	written_fill(user, WRITTEN_ROWS * (WRITTEN_DIM + WRITTEN_SLOT), 1);
	written_fill(word, WRITTEN_ROWS * WRITTEN_DIM, 2);
	for (uint64_t i = 0; i < WRITTEN_ROWS; i++)
		ids[i] = 10 * i;
	const size_t half = n / 2;
	const struct shard_piece pieces[] = {
		{0, half, ids + first, user + first * (WRITTEN_DIM + WRITTEN_SLOT)},
		{1, n, ids + first, word + first * WRITTEN_DIM},
		{0, n - half, ids + first + half,
			user + (first + half) * (WRITTEN_DIM + WRITTEN_SLOT)},
	};
	assert_ok(shard_file_write(path, planned, WRITTEN_TABLES, pieces, 3, stamp, &err), &err);
}

void written_parameters_set(struct written_parameters *p)
{
	written_fill(p->weight, 6, 3);
	written_fill(p->bias, 2, 4);
	written_fill(p->weight_slot, 6, 5);
	written_fill(p->bias_slot, 2, 6);
	p->tensors[0] = (struct named_tensor){.name = "fc.weight",
		.rows = 2,
		.cols = 3,
		.rank = 2,
		.slot_count = 1,
		.data = p->weight,
		.slots = {p->weight_slot}};
	p->tensors[1] = (struct named_tensor){.name = "fc.bias",
		.rows = 2,
		.cols = 1,
		.rank = 1,
		.slot_count = 1,
		.data = p->bias,
		.slots = {p->bias_slot}};
}

void written_step(const char *root, uint64_t step, uint32_t shards, double test_rmse)
{
	struct error err;
	char path[PATH_SIZE], file[PATH_SIZE], name[MANIFEST_FILE_NAME_SIZE];
	struct file_stamp stamp;
	struct written_parameters p;
	struct manifest manifest = {.step = step,
		.epoch = 1,
		.seed = UINT64_MAX,
		.test_rmse = test_rmse,
		.model = json_pack("{s:{}, s:{}}", "config", "sizes"),
		.training = json_pack("{s:i}", "lanes", 8)};
	assert_ok(data_source_init(&manifest.data, "/", NULL, 0.1, 7, &err), &err);
	assert_ok(checkpoint_begin(root, step, path, &err), &err);
	for (uint32_t s = 0; s < shards; s++) {
		uint64_t first = (uint64_t)s * WRITTEN_ROWS / shards;
		uint64_t end = ((uint64_t)s + 1) * WRITTEN_ROWS / shards;
		checkpoint_shard_name(s, name);
		written_shard(scratch_path(file, path, name), first, end - first, &stamp);
		assert_ok(manifest_add_file(&manifest, name, &stamp, &err), &err);
	}
	written_parameters_set(&p);
	assert_ok(dense_file_write(scratch_path(file, path, CHECKPOINT_DENSE_NAME), p.tensors, 2,
			  &stamp, &err),
		&err);
	assert_ok(manifest_add_file(&manifest, CHECKPOINT_DENSE_NAME, &stamp, &err), &err);
	struct digest digest;
	assert_ok(checkpoint_digest(path, &manifest, &digest, &err), &err);
	digest_format(&digest, manifest.digest);
	assert_ok(checkpoint_commit(root, path, &manifest, &err), &err);
	manifest_fini(&manifest);
}

const char *written_file(char path[PATH_SIZE], const char *root, uint64_t step, const char *name)
{
	struct error err;
	char directory[PATH_SIZE];
	assert_ok(checkpoint_path(root, step, directory, &err), &err);
	return scratch_path(path, directory, name);
}
