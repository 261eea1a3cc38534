/*
 * Design notes. Two operations are under way at a time: a receive, which its owner asks for, and a
 * send. Who queues a message while none is sent begins one; its callback sends on while messages
 * are queued, and holds a reference of its own. In link_uncork() the caller does that itself.
 */
#include "common/rpc/link.h"

#include "common/base/memory.h"
#include "common/rpc/inbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX     8u		   /* nng takes no more */
#define WAIT_BYTES_MAX ((size_t)256 << 10) /* mostly there is room for so much in the system */

struct link {
	/* Immutable. */
	nng_stream *stream;
	nng_aio *send_aio, *receive_aio; /* with callbacks */
	nng_aio *uncork_aio, *wait_aio;	 /* without: of link_uncork() and link_wait() */
	struct link_options options;
	atomic_uint references;
	atomic_bool closed;	 /* set under `posting` */
	pthread_mutex_t posting; /* no operation begins on a stream that is closed */

	struct inbox inbox; /* the receiver's */

	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct buffer *queue, **queue_end;
	bool sending; /* the first of the queue, and perhaps more */
	bool corked;
	bool greeting_ahead; /* the first of the queue is no message yet */
};

/* ---- its life ---- */

static void on_send_done(void *context);
static void on_receive_done(void *context);

static void free_queue(struct buffer *queue)
{
	while (queue) {
		struct buffer *first = queue;
		queue = first->next;
		buffer_free(first);
	}
}

static void destroy(struct link *link)
{
	const struct link_options options = link->options;
	/* Later, elsewhere: this may be a callback of one of them. */
	if (link->send_aio)
		nng_aio_reap(link->send_aio);
	if (link->uncork_aio)
		nng_aio_reap(link->uncork_aio);
	if (link->wait_aio)
		nng_aio_reap(link->wait_aio);
	if (link->receive_aio)
		nng_aio_reap(link->receive_aio);
	nng_stream_free(link->stream);
	free_queue(link->queue);
	inbox_fini(&link->inbox);
	pthread_mutex_destroy(&link->lock);
	pthread_mutex_destroy(&link->posting);
	free(link);
	if (options.on_gone)
		options.on_gone(options.context);
}

struct link *link_hold(struct link *link)
{
	atomic_fetch_add_explicit(&link->references, 1, memory_order_relaxed);
	return link;
}

void link_release(struct link *link)
{
	if (link && atomic_fetch_sub_explicit(&link->references, 1, memory_order_acq_rel) == 1)
		destroy(link);
}

void link_close(struct link *link)
{
	pthread_mutex_lock(&link->posting);
	atomic_store(&link->closed, true);
	nng_stream_close(link->stream);
	pthread_mutex_unlock(&link->posting);
}

/*
 * Begins an operation; false: the link is closed. In nng 1.5.2 one that begins on a closed stream
 * does not end. The caller has a reference, which the operation's end may take away.
 */
static bool begin(
	struct link *link, void (*operation)(nng_stream *stream, nng_aio *aio), nng_aio *aio)
{
	(void)link_hold(link);
	pthread_mutex_lock(&link->posting);
	const bool open = !atomic_load(&link->closed);
	if (open)
		operation(link->stream, aio);
	pthread_mutex_unlock(&link->posting);
	link_release(link);
	return open;
}

/* What is queued, from the first on. The lock is held; nothing is being sent. */
static void prepare_send(struct link *link, nng_aio *aio)
{
	nng_iov pieces[PIECES_MAX];
	unsigned int count = 0;
	for (struct buffer *b = link->queue; b && count < PIECES_MAX; b = b->next)
		pieces[count++] = (nng_iov){b->data, b->length};
	(void)nng_aio_set_iov(aio, count, pieces);
	link->sending = true;
}

