/*
 * Counter-based random numbers: Philox4x32-10.
 *
 * Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
 * A value is a pure function of (seed, stream, counter): it does not depend on the order of the
 * calls, on the thread or on the process. Rows, shuffles and masks are all drawn this way.
 *
 * Threads: the functions are pure; a struct random_sequence is owner-thread only.
 */
#ifndef MARQUEE_BASE_RANDOM_H
#define MARQUEE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* One Philox block: four words from a key and a 128-bit counter. */
void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t ret_words[4]);

/*
 * Four words for (seed, stream, counter). `stream` separates uses: take random_stream("...") of the
 * use's name.
 */
void random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t ret_words[4]);

/* A stream number from a name (XXH3 of its bytes). */
uint64_t random_stream(const char *name);

/* Combines a stream with one more coordinate (a lane, an epoch, a table's id): a new stream. */
uint64_t random_substream(uint64_t stream, uint64_t coordinate);

/* A word as a float, double in [0, 1): the top 24, 32 bits. Exact, the same on every machine. */
static inline float random_unit_float(uint32_t word)
{
	return (float)(word >> 8) * 0x1p-24f;
}

static inline double random_unit_double(uint32_t word)
{
	return (double)word * 0x1p-32;
}

/*
 * Fills values[n] with uniform floats in [-limit, limit) that depend on (seed, stream, index) only,
 * word i of the row being word i % 4 of block (index, i / 4). This is how rows of tables (index =
 * id) and of dense matrices (index = row) get their first values.
 */
void random_uniform_row(
	uint64_t seed, uint64_t stream, uint64_t index, float limit, float *values, size_t n);

/* A sequential reader of one stream, for shuffles and generators. */
struct random_sequence {
	uint64_t seed;
	uint64_t stream;
	uint64_t counter;
	uint32_t words[4];
	unsigned int left;
};

void random_sequence_init(struct random_sequence *sequence, uint64_t seed, uint64_t stream);
uint32_t random_next(struct random_sequence *sequence);
/* Uniform in [0, bound), without bias (Lemire 2019). bound > 0. */
uint32_t random_below(struct random_sequence *sequence, uint32_t bound);
double random_double(struct random_sequence *sequence);
/* Standard normal (Box-Muller). */
double random_normal(struct random_sequence *sequence);

/* Fisher-Yates over values[n]; n fits 32 bits. */
void random_shuffle(struct random_sequence *sequence, uint32_t *values, uint32_t n);

#endif
