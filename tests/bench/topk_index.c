#include "tests/bench/topk_index.h"

#include "common/base/memory.h"
#include "inference/search.h"
#include "tests/bench/machine.h"

#include <stdlib.h>
#include <time.h>

enum { K = 10, PER_EXACT = 32 };
#define RECALL_ASKED 0.95
#define RATE_ASKED   20.0

/* What the cases of one index share. */
struct trial {
	const struct bench *bench;
	const struct topk_vectors *world;
	struct search_items items;
	enum ann_kind kind;
	struct ann *ann;
	struct top_k *truth; /* [query_count] */
	struct bench_samples *samples, exact;
};

static const char *kind_name(const struct trial *trial)
{
	return trial->kind == ANN_HNSW ? "hnsw" : "ivf";
}

static double process_seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static enum status build(struct trial *trial, struct error *err)
{
	static const struct bench_case one = {.name = "index_build", .unit = "s of CPU"};
	const struct topk_vectors *world = trial->world;
	const uint32_t threads = machine_cores();
	const uint64_t start_ns = clock_now_ns(trial->bench->clock);
	const double start = process_seconds();
	enum status status = ann_build(
		&trial->ann, trial->kind, world->vectors, world->count, world->dim, threads, err);
	if (status != STATUS_OK)
		return status;
	const double spent = process_seconds() - start;
	const double waited = 1e-9 * (double)(clock_now_ns(trial->bench->clock) - start_ns);
	return bench_report_value(trial->bench, &one, spent,
		json_pack("{s:s, s:I, s:i, s:I, s:f}", "index", kind_name(trial), "items",
			(json_int_t)world->count, "dim", (int)world->dim, "threads",
			(json_int_t)threads, "seconds", waited),
		err);
}

static enum status find_truth(struct trial *trial, struct error *err)
{
	const struct search_rule everything = {0};
	const struct topk_vectors *world = trial->world;
	enum status status = memory_zalloc(
		&trial->truth, world->query_count, sizeof(*trial->truth), "truth", err);
	for (size_t q = 0; q < world->query_count && status == STATUS_OK; q++)
		status = top_k_init(&trial->truth[q], K, err);
	if (status == STATUS_OK)
		status = search_exact(&trial->items, world->queries, world->query_count,
			&everything, machine_cores(), trial->truth, err);
	return status;
}

static json_t *about(const struct trial *trial, uint32_t effort)
{
	return json_pack("{s:s, s:I, s:i, s:i, s:I}", "index", kind_name(trial), "items",
		(json_int_t)trial->world->count, "dim", (int)trial->world->dim, "k", (int)K,
		"effort", (json_int_t)effort);
}

static enum status measure_recall(struct trial *trial, uint32_t effort, struct error *err)
{
	const struct topk_vectors *world = trial->world;
	const bool asked = effort == ann_effort_default(trial->ann);
	const struct bench_case one = {.name = "index_recall",
		.unit = "of the best 10",
		.higher_is_better = true,
		.limit_name = asked ? "asked for" : NULL,
		.limit = RECALL_ASKED};
	size_t hits = 0, wanted = 0;
	for (size_t q = 0; q < world->query_count; q++) {
		const struct top_k *truth = &trial->truth[q];
		uint32_t found[K];
		enum status status = ann_search(
			trial->ann, world->queries + q * world->dim, 1, effort, K, 1, found, err);
		if (status != STATUS_OK)
			return status;
		wanted += truth->count;
		for (size_t i = 0; i < K; i++)
			for (size_t t = 0; t < truth->count; t++)
				hits += found[i] == truth->entries[t].item;
	}
	return bench_report_value(
		trial->bench, &one, (double)hits / (double)wanted, about(trial, effort), err);
}

/* One query at a time on one thread; an exact search stands between some with the index. */
static enum status measure_rate(struct trial *trial, uint32_t effort, struct error *err)
{
	const struct bench *bench = trial->bench;
	const struct topk_vectors *world = trial->world;
	const struct search_rule everything = {0};
	const bool asked = effort == ann_effort_default(trial->ann);
	struct bench_case one = {.name = "index_search",
		.unit = "ms",
		.limit_name = asked ? "a 20th of exact search, in turn" : NULL};
	struct top_k top;
	size_t q = 0;
	enum status status = top_k_init(&top, K, err);
	bench_samples_start(&trial->exact, bench);
	for (bench_samples_start(trial->samples, bench);
		status == STATUS_OK && bench_samples_wanted(&trial->exact);) {
		uint64_t start = clock_now_ns(bench->clock);
		top.count = 0;
		status = search_exact(&trial->items, world->queries + q * world->dim, 1,
			&everything, 1, &top, err);
		bench_samples_add(
			&trial->exact, 1e-6 * (double)(clock_now_ns(bench->clock) - start));
		for (int i = 0; i < PER_EXACT && status == STATUS_OK; i++) {
			uint32_t found[K];
			q = (q + 1) % world->query_count;
			start = clock_now_ns(bench->clock);
			status = ann_search(trial->ann, world->queries + q * world->dim, 1, effort,
				K, 1, found, err);
			bench_samples_add(trial->samples,
				1e-6 * (double)(clock_now_ns(bench->clock) - start));
			bench_keep(found);
		}
	}
	top_k_fini(&top);
	if (status != STATUS_OK)
		return status;
	const double exact = bench_samples_median(&trial->exact);
	one.limit = exact / RATE_ASKED;
	json_t *parameters = about(trial, effort);
	json_object_set_new(parameters, "exact_ms", json_real(exact));
	return bench_report(bench, &one, trial->samples, parameters, err);
}

enum status topk_index_run(const struct bench *bench, enum ann_kind kind,
	const struct topk_vectors *world, struct bench_samples *samples, struct error *err)
{
	struct trial trial = {.bench = bench, .world = world, .kind = kind, .samples = samples};
	search_items_init(&trial.items, world->vectors, NULL, world->count, world->dim);
	enum status status = bench_samples_init(&trial.exact, err);
	if (status == STATUS_OK)
		status = build(&trial, err);
	if (status == STATUS_OK)
		status = find_truth(&trial, err);
	for (uint32_t part = 0; part < 4 && status == STATUS_OK; part++) {
		const uint32_t effort = (ann_effort_default(trial.ann) << part) / 2;
		if (effort < K || effort > ann_effort_max(trial.ann))
			continue;
		status = measure_recall(&trial, effort, err);
		if (status == STATUS_OK)
			status = measure_rate(&trial, effort, err);
	}
	for (size_t q = 0; trial.truth && q < world->query_count; q++)
		top_k_fini(&trial.truth[q]);
	free(trial.truth);
	bench_samples_fini(&trial.exact);
	ann_free(trial.ann);
	return status;
}
