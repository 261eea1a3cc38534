#include "common/base/random.h"

#include "common/base/hash.h"

#include <math.h>
#include <string.h>

#define PHILOX_ROUNDS 10

void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t ret_words[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	for (int round = 0; round < PHILOX_ROUNDS; round++) {
		uint64_t product0 = (uint64_t)0xD2511F53u * c0;
		uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
		c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)product1;
		c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)product0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	ret_words[0] = c0;
	ret_words[1] = c1;
	ret_words[2] = c2;
	ret_words[3] = c3;
}

void random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t ret_words[4])
{
	const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
	const uint32_t words[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream,
		(uint32_t)(stream >> 32)};
	philox4x32(key, words, ret_words);
}

uint64_t random_stream(const char *name)
{
	return hash_bytes(name, strlen(name), 0);
}

uint64_t random_substream(uint64_t stream, uint64_t coordinate)
{
	return hash_u64(stream ^ hash_u64(coordinate));
}

void random_uniform_row(
	uint64_t seed, uint64_t stream, uint64_t index, float limit, float *values, size_t n)
{
	const uint64_t substream = random_substream(stream, index);
	for (size_t i = 0; i < n; i += 4) {
		uint32_t words[4];
		random_block(seed, substream, i / 4, words);
		size_t end = n - i < 4 ? n - i : 4;
		for (size_t j = 0; j < end; j++)
			values[i + j] = limit * (2.0f * random_unit_float(words[j]) - 1.0f);
	}
}

void random_sequence_init(struct random_sequence *sequence, uint64_t seed, uint64_t stream)
{
	*sequence = (struct random_sequence){.seed = seed, .stream = stream};
}

uint32_t random_next(struct random_sequence *sequence)
{
	if (sequence->left == 0) {
		random_block(
			sequence->seed, sequence->stream, sequence->counter++, sequence->words);
		sequence->left = 4;
	}
	return sequence->words[4 - sequence->left--];
}

uint32_t random_below(struct random_sequence *sequence, uint32_t bound)
{
	uint64_t product = (uint64_t)random_next(sequence) * bound;
	if ((uint32_t)product < bound) {
		uint32_t threshold = -bound % bound;
		while ((uint32_t)product < threshold)
			product = (uint64_t)random_next(sequence) * bound;
	}
	return (uint32_t)(product >> 32);
}

double random_double(struct random_sequence *sequence)
{
	return random_unit_double(random_next(sequence));
}

double random_normal(struct random_sequence *sequence)
{
	double radius = sqrt(-2.0 * log1p(-random_double(sequence)));
	return radius * cos(6.283185307179586 * random_double(sequence));
}

void random_shuffle(struct random_sequence *sequence, uint32_t *values, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = random_below(sequence, i);
		uint32_t value = values[i - 1];
		values[i - 1] = values[j];
		values[j] = value;
	}
}
