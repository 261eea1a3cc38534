#include "tests/common/rpc/link_pair.h"

#include "common/base/clock.h"
#include "common/base/condition.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

static void on_sent(void *context, uint32_t count)
{
	struct link_pair *pair = context;
	pthread_mutex_lock(&pair->lock);
	ck_assert_uint_eq(pair->gone, 0);
	pair->sent += count;
	pthread_cond_broadcast(&pair->changed);
	pthread_mutex_unlock(&pair->lock);
}

static void on_gone(void *context)
{
	struct link_pair *pair = context;
	pthread_mutex_lock(&pair->lock);
	pair->gone++;
	pthread_cond_broadcast(&pair->changed);
	pthread_mutex_unlock(&pair->lock);
}

static void on_received(void *context, struct link *link, int rv)
{
	struct link_pair *pair = context;
	ck_assert_ptr_nonnull(link);
	pthread_mutex_lock(&pair->lock);
	pair->received++;
	pair->received_rv = rv;
	pthread_cond_broadcast(&pair->changed);
	pthread_mutex_unlock(&pair->lock);
}

/* Waits for *counter, which is guarded by the lock. */
static void wait_for(struct link_pair *pair, const uint32_t *counter, uint32_t count)
{
	const uint64_t until_ns = clock_now_ns(clock_real()) + RAW_WAIT_MS * NS_PER_MS;
	pthread_mutex_lock(&pair->lock);
	while (*counter < count && condition_wait_until(&pair->changed, &pair->lock, until_ns))
		;
	ck_assert_uint_eq(*counter, count);
	pthread_mutex_unlock(&pair->lock);
}

void link_pair_wait_sent(struct link_pair *pair, uint32_t count)
{
	wait_for(pair, &pair->sent, count);
}

int link_pair_wait_received(struct link_pair *pair, uint32_t count)
{
	wait_for(pair, &pair->received, count);
	return pair->received_rv;
}

static nng_stream *connect_pair(struct link_pair *pair, bool ipc)
{
	char url[PATH_SIZE + 16] = "tcp://127.0.0.1:0";
	nng_aio *aio;
	if (ipc) {
		scratch_open(pair->directory);
		snprintf(url, sizeof(url), "ipc://%s/s", pair->directory);
	}
	ck_assert_int_eq(nng_aio_alloc(&aio, NULL, NULL), 0);
	nng_aio_set_timeout(aio, RAW_WAIT_MS);
	ck_assert_int_eq(nng_stream_listener_alloc(&pair->listener, url), 0);
	ck_assert_int_eq(nng_stream_listener_listen(pair->listener), 0);
	if (!ipc) {
		int port;
		ck_assert_int_eq(
			nng_stream_listener_get_int(pair->listener, NNG_OPT_TCP_BOUND_PORT, &port),
			0);
		snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
	}
	nng_stream_listener_accept(pair->listener, aio);
	pair->peer = raw_connect(url);
	nng_aio_wait(aio);
	ck_assert_int_eq(nng_aio_result(aio), 0);
	nng_stream *stream = nng_aio_get_output(aio, 0);
	nng_aio_free(aio);
	return stream;
}

void link_pair_open(struct link_pair *pair, const struct link_pair_options *options)
{
	struct error err;
	*pair = (struct link_pair){0};
	pthread_mutex_init(&pair->lock, NULL);
	condition_init(&pair->changed);
	buffer_pool_init(&pair->pool);
	const struct link_options link = {
		.side = options->side,
		.ipc = options->ipc,
		.max_message_bytes = options->max_message_bytes,
		.pool = &pair->pool,
		.on_received = options->callback ? on_received : NULL,
		.on_sent = on_sent,
		.on_gone = on_gone,
		.context = pair,
	};
	assert_ok(link_new(&pair->link, connect_pair(pair, options->ipc), &link, &err), &err);
}

void link_pair_greet(struct link_pair *pair)
{
	unsigned char greeting[RAW_GREETING_BYTES];
	raw_receive(pair->peer, greeting, sizeof(greeting));
	const bool server = memcmp(greeting, raw_rep, sizeof(greeting)) == 0;
	raw_send(pair->peer, server ? raw_req : raw_rep, sizeof(greeting));
	while (!link_greeted(pair->link)) {
		struct buffer *none;
		struct link_route route;
		ck_assert_int_eq(link_wait(pair->link, RAW_WAIT_MS), 0);
		ck_assert_int_eq(link_next(pair->link, &none, &route), 0);
		ck_assert_ptr_null(none);
	}
}

void link_pair_close(struct link_pair *pair)
{
	if (pair->link)
		link_close(pair->link);
	link_release(pair->link);
	wait_for(pair, &pair->gone, 1);
	close(pair->peer);
	nng_stream_listener_close(pair->listener);
	nng_stream_listener_free(pair->listener);
	if (pair->directory[0] != '\0')
		scratch_close(pair->directory);
	buffer_pool_fini(&pair->pool);
	pthread_cond_destroy(&pair->changed);
	pthread_mutex_destroy(&pair->lock);
}

int link_pair_next(struct link_pair *pair, struct buffer **ret, struct link_route *ret_route)
{
	int rv = link_next(pair->link, ret, ret_route);
	while (rv == 0 && !*ret) {
		rv = link_wait(pair->link, RAW_WAIT_MS);
		if (rv == 0)
			rv = link_next(pair->link, ret, ret_route);
	}
	return rv;
}

struct buffer *link_pair_buffer(struct link_pair *pair, const void *bytes, size_t size)
{
	struct buffer *buffer = buffer_new(&pair->pool, size);
	ck_assert_ptr_nonnull(buffer);
	if (size > 0)
		memcpy(buffer->data, bytes, size);
	return buffer;
}
