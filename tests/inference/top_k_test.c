#include "inference/top_k.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct scored *left = a, *right = b;
	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return left->item < right->item ? -1 : left->item > right->item;
}

START_TEST(the_heap_keeps_what_a_full_sort_keeps_with_ties_by_item)
{
	struct error err;
	struct random_sequence random;
	random_sequence_init(&random, 4, 4);
	for (int round = 0; round < 500; round++) {
		struct scored all[200];
		struct top_k top;
		size_t count = random_below(&random, 200), k = random_below(&random, 40);
		uint32_t levels = 1 + random_below(&random, 30); /* few: many ties */
		uint32_t items[200];
		for (uint32_t i = 0; i < count; i++)
			items[i] = i;
		random_shuffle(&random, items, (uint32_t)count);
		assert_ok(top_k_init(&top, k, &err), &err);
		for (size_t i = 0; i < count; i++) {
			all[i] = (struct scored){
				.score = (float)random_below(&random, levels) - 5.0f,
				.item = items[i]};
			top_k_add(&top, all[i].score, all[i].item);
		}
		qsort(all, count, sizeof(all[0]), compare);
		top_k_sort(&top);
		ck_assert_uint_eq(top.count, count < k ? count : k);
		for (size_t i = 0; i < top.count; i++)
			ck_assert_int_eq(compare(&top.entries[i], &all[i]), 0);
		top_k_fini(&top);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		the_heap_keeps_what_a_full_sort_keeps_with_ties_by_item, NULL};
	return run_cases("top_k", cases);
}
