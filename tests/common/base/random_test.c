#include "common/base/random.h"

#include "tests/support/suite.h"

#include <string.h>

/* Known answers of Random123's kat_vectors for philox4x32 with 10 rounds. */
START_TEST(philox_gives_the_published_known_answers)
{
	uint32_t words[4];
	philox4x32((const uint32_t[2]){0, 0}, (const uint32_t[4]){0, 0, 0, 0}, words);
	ck_assert_uint_eq(words[0], 0x6627e8d5u);
	ck_assert_uint_eq(words[1], 0xe169c58du);
	ck_assert_uint_eq(words[2], 0xbc57ac4cu);
	ck_assert_uint_eq(words[3], 0x9b00dbd8u);
	const uint32_t ones = 0xffffffffu;
	philox4x32((const uint32_t[2]){ones, ones}, (const uint32_t[4]){ones, ones, ones, ones},
		words);
	ck_assert_uint_eq(words[0], 0x408f276du);
	ck_assert_uint_eq(words[1], 0x41c83b0eu);
	ck_assert_uint_eq(words[2], 0xa20bc7c6u);
	ck_assert_uint_eq(words[3], 0x6d5451fdu);
}
END_TEST

START_TEST(a_row_depends_on_seed_stream_and_index_only)
{
	float first[10], second[10], other[10];
	random_uniform_row(7, random_stream("user"), 41, 0.5f, first, 10);
	random_uniform_row(7, random_stream("user"), 42, 0.5f, other, 10);
	random_uniform_row(7, random_stream("user"), 41, 0.5f, second, 10);
	ck_assert_mem_eq(first, second, sizeof(first));
	ck_assert_mem_ne(first, other, sizeof(first));
	for (int i = 0; i < 10; i++)
		ck_assert(first[i] >= -0.5f && first[i] < 0.5f);
}
END_TEST

START_TEST(a_shuffle_is_a_permutation_and_repeats_from_its_seed)
{
	uint32_t values[1000], again[1000], seen[1000] = {0};
	struct random_sequence sequence;
	for (uint32_t i = 0; i < 1000; i++)
		values[i] = again[i] = i;
	random_sequence_init(&sequence, 3, 9);
	random_shuffle(&sequence, values, 1000);
	random_sequence_init(&sequence, 3, 9);
	random_shuffle(&sequence, again, 1000);
	ck_assert_mem_eq(values, again, sizeof(values));
	for (uint32_t i = 0; i < 1000; i++)
		seen[values[i]]++;
	for (uint32_t i = 0; i < 1000; i++)
		ck_assert_uint_eq(seen[i], 1);
}
END_TEST

START_TEST(below_stays_below_its_bound_and_reaches_every_value)
{
	struct random_sequence sequence;
	random_sequence_init(&sequence, 1, 2);
	uint32_t seen[7] = {0};
	for (int i = 0; i < 7000; i++)
		seen[random_below(&sequence, 7)]++;
	for (int i = 0; i < 7; i++)
		ck_assert_msg(
			seen[i] > 850 && seen[i] < 1150, "value %d came %u times", i, seen[i]);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {philox_gives_the_published_known_answers,
		a_row_depends_on_seed_stream_and_index_only,
		a_shuffle_is_a_permutation_and_repeats_from_its_seed,
		below_stays_below_its_bound_and_reaches_every_value, NULL};
	return run_cases("random", cases);
}
