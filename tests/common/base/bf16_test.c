#include "common/base/bf16.h"

#include "common/base/hash.h"
#include "tests/support/suite.h"

#include <math.h>
#include <string.h>

#define MANY 4000u

static float from_bits(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint32_t rounded(float value)
{
	unsigned char out[BF16_BYTES];
	bf16_round(out, &value, 1);
	return (uint32_t)(out[0] | out[1] << 8);
}

START_TEST(rounding_goes_to_the_nearest_and_ties_to_even)
{
	static const struct {
		uint32_t bits, upper;
	} cases[] = {
		{0x00000000, 0x0000}, {0x80000000, 0x8000}, /* zeros keep their signs */
		{0x3f800000, 0x3f80},			    /* 1 */
		{0x3f807fff, 0x3f80}, {0x3f808001, 0x3f81}, /* just below and above the middle */
		{0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, /* the middle: to even */
		{0xbf818000, 0xbf82}, {0x3fffffff, 0x4000}, /* a carry into the exponent */
		{0x00000001, 0x0000}, {0x00018000, 0x0002}, /* subnormal */
		{0x7f7fffff, 0x7f80},			    /* the largest float: too large */
		{0x7f800000, 0x7f80}, {0xff800000, 0xff80}, /* infinities */
		{0x7f800001, 0x7fc0}, {0xffc12345, 0xffc1}, /* not numbers */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_uint_eq(rounded(from_bits(cases[i].bits)), cases[i].upper);
}
END_TEST

START_TEST(what_bf16_has_survives_both_ways_of_rounding)
{
	unsigned char words[2][4 * BF16_BYTES];
	for (uint32_t upper = 0; upper < 0x10000; upper += 4) {
		float values[4], back[4];
		for (uint32_t i = 0; i < 4; i++)
			values[i] = from_bits((upper + i) << 16);
		bf16_round(words[0], values, 4);
		bf16_round_randomly(words[1], values, 4, upper);
		for (uint32_t way = 0; way < 2; way++) {
			bf16_widen(back, words[way], 4);
			for (uint32_t i = 0; i < 4; i++)
				ck_assert(isnan(values[i]) ? isnan(back[i])
							   : memcmp(&values[i], &back[i],
								     sizeof(float)) == 0);
		}
	}
}
END_TEST

START_TEST(random_rounding_has_no_bias_and_depends_on_its_key_alone)
{
	/* A quarter of the way from one bf16 number to the next: up in a quarter of the cases. */
	static const float low = 1.0f, next = 1.0f + 0x1p-7f;
	const float value = 1.0f + 0x1p-9f;
	float values[7], back[7], first[7];
	unsigned char words[2][7 * BF16_BYTES];
	double sum = 0;
	for (uint32_t i = 0; i < 7; i++)
		values[i] = value;
	for (uint64_t key = 0; key < MANY; key++) {
		bf16_round_randomly(words[0], values, 7, hash_u64(key));
		bf16_round_randomly(words[1], values, 7, hash_u64(key));
		ck_assert_mem_eq(words[0], words[1], sizeof(words[0]));
		/* A part of the row is rounded as in the whole. */
		bf16_round_randomly(words[1], values, 3, hash_u64(key));
		ck_assert_mem_eq(words[0], words[1], 3 * BF16_BYTES);
		bf16_widen(back, words[0], 7);
		for (uint32_t i = 0; i < 7; i++) {
			ck_assert(back[i] == low || back[i] == next);
			sum += (double)(back[i] - value);
		}
		if (key == 0)
			memcpy(first, back, sizeof(first));
	}
	/* Five standard deviations of the mean. */
	const double deviation = 0x1p-7 * sqrt(0.25 * 0.75 / (7.0 * MANY));
	ck_assert_double_lt(fabs(sum / (7.0 * MANY)), 5 * deviation);
	bf16_round_randomly(words[0], values, 7, hash_u64(MANY));
	bf16_widen(back, words[0], 7);
	ck_assert_mem_ne(first, back, sizeof(first));
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {rounding_goes_to_the_nearest_and_ties_to_even,
		what_bf16_has_survives_both_ways_of_rounding,
		random_rounding_has_no_bias_and_depends_on_its_key_alone, NULL};
	return run_cases("bf16", cases);
}
