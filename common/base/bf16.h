/*
 * bfloat16: the upper half of a float, 8 exponent and 7 stored mantissa bits.
 *
 * Rounded values are written and read as little-endian 16-bit words at any address. Infinities
 * stay; what is not a number stays one.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_BASE_BF16_H
#define MARQUEE_BASE_BF16_H

#include <stddef.h>
#include <stdint.h>

#define BF16_BYTES ((size_t)2)

/* To the nearest, ties to even. */
void bf16_round(unsigned char *out, const float *values, size_t n);

/*
 * Up or down at random, so that the expected value is the float itself: sums of many rounded values
 * have no bias. The random bits are a function of (key, position) alone: 16 of word position / 4 of
 * the sequence hash_u64(key + 0, 1, 2, ...). A value that bfloat16 has stays as it is.
 */
void bf16_round_randomly(unsigned char *out, const float *values, size_t n, uint64_t key);

void bf16_widen(float *out, const unsigned char *values, size_t n);

#endif
