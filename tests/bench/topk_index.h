/*
 * bench_topk's cases of approximate search: what an index costs to build, what it finds of the best
 * ten, and its rate beside exact search.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_TOPK_INDEX_H
#define MARQUEE_BENCH_TOPK_INDEX_H

#include "inference/ann.h"
#include "tests/bench/bench.h"
#include "tests/bench/topk_vectors.h"

/* Builds the index on as many threads as there are cores and measures it at several efforts. */
MUST_CHECK enum status topk_index_run(const struct bench *bench, enum ann_kind kind,
	const struct topk_vectors *world, struct bench_samples *samples, struct error *err);

#endif
