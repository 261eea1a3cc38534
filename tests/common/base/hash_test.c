#include "common/base/hash.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <string.h>

#define RECORDS 200

static void add_record(struct digest *digest, uint64_t table, uint64_t id)
{
	float row[8];
	random_uniform_row(1, table, id, 1.0f, row, 8);
	digest_add(digest, table, id, row, sizeof(row));
}

START_TEST(bytes_hash_to_xxh3s_published_value)
{
	/* XXH3_64bits of nothing with seed 0, from the reference implementation's tests. */
	ck_assert_uint_eq(hash_bytes("", 0, 0), UINT64_C(0x2D06800538D394C2));
	ck_assert_uint_ne(hash_bytes("", 0, 1), hash_bytes("", 0, 0));
	ck_assert_uint_ne(hash_bytes("a", 1, 0), hash_bytes("b", 1, 0));
}
END_TEST

START_TEST(ids_mix_to_splitmix64s_published_sequence)
{
	/* The first outputs of SplitMix64 with seed 0: its state grows by the same constant. */
	ck_assert_uint_eq(hash_u64(0), UINT64_C(0xE220A8397B1DCDAF));
	ck_assert_uint_eq(hash_u64(UINT64_C(0x9E3779B97F4A7C15)), UINT64_C(0x6E789E6AA1B965F4));
}
END_TEST

START_TEST(the_digest_does_not_depend_on_order_or_split)
{
	uint32_t order[RECORDS];
	struct digest straight = {0}, shuffled = {0}, merged = {0}, parts[3] = {{0}};
	struct random_sequence sequence;
	for (uint32_t i = 0; i < RECORDS; i++) {
		order[i] = i;
		add_record(&straight, 7, i);
		add_record(&parts[hash_u64(i) % 3], 7, i);
	}
	random_sequence_init(&sequence, 1, 1);
	random_shuffle(&sequence, order, RECORDS);
	for (uint32_t i = 0; i < RECORDS; i++)
		add_record(&shuffled, 7, order[i]);
	for (int i = 2; i >= 0; i--)
		digest_merge(&merged, &parts[i]);
	ck_assert_mem_eq(&straight, &shuffled, sizeof(straight));
	ck_assert_mem_eq(&straight, &merged, sizeof(straight));
}
END_TEST

START_TEST(the_digest_depends_on_every_part_of_a_record)
{
	static const char bytes[] = "row";
	struct digest base = {0}, name = {0}, index = {0}, content = {0}, twice = {0};
	digest_add(&base, 1, 2, bytes, 3);
	digest_add(&name, 2, 2, bytes, 3);
	digest_add(&index, 1, 3, bytes, 3);
	digest_add(&content, 1, 2, "rox", 3);
	digest_add(&twice, 1, 2, bytes, 3);
	digest_add(&twice, 1, 2, bytes, 3);
	ck_assert_mem_ne(&base, &name, sizeof(base));
	ck_assert_mem_ne(&base, &index, sizeof(base));
	ck_assert_mem_ne(&base, &content, sizeof(base));
	ck_assert_mem_ne(&base, &twice, sizeof(base));
}
END_TEST

START_TEST(sums_carry_into_the_high_word_and_print_as_32_digits)
{
	struct digest digest = {.low = UINT64_MAX, .high = 1};
	const struct digest one = {.low = 1};
	char text[DIGEST_TEXT_SIZE];
	digest_merge(&digest, &one);
	digest_format(&digest, text);
	ck_assert_str_eq(text, "00000000000000020000000000000000");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {bytes_hash_to_xxh3s_published_value,
		ids_mix_to_splitmix64s_published_sequence,
		the_digest_does_not_depend_on_order_or_split,
		the_digest_depends_on_every_part_of_a_record,
		sums_carry_into_the_high_word_and_print_as_32_digits, NULL};
	return run_cases("hash", cases);
}
