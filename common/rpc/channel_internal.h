/* What channel.c and call.c share. Inside this room only. */
#ifndef MARQUEE_RPC_CHANNEL_INTERNAL_H
#define MARQUEE_RPC_CHANNEL_INTERNAL_H

#include "common/rpc/channel.h"

#include <nng/nng.h>
#include <stdatomic.h>

struct rpc_channel {
	/* Immutable after open. */
	nng_socket socket;
	nng_dialer dialer;
	char *url;
	char *job;
	unsigned char *token;
	size_t token_bytes;
	uint32_t worker;
	uint64_t incarnation;
	uint32_t attempt_ms;
	size_t max_message_bytes;
	const struct clock *clock;
	/* Shared by the calls. */
	atomic_uint_fast64_t sequence; /* the last one given out */
	atomic_uint_fast64_t calls;
	atomic_uint_fast64_t attempts;
	atomic_uint_fast64_t bytes_sent;
	atomic_uint_fast64_t bytes_received;
	atomic_uint unanswered; /* requests that were sent and may still be answered */
};

#endif
