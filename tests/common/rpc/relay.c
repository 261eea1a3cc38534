#include "tests/common/rpc/relay.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define HELD_MAX 4 /* messages that wait for later ones to overtake them */
#define FLUSH_MS 10
#define QUIET	 5 /* timeouts in a row before the relay stops */

struct direction {
	struct relay *relay;
	nng_socket from, to;
	pthread_t thread;
	struct random_sequence random;
	nng_msg *held[HELD_MAX];
	uint32_t held_count;
};

struct relay {
	struct relay_faults faults;
	atomic_uint dropped, duplicated, delayed;
	atomic_bool stopping;
	struct direction forth, back;
	char url[64];
};

static void pass(struct direction *direction, nng_msg *message)
{
	if (nng_sendmsg(direction->to, message, 0) != 0)
		nng_msg_free(message);
}

static void flush(struct direction *direction)
{
	for (uint32_t i = direction->held_count; i > 0; i--)
		pass(direction, direction->held[i - 1]);
	direction->held_count = 0;
}

static void *run(void *context)
{
	struct direction *direction = context;
	struct relay *relay = direction->relay;
	const struct relay_faults *faults = &relay->faults;
	for (int quiet = 0; quiet < QUIET;) {
		nng_msg *message, *copy;
		int rv = nng_recvmsg(direction->from, &message, 0);
		if (rv == NNG_ETIMEDOUT) {
			flush(direction);
			quiet = atomic_load(&relay->stopping) ? quiet + 1 : 0;
			continue;
		}
		if (rv != 0)
			break;
		quiet = 0;
		uint32_t fate = random_below(&direction->random, 100);
		if (fate < faults->drop) {
			atomic_fetch_add(&relay->dropped, 1);
			nng_msg_free(message);
		} else if (fate < faults->drop + faults->duplicate) {
			atomic_fetch_add(&relay->duplicated, 1);
			if (nng_msg_dup(&copy, message) == 0)
				pass(direction, copy);
			pass(direction, message);
		} else if (fate < faults->drop + faults->duplicate + faults->delay) {
			atomic_fetch_add(&relay->delayed, 1);
			if (direction->held_count == HELD_MAX)
				flush(direction);
			direction->held[direction->held_count++] = message;
		} else {
			pass(direction, message);
		}
	}
	for (uint32_t i = 0; i < direction->held_count; i++)
		nng_msg_free(direction->held[i]);
	return NULL;
}

static void start(struct direction *direction, struct relay *relay, nng_socket from, nng_socket to,
	uint64_t seed, const char *name)
{
	direction->relay = relay;
	direction->from = from;
	direction->to = to;
	random_sequence_init(&direction->random, seed, random_stream(name));
	ck_assert_int_eq(nng_socket_set_ms(from, NNG_OPT_RECVTIMEO, FLUSH_MS), 0);
	ck_assert_int_eq(pthread_create(&direction->thread, NULL, run, direction), 0);
}

struct relay *relay_open(const char *server_url, const struct relay_faults *faults, uint64_t seed)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	nng_socket front, behind;
	nng_listener listener;
	int port;
	relay->faults = *faults;
	ck_assert_int_eq(nng_rep0_open_raw(&front), 0);
	ck_assert_int_eq(nng_req0_open_raw(&behind), 0);
	ck_assert_int_eq(nng_listen(front, "tcp://127.0.0.1:0", &listener, 0), 0);
	ck_assert_int_eq(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
	ck_assert_int_eq(nng_dial(behind, server_url, NULL, 0), 0);
	snprintf(relay->url, sizeof(relay->url), "tcp://127.0.0.1:%d", port);
	start(&relay->forth, relay, front, behind, seed, "forth");
	start(&relay->back, relay, behind, front, seed, "back");
	return relay;
}

void relay_close(struct relay *relay)
{
	/* nng 1.5.2 does not survive a close while messages come or somebody receives. */
	atomic_store(&relay->stopping, true);
	pthread_join(relay->forth.thread, NULL);
	pthread_join(relay->back.thread, NULL);
	nng_close(relay->forth.from);
	nng_close(relay->back.from);
	free(relay);
}

const char *relay_url(const struct relay *relay)
{
	return relay->url;
}

void relay_counts(const struct relay *relay, struct relay_faults *ret)
{
	ret->drop = atomic_load(&relay->dropped);
	ret->duplicate = atomic_load(&relay->duplicated);
	ret->delay = atomic_load(&relay->delayed);
}
