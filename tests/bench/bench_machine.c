/* What this machine can do at best: the figures that the other benchmarks' limits are made of. */
#include "common/base/memory.h"
#include "tests/bench/bench.h"
#include "tests/bench/machine.h"

#include <stdlib.h>

static enum status sgemm(const struct bench *bench, uint32_t threads, struct bench_samples *samples,
	struct error *err)
{
	static const struct bench_case one = {
		.name = "sgemm", .unit = "GFLOP/s", .higher_is_better = true};
	const size_t size = bench_size(bench, 1024, 1024, 64);
	for (bench_samples_start(samples, bench); bench_samples_wanted(samples);) {
		double flops;
		enum status status = machine_sgemm_flops(bench->clock, size, threads, &flops, err);
		if (status != STATUS_OK)
			return status;
		bench_samples_add(samples, 1e-9 * flops);
	}
	return bench_report(bench, &one, samples,
		json_pack("{s:I, s:I}", "threads", (json_int_t)threads, "size", (json_int_t)size),
		err);
}

static enum status read_memory(const struct bench *bench, uint32_t threads,
	struct bench_samples *samples, struct error *err)
{
	static const struct bench_case one = {
		.name = "read", .unit = "GB/s", .higher_is_better = true};
	const size_t n = bench_size(bench, 1 << 28, 1 << 28, 1 << 16);
	float *values;
	enum status status = memory_alloc(&values, n, sizeof(float), "memory", err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < n; i++)
		values[i] = 1;
	for (bench_samples_start(samples, bench); bench_samples_wanted(samples);)
		bench_samples_add(
			samples, 1e-9 * (double)(n * sizeof(float)) /
					 machine_read_seconds(bench->clock, values, n, threads));
	free(values);
	return bench_report(bench, &one, samples,
		json_pack("{s:I, s:I}", "threads", (json_int_t)threads, "megabytes",
			(json_int_t)(n * sizeof(float) >> 20)),
		err);
}

int main(int argc, char **argv)
{
	const struct command_line line = {.program = "bench_machine",
		.summary =
			"Measures the machine: sgemm and reading memory, on one core and on all."};
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err = {0};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	const uint32_t cores = machine_cores();
	status = bench_samples_init(&samples, &err);
	for (uint32_t threads = 1; status == STATUS_OK && threads <= cores;
		threads = threads == 1 && cores > 1 ? cores : cores + 1) {
		if (bench_wants(&bench, "sgemm"))
			status = sgemm(&bench, threads, &samples, &err);
		if (status == STATUS_OK && bench_wants(&bench, "read"))
			status = read_memory(&bench, threads, &samples, &err);
	}
	bench_samples_fini(&samples);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
