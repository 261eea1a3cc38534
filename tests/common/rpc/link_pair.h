/*
 * A link and the plain socket at its other end.
 *
 * Threads: the pair belongs to one; what the link's callbacks count is internally locked.
 */
#ifndef MARQUEE_TESTS_LINK_PAIR_H
#define MARQUEE_TESTS_LINK_PAIR_H

#include "common/rpc/link.h"
#include "tests/common/rpc/raw_peer.h"
#include "tests/support/scratch.h"

#include <pthread.h>

struct link_pair {
	struct link *link;
	int peer;
	struct buffer_pool pool;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by lock. */
	uint32_t sent, gone, received;
	int received_rv;
	/* The listening side. */
	char directory[PATH_SIZE];
	nng_stream_listener *listener;
};

struct link_pair_options {
	enum link_side side; /* of the link */
	bool ipc, callback;  /* on a local socket; with on_received */
	size_t max_message_bytes;
};

/* They are connected; the peer has said nothing yet. */
void link_pair_open(struct link_pair *pair, const struct link_pair_options *options);
/* Both have greeted each other. */
void link_pair_greet(struct link_pair *pair);
/* Gives up the link, and waits until it is gone, once. */
void link_pair_close(struct link_pair *pair);

/* Waits until so many messages were told as sent; exactly so many. */
void link_pair_wait_sent(struct link_pair *pair, uint32_t count);
/* Until on_received has come so often; gives its last rv. */
int link_pair_wait_received(struct link_pair *pair, uint32_t count);

/* Receives until there is a message, or an error. */
int link_pair_next(struct link_pair *pair, struct buffer **ret, struct link_route *ret_route);
/* A buffer of the pair's pool with these bytes. */
struct buffer *link_pair_buffer(struct link_pair *pair, const void *bytes, size_t size);

#endif
