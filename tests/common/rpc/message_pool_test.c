#include "common/rpc/message_pool.h"

#include "tests/support/suite.h"

#include <stdint.h>
#include <string.h>

static nng_msg *message_of(size_t bytes)
{
	nng_msg *message;
	ck_assert_int_eq(nng_msg_alloc(&message, bytes), 0);
	memset(nng_msg_body(message), 0xab, bytes);
	return message;
}

START_TEST(a_request_s_message_becomes_a_reply_of_any_size_that_fits)
{
	struct message_pool pool;
	message_pool_init(&pool);
	for (size_t trimmed = 0; trimmed <= 12; trimmed += 4) {
		for (size_t bytes = 30000; bytes <= 100000 - 32; bytes += 9973) {
			nng_msg *request = message_of(100000);
			ck_assert_int_eq(nng_msg_trim(request, trimmed), 0);
			message_pool_give(&pool, request);
			nng_msg *reply = message_pool_take(&pool, bytes);
			ck_assert_ptr_eq(reply, request);
			ck_assert_uint_eq(nng_msg_len(reply), bytes);
			ck_assert_uint_eq((uintptr_t)nng_msg_body(reply) % 8, 0);
			memset(nng_msg_body(reply), 0, bytes);
			ck_assert_ptr_null(message_pool_take(&pool, bytes));
			nng_msg_free(reply);
		}
	}
	message_pool_fini(&pool);
}
END_TEST

START_TEST(one_that_is_too_small_or_far_too_large_stays)
{
	struct message_pool pool;
	message_pool_init(&pool);
	message_pool_give(&pool, message_of(100000));
	ck_assert_ptr_null(message_pool_take(&pool, 100100));
	ck_assert_ptr_null(message_pool_take(&pool, 20000));
	ck_assert_ptr_null(message_pool_take(&pool, 0));
	nng_msg *larger = message_of(200000);
	message_pool_give(&pool, larger);
	message_pool_give(&pool, message_of(50000));
	nng_msg *taken = message_pool_take(&pool, 150000);
	ck_assert_ptr_eq(taken, larger);
	nng_msg_free(taken);
	message_pool_fini(&pool);
}
END_TEST

START_TEST(it_keeps_a_few_and_none_that_is_small_or_huge)
{
	struct message_pool pool;
	message_pool_init(&pool);
	message_pool_give(&pool, message_of(100));
	message_pool_give(&pool, message_of(MESSAGE_POOL_MAX + 1000));
	ck_assert_uint_eq(pool.count, 0);
	for (size_t i = 0; i < MESSAGE_POOL_SPARES + 3; i++)
		message_pool_give(&pool, message_of(MESSAGE_POOL_MIN));
	ck_assert_uint_eq(pool.count, MESSAGE_POOL_SPARES);
	message_pool_fini(&pool);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_request_s_message_becomes_a_reply_of_any_size_that_fits,
		one_that_is_too_small_or_far_too_large_stays,
		it_keeps_a_few_and_none_that_is_small_or_huge, NULL};
	return run_cases("message_pool", cases);
}
