/*
 * A channel's connection.
 *
 * Design notes. Of the callers that wait, one reads for all of them, and when it has its own answer
 * another one goes on; so the thread that needs an answer is mostly the one that is woken by it.
 * Likewise one connects. Nobody reads while nobody waits: that a connection was lost meanwhile is
 * found out by the next call, which sends its request again. Only a connection with TLS is always
 * read from, on nng's threads (link_wait() says why).
 */
#include "common/rpc/channel_internal.h"

#include "common/base/condition.h"

#define NS_PER_MS     UINT64_C(1000000)
#define REDIAL_MIN_MS 10u
#define REDIAL_MAX_MS 500u
#define NUMBERS_MAX   INT32_MAX /* from 1 on: the highest bit is the protocol's */

/* Something changed. The lock is held. */
static void tell(struct rpc_channel *channel)
{
	if (channel->waiting > 0)
		pthread_cond_broadcast(&channel->changed);
}

static void wait_until(struct rpc_channel *channel, uint64_t until_ns)
{
	channel->waiting++;
	(void)condition_wait_until(&channel->changed, &channel->lock, until_ns);
	channel->waiting--;
}

struct link *channel_link(struct rpc_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	struct link *link = channel->link ? link_hold(channel->link) : NULL;
	pthread_mutex_unlock(&channel->lock);
	return link;
}

void channel_send(struct rpc_channel *channel, struct link *link, struct request *request,
	struct buffer *message)
{
	pthread_mutex_lock(&channel->lock);
	const bool current = channel->link == link;
	request->state = current ? REQUEST_SENT : REQUEST_LOST;
	if (current) {
		channel->last_number = channel->last_number % NUMBERS_MAX + 1;
		request->number = channel->last_number;
		request->next = channel->requests;
		channel->requests = request;
	}
	const struct link_route route = link_route_of(request->number);
	pthread_mutex_unlock(&channel->lock);
	if (current)
		link_send(link, message, &route);
	else
		buffer_free(message);
}

bool channel_is_unsent(struct rpc_channel *channel, const struct request *request)
{
	pthread_mutex_lock(&channel->lock);
	const bool unsent =
		request->state == REQUEST_SENT && link_is_queued(channel->link, request->number);
	pthread_mutex_unlock(&channel->lock);
	return unsent;
}

/* Takes the request with the number out of the list; NULL: there is none. The lock is held. */
static struct request *take_request(struct rpc_channel *channel, uint32_t number)
{
	struct request **at = &channel->requests;
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	struct request *found = *at;
	if (found)
		*at = found->next;
	return found;
}

void channel_forget(struct rpc_channel *channel, struct request *request)
{
	pthread_mutex_lock(&channel->lock);
	if (request->state == REQUEST_SENT)
		(void)take_request(channel, request->number);
	pthread_mutex_unlock(&channel->lock);
	buffer_free(request->answer);
	*request = (struct request){0};
}

/* The lock is held, and is given up for a moment. */
static void lose_link(struct rpc_channel *channel)
{
	struct link *link = channel->link;
	channel->link = NULL;
	for (struct request *r = channel->requests; r; r = r->next)
		r->state = REQUEST_LOST;
	channel->requests = NULL;
	tell(channel);
	pthread_mutex_unlock(&channel->lock);
	if (link)
		link_close(link);
	link_release(link);
	pthread_mutex_lock(&channel->lock);
}

static void lose_link_by(struct rpc_channel *channel, int rv)
{
	channel->trouble = rv;
	lose_link(channel);
}

void channel_suspect(struct rpc_channel *channel)
{
	if (!rpc_url_is_tls(channel->url))
		return;
	pthread_mutex_lock(&channel->lock);
	lose_link(channel);
	pthread_mutex_unlock(&channel->lock);
}

void channel_disconnect(struct rpc_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	lose_link(channel);
	channel->waiting++;
	while (channel->links > 0)
		pthread_cond_wait(&channel->changed, &channel->lock);
	channel->waiting--;
	pthread_mutex_unlock(&channel->lock);
}

const char *channel_trouble(struct rpc_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	const int rv = channel->trouble;
	pthread_mutex_unlock(&channel->lock);
	return rv == 0 ? "" : rpc_trouble_from_nng(rv);
}

/* ---- reading ---- */

/* Gives each message that has come to its request. The lock is held. */
static int take_answers(struct rpc_channel *channel, struct link *link)
{
	for (;;) {
		struct buffer *message;
		struct link_route route;
		const int rv = link_next(link, &message, &route);
		if (rv != 0 || !message)
			return rv;
		struct request *request = take_request(channel, link_route_number(&route));
		if (request) {
			request->answer = message;
			request->state = REQUEST_ANSWERED;
			channel->trouble = 0;
		} else {
			buffer_free(message); /* given up */
		}
	}
}

