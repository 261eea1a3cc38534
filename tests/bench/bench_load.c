/*
 * From ratings on the disk to the first training step: parsing, the cache, memory.
 *
 * The ratings are --data's, or generated ones of ml-1m's size. What is read is in the system's page
 * cache, so that no disk is measured. "parse" turns text into examples that nobody keeps; its limit
 * is a share of the rate at which as many threads read the same bytes and look at each
 * (pread and memchr). First steps are those of a `marquee train` of its own, from the start of the
 * process to the metrics line. "memory" trains some steps on generated ratings, and on ten times as
 * many: the peak of the one over that of the other.
 */
#include "common/base/file.h"
#include "common/base/parallel.h"
#include "common/data/dataset.h"
#include "common/data/synth.h"
#include "tests/bench/bench.h"
#include "tests/bench/load_runs.h"
#include "tests/bench/machine.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1 << 18)

struct load {
	struct bench *bench;
	struct bench_samples samples;
	char scratch[PATH_SIZE];
	char data[PATH_SIZE];
	char ratings_path[PATH_SIZE];
	struct catalog catalog;
	uint64_t text_bytes, ratings;
};

static json_t *parameters(const struct load *load, uint32_t threads)
{
	return json_pack("{s:I, s:I, s:I}", "ratings", (json_int_t)load->ratings, "text_bytes",
		(json_int_t)load->text_bytes, "threads", (json_int_t)threads);
}

/* ---- parsing ---- */

struct reading {
	int descriptor;
	atomic_ullong next; /* the piece to read next */
};

static void read_pieces(void *context)
{
	struct reading *reading = context;
	char *bytes = malloc(READ_BYTES);
	size_t got = bytes ? READ_BYTES : 0;
	while (got > 0) {
		unsigned long long piece = atomic_fetch_add(&reading->next, 1);
		if (file_read_at(reading->descriptor, bytes, READ_BYTES, piece * READ_BYTES, "text",
			    &got, NULL) != STATUS_OK)
			got = 0;
		/* No text has it, so every byte is looked at. */
		bench_keep(memchr(bytes, '\xff', got));
	}
	free(bytes);
}

/* Bytes a second, the best of some. */
static double reading_rate(const struct load *load, uint32_t threads)
{
	double best = 0;
	for (int round = 0; round < 5; round++) {
		struct reading reading = {.descriptor = open(load->ratings_path, O_RDONLY)};
		const uint64_t start = clock_now_ns(load->bench->clock);
		parallel_run(threads, read_pieces, &reading);
		double rate =
			(double)load->text_bytes / clock_seconds_since(load->bench->clock, start);
		close(reading.descriptor);
		best = rate > best ? rate : best;
	}
	return best;
}

static enum status look(
	void *context, const struct rating *ratings, size_t count, struct error *err)
{
	uint64_t *total = context;
	(void)err;
	bench_keep(ratings);
	*total += count;
	return STATUS_OK;
}

static enum status parse_once(struct load *load, uint32_t threads, struct error *err)
{
	const struct data_options strict = {0};
	struct file_identity identity;
	uint64_t total = 0;
	enum status status = ratings_text_read(load->ratings_path, &load->catalog, &strict, threads,
		look, &total, NULL, &identity, err);
	if (status == STATUS_OK) {
		load->ratings = total;
		load->text_bytes = identity.size;
	}
	return status;
}

static enum status run_parse(struct load *load, uint32_t threads, struct error *err)
{
	struct bench_case one = {.name = "parse",
		.unit = "MB/s",
		.higher_is_better = true,
		.limit_name = "0.2 x reading the same bytes",
		.limit = 0.2e-6 * reading_rate(load, threads)};
	for (bench_samples_start(&load->samples, load->bench);
		bench_samples_wanted(&load->samples);) {
		const uint64_t start = clock_now_ns(load->bench->clock);
		enum status status = parse_once(load, threads, err);
		if (status != STATUS_OK)
			return status;
		bench_samples_add(
			&load->samples, 1e-6 * (double)load->text_bytes /
						clock_seconds_since(load->bench->clock, start));
	}
	return bench_report(load->bench, &one, &load->samples, parameters(load, threads), err);
}

