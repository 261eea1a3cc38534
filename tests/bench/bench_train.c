/*
 * Ratings a second of `marquee train`: one process, the tables in it, step by step.
 *
 * A step is timed from one exchange of the first table to the next, so that nothing is added to it.
 * The limit is the naive roofline: the model's arithmetic as if nothing were shared between
 * examples, at the rate of a large square sgemm on as many cores, of which a certain share is asked
 * for.
 */
#include "common/base/file.h"
#include "common/data/synth.h"
#include "tests/bench/bench.h"
#include "tests/bench/machine.h"
#include "worker/options.h"
#include "worker/trainer.h"

#include <errno.h>
#include <stdlib.h>

/* Floating-point operations a rating, forward and backward, each example on its own. */
#define NAIVE_FLOP 0.32e6

/* Of the roofline: an epoch of ml-1m, 900,000 ratings, in 2.5 s where two cores have a sgemm of 100
 * GFLOP/s each. */
#define SHARE_ASKED (360000 * NAIVE_FLOP / 200e9)

#define SGEMM_SIZE 1024

static const struct train_case {
	uint64_t batch, lanes, threads;
	uint64_t quick_steps;
} cases[] = {
	{256, 8, 2, 1000},
	{256, 8, 1, 500},
	{4096, 8, 2, 80},
	{4096, 2, 2, 80},
	{4096, 2, 1, 40},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Where the end of every step is noted. */
static struct recorder {
	const struct clock *clock;
	struct bench_samples *samples; /* receives ratings/s */
	uint64_t examples;	       /* of a step */
	uint64_t last_ns;	       /* 0: no step yet */
	enum status (*exchange_table)(struct params *params, const struct params_push *push,
		uint64_t push_step, const struct params_pull *pull, struct error *err);
	struct params_operations operations;
} recorder;

/* Table 0 is exchanged once a step, on whichever thread. */
static enum status exchange_and_note(struct params *params, const struct params_push *push,
	uint64_t push_step, const struct params_pull *pull, struct error *err)
{
	if (push && push->table == 0) {
		const uint64_t now = clock_now_ns(recorder.clock);
		if (recorder.last_ns)
			bench_samples_add(recorder.samples,
				1e9 * (double)recorder.examples / (double)(now - recorder.last_ns));
		recorder.last_ns = now;
	}
	return recorder.exchange_table(params, push, push_step, pull, err);
}

static enum status connect_recorded(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	(void)context;
	enum status status =
		params_embedded_new(ret, job->seed, job->tables, job->table_count, err);
	if (status != STATUS_OK)
		return status;
	recorder.operations = *(*ret)->operations;
	recorder.exchange_table = recorder.operations.exchange_table;
	recorder.operations.exchange_table = exchange_and_note;
	(*ret)->operations = &recorder.operations;
	return STATUS_OK;
}

static enum status train(const struct bench *bench, const struct train_case *which,
	const char *data, struct bench_samples *samples, struct error *err)
{
	struct train_options options;
	struct train_flags flags;
	struct train_result result;
	struct comm comm;
	train_options_init(&options, &flags);
	options.data = data;
	options.batch_size = which->batch;
	options.lanes = which->lanes;
	options.threads = which->threads;
	options.epochs = 1;
	options.max_steps = bench_size(bench, UINT64_MAX, which->quick_steps, 4);
	enum status status = train_options_finish(&options, err);
	if (status != STATUS_OK)
		return status;
	comm_local_init(&comm);
	const struct trainer_setup setup = {.comm = &comm,
		.clock = bench->clock,
		.connect = connect_recorded,
		.progress_descriptor = -1};
	recorder = (struct recorder){
		.clock = bench->clock, .samples = samples, .examples = which->batch};
	bench_samples_start(samples, bench);
	status = trainer_run(&options, &setup, &result, err);
	if (status == STATUS_OK && samples->count == 0)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"--data: %s has too few ratings for batches of %llu", data,
			(unsigned long long)which->batch);
	return status;
}

static enum status measure(const struct bench *bench, struct bench_samples *samples,
	const struct train_case *which, const char *data, struct error *err)
{
	double flops;
	enum status status =
		machine_sgemm_flops(bench->clock, bench_size(bench, SGEMM_SIZE, SGEMM_SIZE, 64),
			(uint32_t)which->threads, &flops, err);
	if (status == STATUS_OK)
		status = train(bench, which, data, samples, err);
	const double roofline = flops / NAIVE_FLOP;
	const struct bench_case one = {.name = "train",
		.unit = "ratings/s",
		.higher_is_better = true,
		.limit_name = "0.58 of the naive arithmetic at sgemm's rate",
		.limit = SHARE_ASKED * roofline};
	if (status == STATUS_OK)
		status = bench_report(bench, &one, samples,
			json_pack("{s:I, s:I, s:I}", "batch", (json_int_t)which->batch, "lanes",
				(json_int_t)which->lanes, "threads", (json_int_t)which->threads),
			err);
	return status;
}

/* ml-1m's sizes, in a directory of its own. */
static enum status generate(const struct bench *bench, char path[PATH_SIZE], struct error *err)
{
	const struct synth_options options = {.out = path,
		.users = bench_size(bench, 6040, 6040, 300),
		.movies = bench_size(bench, 3883, 3883, 200),
		.ratings = bench_size(bench, 1000000, 500000, 24000),
		.seed = 1};
	struct synth_report report;
	const char *base = getenv("TMPDIR");
	(void)snprintf(path, PATH_SIZE, "%s/bench_train-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(path))
		return error_set_errno(err, errno, "cannot make %s", path);
	return synth_generate(&options, &report, err);
}

int main(int argc, char **argv)
{
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err, ignored;
	char generated[PATH_SIZE] = "";
	const struct command_line line = {.program = "bench_train",
		.summary = "Measures training, on --data or on generated ratings."};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status == STATUS_OK)
		status = bench_samples_init(&samples, &err);
	if (status == STATUS_OK && !bench.data)
		status = generate(&bench, generated, &err);
	for (size_t i = 0; i < CASES && bench_wants(&bench, "train") && status == STATUS_OK; i++)
		status = measure(
			&bench, &samples, &cases[i], bench.data ? bench.data : generated, &err);
	bench_samples_fini(&samples);
	if (*generated && directory_remove(generated, &ignored) != STATUS_OK)
		(void)fprintf(stderr, "bench_train: %s is left behind\n", generated);
	return flags_exit("bench_train", status, &err);
}
