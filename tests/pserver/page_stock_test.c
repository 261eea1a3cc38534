/* The stock of pages: pieces are zero, apart from each other, and keep what is written to them. */
#include "pserver/page_stock.h"

#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { THREADS = 4, PIECES = 100, STRIDE = 32 };

struct taker {
	struct page_stock *stock;
	uint64_t number;
	uint64_t *pieces[PIECES];
	size_t words[PIECES];
	uint32_t failures; /* Check's assertions are for the main thread */
};

/* Pieces of several sizes, from 64 bytes to a whole page, each filled with its own number. */
static void *take_pieces(void *argument)
{
	struct taker *taker = argument;
	struct error err;
	for (uint64_t i = 0; i < PIECES; i++) {
		const size_t bytes = i % 50 == 49 ? STOCK_PAGE_BYTES : 64 + i % 7 * 40000 / 64 * 64;
		if (page_stock_take(taker->stock, &taker->pieces[i], bytes, &err) != STATUS_OK) {
			taker->failures++;
			return NULL;
		}
		taker->failures += (uintptr_t)taker->pieces[i] % 64 != 0;
		taker->words[i] = bytes / sizeof(uint64_t);
		for (size_t w = 0; w < taker->words[i]; w += STRIDE) {
			taker->failures += taker->pieces[i][w] != 0;
			taker->pieces[i][w] = taker->number << 32 | i;
		}
	}
	return NULL;
}

static void check_pieces(const struct taker *taker)
{
	ck_assert_uint_eq(taker->failures, 0);
	uint32_t overwritten = 0;
	for (uint64_t i = 0; i < PIECES; i++)
		for (size_t w = 0; w < taker->words[i]; w += STRIDE)
			overwritten += taker->pieces[i][w] != (taker->number << 32 | i);
	ck_assert_uint_eq(overwritten, 0);
}

START_TEST(pieces_are_zero_and_apart_whoever_takes_them)
{
	struct error err;
	struct page_stock *stock;
	static struct taker takers[THREADS];
	pthread_t threads[THREADS];
	assert_ok(page_stock_new(&stock, &err), &err);
	/* A second round: what is taken back comes zeroed again. */
	for (int round = 0; round < 2; round++) {
		for (uint64_t t = 0; t < THREADS; t++) {
			takers[t] = (struct taker){.stock = stock, .number = t + 1};
			ck_assert(pthread_create(&threads[t], NULL, take_pieces, &takers[t]) == 0);
		}
		for (uint64_t t = 0; t < THREADS; t++)
			pthread_join(threads[t], NULL);
		for (uint64_t t = 0; t < THREADS; t++)
			check_pieces(&takers[t]);
		page_stock_reset(stock);
	}
	page_stock_free(stock);
}
END_TEST

START_TEST(a_piece_that_was_given_back_is_lent_again_zeroed)
{
	enum { BYTES = 64 << 10 };
	struct error err;
	struct page_stock *stock;
	unsigned char *first, *second, *again;
	assert_ok(page_stock_new(&stock, &err), &err);
	assert_ok(page_stock_take(stock, &first, BYTES, &err), &err);
	memset(first, 1, BYTES);
	page_stock_give(stock, first, BYTES);
	assert_ok(page_stock_take(stock, &second, BYTES / 2, &err), &err);
	ck_assert_ptr_ne(second, first);
	assert_ok(page_stock_take(stock, &again, BYTES, &err), &err);
	ck_assert_ptr_eq(again, first);
	for (size_t at = 0; at < BYTES; at++)
		ck_assert_msg(again[at] == 0, "byte %zu is not zero", at);
	/* What was given back is forgotten with the rest. */
	page_stock_give(stock, again, BYTES);
	page_stock_reset(stock);
	assert_ok(page_stock_take(stock, &again, BYTES, &err), &err);
	memset(again, 2, BYTES);
	page_stock_free(stock);
}
END_TEST

START_TEST(a_stock_that_was_never_used_is_freed)
{
	struct error err;
	struct page_stock *stock;
	assert_ok(page_stock_new(&stock, &err), &err);
	page_stock_reset(stock);
	page_stock_free(stock);
	page_stock_free(NULL);
}
END_TEST

/* However far an order has come when it is asked for, withdrawn or forgotten. */
START_TEST(orders_are_fulfilled_or_withdrawn)
{
	enum { ROUNDS = 40 };
	struct error err;
	struct page_stock *stock;
	assert_ok(page_stock_new(&stock, &err), &err);
	struct stock_order orders[ROUNDS] = {0};
	const size_t bytes = 2 * STOCK_PAGE_BYTES;
	unsigned char *fulfilled[ROUNDS] = {0};
	uint32_t count = 0;
	for (uint32_t round = 0; round < ROUNDS || count == 0; round++) {
		struct stock_order *order = &orders[round % ROUNDS];
		page_stock_order(stock, order, bytes);
		for (uint32_t i = 0; i < round * 100; i++)
			sched_yield();
		if (round % 4 == 3) {
			page_stock_cancel(stock, order);
			continue;
		}
		unsigned char *memory = page_stock_collect(stock, order, bytes);
		if (!memory || count == ROUNDS)
			continue;
		ck_assert_uint_eq((uintptr_t)memory % STOCK_PAGE_BYTES, 0);
		for (size_t at = 0; at < bytes; at += 4096)
			ck_assert_msg(memory[at] == 0, "byte %zu is not zero", at);
		memset(memory, (int)count + 1, bytes);
		fulfilled[count++] = memory;
	}
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_eq(fulfilled[i][0], i + 1);
		ck_assert_uint_eq(fulfilled[i][bytes - 1], i + 1);
		munmap(fulfilled[i], bytes);
	}
	for (uint32_t i = 0; i < ROUNDS; i++)
		page_stock_cancel(stock, &orders[i]);
	page_stock_free(stock);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {pieces_are_zero_and_apart_whoever_takes_them,
		orders_are_fulfilled_or_withdrawn, a_piece_that_was_given_back_is_lent_again_zeroed,
		a_stock_that_was_never_used_is_freed, NULL};
	return run_cases("page stock", cases);
}