/* ---- first steps ---- */

/* `fresh`: the cache is removed before each run, so that the text is read and the cache written. */
static enum status run_first_step(
	struct load *load, const struct bench_case *one, bool fresh, struct error *err)
{
	char cache[PATH_SIZE], pipe_path[PATH_SIZE];
	enum status status = path_join(cache, load->scratch, "cache", err);
	if (status == STATUS_OK)
		status = path_join(pipe_path, load->scratch, "metrics", err);
	const char *const options[] = {
		"--data", load->data, "--cache-dir", cache, "--seed", "7", NULL};
	for (bench_samples_start(&load->samples, load->bench);
		status == STATUS_OK && bench_samples_wanted(&load->samples);) {
		double ms;
		if (fresh)
			status = directory_remove(cache, err);
		if (status == STATUS_OK)
			status = load_first_step(load->bench->clock, options, pipe_path, &ms, err);
		if (status == STATUS_OK)
			bench_samples_add(&load->samples, ms);
	}
	return status == STATUS_OK ? bench_report(load->bench, one, &load->samples,
					     parameters(load, machine_cores()), err)
				   : status;
}

/* ---- the cache ---- */

static enum status open_cached(const struct load *load, struct dataset *ret, struct error *err)
{
	char cache[PATH_SIZE];
	enum status status = path_join(cache, load->scratch, "cache", err);
	const struct dataset_options options = {.directory = load->data,
		.holdout = HOLDOUT_DEFAULT,
		.seed = 7,
		.lanes = 8,
		.cache = {.directory = cache, .threads = machine_cores(), .wait_s = 60}};
	return status == STATUS_OK ? dataset_open(ret, &options, err) : status;
}

static enum status run_open(struct load *load, struct error *err)
{
	const struct bench_case open_case = {.name = "open_from_cache", .unit = "ms"};
	const struct bench_case bytes = {.name = "cache_bytes",
		.unit = "bytes/rating",
		.limit_name = "the text's",
		.limit = (double)load->text_bytes / (double)load->ratings};
	struct dataset dataset;
	enum status status = open_cached(load, &dataset, err);
	if (status != STATUS_OK)
		return status;
	const double size = (double)lseek(dataset.files[DATASET_RATINGS].descriptor, 0, SEEK_END);
	dataset_fini(&dataset);
	for (bench_samples_start(&load->samples, load->bench);
		status == STATUS_OK && bench_samples_wanted(&load->samples);) {
		const uint64_t start = clock_now_ns(load->bench->clock);
		status = open_cached(load, &dataset, err);
		if (status != STATUS_OK)
			break;
		bench_samples_add(
			&load->samples, 1e3 * clock_seconds_since(load->bench->clock, start));
		dataset_fini(&dataset);
	}
	if (status == STATUS_OK)
		status = bench_report(load->bench, &open_case, &load->samples,
			parameters(load, machine_cores()), err);
	return status == STATUS_OK
		       ? bench_report_value(load->bench, &bytes, size / (double)load->ratings,
				 parameters(load, machine_cores()), err)
		       : status;
}

/* ---- memory ---- */

static enum status make_data(const char *path, uint64_t ratings, struct error *err)
{
	struct synth_report report;
	const struct synth_options options = {.out = path,
		.users = ratings < 100000 ? 300 : 6000,
		.movies = ratings < 100000 ? 400 : 8000,
		.ratings = ratings,
		.seed = 1};
	return synth_generate(&options, &report, err);
}

static enum status peak_of(
	const struct load *load, uint64_t ratings, uint64_t *ret_bytes, struct error *err)
{
	char path[PATH_SIZE];
	double seconds;
	enum status status = path_join(path, load->scratch, "many", err);
	const char *const options[] = {"--data", path, "--lanes", "2", "--batch-size", "1024",
		"--max-steps", "50", "--holdout", "0", "--threads", "2", NULL};
	if (status == STATUS_OK)
		status = directory_remove(path, err);
	if (status == STATUS_OK)
		status = make_data(path, ratings, err);
	if (status == STATUS_OK)
		status = load_whole_run(load->bench->clock, options, ret_bytes, &seconds, err);
	return status;
}

