/* One connection against a plain socket: what it sends, also to one that does not read. */
#include "common/rpc/link.h"

#include "tests/common/rpc/link_pair.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT	 ((size_t)1 << 20)
#define ROUTE	 4u
#define HEAD	 (RAW_PREFIX_BYTES + ROUTE)
#define CORKED	 50u /* more than go out in one operation */
#define SENDERS	 4u
#define MESSAGES 200u
#define LARGE	 ((size_t)256 << 10)
#define LARGES	 64u /* more than the system takes for a peer that does not read */
#define SMALL	 ((size_t)100 << 10)
#define ROUNDS	 160u

static const struct link_pair_options server_side = {
	.side = LINK_SERVER, .max_message_bytes = LIMIT};
static const unsigned char zeros[LARGE];

static void open_greeted(struct link_pair *pair)
{
	link_pair_open(pair, &server_side);
	link_pair_greet(pair);
}

static void send_words(struct link_pair *pair, uint32_t number, uint32_t sender, uint32_t message)
{
	const uint32_t words[2] = {sender, message};
	const struct link_route route = link_route_of(number);
	link_send(pair->link, link_pair_buffer(pair, words, sizeof(words)), &route);
}

static void receive_words(struct link_pair *pair, uint32_t *ret_number, uint32_t ret_words[2])
{
	unsigned char head[HEAD], wanted[RAW_PREFIX_BYTES];
	struct link_route route = {.words = 1};
	raw_receive(pair->peer, head, sizeof(head));
	(void)raw_prefix(wanted, false, ROUTE + 2 * sizeof(uint32_t));
	ck_assert_mem_eq(head, wanted, sizeof(wanted));
	memcpy(route.bytes, head + RAW_PREFIX_BYTES, ROUTE);
	ck_assert_uint_eq(route.bytes[0] & 0x80, 0x80);
	*ret_number = link_route_number(&route);
	raw_receive(pair->peer, ret_words, 2 * sizeof(uint32_t));
}

START_TEST(what_was_corked_comes_whole_and_in_order)
{
	struct link_pair pair;
	uint32_t number, words[2];
	open_greeted(&pair);
	for (uint32_t round = 0; round < 3; round++) {
		link_cork(pair.link);
		for (uint32_t i = 0; i < CORKED; i++)
			send_words(&pair, i, round, i);
		link_uncork(pair.link);
		for (uint32_t i = 0; i < CORKED; i++) {
			receive_words(&pair, &number, words);
			ck_assert_uint_eq(number, i);
			ck_assert_uint_eq(words[0], round);
			ck_assert_uint_eq(words[1], i);
		}
		link_pair_wait_sent(&pair, (round + 1) * CORKED);
	}
	/* And nothing where nothing was sent. */
	link_cork(pair.link);
	link_uncork(pair.link);
	link_pair_wait_sent(&pair, 3 * CORKED);
	link_pair_close(&pair);
}
END_TEST

