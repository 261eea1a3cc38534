/* Checkpoints of small parameters that are the same wherever they are written. */
#ifndef MARQUEE_TESTS_WRITTEN_H
#define MARQUEE_TESTS_WRITTEN_H

#include "common/base/file.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/shard_file.h"

#define WRITTEN_ROWS   11
#define WRITTEN_DIM    3
#define WRITTEN_SLOT   2
#define WRITTEN_TABLES 3

/* "user" with slots, "word" without, both of WRITTEN_ROWS rows, and "empty". */
extern const struct shard_table written_tables[WRITTEN_TABLES];

/* values[n] that the seed decides: 1 the records of "user", 2 those of "word". */
void written_fill(float *values, size_t n, uint64_t seed);

/* Rows [first, first + n) of both tables; the ids are 10 times the row. stamp may be NULL. */
void written_shard(const char *path, uint64_t first, size_t n, struct file_stamp *stamp);

/* A layer: a weight [2, 3] and a bias, with a slot each. */
struct written_parameters {
	float weight[6], bias[2], weight_slot[6], bias_slot[2];
	struct named_tensor tensors[2];
};

void written_parameters_set(struct written_parameters *p);

/* Commits the checkpoint of a step below root, its tables in this many shard files. */
void written_step(const char *root, uint64_t step, uint32_t shards, double test_rmse);

/* The path of one of its files. Returns it. */
const char *written_file(char path[PATH_SIZE], const char *root, uint64_t step, const char *name);

#endif
