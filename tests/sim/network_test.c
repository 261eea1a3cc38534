/* The simulated network by itself: its streams are as the real nng's. */
#include "tests/sim/talk.h"
#include "tests/support/suite.h"

#include <string.h>

#define SEEDS	     200u
#define ROUNDS	     20u
#define BURST	     3u /* messages that are sent before an answer is waited for */
#define RECEIVE_ROOM 1000u

static const struct sim_weather calm;

/* ---- bytes come as they were sent ---- */

static uint32_t client_pieces;

static void *converse(void *argument)
{
	unsigned char message[TALK_MESSAGE_BYTES];
	struct talk_end end;
	(void)argument;
	talk_open(&end, talk_dial_listener());
	must(talk_greet(&end, 0x30) == 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		bool seen[BURST] = {false};
		for (uint32_t i = 0; i < BURST; i++) {
			size_t bytes = talk_make_message(
				message, BURST * round + i, sim_draw(SIM_PLAN, TALK_BODY_MAX));
			must(talk_send(&end, message, bytes, &client_pieces) == 0);
			memset(message, 0xff, sizeof(message)); /* sent is sent */
		}
		for (uint32_t i = 0; i < BURST; i++) {
			uint32_t number;
			size_t bytes;
			must(talk_receive_message(&end, message, &bytes, &number, &client_pieces) ==
				0);
			must(number / BURST == round && !seen[number % BURST]);
			seen[number % BURST] = true;
		}
	}
	talk_close(&end);
	while (talk.ended_with == 0)
		sim_sleep(SIM_US * 100);
	return NULL;
}

START_TEST(bytes_arrive_as_they_were_sent_and_in_pieces)
{
	client_pieces = 0;
	uint32_t most = 0;
	for (uint64_t seed = 1; seed <= SEEDS / 10; seed++) {
		ck_assert_uint_eq(talk_run(converse, seed, &calm), talk_run(converse, seed, &calm));
		ck_assert_int_eq(talk.ended_with, NNG_ECONNSHUT);
		most = talk.pieces > most ? talk.pieces : most;
	}
	ck_assert_uint_gt(most, 3 * BURST * ROUNDS + BURST * ROUNDS / 4);
	ck_assert_uint_gt(client_pieces, SEEDS / 10 * 3 * BURST * ROUNDS);
}
END_TEST

/* ---- weather ---- */

static uint32_t answers, losses;

/* Sends and takes what comes for some seconds; a lost connection is followed by another. */
static void *talk_in_a_storm(void *argument)
{
	unsigned char message[TALK_MESSAGE_BYTES];
	struct talk_end end;
	uint32_t pieces = 0, number;
	size_t bytes;
	(void)argument;
	talk_open(&end, talk_dial_listener());
	must(talk_greet(&end, 0x30) == 0);
	nng_aio_set_timeout(end.aio, 500);
	for (uint32_t round = 0; round < 10 * ROUNDS; round++) {
		bytes = talk_make_message(message, round, sim_draw(SIM_PLAN, TALK_BODY_MAX));
		int rv = talk_send(&end, message, bytes, &pieces);
		const bool sent = rv == 0;
		pieces = 0;
		if (sent)
			rv = talk_receive_message(&end, message, &bytes, &number, &pieces);
		answers += rv == 0;
		if (rv == 0 || (rv == NNG_ETIMEDOUT && sent && pieces == 0))
			continue;
		/* Answers that nobody has received may let both sides' sends wait for each other.
		 */
		must(rv == NNG_ECONNRESET || (rv == NNG_ETIMEDOUT && !sent));
		losses++;
		talk_close(&end);
		talk_open(&end, talk_dial_listener());
		must(talk_greet(&end, 0x30) == 0);
		nng_aio_set_timeout(end.aio, 500);
	}
	talk_close(&end);
	return NULL;
}

