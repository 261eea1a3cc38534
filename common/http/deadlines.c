#include "common/http/deadlines.h"

#include "common/base/clock.h"
#include "common/base/condition.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_PER_MS	 UINT64_C(1000000)
#define LOOKS_IN_TIMEOUT 8u /* a connection is late by this part of its time at most */

struct deadline {
	struct deadline *next, *previous;
	_Atomic uint64_t ends_ns;
	int descriptor;
};

struct deadlines {
	uint64_t timeout_ns; /* immutable */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool stop;
	uint32_t count;
	struct deadline *first;
};

static uint64_t now_ns(void)
{
	return clock_now_ns(clock_real());
}

/* A socket that was shut down reads as ended: its owner closes it, and removes it first. */
static void *watch(void *argument)
{
	struct deadlines *deadlines = argument;
	pthread_mutex_lock(&deadlines->lock);
	while (!deadlines->stop) {
		const uint64_t next_ns = now_ns() + deadlines->timeout_ns / LOOKS_IN_TIMEOUT;
		(void)condition_wait_until(&deadlines->wake, &deadlines->lock, next_ns);
		const uint64_t now = now_ns();
		for (struct deadline *d = deadlines->first; d; d = d->next)
			if (atomic_load(&d->ends_ns) < now)
				(void)shutdown(d->descriptor, SHUT_RDWR);
	}
	pthread_mutex_unlock(&deadlines->lock);
	return NULL;
}

enum status deadlines_new(struct deadlines **ret, uint32_t timeout_ms, struct error *err)
{
	struct deadlines *deadlines;
	enum status status = memory_zalloc(&deadlines, 1, sizeof(*deadlines), "deadlines", err);
	if (status != STATUS_OK)
		return status;
	deadlines->timeout_ns = timeout_ms * NS_PER_MS;
	pthread_mutex_init(&deadlines->lock, NULL);
	condition_init(&deadlines->wake);
	const int failed = pthread_create(&deadlines->thread, NULL, watch, deadlines);
	if (failed != 0) {
		pthread_cond_destroy(&deadlines->wake);
		pthread_mutex_destroy(&deadlines->lock);
		free(deadlines);
		return error_set_errno(err, failed, "a thread that watches connections");
	}
	*ret = deadlines;
	return STATUS_OK;
}

void deadlines_free(struct deadlines *deadlines)
{
	if (!deadlines)
		return;
	pthread_mutex_lock(&deadlines->lock);
	deadlines->stop = true;
	pthread_cond_signal(&deadlines->wake);
	pthread_mutex_unlock(&deadlines->lock);
	(void)pthread_join(deadlines->thread, NULL);
	pthread_cond_destroy(&deadlines->wake);
	pthread_mutex_destroy(&deadlines->lock);
	free(deadlines);
}

struct deadline *deadlines_add(struct deadlines *deadlines, int descriptor)
{
	struct deadline *deadline;
	if (memory_zalloc(&deadline, 1, sizeof(*deadline), "connection", NULL) != STATUS_OK)
		return NULL;
	deadline->descriptor = descriptor;
	deadline_set(deadlines, deadline);
	pthread_mutex_lock(&deadlines->lock);
	deadline->next = deadlines->first;
	if (deadlines->first)
		deadlines->first->previous = deadline;
	deadlines->first = deadline;
	deadlines->count++;
	pthread_mutex_unlock(&deadlines->lock);
	return deadline;
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	pthread_mutex_lock(&deadlines->lock);
	if (deadline->next)
		deadline->next->previous = deadline->previous;
	if (deadline->previous)
		deadline->previous->next = deadline->next;
	else
		deadlines->first = deadline->next;
	deadlines->count--;
	pthread_mutex_unlock(&deadlines->lock);
	free(deadline);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline)
{
	atomic_store(&deadline->ends_ns, now_ns() + deadlines->timeout_ns);
}

uint32_t deadlines_count(struct deadlines *deadlines)
{
	pthread_mutex_lock(&deadlines->lock);
	const uint32_t count = deadlines->count;
	pthread_mutex_unlock(&deadlines->lock);
	return count;
}