/* Reads what comes within so long. The lock is held, but not while this waits. */
static void read_once(struct rpc_channel *channel, uint64_t wait_ms)
{
	struct link *link = link_hold(channel->link);
	channel->reading = true;
	pthread_mutex_unlock(&channel->lock);
	int rv = link_wait(link, wait_ms > INT32_MAX ? INT32_MAX : (nng_duration)wait_ms);
	pthread_mutex_lock(&channel->lock);
	if (rv == 0)
		rv = take_answers(channel, link);
	if (rv != 0 && rv != NNG_ETIMEDOUT && channel->link == link)
		lose_link_by(channel, rv);
	channel->reading = false;
	tell(channel);
	/* Not under the lock: on_gone() takes it. */
	pthread_mutex_unlock(&channel->lock);
	link_release(link);
	pthread_mutex_lock(&channel->lock);
}

/* The connection with TLS. Its reading has a reference. */
static void on_received(void *context, struct link *link, int rv)
{
	struct rpc_channel *channel = context;
	pthread_mutex_lock(&channel->lock);
	if (rv == 0)
		rv = take_answers(channel, link);
	if (rv != 0 && channel->link == link)
		lose_link_by(channel, rv);
	tell(channel);
	pthread_mutex_unlock(&channel->lock);
	if (rv == 0)
		link_receive(link, NNG_DURATION_INFINITE);
	else
		link_release(link);
}

/* ---- connecting ---- */

static void on_gone(void *context)
{
	struct rpc_channel *channel = context;
	pthread_mutex_lock(&channel->lock);
	channel->links--;
	tell(channel);
	pthread_mutex_unlock(&channel->lock);
}

static int dial(struct rpc_channel *channel, uint64_t wait_ms, struct link **ret)
{
	const struct link_options options = {
		.side = LINK_CLIENT,
		.ipc = rpc_url_is_ipc(channel->url),
		.max_message_bytes = channel->max_message_bytes,
		.pool = &channel->buffers,
		.on_received = rpc_url_is_tls(channel->url) ? on_received : NULL,
		.on_gone = on_gone,
		.context = channel,
	};
	nng_aio_set_timeout(
		channel->dial_aio, wait_ms > INT32_MAX ? INT32_MAX : (nng_duration)wait_ms);
	nng_stream_dialer_dial(channel->dialer, channel->dial_aio);
	nng_aio_wait(channel->dial_aio);
	const int rv = nng_aio_result(channel->dial_aio);
	if (rv != 0)
		return rv;
	nng_stream *stream = nng_aio_get_output(channel->dial_aio, 0);
	return link_new(ret, stream, &options, NULL) == STATUS_OK ? 0 : NNG_ENOMEM;
}

/* Tries to connect, and waits a little when that is in vain. The lock is held, but not meanwhile.
 */
static void connect_once(struct rpc_channel *channel, uint64_t until_ns, uint64_t wait_ms)
{
	channel->connecting = true;
	pthread_mutex_unlock(&channel->lock);
	struct link *link = NULL;
	const int rv = dial(channel, wait_ms, &link);
	pthread_mutex_lock(&channel->lock);
	if (link) {
		channel->link = link;
		channel->links++;
		channel->redial_ms = 0;
	} else {
		/* That there was no time left tells less than what happened before. */
		if (rv != NNG_ETIMEDOUT || channel->trouble == 0)
			channel->trouble = rv;
		const uint32_t pause_ms = channel->redial_ms ? channel->redial_ms : REDIAL_MIN_MS;
		const uint64_t next_ns = clock_now_ns(clock_real()) + pause_ms * NS_PER_MS;
		channel->redial_ms = pause_ms * 2 < REDIAL_MAX_MS ? pause_ms * 2 : REDIAL_MAX_MS;
		while (clock_now_ns(clock_real()) < next_ns &&
			clock_now_ns(clock_real()) < until_ns)
			wait_until(channel, next_ns < until_ns ? next_ns : until_ns);
	}
	channel->connecting = false;
	tell(channel);
	if (link && rpc_url_is_tls(channel->url)) {
		(void)link_hold(link);
		pthread_mutex_unlock(&channel->lock);
		link_receive(link, NNG_DURATION_INFINITE);
		pthread_mutex_lock(&channel->lock);
	}
}

enum request_state channel_wait(
	struct rpc_channel *channel, struct request *request, uint64_t wait_ms, bool *ret_greeted)
{
	const uint64_t until_ns = clock_now_ns(clock_real()) + wait_ms * NS_PER_MS;
	pthread_mutex_lock(&channel->lock);
	if (request->state == REQUEST_SENT) {
		if (channel->reading || rpc_url_is_tls(channel->url))
			wait_until(channel, until_ns);
		else
			/* What has come is looked at even where no time is left: with 0 nng would
			 * not. */
			read_once(channel, wait_ms > 0 ? wait_ms : 1);
	} else if (request->state != REQUEST_ANSWERED && !channel->link) {
		if (channel->connecting)
			wait_until(channel, until_ns);
		else
			connect_once(channel, until_ns, wait_ms);
	}
	if (channel->link && link_greeted(channel->link))
		*ret_greeted = true;
	const enum request_state state = request->state;
	pthread_mutex_unlock(&channel->lock);
	return state;
}
