/*
 * Step calls and pushes that wait: their lists, who becomes ready or expires, and the answers.
 */
#include "pserver/service_internal.h"
#include "pserver/step_rows.h"

#include <stdlib.h>

struct pending_push *ps_find_push(const struct job *job, uint32_t worker, uint64_t sequence)
{
	struct pending_push *push = job->pushes;
	while (push && (push->worker != worker || push->sequence != sequence))
		push = push->next;
	return push;
}

static void free_push(struct pending_push *push)
{
	rpc_kept_release(push->kept);
	free(push->gradients);
	free(push);
}

void ps_finish_push(struct job *job, struct pending_push *push, const struct error *failure)
{
	for (struct step_call *step = job->calls; step; step = step->next) {
		if (!step->pushing || step->worker != push->worker ||
			step->sequence != push->sequence)
			continue;
		step->pushing = false;
		if (failure)
			step->failure = *failure;
	}
	struct pending_push **at = &job->pushes;
	while (*at != push)
		at = &(*at)->next;
	*at = push->next;
	free_push(push);
}

/* Moves *at to the front of the list of those to be answered. */
static void take_out(struct step_call **at, struct step_call **list)
{
	struct step_call *step = *at;
	*at = step->next;
	step->next = *list;
	*list = step;
}

static bool becomes_ready(const struct job *job, struct step_call *step)
{
	if (step->failure.status == STATUS_OK && job->failure.status != STATUS_OK)
		step->failure = job->failure;
	if (step->failure.status != STATUS_OK)
		return true;
	step->next_step = job->next_step;
	const bool ready = !step->pushing && (!step->pull || job_may_pull(job, step->pull->step));
	/* Its rows are read after this, and may be newer. */
	if (ready && step->pull && job->pool)
		job->members[step->worker].rounds = pool_rounds(job->pool);
	return ready;
}

void ps_collect_ready(struct job *job, struct step_call **list)
{
	for (struct step_call **at = &job->calls; *at;) {
		if (becomes_ready(job, *at))
			take_out(at, list);
		else
			at = &(*at)->next;
	}
}

void ps_collect_all(
	struct job *job, uint32_t worker, const struct error *why, struct step_call **list)
{
	for (struct step_call **at = &job->calls; *at;) {
		struct step_call *step = *at;
		if (worker != UINT32_MAX && step->worker != worker) {
			at = &step->next;
			continue;
		}
		step->failure = *why;
		take_out(at, list);
	}
}

void ps_collect_expired(
	struct job *job, uint64_t now_ns, struct step_call **list, uint64_t *ret_next)
{
	*ret_next = UINT64_MAX;
	for (struct step_call **at = &job->calls; *at;) {
		struct step_call *step = *at;
		if (step->deadline_ns > now_ns) {
			if (step->deadline_ns < *ret_next)
				*ret_next = step->deadline_ns;
			at = &step->next;
			continue;
		}
		char text[ERROR_MESSAGE_SIZE];
		job_describe_wait(
			job, step->pull ? step->pull->step : step->push_step, text, sizeof(text));
		error_set(&step->failure, STATUS_DEADLINE_EXCEEDED, "%s", text);
		take_out(at, list);
	}
}

void ps_replace_attempt(struct job *job, const struct step_call *repeat, struct step_call **list)
{
	if (repeat->sequence == 0)
		return; /* a client that does not number its pulls */
	for (struct step_call **at = &job->calls; *at; at = &(*at)->next) {
		if ((*at)->worker != repeat->worker || (*at)->sequence != repeat->sequence)
			continue;
		error_set(
			&(*at)->failure, STATUS_UNAVAILABLE, "a repeat of the call took its place");
		take_out(at, list);
		return;
	}
}

enum status ps_check_parked(const struct job *job, uint32_t worker, struct error *err)
{
	uint32_t parked = 0;
	for (const struct step_call *step = job->calls; step; step = step->next)
		parked += step->worker == worker;
	if (parked < PS_PARKED_MAX)
		return STATUS_OK;
	return error_set(err, STATUS_RESOURCE_EXHAUSTED,
		"worker %u has %u calls waiting already: no more until some are answered", worker,
		parked);
}

static void answer(struct job *job, struct step_call *step)
{
	struct error err;
	if (step->failure.status != STATUS_OK) {
		rpc_server_call_fail_with(step->call, &step->failure);
	} else if (!step->pull) {
		Marquee__Ps__V1__PushReply reply = MARQUEE__PS__V1__PUSH_REPLY__INIT;
		rpc_server_call_reply(step->call, &reply.base);
	} else if (step_rows_pull(job, step, &err) == STATUS_OK) {
		Marquee__Ps__V1__PullReply reply = MARQUEE__PS__V1__PULL_REPLY__INIT;
		reply.step = step->next_step;
		rpc_server_call_reply(step->call, &reply.base);
	} else {
		rpc_server_call_fail_with(step->call, &err);
	}
	rpc_kept_release(step->kept);
	free(step);
}

void ps_answer(struct job *job, struct step_call *list)
{
	while (list) {
		struct step_call *step = list;
		list = step->next;
		answer(job, step);
	}
}

void ps_job_release(struct job *job)
{
	if (atomic_fetch_sub_explicit(&job->references, 1, memory_order_acq_rel) > 1)
		return;
	while (job->pushes) {
		struct pending_push *push = job->pushes;
		job->pushes = push->next;
		free_push(push);
	}
	job_free(job);
}
