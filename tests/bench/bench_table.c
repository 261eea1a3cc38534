/*
 * A table's memory, its growth, and batched lookups, through the store: locks, sorting by them and
 * the optimizer are all in it.
 *
 * Insertions come as a call of one id and a call of 63, in turn, every one timed. Pulls and
 * applications take existing ids: uniform ones, far more than any cache holds when the table is
 * large, or skewed ones, row N u^2 of N. Each size is held against the smallest one in the same
 * run, and that against copying rows from known places of a plain array.
 */
#include "common/base/memory.h"
#include "common/base/random.h"
#include "pserver/store.h"
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH_MAX    4096u
#define BATCHES	     3u
#define SKEWED_MIN   512u /* batches of skewed ids: as a server meets them */
#define INSERT_MANY  63u
#define COST_GROWTH  3.0
#define MEMORY_RATIO 1.15
#define LONGEST_MS   5.0

static const size_t batch_sizes[BATCHES] = {64, 512, BATCH_MAX};

enum work { PULL, APPLY, WORKS };
static const char *const work_names[WORKS] = {"pull", "apply"};
static const char *const id_names[2] = {"uniform", "skewed"};

struct table_bench {
	struct bench bench;
	struct bench_samples samples;
	struct store *store;
	uint32_t table;
	uint32_t dim;
	enum optimizer_kind optimizer;
	uint64_t rows;
	uint64_t ids[BATCH_MAX];
	float *values; /* [BATCH_MAX x dim] */
	float *plain;  /* [reference rows x record floats] */
	uint64_t reference_rows;
	double reference[WORKS][2][BATCHES]; /* medians at reference_rows; 0: not measured */
};

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

static json_t *parameters_of(const struct table_bench *table)
{
	return json_pack("{s:I, s:i, s:s}", "rows", (json_int_t)table->rows, "dim", (int)table->dim,
		"optimizer", optimizer_info(table->optimizer)->name);
}

static json_t *batch_parameters(const struct table_bench *table, size_t batch, bool skewed)
{
	return json_pack("{s:I, s:i, s:s, s:i, s:s}", "rows", (json_int_t)table->rows, "dim",
		(int)table->dim, "optimizer", optimizer_info(table->optimizer)->name, "batch",
		(int)batch, "ids", id_names[skewed]);
}

/* ---- growth ---- */

/* The longest call so far, and what befell it: a page came, it slept, another thread had its core.
 */
struct longest {
	uint64_t ns;
	uint64_t cpu_ns; /* the most that any call took */
	long faults, waits, preemptions;
};

struct growth {
	uint64_t every; /* of the calls, so many give one sample */
	uint64_t calls;
	struct longest one, many; /* of the calls of one id, of the others */
};

static struct rusage usage(void)
{
	struct rusage used = {0};
	(void)getrusage(RUSAGE_THREAD, &used);
	return used;
}

/* A call has ended. */
static void note_call(
	struct longest *longest, uint64_t ns, uint64_t cpu_ns, const struct rusage *before)
{
	if (cpu_ns > longest->cpu_ns)
		longest->cpu_ns = cpu_ns;
	if (ns <= longest->ns)
		return;
	const struct rusage after = usage();
	longest->ns = ns;
	longest->faults = after.ru_minflt - before->ru_minflt;
	longest->waits = after.ru_nvcsw - before->ru_nvcsw;
	longest->preemptions = after.ru_nivcsw - before->ru_nivcsw;
}

static enum status insert(struct table_bench *table, struct growth *growth, uint64_t first,
	uint64_t n, struct error *err)
{
	for (uint64_t i = 0; i < n; i++)
		table->ids[i] = id_of_row(first + i);
	const struct rusage before = usage();
	const uint64_t cpu_start = clock_now_ns(bench_cpu_clock());
	const uint64_t start = clock_now_ns(table->bench.clock);
	enum status status =
		store_apply(table->store, table->table, table->ids, n, table->values, 1, err);
	const uint64_t ns = clock_now_ns(table->bench.clock) - start;
	const uint64_t cpu_ns = clock_now_ns(bench_cpu_clock()) - cpu_start;
	note_call(n == 1 ? &growth->one : &growth->many, ns, cpu_ns, &before);
	if (n > 1 && growth->calls++ % growth->every == 0)
		bench_samples_add(&table->samples, (double)ns / (double)n);
	return status;
}

