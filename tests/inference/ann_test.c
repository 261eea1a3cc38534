/* Approximate search against exact search, and its files. */
#include "inference/ann.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "inference/search.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>

enum { ITEMS = 4000, DIM = 24, QUERIES = 50, K = 10, EFFORT = 96 };

static float *vectors; /* [ITEMS + QUERIES x DIM], of length 1, as movies are: some directions
			  matter more */

static void make_vectors(void)
{
	struct error err;
	assert_ok(memory_alloc(&vectors, (ITEMS + QUERIES) * DIM, sizeof(float), "v", &err), &err);
	random_uniform_row(
		7, random_stream("vectors"), 0, 1, vectors, (size_t)(ITEMS + QUERIES) * DIM);
	for (size_t i = 0; i < ITEMS + QUERIES; i++) {
		float *v = vectors + i * DIM;
		float square = 0;
		for (size_t d = 0; d < DIM; d++) {
			v[d] /= (float)(d + 1);
			square += v[d] * v[d];
		}
		for (size_t d = 0; d < DIM; d++)
			v[d] /= sqrtf(square);
	}
}

static double recall(struct ann *ann, uint32_t effort)
{
	struct error err;
	struct search_items items;
	const struct search_rule everything = {0};
	size_t hits = 0;
	search_items_init(&items, vectors, NULL, ITEMS, DIM);
	for (size_t q = 0; q < QUERIES; q++) {
		const float *query = vectors + (ITEMS + q) * DIM;
		struct top_k top;
		uint32_t found[K];
		assert_ok(top_k_init(&top, K, &err), &err);
		assert_ok(search_exact(&items, query, 1, &everything, 1, &top, &err), &err);
		assert_ok(ann_search(ann, query, 1, effort, K, 1, found, &err), &err);
		for (size_t i = 0; i < K; i++)
			for (size_t j = 0; j < K; j++)
				hits += found[i] == top.entries[j].item;
		top_k_fini(&top);
	}
	return (double)hits / (QUERIES * K);
}

/* Batches of all sizes on any number of threads. */
static void check_batches(struct ann *ann, uint32_t effort)
{
	struct error err;
	static uint32_t alone[QUERIES][K], together[QUERIES][K];
	const float *queries = vectors + (size_t)ITEMS * DIM;
	for (size_t q = 0; q < QUERIES; q++)
		assert_ok(
			ann_search(ann, queries + q * DIM, 1, effort, K, 1, alone[q], &err), &err);
	for (size_t size = 2; size <= QUERIES; size += 16)
		for (uint32_t threads = 1; threads <= 3; threads++) {
			assert_ok(ann_search(ann, queries, size, effort, K, threads, together[0],
					  &err),
				&err);
			ck_assert_mem_eq(alone, together, size * sizeof(alone[0]));
		}
}

static void check_kind(enum ann_kind kind, uint32_t effort)
{
	struct error err;
	struct ann *ann, *again;
	char root[PATH_SIZE], path[PATH_SIZE];
	scratch_open(root);
	assert_ok(path_join(path, root, "index", &err), &err);
	make_vectors();
	assert_ok(ann_build(&ann, kind, vectors, ITEMS, DIM, 1, &err), &err);
	ck_assert_uint_eq(ann_count(ann), ITEMS);
	const double found = recall(ann, effort);
	ck_assert_msg(found >= 0.95, "recall %g", found);
	check_batches(ann, effort);
	ck_assert_uint_ge(ann_effort_max(ann), effort);
	assert_ok(ann_write(ann, path, &err), &err);
	assert_ok(ann_read(&again, kind, path, ITEMS, DIM, &err), &err);
	ck_assert_double_eq(recall(again, effort), found);
	ann_free(again);
	assert_fails(ann_read(&again, kind, path, ITEMS + 1, DIM, &err), STATUS_DATA_LOSS, &err,
		"not the index of these 4001 movies");
	assert_fails(
		ann_read(&again, kind == ANN_HNSW ? ANN_IVF : ANN_HNSW, path, ITEMS, DIM, &err),
		STATUS_DATA_LOSS, &err, "not the index of these");
	assert_ok(file_write_atomic(path, "nonsense", 8, &err), &err);
	assert_fails(ann_read(&again, kind, path, ITEMS, DIM, &err), STATUS_INTERNAL, &err, path);
	ann_free(ann);
	free(vectors);
	scratch_close(root);
}

START_TEST(a_graph_finds_nearly_all_that_exact_search_finds_also_after_a_file)
{
	check_kind(ANN_HNSW, EFFORT);
}
END_TEST

START_TEST(lists_find_nearly_all_that_exact_search_finds_also_after_a_file)
{
	check_kind(ANN_IVF, 32);
}
END_TEST

START_TEST(small_indexes_give_what_they_have)
{
	static const enum ann_kind kinds[] = {ANN_HNSW, ANN_IVF};
	make_vectors();
	for (size_t k = 0; k < 2; k++) {
		struct error err;
		struct ann *ann;
		uint32_t found[2][K];
		assert_ok(ann_build(&ann, kinds[k], vectors, 3, DIM, 1, &err), &err);
		for (size_t queries = 1; queries <= 2; queries++) {
			assert_ok(ann_search(ann, vectors, queries, ann_effort_max(ann), K, 1,
					  found[0], &err),
				&err);
			for (size_t q = 0; q < queries; q++) {
				ck_assert_uint_eq(found[q][0], q);
				ck_assert_uint_ne(found[q][2], ANN_NONE);
				ck_assert_uint_eq(found[q][3], ANN_NONE);
			}
		}
		ann_free(ann);
	}
	free(vectors);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		a_graph_finds_nearly_all_that_exact_search_finds_also_after_a_file,
		lists_find_nearly_all_that_exact_search_finds_also_after_a_file,
		small_indexes_give_what_they_have, NULL};
	return run_cases("ann", cases);
}
