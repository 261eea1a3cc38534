#include "common/rpc/message_pool.h"

#include <stdint.h>

/* A reply's message is nng's from then on: a large one is not spent on a small reply. */
#define WASTE_MAX 4u
#define ALIGNMENT 8u

void message_pool_init(struct message_pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->count = 0;
}

void message_pool_fini(struct message_pool *pool)
{
	while (pool->count > 0)
		nng_msg_free(pool->spares[--pool->count]);
	pthread_mutex_destroy(&pool->lock);
}

void message_pool_give(struct message_pool *pool, nng_msg *message)
{
	const size_t capacity = nng_msg_capacity(message);
	if (capacity >= MESSAGE_POOL_MIN && capacity <= MESSAGE_POOL_MAX) {
		pthread_mutex_lock(&pool->lock);
		if (pool->count < MESSAGE_POOL_SPARES) {
			pool->spares[pool->count++] = message;
			message = NULL;
		}
		pthread_mutex_unlock(&pool->lock);
	}
	if (message)
		nng_msg_free(message);
}

/* The newest that fits: it is likeliest still in the cache. */
static nng_msg *find(struct message_pool *pool, size_t bytes)
{
	nng_msg *found = NULL;
	pthread_mutex_lock(&pool->lock);
	for (size_t i = pool->count; i-- > 0 && !found;) {
		const size_t capacity = nng_msg_capacity(pool->spares[i]);
		if (capacity < bytes || capacity / WASTE_MAX > bytes)
			continue;
		found = pool->spares[i];
		pool->count--;
		for (; i < pool->count; i++)
			pool->spares[i] = pool->spares[i + 1];
	}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

nng_msg *message_pool_take(struct message_pool *pool, size_t bytes)
{
	if (bytes < MESSAGE_POOL_MIN / WASTE_MAX)
		return NULL;
	nng_msg *message = find(pool, bytes + ALIGNMENT);
	if (!message)
		return NULL;
	/* Within the capacity: nothing is allocated, and nothing can fail. */
	nng_msg_clear(message);
	if (nng_msg_realloc(message, bytes + ALIGNMENT) != 0) {
		nng_msg_free(message);
		return NULL;
	}
	const size_t skipped = -(uintptr_t)nng_msg_body(message) % ALIGNMENT;
	(void)nng_msg_trim(message, skipped);
	(void)nng_msg_chop(message, ALIGNMENT - skipped);
	return message;
}
