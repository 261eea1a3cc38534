/*
 * Exact search for the k best of N movie vectors: one query, and a hundred at once; and with
 * --model, recommendations from a model directory, as a server would answer them.
 *
 * Vectors and queries are uniform random numbers of 200 dimensions. Queries change from sample to
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
#include "inference/recommend.h"
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
	random_uniform_row(1, random_stream("vectors"), 0, 1, data->vectors, items * DIM);
	random_uniform_row(1, random_stream("queries"), 0, 1, data->queries, QUERIES * DIM);
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

/* Users in turn: the tower of each, and the search. */
static enum status recommend_to_all(const struct bench *bench, struct scorer *scorer,
	struct bench_samples *samples, struct error *err)
{
	static const struct bench_case one = {
		.name = "recommend", .unit = "ms", .limit_name = "1 ms", .limit = 1};
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	const struct movie_filter everything = FILTER_NOTHING;
	struct top_k top = {0};
	float *user = NULL;
	enum status status = top_k_init(&top, K, err);
	if (status == STATUS_OK)
		status = memory_alloc(&user, scorer_vector_dim(scorer), sizeof(*user), "user", err);
	bench_samples_start(samples, bench);
	for (uint32_t u = 0; status == STATUS_OK && bench_samples_wanted(samples);
		u = (u + 1) % catalog->user_count) {
		top.count = 0;
		const uint64_t start = clock_now_ns(bench->clock);
		status = scorer_user_vectors(scorer, &u, 1, user, err);
		if (status == STATUS_OK)
			status = recommend(scorer, user, &everything, &top, err);
		bench_samples_add(samples, 1e-6 * (double)(clock_now_ns(bench->clock) - start));
		bench_keep(top.entries);
	}
	free(user);
	top_k_fini(&top);
	if (status != STATUS_OK)
		return status;
	return bench_report(bench, &one, samples,
		json_pack("{s:I, s:I, s:i}", "users", (json_int_t)catalog->user_count, "movies",
			(json_int_t)catalog->movie_count, "k", K),
		err);
}

static enum status run_model(const struct bench *bench, const char *model,
	struct bench_samples *samples, struct error *err)
{
	struct model_directory directory;
	struct scorer *scorer;
	enum status status = model_directory_open(&directory, model, err);
	if (status != STATUS_OK)
		return status;
	status = scorer_new(&scorer, &directory, err);
	if (status == STATUS_OK) {
		status = recommend_to_all(bench, scorer, samples, err);
		scorer_free(scorer);
	}
	model_directory_close(&directory);
	return status;
}

int main(int argc, char **argv)
{
	const char *model = NULL;
	const struct flag flags[] = {
		{.name = "model",
			.kind = FLAG_STRING,
			.target = &model,
			.value_name = "DIR",
			.help = "a model directory, from marquee export: recommend from it"},
	};
	const struct flag_group group = {.title = "Options", .flags = flags, .count = 1};
	const struct command_line line = {.program = "bench_topk",
		.summary = "Measures exact search for the best movies by inner product.",
		.groups = &group,
		.group_count = 1};
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err = {0};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	nn_init();
	status = bench_samples_init(&samples, &err);
	if (status == STATUS_OK && model && bench_wants(&bench, "recommend"))
		status = run_model(&bench, model, &samples, &err);
	const bool searches = bench_wants(&bench, "search");
	if (status == STATUS_OK && searches)
		status = run_size(&bench, bench_size(&bench, 3883, 3883, 300), &samples, &err);
	if (status == STATUS_OK && searches)
		status =
			run_size(&bench, bench_size(&bench, 1000000, 200000, 1000), &samples, &err);
	bench_samples_fini(&samples);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
