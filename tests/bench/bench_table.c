/*
 * A table's memory, and the time of insertions and batched lookups, through the store: locks,
 * grouping by virtual shard and the optimizer are all in it.
 *
 * Insertions go one id at a time, so that their longest is seen; the clock's own cost is in them.
 * Pulls and applications take random existing ids, far more than any cache holds when the table is
 * large. Release builds only.
 */
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "pserver/store.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Nanoseconds, exact up to HISTOGRAM_MAX, with what is longer in the last place. */
#define HISTOGRAM_MAX 65536u

struct histogram {
	uint64_t counts[HISTOGRAM_MAX + 1];
	uint64_t total;
	uint64_t max;
};

static void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->counts[ns < HISTOGRAM_MAX ? ns : HISTOGRAM_MAX]++;
	histogram->total++;
	if (ns > histogram->max)
		histogram->max = ns;
}

static uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
	uint64_t seen = 0;
	for (uint64_t ns = 0; ns < HISTOGRAM_MAX; ns++) {
		seen += histogram->counts[ns];
		if ((double)seen >= quantile * (double)histogram->total)
			return ns;
	}
	return histogram->max;
}

/* The thread's own time: an insertion that another process interrupted is not a long one. */
static uint64_t thread_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t resident_bytes(void)
{
	char line[128];
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file)
		return 0;
	/* "size resident shared ...", in pages. */
	const char *second = fgets(line, sizeof(line), file) ? strchr(line, ' ') : NULL;
	uint64_t resident = second ? strtoull(second, NULL, 10) : 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Row r's id: any bijection that leaves no order. */
static uint64_t id_of_row(uint64_t row)
{
	return hash_u64(row);
}

struct bench {
	const struct clock *clock;
	struct store *store;
	uint32_t table;
	uint32_t dim;
	uint64_t rows;
	uint64_t *ids; /* [batch] */
	float *values; /* [batch x dim] */
	size_t batch;
};

static enum status fill(struct bench *bench, struct histogram *histogram, uint64_t *ret_thread_max,
	struct error *err)
{
	enum status status = STATUS_OK;
	uint64_t thread_max = 0;
	for (uint64_t row = 0; status == STATUS_OK && row < bench->rows; row++) {
		const uint64_t id = id_of_row(row);
		const uint64_t thread_start = thread_ns();
		const uint64_t start = clock_now_ns(bench->clock);
		status = store_apply(bench->store, bench->table, &id, 1, bench->values, 1, err);
		histogram_add(histogram, clock_now_ns(bench->clock) - start);
		const uint64_t thread = thread_ns() - thread_start;
		if (thread > thread_max)
			thread_max = thread;
	}
	*ret_thread_max = thread_max;
	return status;
}

#define CALLS_MAX 20000u

