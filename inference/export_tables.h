/*
 * The weights of an export: the rows of all shards and the dense tensors in one safetensors file.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_TABLES_H
#define MARQUEE_INFERENCE_EXPORT_TABLES_H

#include "common/checkpoint/catalog_file.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/shard_file.h"
#include "common/model/model.h"
#include "inference/row_code.h"

struct export_unknown {
	float *row; /* [dim], owned; NULL for tables without an unknown row */
	bool trained;
};

/* Inputs are borrowed, outputs owned by the caller. */
struct export_tables {
	const struct model *model;
	const struct catalog *catalog;
	uint64_t seed;
	struct shard_reader *const *shards; /* [shard_count] */
	size_t shard_count;
	const struct dense_file *dense;
	enum row_type rows;
	size_t window_rows; /* of a table, whose places are known at a time; 0: 16 million */

	struct catalog_trained *trained; /* zeroed marks, set here */
	struct export_unknown *unknown;	 /* [model_table_count], zeroed */
};

/* Writes the file. DATA_LOSS: the checkpoint's tables or tensors are not the model's. */
MUST_CHECK enum status export_tables_write(const struct export_tables *tables, const char *path,
	struct file_stamp *ret_stamp, struct error *err);

#endif
