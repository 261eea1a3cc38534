#include "common/base/memory.h"

#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

START_TEST(memory_is_aligned_and_zeroed_where_promised)
{
	struct error err = {0};
	for (size_t count = 0; count < 200; count += 7) {
		unsigned char *bytes, *zeros;
		assert_ok(memory_alloc(&bytes, count, 3, "bytes", &err), &err);
		assert_ok(memory_zalloc(&zeros, count, 3, "zeros", &err), &err);
		ck_assert_ptr_nonnull(bytes);
		ck_assert_uint_eq((uintptr_t)bytes % CACHE_LINE, 0);
		ck_assert_uint_eq((uintptr_t)zeros % CACHE_LINE, 0);
		for (size_t i = 0; i < 3 * count; i++)
			ck_assert_uint_eq(zeros[i], 0);
		free(bytes);
		free(zeros);
	}
}
END_TEST

START_TEST(sizes_that_overflow_are_refused_by_name)
{
	struct error err = {0};
	char *memory = NULL;
	size_t capacity = 0, bytes;
	ck_assert(!size_multiply(SIZE_MAX / 2, 3, &bytes));
	ck_assert(size_multiply(SIZE_MAX / 2, 2, &bytes));
	assert_fails(memory_alloc(&memory, SIZE_MAX / 4, 8, "shard index", &err),
		STATUS_RESOURCE_EXHAUSTED, &err, "shard index: ");
	assert_fails(memory_zalloc(&memory, SIZE_MAX, 1, "shard index", &err),
		STATUS_RESOURCE_EXHAUSTED, &err, "shard index: ");
	assert_fails(memory_grow(&memory, &capacity, SIZE_MAX / 4, 8, "rows", &err),
		STATUS_RESOURCE_EXHAUSTED, &err, "rows: ");
	ck_assert_ptr_null(memory);
	ck_assert_uint_eq(capacity, 0);
}
END_TEST

START_TEST(growing_keeps_the_elements_and_doubles)
{
	struct error err = {0};
	uint32_t *values = NULL;
	size_t capacity = 0, allocations = 0;
	for (uint32_t i = 0; i < 10000; i++) {
		size_t before = capacity;
		assert_ok(memory_grow(&values, &capacity, i + 1, sizeof(*values), "values", &err),
			&err);
		allocations += capacity != before;
		values[i] = i;
	}
	for (uint32_t i = 0; i < 10000; i++)
		ck_assert_uint_eq(values[i], i);
	ck_assert_uint_le(allocations, 11);
	free(values);
}
END_TEST

START_TEST(arena_blocks_are_aligned_and_apart)
{
	struct arena arena;
	unsigned char *blocks[300];
	arena_init(&arena);
	for (size_t i = 0; i < 300; i++) {
		blocks[i] = arena_alloc(&arena, i * 17, 1);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_uint_eq((uintptr_t)blocks[i] % CACHE_LINE, 0);
		memset(blocks[i], (int)(i & 0xFF), i * 17);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i * 17; j++)
			ck_assert_uint_eq(blocks[i][j], i & 0xFF);
	arena_fini(&arena);
	arena_fini(&arena);
}
END_TEST

START_TEST(a_reset_arena_gives_the_same_memory_again)
{
	struct arena arena = {0};
	void *first[40], *second[40];
	for (size_t i = 0; i < 40; i++)
		first[i] = arena_alloc(&arena, 10000 + i * 3000, 4);
	arena_reset(&arena);
	for (size_t i = 0; i < 40; i++)
		second[i] = arena_alloc(&arena, 10000 + i * 3000, 4);
	ck_assert_mem_eq(first, second, sizeof(first));
	arena_fini(&arena);
}
END_TEST

START_TEST(an_arena_refuses_what_does_not_fit_and_goes_on)
{
	struct arena arena = {0};
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX, 1));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - CACHE_LINE, 1));
	ck_assert_ptr_nonnull(arena_alloc(&arena, 0, 8));
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1, 8));
	arena_fini(&arena);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {memory_is_aligned_and_zeroed_where_promised,
		sizes_that_overflow_are_refused_by_name, growing_keeps_the_elements_and_doubles,
		arena_blocks_are_aligned_and_apart, a_reset_arena_gives_the_same_memory_again,
		an_arena_refuses_what_does_not_fit_and_goes_on, NULL};
	return run_cases("memory", cases);
}
