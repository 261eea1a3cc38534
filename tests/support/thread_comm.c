#include "tests/support/thread_comm.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEADLINE_S 60

struct thread_comm {
	struct comm comm; /* first: the interface */
	struct thread_group *group;
	thread_worker *function;
	void *context;
};

static struct thread_group *group_of(struct comm *comm)
{
	return ((struct thread_comm *)comm)->group;
}

static enum status meet(struct thread_group *group, struct error *err)
{
	enum status status = STATUS_OK;
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += DEADLINE_S;
	pthread_mutex_lock(&group->lock);
	uint64_t round = group->round;
	if (++group->arrived == group->workers) {
		group->arrived = 0;
		group->round++;
		pthread_cond_broadcast(&group->changed);
	}
	while (status == STATUS_OK && group->round == round) {
		if (group->left)
			status = error_set(err, STATUS_ABORTED, "another worker has left the job");
		else if (pthread_cond_timedwait(&group->changed, &group->lock, &end) == ETIMEDOUT)
			status = error_set(err, STATUS_DEADLINE_EXCEEDED, "another worker is late");
	}
	pthread_mutex_unlock(&group->lock);
	return status;
}

static enum status all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err)
{
	struct thread_group *group = group_of(comm);
	group->pointers[comm->rank] = bytes;
	enum status status = meet(group, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t w = 0; w < comm->workers; w++)
		memcpy((char *)out + w * size, group->pointers[w], size);
	return meet(group, err);
}

static enum status broadcast(struct comm *comm, void *bytes, size_t size, struct error *err)
{
	struct thread_group *group = group_of(comm);
	group->pointers[comm->rank] = bytes;
	enum status status = meet(group, err);
	if (status != STATUS_OK)
		return status;
	if (comm->rank != 0)
		memcpy(bytes, group->pointers[0], size);
	return meet(group, err);
}

static enum status tree_sum(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
	float *const *sums, uint32_t span_count, size_t n, struct error *err)
{
	struct thread_group *group = group_of(comm);
	float *total = malloc(n * sizeof(*total));
	ck_assert_ptr_nonnull(total);
	/* Every lane belongs to one worker: its slots are its own to write. */
	struct lane_span block = lane_block(lanes, comm->rank, comm->workers);
	for (uint32_t l = 0; l < block.count; l++)
		group->slots[block.first + l] = NULL;
	for (uint32_t s = 0; s < span_count; s++)
		group->slots[spans[s].first] = sums[s];
	enum status status = meet(group, err);
	if (status == STATUS_OK) {
		lane_tree_sum(total, group->slots, lanes, n);
		status = meet(group, err);
	}
	if (status == STATUS_OK)
		memcpy(sums[0], total, n * sizeof(*total));
	free(total);
	return status;
}

static const struct comm_operations operations = {
	.all_gather = all_gather, .broadcast = broadcast, .tree_sum = tree_sum};

static void *worker_main(void *argument)
{
	struct thread_comm *self = argument;
	self->function(self->context, &self->comm);
	pthread_mutex_lock(&self->group->lock);
	self->group->left = true;
	pthread_cond_broadcast(&self->group->changed);
	pthread_mutex_unlock(&self->group->lock);
	return NULL;
}

void thread_group_run(uint32_t workers, thread_worker *function, void *context)
{
	struct thread_group group = {.workers = workers};
	struct thread_comm comms[LANES_MAX];
	pthread_t threads[LANES_MAX];
	pthread_mutex_init(&group.lock, NULL);
	pthread_cond_init(&group.changed, NULL);
	for (uint32_t w = 0; w < workers; w++) {
		comms[w] = (struct thread_comm){
			.comm = {.rank = w, .workers = workers, .operations = &operations},
			.group = &group,
			.function = function,
			.context = context,
		};
		ck_assert_int_eq(pthread_create(&threads[w], NULL, worker_main, &comms[w]), 0);
	}
	for (uint32_t w = 0; w < workers; w++)
		pthread_join(threads[w], NULL);
	pthread_cond_destroy(&group.changed);
	pthread_mutex_destroy(&group.lock);
}