static enum status fill(struct table_bench *table, struct growth *growth, struct error *err)
{
	enum status status = STATUS_OK;
	*growth = (struct growth){
		.every = table->rows / (INSERT_MANY + 1) / (BENCH_SAMPLES_MAX / 2) + 1};
	bench_samples_start(&table->samples, &table->bench);
	table->samples.warming = false; /* the first insertion is part of the growth */
	for (uint64_t row = 0; status == STATUS_OK && row < table->rows;) {
		status = insert(table, growth, row++, 1, err);
		const uint64_t left = table->rows - row;
		const uint64_t n = left < INSERT_MANY ? left : INSERT_MANY;
		if (status == STATUS_OK && n > 0)
			status = insert(table, growth, row, n, err);
		row += n;
	}
	return status;
}

static enum status report_growth(struct table_bench *table, const struct growth *growth,
	uint64_t resident, struct error *err)
{
	const uint64_t record =
		sizeof(uint64_t) + sizeof(float) * store_record_floats(table->store, table->table);
	const struct bench_case insertion = {.name = "insert", .unit = "ns/row"};
	const struct bench_case values[] = {
		{.name = "insert-longest", .unit = "ms", .limit_name = "5 ms", .limit = LONGEST_MS},
		{.name = "insert-longest-cpu",
			.unit = "ms",
			.limit_name = "5 ms",
			.limit = LONGEST_MS},
		{.name = "resident",
			.unit = "bytes/row",
			.limit_name = "1.15 x the record",
			.limit = MEMORY_RATIO * (double)record},
		{.name = "insert-longest-faults", .unit = "page faults"},
		{.name = "insert-longest-waits", .unit = "times"},
		{.name = "insert-longest-preemptions", .unit = "times"},
		{.name = "insert-63-longest", .unit = "ms"},
		{.name = "insert-63-longest-cpu", .unit = "ms"},
		{.name = "insert-63-longest-faults", .unit = "page faults"},
		{.name = "insert-63-longest-waits", .unit = "times"},
		{.name = "insert-63-longest-preemptions", .unit = "times"},
	};
	const struct longest *one = &growth->one, *many = &growth->many;
	const double figures[] = {1e-6 * (double)one->ns, 1e-6 * (double)one->cpu_ns,
		(double)resident / (double)table->rows, (double)one->faults, (double)one->waits,
		(double)one->preemptions, 1e-6 * (double)many->ns, 1e-6 * (double)many->cpu_ns,
		(double)many->faults, (double)many->waits, (double)many->preemptions};
	enum status status =
		bench_report(&table->bench, &insertion, &table->samples, parameters_of(table), err);
	for (size_t i = 0; status == STATUS_OK && i < sizeof(values) / sizeof(values[0]); i++)
		status = bench_report_value(
			&table->bench, &values[i], figures[i], parameters_of(table), err);
	return status;
}

/* ---- batches ---- */

static uint64_t choose_row(
	const struct table_bench *table, struct random_sequence *random, bool skewed)
{
	const double u = random_double(random);
	return (uint64_t)((double)table->rows * (skewed ? u * u : u));
}

static enum status run_batch(
	struct table_bench *table, enum work work, size_t batch, struct error *err)
{
	if (work == APPLY)
		return store_apply(
			table->store, table->table, table->ids, batch, table->values, 2, err);
	enum status status =
		store_pull(table->store, table->table, table->ids, batch, table->values, err);
	bench_keep(table->values);
	return status;
}

/* Copies the rows from where they are known to lie, or adds to them there. */
static void run_plain(struct table_bench *table, enum work work, size_t batch, const uint64_t *rows)
{
	const size_t dim = table->dim;
	for (size_t i = 0; i < batch; i++) {
		float *row = table->plain + rows[i] * dim;
		float *value = table->values + i * dim;
		for (size_t j = 0; work == APPLY && j < dim; j++)
			row[j] -= 0.5f * value[j];
		if (work == PULL)
			memcpy(value, row, dim * sizeof(float));
	}
	bench_keep(table->values);
	bench_keep(table->plain);
}

/* Samples in ns a row; `plain` measures the limit. */
static enum status sample_batches(struct table_bench *table, enum work work, size_t batch,
	bool skewed, bool plain, struct error *err)
{
	static uint64_t rows[BATCH_MAX];
	enum status status = STATUS_OK;
	struct random_sequence random;
	random_sequence_init(&random, 1, batch + work);
	bench_samples_start(&table->samples, &table->bench);
	while (status == STATUS_OK && bench_samples_wanted(&table->samples)) {
		for (size_t i = 0; i < batch; i++) {
			rows[i] = choose_row(table, &random, skewed);
			table->ids[i] = id_of_row(rows[i]);
		}
		const uint64_t start = clock_now_ns(table->bench.clock);
		if (plain)
			run_plain(table, work, batch, rows);
		else
			status = run_batch(table, work, batch, err);
		bench_samples_add(&table->samples,
			(double)(clock_now_ns(table->bench.clock) - start) / (double)batch);
	}
	return status;
}

