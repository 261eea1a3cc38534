#include "common/rpc/inbox.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define STORE_BYTES ((size_t)64 << 10)

void inbox_init(struct inbox *inbox, enum link_side peer, bool ipc, size_t max_message_bytes,
	struct buffer_pool *pool)
{
	*inbox = (struct inbox){
		.peer = peer, .ipc = ipc, .max_message_bytes = max_message_bytes, .pool = pool};
	atomic_init(&inbox->greeted, false);
}

void inbox_fini(struct inbox *inbox)
{
	buffer_free(inbox->partial);
	free(inbox->store);
}

unsigned int inbox_pieces(struct inbox *inbox, nng_iov ret[INBOX_PIECES])
{
	unsigned int count = 0;
	if (!inbox->store) {
		ret[0] = (nng_iov){inbox->greeting + inbox->end, LINK_GREETING_BYTES - inbox->end};
		return 1;
	}
	if (inbox->begin > 0) {
		memmove(inbox->store, inbox->store + inbox->begin, inbox->end - inbox->begin);
		inbox->end -= inbox->begin;
		inbox->begin = 0;
	}
	if (inbox->partial)
		ret[count++] =
			(nng_iov){inbox->payload + inbox->have, inbox->payload_bytes - inbox->have};
	ret[count++] = (nng_iov){inbox->store + inbox->end, STORE_BYTES - inbox->end};
	return count;
}

void inbox_fill(struct inbox *inbox, size_t bytes)
{
	if (inbox->partial) {
		const size_t missing = inbox->payload_bytes - inbox->have;
		const size_t part = bytes < missing ? bytes : missing;
		inbox->have += part;
		bytes -= part;
	}
	inbox->end += bytes;
}

bool inbox_greeted(const struct inbox *inbox)
{
	return atomic_load(&inbox->greeted);
}

static int read_greeting(struct inbox *inbox)
{
	if (inbox->end < LINK_GREETING_BYTES)
		return 0;
	if (memcmp(inbox->greeting, link_greeting(inbox->peer), LINK_GREETING_BYTES) != 0)
		return NNG_EPROTO;
	if (memory_alloc(&inbox->store, STORE_BYTES, 1, "connection", NULL) != STATUS_OK)
		return NNG_ENOMEM;
	inbox->end = 0;
	atomic_store(&inbox->greeted, true);
	return 0;
}

/* NNG_EAGAIN: more of the message has to come. */
static int ask_for_it(struct inbox *inbox, const unsigned char *payload, size_t there)
{
	struct link_route route;
	if (!link_route_read(&route, payload, there))
		return there < LINK_WORD * LINK_ROUTE_MAX ? NNG_EAGAIN : NNG_EPROTO;
	const size_t route_bytes = LINK_WORD * route.words;
	const int rv = inbox->may_begin(inbox->context, payload + route_bytes, there - route_bytes);
	if (rv == 0)
		inbox->may_begin = NULL;
	return rv;
}

/* A message begins in the store: makes its buffer and moves there what has come of it. */
static int begin_message(struct inbox *inbox)
{
	const size_t prefix = link_prefix_bytes(inbox->ipc);
	uint64_t payload_bytes;
	if (inbox->end - inbox->begin < prefix)
		return 0;
	if (!link_prefix_read(inbox->store + inbox->begin, inbox->ipc, &payload_bytes) ||
		payload_bytes < LINK_WORD)
		return NNG_EPROTO;
	if (payload_bytes > inbox->max_message_bytes + LINK_WORD * LINK_ROUTE_MAX)
		return NNG_EMSGSIZE;
	if (payload_bytes > INBOX_SMALL && inbox->may_begin) {
		const int rv = ask_for_it(inbox, inbox->store + inbox->begin + prefix,
			inbox->end - inbox->begin - prefix);
		if (rv != 0)
			return rv == NNG_EAGAIN ? 0 : rv;
	}
	struct buffer *buffer = buffer_new(inbox->pool, (size_t)payload_bytes);
	if (!buffer)
		return NNG_ENOMEM;
	inbox->begin += prefix;
	inbox->partial = buffer;
	inbox->payload = buffer->data - LINK_WORD; /* aligned behind a route of one word */
	inbox->payload_bytes = (size_t)payload_bytes;
	const size_t there = inbox->end - inbox->begin;
	inbox->have = there < inbox->payload_bytes ? there : inbox->payload_bytes;
	memcpy(inbox->payload, inbox->store + inbox->begin, inbox->have);
	inbox->begin += inbox->have;
	return 0;
}

int inbox_next(struct inbox *inbox, struct buffer **ret, struct link_route *ret_route)
{
	int rv = 0;
	*ret = NULL;
	if (!inbox->store)
		rv = read_greeting(inbox);
	if (rv == 0 && inbox->store && !inbox->partial)
		rv = begin_message(inbox);
	if (rv != 0 || !inbox->partial || inbox->have < inbox->payload_bytes)
		return rv;
	if (!link_route_read(ret_route, inbox->payload, inbox->payload_bytes))
		return NNG_EPROTO;
	struct buffer *message = inbox->partial;
	const size_t route_bytes = LINK_WORD * ret_route->words;
	message->data = inbox->payload + route_bytes;
	message->length = inbox->payload_bytes - route_bytes;
	if (message->length > inbox->max_message_bytes)
		return NNG_EMSGSIZE;
	inbox->partial = NULL;
	*ret = message;
	return 0;
}