START_TEST(messages_are_lost_doubled_and_delayed_and_connections_reset)
{
	static const struct sim_weather storm = {
		.lost = 300, .doubled = 500, .slow = 500, .stuck = 100, .reset = 300};
	struct sim_network_counts counts;
	answers = losses = 0;
	for (uint64_t seed = 1; seed <= SEEDS / 20; seed++) {
		ck_assert_uint_eq(talk_run(talk_in_a_storm, seed, &storm),
			talk_run(talk_in_a_storm, seed, &storm));
		sim_network_counts(&counts);
		ck_assert(counts.lost > 0 && counts.doubled > 0 && counts.slow > 0 &&
			  counts.stuck > 0 && counts.reset > 0);
		ck_assert_uint_gt(counts.sent, counts.lost + counts.doubled);
	}
	ck_assert_uint_gt(answers, SEEDS / 10 * ROUNDS);
	ck_assert_uint_gt(losses, SEEDS / 20);
}
END_TEST

/* ---- ends ---- */

static void *dial_nobody(void *argument)
{
	int rv;
	(void)argument;
	const uint64_t before = sim_now_ns();
	must(talk_dial("tcp://127.0.0.1:1", &rv) == NULL);
	must(rv == NNG_ECONNREFUSED);
	must(sim_now_ns() > before);
	return NULL;
}

START_TEST(who_dials_nobody_is_refused)
{
	talk_run(dial_nobody, 1, &calm);
}
END_TEST

static void *give_up(void *argument)
{
	unsigned char bytes[RECEIVE_ROOM];
	uint32_t pieces = 0;
	struct talk_end end;
	(void)argument;
	talk_open(&end, talk_dial_listener());
	must(talk_greet(&end, 0x30) == 0);
	nng_aio_set_timeout(end.aio, 30);
	const uint64_t before = sim_now_ns();
	must(talk_receive(&end, bytes, sizeof(bytes), &pieces) == NNG_ETIMEDOUT);
	must(sim_now_ns() >= before + 30 * SIM_MS);
	nng_aio_set_timeout(end.aio, NNG_DURATION_ZERO);
	must(talk_receive(&end, bytes, sizeof(bytes), &pieces) == NNG_ETIMEDOUT);
	nng_aio_set_timeout(end.aio, NNG_DURATION_INFINITE);
	nng_stream_recv(end.stream, end.aio);
	nng_aio_cancel(end.aio);
	nng_aio_wait(end.aio);
	must(nng_aio_result(end.aio) == NNG_ECANCELED);
	nng_stream_recv(end.stream, end.aio);
	nng_stream_close(end.stream);
	nng_aio_wait(end.aio);
	must(nng_aio_result(end.aio) == NNG_ECLOSED);
	/* The real one does nothing then, for as long as it is let. */
	nng_aio_set_timeout(end.aio, 500);
	nng_stream_recv(end.stream, end.aio);
	nng_aio_wait(end.aio);
	must(nng_aio_result(end.aio) == NNG_ETIMEDOUT);
	nng_aio_stop(end.aio);
	nng_stream_recv(end.stream, end.aio);
	nng_aio_wait(end.aio);
	must(nng_aio_result(end.aio) == NNG_ECANCELED);
	talk_close(&end);
	return NULL;
}

START_TEST(a_receive_ends_by_timeout_by_cancelling_and_by_closing)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		talk_run(give_up, seed, &calm);
}
END_TEST

static uint32_t ends[64];

static void *outlive_server(void *argument)
{
	unsigned char bytes[RECEIVE_ROOM];
	uint32_t pieces = 0;
	struct talk_end end;
	int rv;
	(void)argument;
	talk_open(&end, talk_dial_listener());
	must(talk_greet(&end, 0x30) == 0);
	sim_process_kill(talk.server);
	const uint64_t before = sim_now_ns();
	rv = talk_receive(&end, bytes, sizeof(bytes), &pieces);
	must(sim_now_ns() <= before + 21 * SIM_MS);
	must(rv == NNG_ECONNRESET || rv == NNG_ECONNSHUT);
	ends[rv]++;
	do
		rv = talk_send(&end, bytes, talk_make_message(bytes, 1, 10), &pieces);
	while (rv == 0);
	must(rv == NNG_ECONNRESET || rv == NNG_ECLOSED);
	talk_close(&end);
	(void)talk_dial(talk.url, &rv);
	must(rv == NNG_ECONNREFUSED);
	return NULL;
}

