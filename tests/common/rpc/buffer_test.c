#include "common/rpc/buffer.h"

#include "tests/support/suite.h"

#include <stdint.h>
#include <string.h>

static struct buffer *buffer_of(struct buffer_pool *pool, size_t bytes)
{
	struct buffer *buffer = buffer_new(pool, bytes);
	ck_assert_ptr_nonnull(buffer);
	ck_assert_uint_eq(buffer->length, bytes);
	ck_assert_uint_eq((uintptr_t)buffer->data % 8, 0);
	memset(buffer->data - BUFFER_HEAD, 0xab, BUFFER_HEAD + bytes);
	return buffer;
}

START_TEST(a_freed_buffer_becomes_one_of_any_size_that_fits)
{
	struct buffer_pool pool;
	buffer_pool_init(&pool);
	for (size_t cut = 0; cut <= 12; cut += 4) {
		for (size_t bytes = 30000; bytes <= 100000; bytes += 10000) {
			struct buffer *request = buffer_of(&pool, 100000);
			request->data += cut;
			request->length -= 2 * cut;
			buffer_free(request);
			struct buffer *reply = buffer_of(&pool, bytes);
			ck_assert_ptr_eq(reply, request);
			ck_assert_uint_eq(pool.count, 0);
			buffer_free(reply);
		}
	}
	buffer_pool_fini(&pool);
}
END_TEST

START_TEST(one_that_is_too_small_or_far_too_large_stays)
{
	struct buffer *others[3];
	struct buffer_pool pool;
	buffer_pool_init(&pool);
	struct buffer *spare = buffer_of(&pool, 100000), *larger = buffer_of(&pool, 200000);
	buffer_free(spare);
	others[0] = buffer_of(&pool, 100100);
	others[1] = buffer_of(&pool, 20000);
	others[2] = buffer_of(&pool, 0);
	ck_assert_uint_eq(pool.count, 1);
	buffer_free(larger);
	struct buffer *taken = buffer_of(&pool, 150000);
	ck_assert_ptr_eq(taken, larger);
	buffer_free(taken);
	for (size_t i = 0; i < 3; i++)
		buffer_free(others[i]);
	buffer_pool_fini(&pool);
}
END_TEST

START_TEST(it_keeps_a_few_and_none_that_is_small_or_huge)
{
	struct buffer *buffers[BUFFER_SPARES + 3];
	struct buffer_pool pool;
	buffer_pool_init(&pool);
	buffer_free(buffer_of(&pool, 100));
	buffer_free(buffer_of(&pool, BUFFER_SPARE_MAX + 1000));
	buffer_free(NULL);
	ck_assert_uint_eq(pool.count, 0);
	for (size_t i = 0; i < BUFFER_SPARES + 3; i++)
		buffers[i] = buffer_of(&pool, BUFFER_SPARE_MIN);
	for (size_t i = 0; i < BUFFER_SPARES + 3; i++)
		buffer_free(buffers[i]);
	ck_assert_uint_eq(pool.count, BUFFER_SPARES);
	buffer_pool_fini(&pool);
}
END_TEST

START_TEST(more_bytes_than_there_can_be_are_refused)
{
	struct buffer_pool pool;
	buffer_pool_init(&pool);
	ck_assert_ptr_null(buffer_new(&pool, SIZE_MAX));
	buffer_pool_fini(&pool);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_freed_buffer_becomes_one_of_any_size_that_fits,
		one_that_is_too_small_or_far_too_large_stays,
		it_keeps_a_few_and_none_that_is_small_or_huge,
		more_bytes_than_there_can_be_are_refused, NULL};
	return run_cases("buffer", cases);
}
