/* What a client says and does when its server is late, silent, gone, or was never there. */
#include "common/base/clock.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS	 10000u
#define SHORT_MS 150u

static struct echo_service echo;
static struct rpc_server *server;

START_TEST(a_call_ends_at_its_deadline)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__PushRequest body;
	struct rpc_request request = echo_push_request(&body, SHORT_MS);
	struct rpc_reply reply;
	uint64_t start_ns = clock_now_ns(clock_real());
	assert_fails(rpc_call_blocking(call, &request, &reply, &err), STATUS_DEADLINE_EXCEEDED,
		&err, "Push: no answer within 0.15 s");
	ck_assert(clock_seconds_since(clock_real(), start_ns) >= 0.15);
	/* The slot is good for another call. */
	Marquee__Ps__V1__PullRequest pull;
	request = echo_request(&pull, NULL, 0, WAIT_MS);
	assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
	rpc_call_free(call);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(an_attempt_without_an_answer_is_repeated)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel_options options = {.attempt_ms = 50};
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__PushRequest body;
	struct rpc_request request = echo_push_request(&body, 2 * SHORT_MS);
	struct rpc_reply reply;
	assert_fails(rpc_call_blocking(call, &request, &reply, &err), STATUS_UNAVAILABLE, &err,
		"attempts");
	struct rpc_channel_stats stats;
	rpc_channel_stats(channel, &stats);
	ck_assert_uint_gt(stats.attempts, stats.calls + 1);
	rpc_call_free(call);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(no_server_at_the_address_is_said_with_the_address)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	char url[128];
	snprintf(url, sizeof(url), "%s", rpc_server_url(server));
	echo_close(&echo, server); /* now the port is free */
	struct rpc_channel *channel;
	struct rpc_channel_options options = {.connect_ms = SHORT_MS};
	assert_fails(rpc_channel_open(&channel, url, &options, &err), STATUS_UNAVAILABLE, &err,
		"no server answered within 0.15 s: is pserver running there?");
	ck_assert_ptr_nonnull(strstr(err.message, url));
	assert_fails(rpc_channel_open(&channel, "htp:/x", &options, &err), STATUS_INVALID_ARGUMENT,
		&err, "expected tcp://HOST:PORT");
}
END_TEST

static void *open_later(void *context)
{
	struct rpc_server_options options = {.url = context};
	server = echo_open(&echo, &options);
	return NULL;
}

START_TEST(a_server_that_comes_later_is_found)
{
	server = echo_open(&echo, &echo_any_port);
	char url[128];
	snprintf(url, sizeof(url), "%s", rpc_server_url(server));
	echo_close(&echo, server);
	pthread_t thread;
	pthread_create(&thread, NULL, open_later, url);
	struct rpc_channel *channel = echo_connect(url, NULL);
	pthread_join(thread, NULL);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

static void *release_when_waiting(void *context)
{
	(void)context;
	echo_wait_for(&echo, 1);
	echo_release(&echo, false);
	return NULL;
}

START_TEST(a_call_outlives_its_server_when_another_takes_its_place)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	char url[128];
	snprintf(url, sizeof(url), "%s", rpc_server_url(server));
	struct rpc_channel *channel = echo_connect(url, NULL);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__PushRequest body;
	struct rpc_request request = echo_push_request(&body, WAIT_MS);
	struct rpc_reply reply;
	assert_ok(rpc_call_start(call, &request, &err), &err);
	echo_wait_for(&echo, 1);
	echo_release(&echo, true); /* UNAVAILABLE, as a server that shuts down says */
	echo_close(&echo, server);
	open_later(url);
	pthread_t thread;
	pthread_create(&thread, NULL, release_when_waiting, NULL);
	assert_ok(rpc_call_wait(call, &reply, &err), &err);
	pthread_join(thread, NULL);
	rpc_call_free(call);
	rpc_channel_close(channel);
	echo_close(&echo, server);
}
END_TEST

START_TEST(a_call_whose_server_died_ends_with_a_clear_error)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), NULL);
	struct rpc_call *call = echo_call_new(channel);
	Marquee__Ps__V1__PushRequest body;
	struct rpc_request request = echo_push_request(&body, 2 * SHORT_MS);
	struct rpc_reply reply;
	assert_ok(rpc_call_start(call, &request, &err), &err);
	echo_wait_for(&echo, 1);
	echo_release(&echo, true);
	echo_close(&echo, server);
	assert_fails(rpc_call_wait(call, &reply, &err), STATUS_UNAVAILABLE, &err, "0.3 s");
	rpc_call_free(call);
	rpc_channel_close(channel);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_call_ends_at_its_deadline,
		an_attempt_without_an_answer_is_repeated,
		no_server_at_the_address_is_said_with_the_address,
		a_server_that_comes_later_is_found,
		a_call_outlives_its_server_when_another_takes_its_place,
		a_call_whose_server_died_ends_with_a_clear_error, NULL};
	return run_cases("rpc_late_server", cases);
}
