#include "common/base/id_set.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <string.h>

static uint32_t add(struct id_set *set, uint64_t id)
{
	struct error err = {0};
	uint32_t position;
	assert_ok(id_set_add(set, id, &position, &err), &err);
	return position;
}

START_TEST(ids_are_numbered_in_order_of_first_appearance)
{
	struct error err = {0};
	struct id_set set;
	assert_ok(id_set_init(&set, 0, &err), &err);
	ck_assert_uint_eq(add(&set, 40), 0);
	ck_assert_uint_eq(add(&set, UINT64_MAX), 1);
	ck_assert_uint_eq(add(&set, 40), 0);
	ck_assert_uint_eq(add(&set, 0), 2);
	ck_assert_uint_eq(set.count, 3);
	ck_assert_uint_eq(set.ids[1], UINT64_MAX);
	ck_assert_uint_eq(id_set_find(&set, 0), 2);
	ck_assert_uint_eq(id_set_find(&set, 41), UINT32_MAX);
	id_set_fini(&set);
}
END_TEST

/* Against the plain definition, on ids that repeat, through growth and several rounds. */
START_TEST(rounds_of_random_ids_agree_with_a_linear_search)
{
	struct error err = {0};
	struct id_set set;
	struct random_sequence sequence;
	random_sequence_init(&sequence, 5, 5);
	assert_ok(id_set_init(&set, 4, &err), &err);
	for (int round = 0; round < 20; round++) {
		uint64_t seen[600];
		uint32_t count = 0;
		for (int i = 0; i < 1000; i++) {
			uint64_t id = random_below(&sequence, 600) * UINT64_C(0x100000001);
			uint32_t expected = 0;
			while (expected < count && seen[expected] != id)
				expected++;
			if (expected == count)
				seen[count++] = id;
			ck_assert_uint_eq(add(&set, id), expected);
		}
		ck_assert_uint_eq(set.count, count);
		ck_assert_mem_eq(set.ids, seen, count * sizeof(*seen));
		id_set_clear(&set);
		ck_assert_uint_eq(set.count, 0);
		for (uint32_t i = 0; i < count; i++)
			ck_assert_uint_eq(id_set_find(&set, seen[i]), UINT32_MAX);
	}
	id_set_fini(&set);
	id_set_fini(&set);
}
END_TEST

/* Large and small rounds in turn: a set looks through as much as it needs, and grows again. */
START_TEST(rounds_of_any_size_follow_one_another)
{
	static const uint32_t sizes[] = {1000, 3, 0, 500, 17, 16, 15, 2000, 1, 1999, 31, 33};
	struct error err = {0};
	struct id_set set;
	assert_ok(id_set_init(&set, 1000, &err), &err);
	for (uint64_t round = 0; round < 5 * sizeof(sizes) / sizeof(sizes[0]); round++) {
		uint32_t size = sizes[round % (sizeof(sizes) / sizeof(sizes[0]))];
		for (int twice = 0; twice < 2; twice++)
			for (uint64_t i = 0; i < size; i++)
				ck_assert_uint_eq(add(&set, i * 977 + round), i);
		ck_assert_uint_eq(set.count, size);
		ck_assert_uint_eq(id_set_find(&set, size * UINT64_C(977) + round), UINT32_MAX);
		id_set_clear(&set);
		ck_assert_uint_eq(id_set_find(&set, round), UINT32_MAX);
	}
	id_set_fini(&set);
}
END_TEST

START_TEST(a_warm_set_keeps_its_memory)
{
	struct error err = {0};
	struct id_set set;
	assert_ok(id_set_init(&set, 1000, &err), &err);
	const uint64_t *ids = set.ids;
	for (int round = 0; round < 3; round++) {
		for (uint64_t id = 0; id < 1000; id++)
			add(&set, id * 977);
		ck_assert_ptr_eq(set.ids, ids);
		id_set_clear(&set);
	}
	id_set_fini(&set);
}
END_TEST

START_TEST(a_set_too_large_to_number_is_refused)
{
	struct error err = {0};
	struct id_set set;
	assert_fails(
		id_set_init(&set, UINT32_MAX, &err), STATUS_RESOURCE_EXHAUSTED, &err, "too many");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {ids_are_numbered_in_order_of_first_appearance,
		rounds_of_random_ids_agree_with_a_linear_search,
		rounds_of_any_size_follow_one_another, a_warm_set_keeps_its_memory,
		a_set_too_large_to_number_is_refused, NULL};
	return run_cases("id set", cases);
}
