#include "pserver/crew.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Looks at the next work, and at helpers that have not finished, before a thread sleeps. */
#define LOOKS 400u

struct crew {
	atomic_bool taken;

	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there is work, or stopping */
	pthread_cond_t idle;   /* inside is 0 */
	/* Guarded by lock; the atomic ones are looked at without it, too. */
	pthread_t threads[CREW_HELPERS_MAX];
	uint32_t helpers, started;
	bool stopping;
	atomic_uint work; /* its number */
	bool open;	  /* a helper may begin with it */
	uint32_t parts;
	void (*part)(void *context, uint32_t i);
	void *context;
	atomic_uint inside; /* helpers that have begun and not finished */

	atomic_uint next; /* part */
};

uint32_t crew_helpers_default(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	const uint32_t others = (uint32_t)CPU_COUNT(&set) - 1;
	return others < CREW_HELPERS_MAX ? others : CREW_HELPERS_MAX;
}

enum status crew_new(struct crew **ret, uint32_t helpers, struct error *err)
{
	struct crew *crew;
	enum status status = memory_zalloc(&crew, 1, sizeof(*crew), "crew", err);
	if (status != STATUS_OK)
		return status;
	crew->helpers = helpers < CREW_HELPERS_MAX ? helpers : CREW_HELPERS_MAX;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->wanted, NULL);
	pthread_cond_init(&crew->idle, NULL);
	*ret = crew;
	return STATUS_OK;
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->stopping = true;
	pthread_cond_broadcast(&crew->wanted);
	pthread_mutex_unlock(&crew->lock);
	for (uint32_t i = 0; i < crew->started; i++)
		pthread_join(crew->threads[i], NULL);
	pthread_cond_destroy(&crew->idle);
	pthread_cond_destroy(&crew->wanted);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

bool crew_take(struct crew *crew)
{
	return crew && !atomic_exchange(&crew->taken, true);
}

void crew_leave(struct crew *crew)
{
	atomic_store(&crew->taken, false);
}

/* Looks whether a counter has come to another value, or to this one, for a moment. */
static void look(atomic_uint *counter, unsigned int value, bool until_equal)
{
	for (uint32_t i = 0; i < LOOKS; i++) {
		if ((atomic_load_explicit(counter, memory_order_acquire) == value) == until_equal)
			return;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
}

/* The lock is held, and is free while the helper works. */
static void help(struct crew *crew)
{
	const uint32_t parts = crew->parts;
	void (*const part)(void *, uint32_t) = crew->part;
	void *const context = crew->context;
	atomic_fetch_add(&crew->inside, 1);
	pthread_mutex_unlock(&crew->lock);
	for (uint32_t i; (i = atomic_fetch_add(&crew->next, 1)) < parts;)
		part(context, i);
	const unsigned int done = atomic_load(&crew->work);
	/* From here on the work's owner may go on. */
	const bool last = atomic_fetch_sub(&crew->inside, 1) == 1;
	if (last) {
		pthread_mutex_lock(&crew->lock);
		pthread_cond_signal(&crew->idle);
		pthread_mutex_unlock(&crew->lock);
	}
	look(&crew->work, done, false);
	pthread_mutex_lock(&crew->lock);
}

static void *helper(void *argument)
{
	struct crew *crew = argument;
	unsigned int seen = 0;
	pthread_mutex_lock(&crew->lock);
	while (!crew->stopping) {
		const unsigned int work = atomic_load(&crew->work);
		if (work == seen) {
			pthread_cond_wait(&crew->wanted, &crew->lock);
			continue;
		}
		seen = work;
		if (crew->open)
			help(crew);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* The lock is held. Signals are for the program's own threads. */
static void start(struct crew *crew)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (crew->started < crew->helpers &&
		pthread_create(&crew->threads[crew->started], NULL, helper, crew) == 0)
		crew->started++;
	crew->helpers = crew->started;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void crew_run(
	struct crew *crew, uint32_t parts, void (*part)(void *context, uint32_t i), void *context)
{
	pthread_mutex_lock(&crew->lock);
	if (crew->started < crew->helpers)
		start(crew);
	crew->open = true;
	crew->parts = parts;
	crew->part = part;
	crew->context = context;
	atomic_store(&crew->next, 0);
	atomic_fetch_add(&crew->work, 1);
	pthread_mutex_unlock(&crew->lock);
	pthread_cond_broadcast(&crew->wanted);
	for (uint32_t i; (i = atomic_fetch_add(&crew->next, 1)) < parts;)
		part(context, i);
	pthread_mutex_lock(&crew->lock);
	crew->open = false;
	pthread_mutex_unlock(&crew->lock);
	look(&crew->inside, 0, true);
	if (atomic_load(&crew->inside) == 0)
		return;
	pthread_mutex_lock(&crew->lock);
	while (atomic_load(&crew->inside) > 0)
		pthread_cond_wait(&crew->idle, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
}
