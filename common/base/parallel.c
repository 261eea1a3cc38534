#include "common/base/parallel.h"

#include <pthread.h>

struct call {
	void (*function)(void *context);
	void *context;
};

static void *run(void *argument)
{
	const struct call *call = argument;
	call->function(call->context);
	return NULL;
}

void parallel_run(uint32_t members, void (*function)(void *context), void *context)
{
	pthread_t threads[PARALLEL_MEMBERS_MAX];
	struct call call = {function, context};
	uint32_t started = 0;
	if (members > PARALLEL_MEMBERS_MAX)
		members = PARALLEL_MEMBERS_MAX;
	while (started + 1 < members && pthread_create(&threads[started], NULL, run, &call) == 0)
		started++;
	function(context);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}