static enum status run_memory(struct load *load, struct error *err)
{
	const struct bench_case one = {.name = "memory",
		.unit = "x of a tenth of the ratings",
		.limit_name = "the same memory, give or take",
		.limit = 1.05};
	const uint64_t many = bench_size(load->bench, 20000000, 10000000, 40000);
	uint64_t few_bytes, many_bytes;
	enum status status = peak_of(load, many / 10, &few_bytes, err);
	if (status == STATUS_OK)
		status = peak_of(load, many, &many_bytes, err);
	if (status != STATUS_OK)
		return status;
	return bench_report_value(load->bench, &one, (double)many_bytes / (double)few_bytes,
		json_pack("{s:I, s:I}", "ratings", (json_int_t)many, "peak_bytes",
			(json_int_t)many_bytes),
		err);
}

/* ---- all of it ---- */

static enum status open_load(struct load *load, struct error *err)
{
	const struct data_options strict = {0};
	const char *base = getenv("TMPDIR");
	snprintf(load->scratch, PATH_SIZE, "%.4000s/marquee-bench-XXXXXX",
		base && *base ? base : "/tmp");
	if (!mkdtemp(load->scratch)) {
		load->scratch[0] = '\0';
		return error_set(err, STATUS_UNKNOWN, "no scratch directory");
	}
	enum status status = bench_samples_init(&load->samples, err);
	if (status == STATUS_OK && load->bench->data)
		snprintf(load->data, PATH_SIZE, "%s", load->bench->data);
	else if (status == STATUS_OK)
		status = path_join(load->data, load->scratch, "data", err);
	if (status == STATUS_OK && !load->bench->data)
		status = make_data(
			load->data, bench_size(load->bench, 1000000, 1000000, 20000), err);
	if (status == STATUS_OK)
		status = catalog_load(&load->catalog, load->data, &strict, NULL, err);
	if (status == STATUS_OK)
		status = path_join(load->ratings_path, load->data,
			layout_ratings_file(load->catalog.layout), err);
	return status == STATUS_OK ? parse_once(load, 1, err) : status;
}

static enum status run_cases(struct load *load, struct error *err)
{
	const struct bench_case text = {.name = "text_to_first_step",
		.unit = "ms",
		.limit_name = "0.3 s for ml-1m",
		.limit = 300};
	const struct bench_case cache = {.name = "cache_to_first_step",
		.unit = "ms",
		.limit_name = "0.05 s for ml-1m",
		.limit = 50};
	const struct bench *bench = load->bench;
	enum status status = STATUS_OK;
	if (bench_wants(bench, "parse"))
		status = run_parse(load, 1, err);
	if (status == STATUS_OK && bench_wants(bench, "parse") && machine_cores() > 1)
		status = run_parse(load, machine_cores(), err);
	if (status == STATUS_OK && bench_wants(bench, text.name))
		status = run_first_step(load, &text, true, err);
	if (status == STATUS_OK && bench_wants(bench, cache.name))
		status = run_first_step(load, &cache, false, err);
	if (status == STATUS_OK && bench_wants(bench, "open_from_cache"))
		status = run_open(load, err);
	if (status == STATUS_OK && bench_wants(bench, "memory"))
		status = run_memory(load, err);
	return status;
}

int main(int argc, char **argv)
{
	const struct command_line line = {.program = "bench_load",
		.summary = "Measures the way from ratings on the disk to the first training step."};
	struct bench bench;
	static struct load load;
	struct error err = {0};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	load.bench = &bench;
	status = open_load(&load, &err);
	if (status == STATUS_OK)
		status = run_cases(&load, &err);
	catalog_fini(&load.catalog);
	bench_samples_fini(&load.samples);
	if (load.scratch[0])
		(void)!directory_remove(load.scratch, NULL);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
