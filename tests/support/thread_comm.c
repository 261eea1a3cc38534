#include "tests/support/thread_comm.h"

#include "tests/support/suite.h"
#include "worker/comm_shared.h"

#include <pthread.h>
#include <sys/mman.h>

#define DEADLINE_S 60

struct thread {
	struct comm_shared comm;
	thread_worker *function;
	void *context;
};

static void *worker_main(void *argument)
{
	struct thread *self = argument;
	self->function(self->context, &self->comm.comm);
	comm_shared_leave(&self->comm);
	return NULL;
}

void thread_group_run(uint32_t workers, thread_worker *function, void *context)
{
	struct thread group[LANES_MAX];
	pthread_t threads[LANES_MAX];
	size_t bytes = comm_shared_bytes(workers);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert(memory != MAP_FAILED);
	comm_shared_prepare(memory);
	for (uint32_t w = 0; w < workers; w++) {
		group[w].function = function;
		group[w].context = context;
		comm_shared_init(&group[w].comm, memory, w, workers, DEADLINE_S);
		ck_assert_int_eq(pthread_create(&threads[w], NULL, worker_main, &group[w]), 0);
	}
	for (uint32_t w = 0; w < workers; w++)
		pthread_join(threads[w], NULL);
	munmap(memory, bytes);
}
