#include "tests/bench/machine.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/nn/fc.h"
#include "tests/bench/bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define THREADS_MAX 64u
#define ROUNDS	    3

/* fn(argument + n * size) for every thread n; one that cannot be had has its part done here. */
static void side_by_side(void *(*fn)(void *), void *arguments, size_t size, uint32_t count)
{
	pthread_t threads[THREADS_MAX];
	bool started[THREADS_MAX] = {false};
	char *argument = arguments;
	for (uint32_t n = 1; n < count; n++)
		started[n] = pthread_create(&threads[n], NULL, fn, argument + n * size) == 0;
	for (uint32_t n = 0; n < count; n++)
		if (!started[n])
			(void)fn(argument + n * size);
	for (uint32_t n = 1; n < count; n++)
		if (started[n])
			(void)pthread_join(threads[n], NULL);
}

static uint32_t at_most(uint32_t threads)
{
	return threads < 1 ? 1 : threads < THREADS_MAX ? threads : THREADS_MAX;
}

struct reader {
	const float *values;
	size_t n;
};

/* As many sums side by side as keep the loads busy, whatever the vectors' width; asking for memory
 * ahead of its use gave a tenth more than the processor's own prefetching. */
static void *read_all(void *argument)
{
	enum { SUMS = 64, LINE = 16, AHEAD = 1024 };
	const struct reader *reader = argument;
	float sums[SUMS] = {0};
	for (size_t i = 0; i + SUMS <= reader->n; i += SUMS) {
		for (size_t ahead = i + AHEAD; ahead < i + AHEAD + SUMS; ahead += LINE)
			if (ahead < reader->n)
				__builtin_prefetch(reader->values + ahead);
		for (size_t s = 0; s < SUMS; s++)
			sums[s] += reader->values[i + s];
	}
	bench_keep(sums);
	return NULL;
}

double machine_read_seconds(
	const struct clock *clock, const float *values, size_t n, uint32_t threads)
{
	struct reader readers[THREADS_MAX];
	double best = 1e9;
	const uint32_t count = at_most(threads);
	for (uint32_t t = 0; t < count; t++) {
		const size_t first = n / count * t;
		readers[t] = (struct reader){values + first, n / count};
	}
	for (int round = 0; round < ROUNDS; round++) {
		const uint64_t start = clock_now_ns(clock);
		side_by_side(read_all, readers, sizeof(readers[0]), count);
		const double seconds = clock_seconds_since(clock, start);
		if (seconds < best)
			best = seconds;
	}
	return best;
}

struct square {
	float *values; /* [3 x size x size] */
	size_t size;
};

static void *multiply(void *argument)
{
	const struct square *square = argument;
	const size_t size = square->size;
	float *out = square->values + 2 * size * size;
	dot_products(out, square->values, square->values + size * size, size, size, size);
	bench_keep(out);
	return NULL;
}

enum status machine_sgemm_flops(
	const struct clock *clock, size_t size, uint32_t threads, double *ret, struct error *err)
{
	struct square squares[THREADS_MAX] = {0};
	const uint32_t count = at_most(threads);
	const double flop = 2.0 * (double)size * (double)size * (double)size * count;
	double best = 0;
	enum status status = STATUS_OK;
	nn_init();
	for (uint32_t t = 0; t < count && status == STATUS_OK; t++) {
		squares[t].size = size;
		status = memory_alloc(
			&squares[t].values, 3 * size * size, sizeof(float), "matrices", err);
		if (status == STATUS_OK)
			random_uniform_row(1, t, 0, 1, squares[t].values, 3 * size * size);
	}
	for (int round = 0; round < ROUNDS + 1 && status == STATUS_OK; round++) {
		const uint64_t start = clock_now_ns(clock);
		side_by_side(multiply, squares, sizeof(squares[0]), count);
		const double rate = flop / clock_seconds_since(clock, start);
		if (rate > best)
			best = rate;
	}
	for (uint32_t t = 0; t < count; t++)
		free(squares[t].values);
	if (status == STATUS_OK)
		*ret = best;
	return status;
}

uint32_t machine_cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}
