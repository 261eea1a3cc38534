/*
 * Messages that have been read, kept to be written and sent.
 *
 * nng zeroes the memory of every message that it makes, a pass of its own over each reply, and one
 * that pushes what the reply is about to be made of out of the cache. A request that has been
 * answered is memory of just the size that the next reply needs. Inside this room only (it shows
 * nng).
 *
 * Threads: internally locked.
 */
#ifndef MARQUEE_RPC_MESSAGE_POOL_H
#define MARQUEE_RPC_MESSAGE_POOL_H

#include <nng/nng.h>
#include <pthread.h>
#include <stddef.h>

#define MESSAGE_POOL_SPARES 8u
/* Smaller ones are not worth it, larger ones are rare. */
#define MESSAGE_POOL_MIN ((size_t)16 << 10)
#define MESSAGE_POOL_MAX ((size_t)4 << 20)

struct message_pool {
	pthread_mutex_t lock; /* guards all */
	nng_msg *spares[MESSAGE_POOL_SPARES];
	size_t count;
};

void message_pool_init(struct message_pool *pool);
void message_pool_fini(struct message_pool *pool);

/* Takes a message that nobody else refers to. */
void message_pool_give(struct message_pool *pool, nng_msg *message);
/*
 * An owned message with a body of so many bytes, 8-byte aligned, of which nothing is known: all of
 * them are to be written. NULL: there is none that fits.
 */
nng_msg *message_pool_take(struct message_pool *pool, size_t bytes);

#endif