START_TEST(a_client_notices_that_its_server_died)
{
	memset(ends, 0, sizeof(ends));
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		talk_run(outlive_server, seed, &calm);
	ck_assert_uint_gt(ends[NNG_ECONNRESET], SEEDS / 4);
	ck_assert_uint_gt(ends[NNG_ECONNSHUT], SEEDS / 4);
}
END_TEST

/* Closes when it has sent so many bytes of a message, and sees what the server gets of them. */
static void leave_having_sent(size_t count)
{
	unsigned char message[TALK_MESSAGE_BYTES];
	uint32_t pieces = 0;
	struct talk_end end;
	talk_open(&end, talk_dial_listener());
	must(talk_greet(&end, 0x30) == 0);
	const size_t bytes = talk_make_message(message, 1, 100);
	must(talk_send(&end, message, count < bytes ? count : bytes, &pieces) == 0);
	talk.pieces = 0;
	nng_stream_close(end.stream);
	while (talk.ended_with == 0)
		sim_sleep(SIM_US * 100);
	ends[talk.pieces > 0]++;
	talk_close(&end);
}

static void *send_and_leave(void *argument)
{
	(void)argument;
	leave_having_sent(TALK_MESSAGE_BYTES);
	return NULL;
}

static void *send_half_and_leave(void *argument)
{
	(void)argument;
	leave_having_sent(50);
	return NULL;
}

static void assert_half_of_the_servers_get_it(void *(*client)(void *))
{
	memset(ends, 0, sizeof(ends));
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		talk_run(client, seed, &calm);
		ck_assert(talk.ended_with == NNG_ECONNSHUT || talk.ended_with == NNG_ECLOSED);
	}
	ck_assert_uint_gt(ends[0], SEEDS / 4);
	ck_assert_uint_gt(ends[1], SEEDS / 4);
}

START_TEST(a_message_on_its_way_survives_its_sender_in_half_of_the_cases)
{
	assert_half_of_the_servers_get_it(send_and_leave);
}
END_TEST

START_TEST(a_part_of_a_message_may_be_the_last_that_comes)
{
	assert_half_of_the_servers_get_it(send_half_and_leave);
}
END_TEST

/* ---- callbacks ---- */

static struct {
	struct talk_end end;
	uint32_t called;
	unsigned char bytes[TALK_GREETING];
} reader;

/* Reads the greeting byte after byte, posting the next operation first, and then lets go. */
static void on_byte(void *argument)
{
	(void)argument;
	must(nng_aio_result(reader.end.aio) == 0);
	if (++reader.called == TALK_GREETING) {
		nng_stream_free(reader.end.stream);
		nng_aio_reap(reader.end.aio);
		return;
	}
	const nng_iov part = {&reader.bytes[reader.called], 1};
	must(nng_aio_set_iov(reader.end.aio, 1, &part) == 0);
	nng_stream_recv(reader.end.stream, reader.end.aio);
}

static void *read_by_callback(void *argument)
{
	(void)argument;
	memset(&reader, 0, sizeof(reader));
	reader.end.stream = talk_dial_listener();
	must(nng_aio_alloc(&reader.end.aio, on_byte, NULL) == 0);
	const nng_iov part = {reader.bytes, 1};
	must(nng_aio_set_iov(reader.end.aio, 1, &part) == 0);
	nng_stream_recv(reader.end.stream, reader.end.aio);
	while (!reader.end.aio->freed)
		sim_sleep(SIM_US * 100);
	must(reader.bytes[5] == 0x31);
	return NULL;
}

START_TEST(an_operation_goes_on_in_its_own_callback_and_is_let_go_there)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		talk_run(read_by_callback, seed, &calm);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {bytes_arrive_as_they_were_sent_and_in_pieces,
		messages_are_lost_doubled_and_delayed_and_connections_reset,
		who_dials_nobody_is_refused, a_receive_ends_by_timeout_by_cancelling_and_by_closing,
		a_client_notices_that_its_server_died,
		a_message_on_its_way_survives_its_sender_in_half_of_the_cases,
		a_part_of_a_message_may_be_the_last_that_comes,
		an_operation_goes_on_in_its_own_callback_and_is_let_go_there, NULL};
	return run_cases("simulated network", cases);
}
