/* Threads that share a channel: servers that come and go, and calls that are given up. */
#include "common/base/clock.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS	    10000u
#define DEADLINE_MS 2000u
#define LATE_S	    3.0 /* beyond its deadline no call lasts so long, on a busy machine either */
#define SHORT_MS    20u
#define THREADS	    4
#define SERVERS	    5u
#define PROGRESS    20u /* calls that succeed on each */
#define ROUNDS	    150u
#define WORDS	    64u

static struct echo_service echo;
static struct rpc_server *server;
static struct rpc_channel *channel;
static char directory[PATH_SIZE], url[PATH_SIZE + 16];
static atomic_uint succeeded, failed;
static atomic_bool stop;

static void open_server(void)
{
	const struct rpc_server_options options = {.url = url};
	server = echo_open(&echo, &options);
}

static void close_server(void)
{
	echo_close(&echo, server);
}

/* On a local socket: whoever connects in vain to a port of the loopback may get it for itself. */
static void open_all(void)
{
	scratch_open(directory);
	snprintf(url, sizeof(url), "ipc://%s/s", directory);
	open_server();
	channel = echo_connect(url, NULL);
	atomic_store(&succeeded, 0);
	atomic_store(&failed, 0);
	atomic_store(&stop, false);
}

static void close_all(void)
{
	rpc_channel_close(channel);
	close_server();
	scratch_close(directory);
}

/* A call whose words are its own; its answer is looked at. */
static enum status call_once(struct rpc_call *call, uint32_t name, uint32_t deadline_ms)
{
	struct error err;
	struct rpc_reply reply;
	Marquee__Ps__V1__PullRequest body;
	uint32_t words[WORDS];
	for (uint32_t i = 0; i < WORDS; i++)
		words[i] = name + i;
	const uint64_t start_ns = clock_now_ns(clock_real());
	const struct rpc_request request = echo_request(&body, words, sizeof(words), deadline_ms);
	const enum status status = rpc_call_blocking(call, &request, &reply, &err);
	ck_assert(clock_seconds_since(clock_real(), start_ns) < deadline_ms * 1e-3 + LATE_S);
	if (status == STATUS_OK) {
		ck_assert_uint_eq(reply.raw.size, sizeof(words));
		ck_assert_mem_eq(reply.raw.data, words, sizeof(words));
	}
	return status;
}

/* Every other thread's calls fail where there is no server. */
static void *call_until_stopped(void *context)
{
	const uint32_t thread = (uint32_t)(uintptr_t)context;
	struct rpc_call *call = echo_call_new(channel);
	for (uint32_t i = 0; !atomic_load(&stop); i++) {
		const uint32_t deadline_ms = thread % 2 ? DEADLINE_MS : SHORT_MS;
		const enum status status = call_once(call, thread << 24 | i, deadline_ms);
		if (status == STATUS_OK) {
			atomic_fetch_add(&succeeded, 1);
			continue;
		}
		ck_assert(status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED);
		atomic_fetch_add(&failed, 1);
	}
	rpc_call_free(call);
	return NULL;
}

static void wait_for(atomic_uint *counter, uint32_t count)
{
	const uint64_t start_ns = clock_now_ns(clock_real());
	while (atomic_load(counter) < count) {
		ck_assert(clock_seconds_since(clock_real(), start_ns) < WAIT_MS * 1e-3);
		sched_yield();
	}
}

START_TEST(calls_of_many_threads_end_while_servers_come_and_go)
{
	pthread_t threads[THREADS];
	open_all();
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_until_stopped, (void *)i);
	for (uint32_t i = 0; i < SERVERS; i++) {
		wait_for(&succeeded, atomic_load(&succeeded) + PROGRESS);
		close_server();
		wait_for(&failed, atomic_load(&failed) + 1);
		open_server();
	}
	wait_for(&succeeded, atomic_load(&succeeded) + PROGRESS);
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	close_all();
}
END_TEST

/* Starts calls and gives them up; the next one on the same slot has its own answer. */
static void *give_up_many(void *context)
{
	const uint32_t thread = (uint32_t)(uintptr_t)context;
	struct rpc_call *call = echo_call_new(channel);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct error err;
		Marquee__Ps__V1__PullRequest body;
		const struct rpc_request request = echo_request(&body, "lost", 4, WAIT_MS);
		assert_ok(rpc_call_start(call, &request, &err), &err);
		/* Its answer comes before, while or after this. */
		for (uint32_t k = 0; k < i % 8; k++)
			sched_yield();
		rpc_call_release(call);
		ck_assert_int_eq(call_once(call, thread << 24 | i, WAIT_MS), STATUS_OK);
	}
	rpc_call_free(call);
	return NULL;
}

START_TEST(calls_that_are_given_up_do_not_disturb_others)
{
	pthread_t threads[THREADS];
	struct rpc_channel_stats stats;
	open_all();
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, give_up_many, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	rpc_channel_stats(channel, &stats);
	ck_assert_uint_eq(stats.attempts, stats.calls); /* no connection was lost */
	close_all();
}
END_TEST

/* The thread that reads for all is the first whose deadline comes: another one goes on. */
START_TEST(who_reads_for_all_may_end_before_them)
{
	struct error err;
	struct rpc_reply reply;
	pthread_t threads[THREADS];
	struct rpc_call *call;
	Marquee__Ps__V1__PushRequest push = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	const struct rpc_request request = {
		.service = &marquee__ps__v1__parameter_server__descriptor,
		.method = "Push",
		.body = &push.base,
		.deadline_ms = SHORT_MS,
	};
	open_all();
	call = echo_call_new(channel);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, give_up_many, (void *)i);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_int_eq(
			rpc_call_blocking(call, &request, &reply, &err), STATUS_DEADLINE_EXCEEDED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	rpc_call_free(call);
	close_all();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {calls_of_many_threads_end_while_servers_come_and_go,
		calls_that_are_given_up_do_not_disturb_others,
		who_reads_for_all_may_end_before_them, NULL};
	return run_cases("rpc_channel_threads", cases);
}