static enum status send_greeting(struct link *link, struct error *err)
{
	struct buffer *greeting = buffer_new(link->options.pool, LINK_GREETING_BYTES);
	if (!greeting)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a connection");
	memcpy(greeting->data, link_greeting(link->options.side), LINK_GREETING_BYTES);
	link->queue = greeting;
	link->queue_end = &greeting->next;
	link->greeting_ahead = true;
	prepare_send(link, link->send_aio);
	(void)begin(link_hold(link), nng_stream_send, link->send_aio);
	return STATUS_OK;
}

enum status link_new(struct link **ret, nng_stream *stream, const struct link_options *options,
	struct error *err)
{
	struct link *link;
	enum status status = memory_zalloc(&link, 1, sizeof(*link), "connection", err);
	if (status != STATUS_OK) {
		nng_stream_free(stream);
		return status;
	}
	link->stream = stream;
	link->options = *options;
	link->options.on_gone = NULL; /* until it is there */
	atomic_init(&link->references, 1);
	link->queue_end = &link->queue;
	const enum link_side peer = options->side == LINK_CLIENT ? LINK_SERVER : LINK_CLIENT;
	inbox_init(&link->inbox, peer, options->ipc, options->max_message_bytes, options->pool);
	link->inbox.may_begin = options->may_begin;
	link->inbox.context = options->context;
	pthread_mutex_init(&link->lock, NULL);
	pthread_mutex_init(&link->posting, NULL);
	if (nng_aio_alloc(&link->send_aio, on_send_done, link) != 0 ||
		nng_aio_alloc(&link->uncork_aio, NULL, NULL) != 0 ||
		nng_aio_alloc(&link->wait_aio, NULL, NULL) != 0 ||
		(options->on_received &&
			nng_aio_alloc(&link->receive_aio, on_receive_done, link) != 0))
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a connection");
	if (status == STATUS_OK)
		status = send_greeting(link, err);
	if (status != STATUS_OK) {
		link_release(link);
		return status;
	}
	link->options.on_gone = options->on_gone;
	*ret = link;
	return STATUS_OK;
}

bool link_greeted(const struct link *link)
{
	return inbox_greeted(&link->inbox);
}

nng_stream *link_stream(struct link *link)
{
	return link->stream;
}

/* ---- sending ---- */

static void tell_sent(const struct link *link, uint32_t count)
{
	if (count > 0 && link->options.on_sent)
		link->options.on_sent(link->options.context, count);
}

/* Takes what is out, or everything, from the queue; gives how many messages. The lock is held. */
static uint32_t take_sent(struct link *link, size_t bytes, struct buffer **ret_done)
{
	struct buffer **last = ret_done;
	uint32_t count = 0;
	const bool all = atomic_load(&link->closed);
	while (link->queue && (all || bytes >= link->queue->length)) {
		struct buffer *first = link->queue;
		bytes -= all ? 0 : first->length;
		link->queue = first->next;
		first->next = NULL;
		*last = first;
		last = &first->next;
		count += link->greeting_ahead ? 0 : 1;
		link->greeting_ahead = false;
	}
	if (link->queue) {
		link->queue->data += bytes;
		link->queue->length -= bytes;
	} else {
		link->queue_end = &link->queue;
	}
	return count;
}

/* A send has ended. Prepares the next one; false: nothing is queued. */
static bool next_send(struct link *link, nng_aio *aio, int rv)
{
	struct buffer *done = NULL;
	if (rv != 0)
		link_close(link); /* so that the receiver notices, and all is dropped */
	pthread_mutex_lock(&link->lock);
	const uint32_t count = take_sent(link, rv == 0 ? nng_aio_count(aio) : 0, &done);
	link->sending = false;
	if (link->queue)
		prepare_send(link, aio);
	const bool more = link->sending;
	pthread_mutex_unlock(&link->lock);
	free_queue(done);
	tell_sent(link, count);
	return more;
}

/* Sends what is prepared, and what follows. The link is held for it. */
static void send_prepared(struct link *link)
{
	if (begin(link, nng_stream_send, link->send_aio))
		return;
	(void)next_send(link, link->send_aio, NNG_ECLOSED);
	link_release(link);
}

