/*
 * Approximate nearest neighbours by inner product, through FAISS: no C++ and no exception leaves
 * ann.cc.
 *
 *   hnsw  a graph over the vectors (Malkov and Yashunin, "Efficient and robust approximate nearest
 *         neighbor search using Hierarchical Navigable Small World graphs", 2018), of 16 links
 *   ivf   the vectors in lists around some centroids; a search reads the lists nearest to it
 *
 * Vectors are known by their positions, 0 .. count - 1. Graphs are good for vectors of one length.
 *
 * Source: github.com/facebookresearch/faiss, as Debian's libfaiss-dev has it (1.7.3).
 * Threads: immutable after it was built or read; searches are internally synchronised.
 */
#ifndef MARQUEE_INFERENCE_ANN_H
#define MARQUEE_INFERENCE_ANN_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ann;
enum ann_kind { ANN_HNSW, ANN_IVF };

/* False without FAISS (MARQUEE_FAISS=OFF): then the calls below are UNIMPLEMENTED. */
bool ann_is_built_in(void);

/* Copies vectors[count x dim], count > 0. Takes minutes of CPU time for a million. With one thread
 * the same vectors give the same index. */
MUST_CHECK enum status ann_build(struct ann **ret, enum ann_kind kind, const float *vectors,
	uint32_t count, size_t dim, uint32_t threads, struct error *err);
/* NULL is fine. */
void ann_free(struct ann *ann);

uint32_t ann_count(const struct ann *ann);
/* What a search is begun with: docs/performance.md has the recall. And the most effort that makes
 * sense: all vectors of a graph, all lists. */
uint32_t ann_effort_default(const struct ann *ann);
uint32_t ann_effort_max(const struct ann *ann);

#define ANN_NONE UINT32_MAX

/*
 * Finds up to `count` positions near each of queries[query_count x dim], best first as far as the
 * index knows; rows of positions[query_count x count] end in ANN_NONE where there are fewer.
 * effort: for a graph how many candidates are kept, and count is at most that; for lists how many
 * are read. A query finds the same alone and among others, with any number of threads.
 */
MUST_CHECK enum status ann_search(struct ann *ann, const float *queries, size_t query_count,
	uint32_t effort, uint32_t count, uint32_t threads, uint32_t *positions, struct error *err);

/* A file of FAISS's own, which is durable when this returns. */
MUST_CHECK enum status ann_write(const struct ann *ann, const char *path, struct error *err);
/*
 * The caller knows by a hash that the file is whole: FAISS trusts it. DATA_LOSS when it is not an
 * index of this kind and size.
 */
MUST_CHECK enum status ann_read(struct ann **ret, enum ann_kind kind, const char *path,
	uint32_t count, size_t dim, struct error *err);

#endif
