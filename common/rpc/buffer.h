/*
 * The memory of messages, sent and received.
 *
 * A buffer holds one message, with room in front for what the transport puts there (link.h), and
 * goes from hand to hand: whoever has it owns it. Large ones go back to the pool that they came
 * from and are used again, the newest first, since it is likeliest still in the cache: a server
 * writes a reply where a request lay. Nothing is zeroed. Inside this room only.
 *
 * Threads: a pool is internally locked, a buffer externally.
 */
#ifndef MARQUEE_RPC_BUFFER_H
#define MARQUEE_RPC_BUFFER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* In front of the message. */
#define BUFFER_HEAD ((size_t)64)

#define BUFFER_SPARES 16u
/* Smaller ones are not worth it, larger ones are rare. */
#define BUFFER_SPARE_MIN ((size_t)16 << 10)
#define BUFFER_SPARE_MAX ((size_t)4 << 20)

struct buffer_pool {
	pthread_mutex_t lock; /* guards all */
	struct buffer *spares[BUFFER_SPARES];
	size_t count;
};

struct buffer {
	struct buffer *next; /* for whoever has it in a list */
	struct buffer_pool *pool;
	uint32_t number;     /* the same: which one it is */
	unsigned char *data; /* the message; 8-byte aligned when new */
	size_t length;	     /* its bytes; data + length stays within the capacity when new */
	size_t capacity;     /* behind the head */
};

void buffer_pool_init(struct buffer_pool *pool);
/* All of its buffers are back. */
void buffer_pool_fini(struct buffer_pool *pool);

/*
 * Returns an owned buffer for a message of so many bytes, of which nothing is known: all of them
 * are to be written. NULL without memory.
 */
struct buffer *buffer_new(struct buffer_pool *pool, size_t bytes);
/* Takes NULL. */
void buffer_free(struct buffer *buffer);

#endif
