#include "common/base/bf16.h"

#include "common/base/hash.h"

#include <endian.h>
#include <string.h>

#define EXPONENT UINT32_C(0x7f800000)
#define QUIET	 UINT32_C(0x00400000)

/* Adds less than a unit of the last place that is kept, and cuts. */
static inline uint16_t cut(uint32_t bits, uint32_t addend)
{
	/* Of what is not a number the upper half alone could be an infinity. */
	if ((bits & EXPONENT) == EXPONENT)
		return (uint16_t)((bits | ((bits & ~EXPONENT) << 1 ? QUIET : 0)) >> 16);
	return (uint16_t)((bits + addend) >> 16);
}

static inline uint32_t load_bits(const float *value)
{
	uint32_t bits;
	memcpy(&bits, value, sizeof(bits));
	return bits;
}

static inline void store(unsigned char *out, size_t i, uint16_t word)
{
	word = htole16(word);
	memcpy(out + i * BF16_BYTES, &word, sizeof(word));
}

void bf16_round(unsigned char *out, const float *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = load_bits(&values[i]);
		store(out, i, cut(bits, 0x7fff + ((bits >> 16) & 1)));
	}
}

void bf16_round_randomly(unsigned char *out, const float *values, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i += 4) {
		uint64_t word = hash_u64(key + i / 4);
		size_t end = n - i < 4 ? n - i : 4;
		for (size_t j = 0; j < end; j++, word >>= 16)
			store(out, i + j, cut(load_bits(&values[i + j]), word & 0xffff));
	}
}

void bf16_widen(float *out, const unsigned char *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t word;
		memcpy(&word, values + i * BF16_BYTES, sizeof(word));
		uint32_t bits = (uint32_t)le16toh(word) << 16;
		memcpy(&out[i], &bits, sizeof(bits));
	}
}
