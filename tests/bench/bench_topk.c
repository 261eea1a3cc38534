/*
 * search: exact search for the k best of N movie vectors, one query and a hundred at once. Vectors
 * and queries are uniform random numbers of 200 dimensions; queries change from sample to sample.
 * The limit is the machine's: the time to read the vectors once at the memory's rate, or to do the
 * products at sgemm's for large squares, whichever is longer, both measured here with as many
 * threads.
 *
 * faiss: the same against FAISS's IndexFlatIP, the two in turn on the same queries and as many
 * threads. FAISS runs at its best: OpenBLAS has its threads then, and OpenMP's do not wait in a
 * loop, which would take the cores from them.
 *
 * index: an approximate index of vectors that lie as a catalog's do (topk_vectors.h), with --model
 * as that model's: what it costs to build, its recall and its rate beside exact search.
 *
 * recommend: with --model, recommendations from it, as a server would answer them.
 */
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/nn/fc.h"
#include "inference/faiss_index.h"
#include "inference/recommend.h"
#include "inference/search.h"
#include "tests/bench/bench.h"
#include "tests/bench/machine.h"
#include "tests/bench/topk_index.h"

#include <cblas.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIM = TOPK_DIM, K = 10, QUERIES = 256 };

struct data {
	float *vectors; /* [items x DIM] */
	float *queries; /* [QUERIES x DIM] */
	float longest;	/* of search_items */
	struct top_k tops[QUERIES];
	struct faiss_index *faiss; /* of the same vectors, or NULL: built without FAISS */
	float products[QUERIES * K];
	int64_t ids[QUERIES * K];
	struct bench_samples theirs; /* FAISS's */
};

static enum status fill_faiss(struct data *data, uint64_t items, struct error *err)
{
	uint64_t *ids;
	enum status status = faiss_index_new_flat(&data->faiss, DIM, items, err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(&ids, items, sizeof(*ids), "ids", err);
	if (status != STATUS_OK)
		return status;
	for (uint64_t i = 0; i < items; i++)
		ids[i] = i;
	status = faiss_index_add(data->faiss, data->vectors, ids, items, err);
	free(ids);
	return status;
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
	random_uniform_row(1, random_stream("vectors"), 0, 1, data->vectors, items * DIM);
	random_uniform_row(1, random_stream("queries"), 0, 1, data->queries, QUERIES * DIM);
	struct search_items sized;
	search_items_init(&sized, data->vectors, NULL, (uint32_t)items, DIM);
	data->longest = sized.longest;
	status = bench_samples_init(&data->theirs, err);
	if (status == STATUS_OK && ann_is_built_in())
		status = fill_faiss(data, items, err);
	return status;
}

static void data_fini(struct data *data)
{
	bench_samples_fini(&data->theirs);
	faiss_index_free(data->faiss);
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

static json_t *about(const struct task *task)
{
	return json_pack("{s:I, s:i, s:i, s:I, s:I}", "items", (json_int_t)task->items, "dim", DIM,
		"k", K, "queries", (json_int_t)task->queries, "threads", (json_int_t)task->threads);
}

/* One search of ours for the queries from number `first` on. */
static enum status search_once(const struct bench *bench, const struct task *task,
	struct data *data, uint64_t first, struct bench_samples *samples, struct error *err)
{
	const struct search_rule everything = {0};
	const struct search_items items = {.vectors = data->vectors,
		.count = (uint32_t)task->items,
		.dim = DIM,
		.longest = data->longest};
	for (uint64_t q = 0; q < task->queries; q++)
		data->tops[q].count = 0;
	const uint64_t start = clock_now_ns(bench->clock);
	enum status status = search_exact(&items, data->queries + first * DIM, task->queries,
		&everything, task->threads, data->tops, err);
	bench_samples_add(samples, 1e-6 * (double)(clock_now_ns(bench->clock) - start));
	bench_keep(data->tops);
	return status;
}

static uint64_t next_first(const struct task *task, uint64_t first)
{
	return (first + task->queries) % (QUERIES - task->queries + 1);
}

static enum status run_search(const struct bench *bench, const struct task *task, struct data *data,
	struct bench_samples *samples, struct error *err)
{
	struct bench_case one = {
		.name = "search", .unit = "ms", .limit_name = "1.25 x reading or sgemm alone"};
	double least;
	uint64_t first = 0;
	enum status status = least_seconds(bench, task, data->vectors, &least, err);
	for (bench_samples_start(samples, bench);
		status == STATUS_OK && bench_samples_wanted(samples);) {
		first = next_first(task, first);
		status = search_once(bench, task, data, first, samples, err);
	}
	one.limit = 1.25 * 1e3 * least;
	return status == STATUS_OK ? bench_report(bench, &one, samples, about(task), err) : status;
}

/* The same search by FAISS, which must find the same movies, to rounding. */
static enum status faiss_once(const struct bench *bench, const struct task *task, struct data *data,
	uint64_t first, struct error *err)
{
	openblas_set_num_threads((int)task->threads);
	const uint64_t start = clock_now_ns(bench->clock);
	enum status status = faiss_index_search(data->faiss, data->queries + first * DIM,
		task->queries, K, task->threads, data->products, data->ids, err);
	bench_samples_add(&data->theirs, 1e-6 * (double)(clock_now_ns(bench->clock) - start));
	openblas_set_num_threads(1);
	for (uint64_t q = 0; status == STATUS_OK && q < task->queries; q++) {
		const float ours = data->tops[q].entries[0].score, theirs = data->products[q * K];
		if (!(ours - theirs < 1e-3F && theirs - ours < 1e-3F))
			return error_set(err, STATUS_INTERNAL,
				"FAISS's best product is %g, ours %g", (double)theirs,
				(double)ours);
	}
	return status;
}

static enum status run_faiss(const struct bench *bench, const struct task *task, struct data *data,
	struct bench_samples *samples, struct error *err)
{
	struct bench_case one = {
		.name = "faiss", .unit = "ms", .limit_name = "1.2 x FAISS's IndexFlatIP, in turn"};
	uint64_t first = 0;
	enum status status = STATUS_OK;
	bench_samples_start(&data->theirs, bench);
	for (bench_samples_start(samples, bench);
		status == STATUS_OK && bench_samples_wanted(samples);) {
		first = next_first(task, first);
		status = search_once(bench, task, data, first, samples, err);
		if (status == STATUS_OK)
			status = faiss_once(bench, task, data, first, err);
	}
	if (status != STATUS_OK)
		return status;
	const double theirs = bench_samples_median(&data->theirs);
	one.limit = 1.2 * theirs;
	json_t *parameters = about(task);
	json_object_set_new(parameters, "faiss_ms", json_real(theirs));
	return bench_report(bench, &one, samples, parameters, err);
}

static enum status run(const struct bench *bench, const struct task *task, struct data *data,
	struct bench_samples *samples, struct error *err)
{
	enum status status = STATUS_OK;
	if (bench_wants(bench, "search"))
		status = run_search(bench, task, data, samples, err);
	if (status == STATUS_OK && data->faiss && bench_wants(bench, "faiss"))
		status = run_faiss(bench, task, data, samples, err);
	return status;
}

/* All queries and threads over one catalog. */
static enum status run_size(
	const struct bench *bench, uint64_t items, struct bench_samples *samples, struct error *err)
{
	static const uint64_t queries[] = {1, 100};
	const uint32_t cores = machine_cores();
	static struct data data;
	data = (struct data){0};
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

/* scorer: of --model, or NULL. */
static enum status run_indexes(const struct bench *bench, struct scorer *scorer,
	struct bench_samples *samples, struct error *err)
{
	static const enum ann_kind kinds[] = {ANN_IVF, ANN_HNSW};
	struct topk_vectors world = {0};
	enum status status =
		topk_vectors_init(&world, scorer, (uint32_t)bench_size(bench, 1000000, 50000, 2000),
			bench_size(bench, 1000, 1000, 20), err);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]) && status == STATUS_OK; k++)
		status = topk_index_run(bench, kinds[k], &world, samples, err);
	topk_vectors_fini(&world);
	return status;
}

