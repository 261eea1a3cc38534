/*
 * FAISS behind a C interface: its C++ stays in faiss_index.cc, and no exception leaves it.
 *
 * An index holds vectors [count x dim] under the ids they were added with, and searches by inner
 * product. Files are FAISS's own (write_index), which its other interfaces read.
 *
 * Source: github.com/facebookresearch/faiss, as Debian's libfaiss-dev has it (1.7.3).
 * Threads: externally locked.
 */
#ifndef MARQUEE_INFERENCE_FAISS_INDEX_H
#define MARQUEE_INFERENCE_FAISS_INDEX_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct faiss_index;

/* An exact index (IndexFlatIP in an IndexIDMap) with room for `capacity` vectors. */
MUST_CHECK enum status faiss_index_new_flat(
	struct faiss_index **ret, size_t dim, size_t capacity, struct error *err);
/* NULL is fine. */
void faiss_index_free(struct faiss_index *index);

/* Copies vectors[count x dim] and ids[count]. OUT_OF_RANGE for an id of 2^63 or more, which FAISS
 * has not; nothing is added then. */
MUST_CHECK enum status faiss_index_add(struct faiss_index *index, const float *vectors,
	const uint64_t *ids, size_t count, struct error *err);

/*
 * The k vectors with the largest inner products with each query of queries[count x dim], best
 * first: products and ids [count x k], -1 where there are fewer. On that many of OpenMP's threads;
 * how many OpenBLAS takes beside them is the process's setting.
 */
MUST_CHECK enum status faiss_index_search(const struct faiss_index *index, const float *queries,
	size_t count, size_t k, uint32_t threads, float *products, int64_t *ids, struct error *err);

/* Writes a durable file, replacing one that is there. */
MUST_CHECK enum status faiss_index_write(
	const struct faiss_index *index, const char *path, struct error *err);

#endif
