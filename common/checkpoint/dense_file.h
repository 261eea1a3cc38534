/*
 * The dense parameters and their optimizer state, in one safetensors file.
 *
 * Every tensor is there under its own name (F32 [rows, cols], or [rows] for a bias), and slot k of
 * its optimizer state under "<name>.slot<k>" in the same shape.
 *
 * Threads: pure functions over the caller's arrays; a struct dense_file is immutable after open.
 */
#ifndef MARQUEE_CHECKPOINT_DENSE_FILE_H
#define MARQUEE_CHECKPOINT_DENSE_FILE_H

#include "common/base/hash.h"
#include "common/checkpoint/safetensors.h"

#define DENSE_NAME_SIZE 48
#define DENSE_SLOTS_MAX 4u

/* A tensor in somebody's memory: all pointers are borrowed. */
struct named_tensor {
	char name[DENSE_NAME_SIZE];
	uint32_t rows, cols; /* [out, in]; rank 1: [rows], cols is 1 */
	uint32_t rank;	     /* 1 or 2 */
	uint32_t slot_count;
	float *data;		       /* [rows x cols] */
	float *slots[DENSE_SLOTS_MAX]; /* [slot_count] of the same shape */
};

MUST_CHECK enum status dense_file_write(const char *path, const struct named_tensor *tensors,
	size_t count, struct file_stamp *ret_stamp, struct error *err);

/*
 * Fills the tensors' data and slots from the file, which must hold exactly these names, shapes and
 * slots: DATA_LOSS naming the first difference otherwise, with nothing written.
 */
MUST_CHECK enum status dense_file_read(
	const char *path, const struct named_tensor *tensors, size_t count, struct error *err);

/* A dense file as it stands. */
struct dense_file {
	struct safetensors file;
	struct named_tensor *tensors; /* they point into the read-only map: not to be written to */
	size_t count;
};

MUST_CHECK enum status dense_file_open(struct dense_file *ret, const char *path, struct error *err);
/* Takes a zeroed struct. */
void dense_file_close(struct dense_file *dense);
/* NULL when there is none of this name. */
const struct named_tensor *dense_file_find(const struct dense_file *dense, const char *name);

/*
 * Adds the dense parameters to a digest: for every row r of every tensor the record
 * (random_stream(name), r, row r of the weights and then row r of each slot). A rank-1 tensor is
 * one row, r = 0.
 */
MUST_CHECK enum status dense_digest(
	struct digest *digest, const struct named_tensor *tensors, size_t count, struct error *err);

#endif