static enum status measure(
	struct table_bench *table, enum work work, unsigned int b, bool skewed, struct error *err)
{
	const size_t batch = batch_sizes[b];
	double *reference = &table->reference[work][skewed][b];
	struct bench_case one = {.name = work_names[work],
		.unit = "ns/row",
		.limit_name = "3 x the cost at the smallest size",
		.limit = COST_GROWTH * *reference};
	const bool first = table->rows == table->reference_rows;
	enum status status = STATUS_OK;
	if (first) {
		status = sample_batches(table, work, batch, skewed, true, err);
		one.limit_name = "the same rows of a plain array";
		one.limit = bench_samples_median(&table->samples);
	}
	if (status == STATUS_OK)
		status = sample_batches(table, work, batch, skewed, false, err);
	if (status == STATUS_OK && first)
		*reference = bench_samples_median(&table->samples);
	if (status != STATUS_OK)
		return status;
	return bench_report(
		&table->bench, &one, &table->samples, batch_parameters(table, batch, skewed), err);
}

static enum status run_size(struct table_bench *table, uint64_t rows, struct error *err)
{
	struct table_spec spec = {.name = "bench",
		.dim = table->dim,
		.init_limit = 0.1f,
		.optimizer = optimizer_defaults(table->optimizer)};
	struct growth growth;
	table->rows = rows;
	/* What the size before leaves in the heap is not this one's. */
	store_reset(table->store, 1);
	malloc_trim(0);
	const uint64_t before = resident_bytes();
	enum status status = store_create_table(table->store, &spec, &table->table, err);
	if (status == STATUS_OK)
		status = fill(table, &growth, err);
	if (status == STATUS_OK)
		status = report_growth(table, &growth, resident_bytes() - before, err);
	for (unsigned int work = 0; work < WORKS; work++)
		for (unsigned int b = 0; b < BATCHES; b++)
			for (int skewed = 0; status == STATUS_OK && skewed < 2; skewed++)
				if (bench_wants(&table->bench, work_names[work]) &&
					(batch_sizes[b] >= SKEWED_MIN || !skewed))
					status = measure(
						table, (enum work)work, b, skewed != 0, err);
	return status;
}

static enum status run(struct table_bench *table, uint64_t rows, bool embedded, struct error *err)
{
	const struct store_options options = {.seed = 1, .one_thread_per_table = embedded};
	const uint64_t smallest = bench_size(&table->bench, 100000, 100000, 1000);
	if (rows == 0)
		rows = bench_size(&table->bench, 1000000, 1000000, 2000);
	table->reference_rows = smallest < rows ? smallest : rows;
	enum status status = bench_samples_init(&table->samples, err);
	if (status == STATUS_OK)
		status = memory_zalloc(&table->values, (size_t)BATCH_MAX * table->dim,
			sizeof(*table->values), "rows", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&table->plain, table->reference_rows * table->dim,
			sizeof(*table->plain), "plain array", err);
	if (status == STATUS_OK)
		status = store_new(&table->store, &options, err);
	if (status == STATUS_OK)
		status = run_size(table, table->reference_rows, err);
	if (status == STATUS_OK && rows > table->reference_rows)
		status = run_size(table, rows, err);
	store_free(table->store);
	free(table->plain);
	free(table->values);
	bench_samples_fini(&table->samples);
	return status;
}

int main(int argc, char **argv)
{
	uint64_t rows = 0, dim = 32;
	bool embedded = false;
	const char *optimizer = "sgd";
	const struct flag flags[] = {
		{.name = "rows",
			.kind = FLAG_U64,
			.target = &rows,
			.value_name = "N",
			.help = "rows of the large table (1000000); the small one has 100000",
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
		{.name = "embedded",
			.kind = FLAG_BOOL,
			.target = &embedded,
			.help = "one thread a table, as where the tables are in the trainer"},
	};
	const struct flag_group group = {
		.title = "Options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {.program = "bench_table",
		.summary = "Measures memory, growth and lookups of a table of 100000 rows and of a "
			   "larger "
			   "one. With --rows 100000000 it takes 15 GB and some minutes.",
		.groups = &group,
		.group_count = 1};
	static struct table_bench table;
	struct error err = {0};
	enum status status = bench_parse(&table.bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	(void)optimizer_find(optimizer, &table.optimizer);
	table.dim = (uint32_t)dim;
	status = run(&table, rows, embedded, &err);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
