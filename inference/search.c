/*
 * Cost: 2 N D Q FLOP over 4 N D bytes of vectors. With one query it is the memory's bandwidth that
 * counts, with a hundred the products. The scores of a block stay in the cache: choosing reads them
 * once, in groups of which all but a few hold nothing of interest.
 */
#include "inference/search.h"

#include "common/base/memory.h"
#include "common/nn/fc.h"
#include "common/nn/kernels.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX	64u
#define QUERIES_AT_ONCE ((size_t)256)
#define GROUP		16u /* of scores that are looked at together */

/*
 * Sizes of a block. OpenBLAS takes products of about a thousand results as they lie; larger ones it
 * copies into its own layout first, which pays from some 32 queries on.
 */
#define FEW_QUERIES ((size_t)32)
#define FEW_RESULTS ((size_t)1024)
#define BLOCK	    512u

/* Multiply-adds that are worth a thread: about a tenth of a millisecond. */
#define WORTH_A_THREAD (4.0 * 1024 * 1024)

/* What the threads share, and do not change. */
struct search {
	const struct search_items *items;
	const struct search_rule *rule;
	const float *queries; /* [query_count x dim] */
	size_t query_count;
	float *tolerances; /* [query_count], owned */
};

/* One thread's part: the items [first, end), searched for every query. */
struct share {
	const struct search *search;
	uint32_t first, end;
	struct top_k *tops; /* [query_count] */
	bool owns_tops;
	float *scores; /* [queries at once x block], owned */
	enum status status;
	struct error err;
};

void search_items_init(struct search_items *items, const float *vectors, const float *factors,
	uint32_t count, size_t dim)
{
	float square = 0;
	for (uint32_t i = 0; i < count; i++) {
		const float *vector = vectors + (size_t)i * dim;
		const float factor = factors ? factors[i] : 1;
		const float found = nn_kernels()->dot(vector, vector, dim) * factor * factor;
		if (!(found <= square)) /* NAN stays: then nothing is left out by a bound */
			square = found;
		if (isnan(square))
			break;
	}
	*items = (struct search_items){.vectors = vectors,
		.factors = factors,
		.count = count,
		.dim = dim,
		.longest = sqrtf(square)};
}

search_product_fn *search_product(void)
{
	return nn_kernels()->dot;
}

/* Items in a block. */
static uint32_t block_size(size_t queries)
{
	return queries <= FEW_QUERIES ? (uint32_t)(FEW_RESULTS / queries) : BLOCK;
}

static size_t queries_at_once(size_t left)
{
	return left < QUERIES_AT_ONCE ? left : QUERIES_AT_ONCE;
}

/* Floats for the products of a block, also of a last one with fewer queries. */
static size_t scores_size(size_t query_count)
{
	return query_count <= FEW_QUERIES ? FEW_RESULTS : BLOCK * queries_at_once(query_count);
}

/* Twice what the products can be off: they, and the rule's score, each have half of it. */
static float tolerance_of(const struct search_items *items, const float *query)
{
	const float length = sqrtf(nn_kernels()->dot(query, query, items->dim));
	return (float)(items->dim + 16) * 0x1p-22f * length * items->longest + FLT_MIN;
}

/* What a product must reach to matter. */
static float threshold_of(const struct top_k *top, float tolerance)
{
	if (top->capacity == 0)
		return INFINITY; /* none is wanted: only what is no number matters */
	return top->count < top->capacity ? -INFINITY : top->entries[0].score - tolerance;
}

static float score_of(const struct search *search, size_t query, uint32_t item)
{
	const struct search_items *items = search->items;
	if (search->rule->score)
		return search->rule->score(search->rule->context, query, item);
	const float product = nn_kernels()->dot(search->queries + query * items->dim,
		items->vectors + (size_t)item * items->dim, items->dim);
	return items->factors ? product * items->factors[item] : product;
}

static enum status offer(struct share *share, size_t query, uint32_t item)
{
	const struct search_rule *rule = share->search->rule;
	if (rule->allowed && !rule->allowed(rule->context, query, item))
		return STATUS_OK;
	const float score = score_of(share->search, query, item);
	if (!isfinite(score))
		return error_set(&share->err, STATUS_FAILED_PRECONDITION,
			"the score of item %u is not a number", item);
	top_k_add(&share->tops[query], score, item);
	return STATUS_OK;
}

/* NAN reaches every threshold, so that it is found. */
static bool any_reaches(const float *scores, uint32_t n, float threshold)
{
	int reaches = 0;
	for (uint32_t i = 0; i < n; i++)
		reaches |= !(scores[i] < threshold);
	return reaches;
}

/* Offers what the products of n items from `first` on with one query leave in question. */
static enum status choose(
	struct share *share, size_t query, uint32_t first, uint32_t n, const float *scores)
{
	const struct top_k *top = &share->tops[query];
	const float tolerance = share->search->tolerances[query];
	float threshold = threshold_of(top, tolerance);
	for (uint32_t at = 0; at < n; at += GROUP) {
		const uint32_t end = n - at < GROUP ? n : at + GROUP;
		if (!any_reaches(scores + at, end - at, threshold))
			continue;
		for (uint32_t i = at; i < end; i++) {
			if (scores[i] < threshold)
				continue;
			enum status status = offer(share, query, first + i);
			if (status != STATUS_OK)
				return status;
			threshold = threshold_of(top, tolerance);
		}
	}
	return STATUS_OK;
}

