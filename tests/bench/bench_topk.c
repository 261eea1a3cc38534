/*
 * Exact search for the k best of N movie vectors: one query, and a hundred at once.
 *
 * Vectors and queries are normal random numbers of 200 dimensions. Queries change from sample to
 * sample, out of 64 (256 in batches of 100). peer_faiss.py searches vectors of the same
 * distribution and sizes with FAISS's exact index.
 *
 * The limit is the machine's: the time to read the vectors once at the memory's rate, or to do the
 * products at sgemm's for large squares, whichever is longer, both measured here with as many
 * threads.
 */
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/nn/fc.h"
#include "inference/search.h"
#include "tests/bench/bench.h"
#include "tests/bench/machine.h"

#include <stdlib.h>

enum { DIM = 200, K = 10, QUERIES = 256 };

struct data {
	float *vectors; /* [items x DIM] */
	float *queries; /* [QUERIES x DIM] */
	struct top_k tops[QUERIES];
};

static void fill(float *values, size_t n, const char *stream)
{
	struct random_sequence random;
	random_sequence_init(&random, 1, random_stream(stream));
	for (size_t i = 0; i < n; i++)
		values[i] = (float)random_normal(&random);
}

static enum status data_init(struct data *data, uint64_t items, struct error *err)
{
	enum status status =
		memory_alloc(&data->vectors, items * DIM, sizeof(float), "vectors", err);
	if (status == STATUS_OK)
		status = memory_alloc(&data->queries, QUERIES * DIM, sizeof(float), "queries", err);
	for (size_t q = 0; q < QUERIES && status == STATUS_OK; q++)
		status = top_k_init(&data->tops[q], K, err);
	if (status != STATUS_OK)
		return status;
	fill(data->vectors, items * DIM, "vectors");
	fill(data->queries, QUERIES * DIM, "queries");
	return STATUS_OK;
}

static void data_fini(struct data *data)
{
	free(data->vectors);
	free(data->queries);
	for (size_t q = 0; q < QUERIES; q++)
		top_k_fini(&data->tops[q]);
}

struct task {
	uint64_t items, queries;
	uint32_t threads;
};

/* Seconds that the machine needs at least: to read the vectors, or to multiply. */
static enum status least_seconds(const struct bench *bench, const struct task *task,
	const float *vectors, double *ret, struct error *err)
{
	double flops;
	const size_t square = bench_size(bench, 1024, 1024, 64);
	const double work = 2.0 * (double)task->items * DIM * (double)task->queries;
	const double reading =
		machine_read_seconds(bench->clock, vectors, task->items * DIM, task->threads);
	enum status status = machine_sgemm_flops(bench->clock, square, task->threads, &flops, err);
	if (status == STATUS_OK)
		*ret = work / flops > reading ? work / flops : reading;
	return status;
}

static enum status search(const struct bench *bench, const struct task *task, struct data *data,
	struct bench_samples *samples, struct error *err)
{
	const struct search_rule everything = {0};
	struct search_items items;
	search_items_init(&items, data->vectors, NULL, (uint32_t)task->items, DIM);
	uint64_t first = 0;
	for (bench_samples_start(samples, bench); bench_samples_wanted(samples);) {
		for (uint64_t q = 0; q < task->queries; q++)
			data->tops[q].count = 0;
		first = (first + task->queries) % (QUERIES - task->queries + 1);
		const uint64_t start = clock_now_ns(bench->clock);
		enum status status = search_exact(&items, data->queries + first * DIM,
			task->queries, &everything, task->threads, data->tops, err);
		if (status != STATUS_OK)
			return status;
		bench_samples_add(samples, 1e-6 * (double)(clock_now_ns(bench->clock) - start));
		bench_keep(data->tops);
	}
	return STATUS_OK;
}

static enum status run(const struct bench *bench, const struct task *task, struct data *data,
	struct bench_samples *samples, struct error *err)
{
	struct bench_case one = {
		.name = "search", .unit = "ms", .limit_name = "1.25 x reading or sgemm alone"};
	double least;
	enum status status = least_seconds(bench, task, data->vectors, &least, err);
	if (status == STATUS_OK)
		status = search(bench, task, data, samples, err);
	one.limit = 1.25 * 1e3 * least;
	if (status != STATUS_OK)
		return status;
	return bench_report(bench, &one, samples,
		json_pack("{s:I, s:i, s:i, s:I, s:I}", "items", (json_int_t)task->items, "dim", DIM,
			"k", K, "queries", (json_int_t)task->queries, "threads",
			(json_int_t)task->threads),
		err);
}

/* All queries and threads over one catalog. */
static enum status run_size(
	const struct bench *bench, uint64_t items, struct bench_samples *samples, struct error *err)
{
	static const uint64_t queries[] = {1, 100};
	const uint32_t cores = machine_cores();
	struct data data = {0};
	enum status status = data_init(&data, items, err);
	for (size_t q = 0; q < sizeof(queries) / sizeof(queries[0]); q++)
		for (uint32_t threads = 1; status == STATUS_OK && threads <= cores;
			threads = threads == 1 && cores > 1 ? cores : cores + 1)
			status = run(bench, &(struct task){items, queries[q], threads}, &data,
				samples, err);
	data_fini(&data);
	return status;
}

int main(int argc, char **argv)
{
	const struct command_line line = {.program = "bench_topk",
		.summary = "Measures exact search for the best movies by inner product."};
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err = {0};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	nn_init();
	status = bench_samples_init(&samples, &err);
	if (status == STATUS_OK)
		status = run_size(&bench, bench_size(&bench, 3883, 3883, 300), &samples, &err);
	if (status == STATUS_OK)
		status =
			run_size(&bench, bench_size(&bench, 1000000, 200000, 1000), &samples, &err);
	bench_samples_fini(&samples);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