static int compare_u64(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

/*
 * Nanoseconds a row of pulls or applications of `batch` random existing ids: the median over the
 * calls, which other processes disturb least.
 */
static enum status measure_batches(
	struct bench *bench, size_t batch, bool apply, double *ret_ns, struct error *err)
{
	static uint64_t times[CALLS_MAX];
	struct random_sequence random;
	random_sequence_init(&random, 1, batch + apply);
	size_t calls = 0;
	for (uint64_t spent = 0; calls < CALLS_MAX && spent < UINT64_C(500000000); calls++) {
		for (size_t i = 0; i < batch; i++)
			bench->ids[i] = id_of_row(random_next(&random) % bench->rows);
		const uint64_t start = clock_now_ns(bench->clock);
		enum status status = apply ? store_apply(bench->store, bench->table, bench->ids,
						     batch, bench->values, 2, err)
					   : store_pull(bench->store, bench->table, bench->ids,
						     batch, bench->values, err);
		if (status != STATUS_OK)
			return status;
		times[calls] = clock_now_ns(bench->clock) - start;
		spent += times[calls];
	}
	qsort(times, calls, sizeof(times[0]), compare_u64);
	const uint64_t median = times[calls / 2];
	*ret_ns = (double)median / (double)batch;
	return STATUS_OK;
}

static enum status run_case(struct bench *bench, enum optimizer_kind kind, struct error *err)
{
	static struct histogram histogram;
	memset(&histogram, 0, sizeof(histogram));
	struct table_spec spec = {.name = "bench",
		.dim = bench->dim,
		.init_limit = 0.1f,
		.optimizer = optimizer_defaults(kind)};
	const size_t batches[] = {64, 512, 4096, 65536};
	double pull[4], apply[4];
	uint64_t thread_max = 0;
	/* What the case before leaves in the heap is not this one's. */
	store_reset(bench->store, 1);
	malloc_trim(0);
	const uint64_t before = resident_bytes();
	enum status status = store_create_table(bench->store, &spec, &bench->table, err);
	if (status == STATUS_OK)
		status = fill(bench, &histogram, &thread_max, err);
	const uint64_t resident = resident_bytes() - before;
	for (size_t b = 0; status == STATUS_OK && b < 4; b++) {
		status = measure_batches(bench, batches[b], false, &pull[b], err);
		if (status == STATUS_OK)
			status = measure_batches(bench, batches[b], true, &apply[b], err);
	}
	if (status != STATUS_OK)
		return status;
	const uint64_t record = 8 + sizeof(float) * store_record_floats(bench->store, 0);
	printf("{\"rows\": %" PRIu64 ", \"dim\": %u, \"optimizer\": \"%s\", "
	       "\"record_bytes\": %" PRIu64 ", \"bytes_per_row\": %.1f, "
	       "\"resident_per_row\": %.1f, \"insert_p50_ns\": %" PRIu64
	       ", \"insert_p999_ns\": %" PRIu64 ", \"insert_max_ns\": %" PRIu64
	       ", \"insert_max_thread_ns\": %" PRIu64,
		bench->rows, bench->dim, optimizer_info(kind)->name, record,
		(double)store_bytes(bench->store) / (double)bench->rows,
		(double)resident / (double)bench->rows, histogram_quantile(&histogram, 0.5),
		histogram_quantile(&histogram, 0.999), histogram.max, thread_max);
	for (size_t b = 0; b < 4; b++)
		printf(", \"pull_%zu_ns_per_row\": %.1f, \"apply_%zu_ns_per_row\": %.1f",
			batches[b], pull[b], batches[b], apply[b]);
	printf("}\n");
	fflush(stdout);
	return STATUS_OK;
}

int main(int argc, char **argv)
{
	uint64_t first = 10000, last = 1000000, dim = 32;
	const char *optimizer = "sgd";
	const struct flag flags[] = {
		{.name = "from",
			.kind = FLAG_U64,
			.target = &first,
			.value_name = "N",
			.help = "rows of the first case (10000)",
			.min = 1,
			.max = 1e9},
		{.name = "to",
			.kind = FLAG_U64,
			.target = &last,
			.value_name = "N",
			.help = "rows of the last case, each 10 times the one before (1000000)",
			.min = 1,
			.max = 1e9},
		{.name = "dim",
			.kind = FLAG_U64,
			.target = &dim,
			.value_name = "N",
			.help = "floats a row (32)",
			.min = 1,
			.max = 4096},
		{.name = "optimizer",
			.kind = FLAG_CHOICE,
			.target = &optimizer,
			.value_name = "NAME",
			.help = "optimizer (sgd)",
			.choices = OPTIMIZER_CHOICES},
	};
	const struct flag_group group = {
		.title = "Options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {.program = "bench_table",
		.summary = "Measures memory, insertions and lookups of a table.",
		.groups = &group,
		.group_count = 1};
	struct error err = {0};
	struct bench bench = {.clock = clock_real(), .batch = 65536};
	enum optimizer_kind kind = OPTIMIZER_SGD;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	(void)optimizer_find(optimizer, &kind);
	bench.dim = (uint32_t)dim;
	status = memory_zalloc(&bench.ids, bench.batch, sizeof(*bench.ids), "ids", &err);
	if (status == STATUS_OK)
		status = memory_zalloc(&bench.values, bench.batch * bench.dim,
			sizeof(*bench.values), "rows", &err);
	if (status == STATUS_OK)
		status = store_new(&bench.store, &(struct store_options){.seed = 1}, &err);
	for (uint64_t rows = first; status == STATUS_OK && rows <= last; rows *= 10) {
		bench.rows = rows;
		status = run_case(&bench, kind, &err);
	}
	store_free(bench.store);
	free(bench.values);
	free(bench.ids);
	return flags_exit(line.program, status, &err);
}