static enum status run_model(const struct bench *bench, const char *model,
	struct bench_samples *samples, struct error *err)
{
	struct model_directory directory;
	struct scorer *scorer = NULL;
	enum status status = model_directory_open(&directory, model, err);
	if (status != STATUS_OK)
		return status;
	status = scorer_new(&scorer, &directory, err);
	if (status == STATUS_OK && bench_wants(bench, "recommend"))
		status = recommend_to_all(bench, scorer, samples, err);
	if (status == STATUS_OK && ann_is_built_in() && bench_wants(bench, "index"))
		status = run_indexes(bench, scorer, samples, err);
	scorer_free(scorer);
	model_directory_close(&directory);
	return status;
}

/* libgomp reads this when it is loaded. */
static void let_openmp_sleep(char **argv)
{
	if (setenv("OMP_WAIT_POLICY", "PASSIVE", 0) == 0)
		(void)execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	const char *model = NULL;
	const struct flag flags[] = {
		{.name = "model",
			.kind = FLAG_STRING,
			.target = &model,
			.value_name = "DIR",
			.help = "a model directory, from marquee export: recommend from it, and "
				"index vectors like its own"},
	};
	const struct flag_group group = {.title = "Options", .flags = flags, .count = 1};
	const struct command_line line = {.program = "bench_topk",
		.summary = "Measures search for the best movies by inner product, beside FAISS "
			   "where it was built with it.",
		.groups = &group,
		.group_count = 1};
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err = {0};
	if (!getenv("OMP_WAIT_POLICY"))
		let_openmp_sleep(argv);
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	nn_init();
	if (!ann_is_built_in())
		fprintf(stderr,
			"bench_topk: built without FAISS: no case 'faiss', no case 'index'\n");
	status = bench_samples_init(&samples, &err);
	if (status == STATUS_OK && model)
		status = run_model(&bench, model, &samples, &err);
	else if (status == STATUS_OK && ann_is_built_in() && bench_wants(&bench, "index"))
		status = run_indexes(&bench, NULL, &samples, &err);
	const bool searches = bench_wants(&bench, "search") || bench_wants(&bench, "faiss");
	if (status == STATUS_OK && searches)
		status = run_size(&bench, bench_size(&bench, 3883, 3883, 300), &samples, &err);
	if (status == STATUS_OK && searches)
		status =
			run_size(&bench, bench_size(&bench, 1000000, 200000, 1000), &samples, &err);
	bench_samples_fini(&samples);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