static void on_send_done(void *context)
{
	struct link *link = context;
	if (next_send(link, link->send_aio, nng_aio_result(link->send_aio)))
		send_prepared(link);
	else
		link_release(link);
}

void link_send(struct link *link, struct buffer *message, const struct link_route *route)
{
	link_prefix_put(message, route, link->options.ipc);
	message->number = link_route_number(route);
	message->next = NULL;
	pthread_mutex_lock(&link->lock);
	const bool closed = atomic_load(&link->closed);
	const bool first = !closed && !link->sending && !link->corked;
	if (!closed) {
		*link->queue_end = message;
		link->queue_end = &message->next;
	}
	if (first)
		prepare_send(link_hold(link), link->send_aio);
	pthread_mutex_unlock(&link->lock);
	if (first)
		send_prepared(link);
	if (closed) {
		buffer_free(message);
		tell_sent(link, 1);
	}
}

bool link_is_queued(struct link *link, uint32_t number)
{
	pthread_mutex_lock(&link->lock);
	const struct buffer *b = link->queue;
	while (b && b->number != number)
		b = b->next;
	pthread_mutex_unlock(&link->lock);
	return b != NULL;
}

void link_cork(struct link *link)
{
	pthread_mutex_lock(&link->lock);
	link->corked = true;
	pthread_mutex_unlock(&link->lock);
}

static size_t queued_bytes(const struct link *link)
{
	size_t bytes = 0;
	for (const struct buffer *b = link->queue; b; b = b->next)
		bytes += b->length;
	return bytes;
}

void link_uncork(struct link *link)
{
	pthread_mutex_lock(&link->lock);
	link->corked = false;
	bool more = link->queue && !link->sending;
	const bool wait = more && queued_bytes(link) <= WAIT_BYTES_MAX;
	if (more)
		prepare_send(link, wait ? link->uncork_aio : link->send_aio);
	pthread_mutex_unlock(&link->lock);
	if (more && !wait) {
		send_prepared(link_hold(link));
		more = false;
	}
	while (more) {
		int rv = NNG_ECLOSED;
		if (begin(link, nng_stream_send, link->uncork_aio)) {
			nng_aio_wait(link->uncork_aio);
			rv = nng_aio_result(link->uncork_aio);
		}
		more = next_send(link, link->uncork_aio, rv);
	}
}

/* ---- receiving ---- */

/* False: the link is closed. */
static bool post_receive(struct link *link, nng_aio *aio, nng_duration timeout_ms)
{
	nng_iov pieces[INBOX_PIECES];
	const unsigned int count = inbox_pieces(&link->inbox, pieces);
	(void)nng_aio_set_iov(aio, count, pieces);
	nng_aio_set_timeout(aio, timeout_ms);
	return begin(link, nng_stream_recv, aio);
}

static int take_received(struct link *link, nng_aio *aio)
{
	const int rv = nng_aio_result(aio);
	if (rv != 0)
		return rv;
	const size_t bytes = nng_aio_count(aio);
	if (bytes == 0)
		return NNG_ECONNSHUT; /* as nng's TLS says it */
	inbox_fill(&link->inbox, bytes);
	return 0;
}

static void on_receive_done(void *context)
{
	struct link *link = context;
	const int rv = take_received(link, link->receive_aio);
	link->options.on_received(link->options.context, link, rv);
}

void link_receive(struct link *link, nng_duration timeout_ms)
{
	if (!post_receive(link, link->receive_aio, timeout_ms))
		link->options.on_received(link->options.context, link, NNG_ECLOSED);
}

int link_wait(struct link *link, nng_duration timeout_ms)
{
	if (!post_receive(link, link->wait_aio, timeout_ms))
		return NNG_ECLOSED;
	nng_aio_wait(link->wait_aio);
	return take_received(link, link->wait_aio);
}

int link_next(struct link *link, struct buffer **ret, struct link_route *ret_route)
{
	return inbox_next(&link->inbox, ret, ret_route);
}
