/*
 * The dense parameters (the towers' weights) and their optimizer state.
 *
 * In sync mode every worker holds a replica and makes the same step with the same summed gradient,
 * so the replicas stay equal bit for bit. In ssp and async mode they live on the servers as rows of
 * the table DENSE_TABLE, DENSE_ROW floats each, and this struct is the worker's copy of them.
 *
 * Layout: the model's flat vector (each tensor on a 16-float boundary, padding zero), cut or padded
 * to whole rows. slots[k * size + i] is slot k of parameter i.
 *
 * packed (model_pack) goes with the weights: who changes these by other means than dense_apply
 * calls dense_pack afterwards.
 *
 * Threads: externally locked; dense_apply and dense_pack on disjoint ranges may run side by side.
 */
#ifndef MARQUEE_WORKER_DENSE_H
#define MARQUEE_WORKER_DENSE_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "common/checkpoint/dense_file.h"
#include "common/model/model.h"
#include "pserver/optimizer.h"
#include "pserver/store.h"

#include <stddef.h>
#include <stdint.h>

#define DENSE_TABLE "dense"
#define DENSE_ROW   128u

struct dense {
	size_t size; /* floats, a multiple of DENSE_ROW, at least the model's dense size */
	uint32_t slot_count;
	struct optimizer_config optimizer;
	float *weights;		   /* [size] */
	float *slots;		   /* [slot_count * size] */
	float *packed;		   /* [model_packed_size()] */
	const struct model *model; /* borrowed */
};

/* First values from the seed. Borrows the model. The optimizer is the one for dense vectors
 * (optimizer_for_dense). */
MUST_CHECK enum status dense_init(struct dense *dense, const struct model *model, uint64_t seed,
	const struct optimizer_config *optimizer, struct error *err);
void dense_fini(struct dense *dense);

/* One optimizer step on [begin, end) with gradient[size]; step counts from 1. */
void dense_apply(
	struct dense *dense, size_t begin, size_t end, const float *gradient, uint64_t step);

void dense_pack(struct dense *dense, size_t begin, size_t end);
/* As the model takes them; borrowed. */
struct model_weights dense_weights(const struct dense *dense);

/* Rows of DENSE_TABLE. */
uint32_t dense_row_count(const struct dense *dense);
/* The table that holds them on the servers. */
struct table_spec dense_table_spec(const struct dense *dense);
/* Row r as a server's record (row, then slots), and back. record[(1 + slot_count) * DENSE_ROW]. */
void dense_to_record(const struct dense *dense, uint32_t row, float *record);
void dense_from_record(struct dense *dense, uint32_t row, const float *record);

/*
 * n records of DENSE_TABLE, of `floats` floats each, into their rows. DATA_LOSS for an id that is
 * none of them.
 */
MUST_CHECK enum status dense_from_records(struct dense *dense, const uint64_t *ids,
	const float *records, size_t floats, size_t n, struct error *err);
/* A dense of the same shape, with copies of the values. */
MUST_CHECK enum status dense_copy(struct dense *ret, const struct dense *from, struct error *err);

/*
 * The model's tensors inside these vectors, as checkpoints name them;
 * ret_tensors[model_tensor_count] borrow from dense.
 */
void dense_tensors(
	const struct dense *dense, const struct model *model, struct named_tensor *ret_tensors);

#endif