/* Queries [query, query + query_count) against the items [first, first + n). */
static enum status search_block(
	struct share *share, size_t query, size_t query_count, uint32_t first, uint32_t n)
{
	const struct search_items *items = share->search->items;
	const size_t dim = items->dim;
	dot_products(share->scores, share->search->queries + query * dim,
		items->vectors + (size_t)first * dim, query_count, n, dim);
	for (size_t q = 0; q < query_count; q++) {
		float *scores = share->scores + q * n;
		if (items->factors)
			for (uint32_t i = 0; i < n; i++)
				scores[i] *= items->factors[first + i];
		enum status status = choose(share, query + q, first, n, scores);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static void *search_share(void *argument)
{
	struct share *share = argument;
	const size_t query_count = share->search->query_count;
	for (size_t q = 0, queries; q < query_count; q += queries) {
		queries = queries_at_once(query_count - q);
		const uint32_t block = block_size(queries);
		for (uint32_t i = share->first, n; i < share->end; i += n) {
			n = share->end - i < block ? share->end - i : block;
			share->status = search_block(share, q, queries, i, n);
			if (share->status != STATUS_OK)
				return NULL;
		}
	}
	return NULL;
}

static void share_fini(struct share *share)
{
	for (size_t q = 0; share->owns_tops && share->tops && q < share->search->query_count; q++)
		top_k_fini(&share->tops[q]);
	if (share->owns_tops)
		free(share->tops);
	free(share->scores);
}

/* Results of its own, of the caller's sizes. */
static enum status own_tops(struct share *share, const struct top_k *tops, struct error *err)
{
	const size_t query_count = share->search->query_count;
	share->owns_tops = true;
	enum status status =
		memory_zalloc(&share->tops, query_count, sizeof(*share->tops), "results", err);
	for (size_t q = 0; q < query_count && status == STATUS_OK; q++) {
		const size_t items = share->end - share->first;
		status = top_k_init(
			&share->tops[q], tops[q].capacity < items ? tops[q].capacity : items, err);
	}
	return status;
}

/* Share number n of `shares`, zeroed before; the first one works on the caller's tops. */
static enum status share_init(struct share *share, const struct search *search, uint32_t n,
	uint32_t shares, struct top_k *tops, struct error *err)
{
	const uint64_t count = search->items->count;
	share->search = search;
	share->first = (uint32_t)(count * n / shares);
	share->end = (uint32_t)(count * (n + 1) / shares);
	share->tops = tops;
	enum status status = n > 0 ? own_tops(share, tops, err) : STATUS_OK;
	if (status == STATUS_OK)
		status = memory_alloc(&share->scores, scores_size(search->query_count),
			sizeof(float), "scores", err);
	return status;
}

/* Runs all shares and waits; a thread that cannot be had has its share done here. */
static enum status run(struct share *shares, uint32_t count, struct error *err)
{
	pthread_t threads[THREADS_MAX];
	bool started[THREADS_MAX] = {false};
	for (uint32_t n = 1; n < count; n++)
		started[n] = pthread_create(&threads[n], NULL, search_share, &shares[n]) == 0;
	for (uint32_t n = 0; n < count; n++)
		if (!started[n])
			(void)search_share(&shares[n]);
	for (uint32_t n = 1; n < count; n++)
		if (started[n])
			(void)pthread_join(threads[n], NULL);
	for (uint32_t n = 0; n < count; n++)
		if (shares[n].status != STATUS_OK)
			return error_set(err, shares[n].status, "%s", shares[n].err.message);
	return STATUS_OK;
}

/* Puts what the other shares found into the caller's results. */
static void merge(struct share *shares, uint32_t count)
{
	for (size_t q = 0; q < shares[0].search->query_count; q++) {
		struct top_k *top = &shares[0].tops[q];
		for (uint32_t n = 1; n < count; n++)
			for (size_t i = 0; i < shares[n].tops[q].count; i++)
				top_k_add(top, shares[n].tops[q].entries[i].score,
					shares[n].tops[q].entries[i].item);
		top_k_sort(top);
	}
}

static uint32_t share_count(const struct search *search, uint32_t threads)
{
	const double work = (double)search->items->count * (double)search->items->dim *
			    (double)search->query_count;
	uint32_t count = threads < THREADS_MAX ? threads : THREADS_MAX;
	while (count > 1 && work < count * WORTH_A_THREAD)
		count--;
	return count > 0 ? count : 1;
}

enum status search_exact(const struct search_items *items, const float *queries, size_t query_count,
	const struct search_rule *rule, uint32_t threads, struct top_k *tops, struct error *err)
{
	struct search search = {
		.items = items, .rule = rule, .queries = queries, .query_count = query_count};
	struct share shares[THREADS_MAX] = {0};
	const uint32_t count = share_count(&search, threads);
	if (query_count == 0)
		return STATUS_OK;
	enum status status =
		memory_alloc(&search.tolerances, query_count, sizeof(float), "tolerances", err);
	for (size_t q = 0; q < query_count && status == STATUS_OK; q++)
		search.tolerances[q] = tolerance_of(items, queries + q * items->dim);
	for (uint32_t n = 0; n < count && status == STATUS_OK; n++)
		status = share_init(&shares[n], &search, n, count, tops, err);
	if (status == STATUS_OK)
		status = run(shares, count, err);
	if (status == STATUS_OK)
		merge(shares, count);
	for (uint32_t n = 0; n < count; n++)
		if (shares[n].search)
			share_fini(&shares[n]);
	free(search.tolerances);
	return status;
}
