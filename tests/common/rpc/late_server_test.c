/* What a client says and does when its server is late, silent, gone, or was never there. */
#include "common/base/clock.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS	    10000u
#define SHORT_MS    150u
#define PATIENCE_MS 500u /* an answer takes less, also under valgrind */
#define ATTEMPT_MS  50u
#define PEERS_MAX   64
#define LARGE	    ((size_t)32 << 20) /* more than the system takes for a peer that does not read */

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

static atomic_uint_fast64_t time_ns = 1;

static uint64_t now_ns(const struct clock *clock)
{
	(void)clock;
	return atomic_load(&time_ns);
}

START_TEST(an_answer_that_has_come_is_taken_however_late)
{
	static const struct clock clock = {.now_ns = now_ns};
	const struct rpc_channel_options options = {.clock = &clock};
	struct error err;
	struct rpc_server_stats stats = {0};
	struct rpc_call_traffic traffic;
	struct rpc_reply reply;
	Marquee__Ps__V1__PullRequest body;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	struct rpc_call *call = echo_call_new(channel);
	const struct rpc_request request = echo_request(&body, "here", 4, WAIT_MS);
	assert_ok(rpc_call_start(call, &request, &err), &err);
	while (stats.requests < 2) /* the other one was the channel's own */
		rpc_server_stats(server, &stats);
	echo_close(&echo, server); /* it is out */
	atomic_fetch_add(&time_ns, UINT64_C(2000000) * WAIT_MS);
	assert_ok(rpc_call_wait(call, &reply, &err), &err);
	ck_assert_uint_eq(reply.raw.size, 4);
	rpc_call_traffic(call, &traffic);
	ck_assert_uint_eq(traffic.messages, 2);
	rpc_call_free(call);
	rpc_channel_close(channel);
}
END_TEST

START_TEST(an_attempt_without_an_answer_is_repeated)
{
	struct error err;
	server = echo_open(&echo, &echo_any_port);
	struct rpc_channel_options options = {.attempt_ms = ATTEMPT_MS};
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

START_TEST(a_message_that_the_server_does_not_read_is_queued_once)
{
	struct error err;
	struct rpc_call_traffic traffic;
	struct rpc_reply reply;
	Marquee__Ps__V1__PushRequest push;
	Marquee__Ps__V1__PullRequest pull;
	const struct rpc_server_options one_call = {.url = "tcp://127.0.0.1:0", .max_calls = 1};
	const struct rpc_channel_options options = {.attempt_ms = PATIENCE_MS};
	unsigned char *bytes = calloc(1, LARGE);
	ck_assert_ptr_nonnull(bytes);
	server = echo_open(&echo, &one_call);
	struct rpc_channel *other = echo_connect(rpc_server_url(server), NULL);
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	struct rpc_call *held = echo_call_new(other), *large = echo_call_new(channel);
	struct rpc_request request = echo_push_request(&push, WAIT_MS);
	assert_ok(rpc_call_start(held, &request, &err), &err);
	echo_wait_for(&echo, 1);
	/* From now on the server does not read. */
	request = echo_request(&pull, bytes, LARGE, 4 * PATIENCE_MS);
	ck_assert_int_ne(rpc_call_blocking(large, &request, &reply, &err), STATUS_OK);
	rpc_call_traffic(large, &traffic);
	ck_assert_uint_eq(traffic.messages, 1);
	/* It goes out to its end, and the connection is as good as before. */
	ck_assert_uint_eq(echo_release(&echo, false), 1);
	assert_ok(rpc_call_wait(held, &reply, &err), &err);
	echo_works(channel);
	rpc_call_free(held);
	rpc_call_free(large);
	rpc_channel_close(channel);
	rpc_channel_close(other);
	echo_close(&echo, server);
	free(bytes);
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
		"no server answered within 0.15 s: is pserver running there? (Connection refused)");
	ck_assert_ptr_nonnull(strstr(err.message, url));
	static const char *const wrong[] = {"htp:/x", "tcp://127.0.0.1",
		"tcp://127.0.0.1:", "tcp://[::1]", "tcp://127.0.0.1:99999",
		"tcp://127.0.0.1:5555x"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_fails(rpc_channel_open(&channel, wrong[i], &options, &err),
			STATUS_INVALID_ARGUMENT, &err, "expected tcp://HOST:PORT");
}
END_TEST

struct stranger {
	int listener;
	int peers[PEERS_MAX];
	uint32_t count;
};

/* Answers whoever comes with words of another protocol, until the listener is shut down. */
static void *answer_strangely(void *context)
{
	struct stranger *stranger = context;
	int peer;
	while (stranger->count < PEERS_MAX &&
		(peer = accept(stranger->listener, NULL, NULL)) >= 0) {
		(void)!write(peer, "HTTP/1.1 400", 12);
		stranger->peers[stranger->count++] = peer;
	}
	return NULL;
}

START_TEST(one_who_listens_but_is_no_server_is_told)
{
	struct error err;
	struct rpc_channel *channel;
	struct stranger stranger = {.listener = socket(AF_UNIX, SOCK_STREAM, 0)};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct rpc_channel_options options = {.connect_ms = SHORT_MS};
	char directory[PATH_SIZE], url[PATH_SIZE + 16];
	pthread_t thread;
	scratch_open(directory);
	snprintf(url, sizeof(url), "ipc://%s/s", directory);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s/s", directory);
	ck_assert_int_eq(bind(stranger.listener, (void *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(stranger.listener, PEERS_MAX), 0);
	pthread_create(&thread, NULL, answer_strangely, &stranger);
	assert_fails(rpc_channel_open(&channel, url, &options, &err), STATUS_UNAVAILABLE, &err,
		"is pserver running there? (what answers there is no pserver)");
	shutdown(stranger.listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	for (uint32_t i = 0; i < stranger.count; i++)
		close(stranger.peers[i]);
	close(stranger.listener);
	scratch_close(directory);
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
		an_answer_that_has_come_is_taken_however_late,
		an_attempt_without_an_answer_is_repeated,
		a_message_that_the_server_does_not_read_is_queued_once,
		no_server_at_the_address_is_said_with_the_address,
		one_who_listens_but_is_no_server_is_told, a_server_that_comes_later_is_found,
		a_call_outlives_its_server_when_another_takes_its_place,
		a_call_whose_server_died_ends_with_a_clear_error, NULL};
	return run_cases("rpc_late_server", cases);
}