START_TEST(what_is_corked_stays_until_it_is_uncorked)
{
	struct link_pair pair;
	uint32_t number, words[2];
	char byte;
	open_greeted(&pair);
	/* When it has been told as sent nothing is being sent any more. */
	send_words(&pair, 1, 0, 0);
	link_pair_wait_sent(&pair, 1);
	receive_words(&pair, &number, words);
	link_cork(pair.link);
	send_words(&pair, 2, 0, 1);
	send_words(&pair, 3, 0, 2);
	ck_assert_int_eq(recv(pair.peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	link_uncork(pair.link);
	for (uint32_t i = 2; i <= 3; i++) {
		receive_words(&pair, &number, words);
		ck_assert_uint_eq(number, i);
	}
	link_pair_close(&pair);
}
END_TEST

struct sender {
	struct link_pair *pair;
	uint32_t name;
};

static void *send_many(void *context)
{
	const struct sender *sender = context;
	for (uint32_t i = 0; i < MESSAGES; i++)
		send_words(sender->pair, i, sender->name, i);
	return NULL;
}

START_TEST(threads_send_while_another_corks)
{
	struct link_pair pair;
	struct sender senders[SENDERS];
	pthread_t threads[SENDERS];
	uint32_t next[SENDERS + 1] = {0}, number, words[2];
	open_greeted(&pair);
	for (uint32_t i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){&pair, i};
		pthread_create(&threads[i], NULL, send_many, &senders[i]);
	}
	for (uint32_t i = 0; i < MESSAGES; i++) {
		link_cork(pair.link);
		send_words(&pair, i, SENDERS, i);
		link_uncork(pair.link);
	}
	for (uint32_t i = 0; i < (SENDERS + 1) * MESSAGES; i++) {
		receive_words(&pair, &number, words);
		ck_assert_uint_le(words[0], SENDERS);
		ck_assert_uint_eq(words[1], next[words[0]]);
		ck_assert_uint_eq(number, next[words[0]]);
		next[words[0]]++;
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	link_pair_wait_sent(&pair, (SENDERS + 1) * MESSAGES);
	link_pair_close(&pair);
}
END_TEST

static void send_large(struct link_pair *pair)
{
	const struct link_route route = link_route_of(1);
	link_send(pair->link, link_pair_buffer(pair, zeros, LARGE), &route);
}

START_TEST(what_a_closed_connection_drops_is_told_once)
{
	struct link_pair pair;
	open_greeted(&pair);
	for (uint32_t i = 0; i < LARGES; i++)
		send_large(&pair);
	pthread_mutex_lock(&pair.lock);
	ck_assert_uint_lt(pair.sent, LARGES); /* else this tests nothing */
	pthread_mutex_unlock(&pair.lock);
	link_close(pair.link);
	link_close(pair.link);
	link_pair_wait_sent(&pair, LARGES);
	/* From now on at once. */
	for (uint32_t i = 1; i <= 3; i++) {
		send_large(&pair);
		pthread_mutex_lock(&pair.lock);
		ck_assert_uint_eq(pair.sent, LARGES + i);
		pthread_mutex_unlock(&pair.lock);
	}
	link_cork(pair.link);
	send_large(&pair);
	link_uncork(pair.link);
	link_pair_wait_sent(&pair, LARGES + 4);
	link_pair_close(&pair);
}
END_TEST

START_TEST(what_a_peer_that_goes_did_not_take_is_told_once)
{
	struct link_pair pair;
	struct buffer *none;
	struct link_route route;
	open_greeted(&pair);
	for (uint32_t i = 0; i < LARGES; i++)
		send_large(&pair);
	close(pair.peer); /* with unread bytes: a reset */
	ck_assert_int_ne(link_pair_next(&pair, &none, &route), 0);
	link_pair_wait_sent(&pair, LARGES);
	pair.peer = -1;
	link_pair_close(&pair);
}
END_TEST

START_TEST(the_last_reference_may_go_while_messages_are_on_their_way)
{
	struct link_pair pair;
	open_greeted(&pair);
	for (uint32_t i = 0; i < LARGES; i++)
		send_large(&pair);
	struct link *link = pair.link;
	pair.link = NULL;
	link_close(link);
	link_release(link);
	link_pair_close(&pair);
	ck_assert_uint_eq(pair.sent, LARGES);
}
END_TEST

static void *uncork_many_times(void *context)
{
	struct link_pair *pair = context;
	const struct link_route route = link_route_of(1);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		link_cork(pair->link);
		link_send(pair->link, link_pair_buffer(pair, zeros, SMALL), &route);
		link_uncork(pair->link);
	}
	return NULL;
}

START_TEST(who_waits_for_a_peer_that_does_not_read_is_freed_by_closing)
{
	struct link_pair pair;
	pthread_t thread;
	unsigned char byte;
	open_greeted(&pair);
	pthread_create(&thread, NULL, uncork_many_times, &pair);
	raw_receive(pair.peer, &byte, 1);
	link_close(pair.link);
	pthread_join(thread, NULL);
	link_pair_wait_sent(&pair, ROUNDS);
	link_pair_close(&pair);
}
END_TEST

START_TEST(a_receive_with_a_callback_ends_by_bytes_a_timeout_and_closing)
{
	struct link_pair pair;
	struct link_pair_options options = server_side;
	struct buffer *none;
	struct link_route route;
	options.callback = true;
	link_pair_open(&pair, &options);
	link_receive(pair.link, 1);
	ck_assert_int_eq(link_pair_wait_received(&pair, 1), NNG_ETIMEDOUT);
	link_receive(pair.link, NNG_DURATION_INFINITE);
	raw_send(pair.peer, raw_req, sizeof(raw_req));
	ck_assert_int_eq(link_pair_wait_received(&pair, 2), 0);
	ck_assert_int_eq(link_next(pair.link, &none, &route), 0);
	ck_assert_ptr_null(none);
	link_receive(pair.link, NNG_DURATION_INFINITE);
	link_close(pair.link);
	ck_assert_int_eq(link_pair_wait_received(&pair, 3), NNG_ECLOSED);
	/* On one that is closed it ends at once. */
	link_receive(pair.link, NNG_DURATION_INFINITE);
	ck_assert_uint_eq(pair.received, 4);
	ck_assert_int_eq(pair.received_rv, NNG_ECLOSED);
	link_pair_close(&pair);
}
END_TEST

static void *wait_without_end(void *context)
{
	struct link_pair *pair = context;
	ck_assert_int_eq(link_wait(pair->link, NNG_DURATION_INFINITE), NNG_ECLOSED);
	ck_assert_int_eq(link_wait(pair->link, NNG_DURATION_INFINITE), NNG_ECLOSED);
	return NULL;
}

START_TEST(closing_ends_a_wait)
{
	struct link_pair pair;
	pthread_t thread;
	open_greeted(&pair);
	pthread_create(&thread, NULL, wait_without_end, &pair);
	link_close(pair.link);
	pthread_join(thread, NULL);
	link_pair_close(&pair);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {what_was_corked_comes_whole_and_in_order,
		what_is_corked_stays_until_it_is_uncorked, threads_send_while_another_corks,
		what_a_closed_connection_drops_is_told_once,
		what_a_peer_that_goes_did_not_take_is_told_once,
		the_last_reference_may_go_while_messages_are_on_their_way,
		who_waits_for_a_peer_that_does_not_read_is_freed_by_closing,
		a_receive_with_a_callback_ends_by_bytes_a_timeout_and_closing, closing_ends_a_wait,
		NULL};
	return run_cases("rpc_link_send", cases);
}
