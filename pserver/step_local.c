/* A step that workers bring in memory that they share with the server. */
#include "pserver/service_internal.h"

static enum status check_step(
	const struct ps_server *server, const struct job *job, uint64_t step, struct error *err)
{
	if (server->closing || !job || job->spec.mode != JOB_SYNC)
		return error_set(err, STATUS_FAILED_PRECONDITION, "shard %u has no synchronous job",
			server->shard_index);
	if (job->failure.status != STATUS_OK)
		return error_set(err, job->failure.status, "%s", job->failure.message);
	if (job->restoring > 0)
		return error_set(err, STATUS_UNAVAILABLE,
			"shard %u is still restoring rows of a checkpoint", server->shard_index);
	if (job->next_step != step || job->applying || job->pushes)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"shard %u is at step %llu, not at step %llu, or has begun it",
			server->shard_index, (unsigned long long)job->next_step,
			(unsigned long long)step);
	return STATUS_OK;
}

/* Takes all pushes or none. The lock is held. */
static enum status take_pushes(struct job *job, const struct ps_step *step, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; i < step->push_count && status == STATUS_OK; i++) {
		const struct ps_push *push = &step->pushes[i];
		const struct aggregate_segment segment = {.table = push->table,
			.slot = push->slot,
			.examples = push->examples,
			.n = push->count,
			.ids = push->ids,
			.gradients = push->gradients};
		status = aggregate_add(job->aggregate, &segment, err);
	}
	if (status == STATUS_OK)
		job_accept_pushes(job);
	else
		aggregate_cut(job->aggregate, 0);
	return status;
}

enum status ps_server_step(struct ps_server *server, const struct ps_step *step, struct error *err)
{
	struct step_call *list = NULL;
	pthread_mutex_lock(&server->lock);
	struct job *job = server->job;
	enum status status = check_step(server, job, step->step, err);
	if (status == STATUS_OK)
		status = take_pushes(job, step, err);
	if (status != STATUS_OK) {
		pthread_mutex_unlock(&server->lock);
		return status;
	}
	atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
	job->last_heard_ns = clock_now_ns(server->clock);
	ps_apply_complete_step(server, job);
	if (job->failure.status != STATUS_OK)
		status = error_set(err, job->failure.status, "%s", job->failure.message);
	ps_collect_ready(job, &list);
	pthread_mutex_unlock(&server->lock);
	ps_answer(job, list);
	for (size_t i = 0; i < step->pull_count && status == STATUS_OK; i++) {
		const struct ps_pull *pull = &step->pulls[i];
		status = store_pull(
			job->store, pull->table, pull->ids, pull->count, pull->rows, err);
	}
	ps_job_release(job);
	return status;
}
