#include "common/rpc/buffer.h"

#include "common/base/memory.h"

#include <stdlib.h>

/* A reply's buffer is away until it is sent: a large one is not spent on a small message. */
#define WASTE_MAX 4u

/* Memory: the buffer itself, the head, the message. */
#define MESSAGE_AT (sizeof(struct buffer) + BUFFER_HEAD)
_Static_assert(MESSAGE_AT % 8 == 0, "messages are aligned");

void buffer_pool_init(struct buffer_pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->count = 0;
}

void buffer_pool_fini(struct buffer_pool *pool)
{
	while (pool->count > 0)
		free(pool->spares[--pool->count]);
	pthread_mutex_destroy(&pool->lock);
}

/* The newest that fits. */
static struct buffer *take_spare(struct buffer_pool *pool, size_t bytes)
{
	struct buffer *found = NULL;
	pthread_mutex_lock(&pool->lock);
	for (size_t i = pool->count; i-- > 0 && !found;) {
		const size_t capacity = pool->spares[i]->capacity;
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

struct buffer *buffer_new(struct buffer_pool *pool, size_t bytes)
{
	struct buffer *buffer = NULL;
	if (bytes > SIZE_MAX - MESSAGE_AT)
		return NULL;
	if (bytes >= BUFFER_SPARE_MIN / WASTE_MAX)
		buffer = take_spare(pool, bytes);
	size_t capacity = bytes;
	if (buffer)
		capacity = buffer->capacity;
	else if (memory_alloc(&buffer, 1, MESSAGE_AT + bytes, "message", NULL) != STATUS_OK)
		return NULL;
	*buffer = (struct buffer){
		.pool = pool,
		.data = (unsigned char *)buffer + MESSAGE_AT,
		.length = bytes,
		.capacity = capacity,
	};
	return buffer;
}

void buffer_free(struct buffer *buffer)
{
	if (!buffer)
		return;
	struct buffer_pool *pool = buffer->pool;
	if (buffer->capacity >= BUFFER_SPARE_MIN && buffer->capacity <= BUFFER_SPARE_MAX) {
		pthread_mutex_lock(&pool->lock);
		if (pool->count < BUFFER_SPARES) {
			pool->spares[pool->count++] = buffer;
			buffer = NULL;
		}
		pthread_mutex_unlock(&pool->lock);
	}
	free(buffer);
}
