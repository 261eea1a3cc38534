/*
 * Pull, Push and PushPull: the life of a step on the server.
 *
 * Design notes. A request is read and checked, its push is accepted (from then on a repeat is
 * recognised), and a struct step_call is put into the job's list. Whatever changes the job - a step
 * was applied, a clock moved, somebody left - then takes those calls out of the list that have
 * become answerable, lets go of the lock, and answers them. So there is one way to an answer, and
 * rows are copied outside the lock, on the thread that made the answer possible.
 *
 * A handler does not touch its step_call after the lock was free: another thread may have answered
 * it.
 */
#include "pserver/service_internal.h"
#include "pserver/step_request.h"
#include "pserver/step_rows.h"

#include <stdlib.h>
#include <string.h>

/* ---- pushing ------------------------------------------------------------------------------- */

static enum status add_segments(const struct job *job, struct aggregate *aggregate,
	const struct step_request *request, struct error *err)
{
	const unsigned char *ids = request->push_ids;
	const unsigned char *gradients = request->push_gradients;
	size_t before = aggregate_count(aggregate);
	for (size_t i = 0; i < request->push->n_segments; i++) {
		const Marquee__Ps__V1__Segment *from = request->push->segments[i];
		/* Floats: the raw part lies at a multiple of 4, and so does everything in it. */
		const struct aggregate_segment segment = {.table = from->table,
			.slot = from->slot,
			.examples = from->examples,
			.n = from->count,
			.ids = ids,
			.gradients = (const float *)(const void *)gradients};
		enum status status = aggregate_add(aggregate, &segment, err);
		if (status != STATUS_OK) {
			aggregate_cut(aggregate, before);
			return status;
		}
		ids += from->count * sizeof(uint64_t);
		gradients +=
			(size_t)from->count * job->spec.tables[from->table].dim * sizeof(float);
	}
	return STATUS_OK;
}

/* Accepts a new push: from here on its arrays are kept and a repeat is recognised. */
static enum status accept_push(struct job *job, struct step_call *step,
	struct step_request *request, struct pending_push **ret, struct error *err)
{
	enum status status = STATUS_OK;
	if (job->failure.status != STATUS_OK)
		return error_set(err, job->failure.status, "%s", job->failure.message);
	status = job_check_push(job, step->worker, request->push->step, err);
	if (status != STATUS_OK)
		return status;
	struct pending_push *push = calloc(1, sizeof(*push));
	if (!push)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a push");
	size_t before = aggregate_count(job->aggregate);
	if (job->spec.mode == JOB_SYNC)
		status = add_segments(job, job->aggregate, request, err);
	if (status != STATUS_OK) {
		free(push);
		return status;
	}
	step->kept = rpc_server_call_keep(step->call);
	if (!step->kept) {
		aggregate_cut(job->aggregate, before);
		free(push);
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a push");
	}
	push->worker = step->worker;
	push->sequence = step->sequence;
	push->kept = rpc_kept_hold(step->kept);
	push->gradients = request->widened;
	request->widened = NULL;
	push->next = job->pushes;
	job->pushes = push;
	job_accept_push(job, step->worker, step->sequence, request->push->step);
	*ret = push;
	return STATUS_OK;
}

/* Sets step->pushing, and *ret_new to the push if it is one that was not there before. */
static enum status admit_push(struct job *job, struct step_call *step, struct step_request *request,
	struct pending_push **ret_new, struct error *err)
{
	const struct sequence_window *pushes = &job->members[step->worker].pushes;
	step->push_step = request->push->step;
	switch (sequence_check(pushes, step->sequence)) {
	case SEQUENCE_OLD:
		return error_set(err, STATUS_ABORTED,
			"push %llu of worker %u is too old to tell whether it was applied",
			(unsigned long long)step->sequence, step->worker);
	case SEQUENCE_REPEAT:
		job->repeats_answered++;
		step->pushing = ps_find_push(job, step->worker, step->sequence) != NULL;
		return STATUS_OK;
	case SEQUENCE_NEW:
	default:
		step->pushing = true;
		return accept_push(job, step, request, ret_new, err);
	}
}

void ps_apply_complete_step(struct ps_server *server, struct job *job)
{
	if (job->applying || job->failure.status != STATUS_OK || !job_step_is_complete(job))
		return;
	struct error err;
	uint64_t step = job->next_step;
	job->applying = true;
	pthread_mutex_unlock(&server->lock);
	enum status status = aggregate_apply(job->aggregate, step + 1, &err);
	pthread_mutex_lock(&server->lock);
	job->applying = false;
	if (status == STATUS_OK)
		job_step_applied(job);
	else
		error_set(&job->failure, status, "a push could not be applied: %s", err.message);
	while (job->pushes)
		ps_finish_push(job, job->pushes, NULL);
}

static struct aggregate *take_spare(struct job *job)
{
	return job->spare_count > 0 ? job->spares[--job->spare_count] : NULL;
}

static void give_spare(struct job *job, struct aggregate *aggregate)
{
	if (aggregate && job->spare_count < JOB_SPARES_MAX)
		job->spares[job->spare_count++] = aggregate;
	else
		aggregate_free(aggregate);
}

/*
 * ssp, async: applies one push. Lets go of the lock meanwhile; the request's arrays are kept by the
 * push.
 */
static void apply_on_arrival(struct ps_server *server, struct job *job, struct pending_push *push,
	const struct step_request *request)
{
	struct error err = {0};
	uint64_t step = request->push->step;
	uint64_t rounds_old = pool_rounds(job->pool) - job->members[push->worker].rounds;
	struct aggregate *aggregate = take_spare(job);
	pthread_mutex_unlock(&server->lock);
	enum status status = STATUS_OK;
	if (!aggregate)
		status = aggregate_new(&aggregate, job->store, &err);
	if (status == STATUS_OK)
		aggregate_use_pool(aggregate, job->pool, pool_weight(rounds_old));
	if (status == STATUS_OK)
		status = add_segments(job, aggregate, request, &err);
	bool touched = false;
	if (status == STATUS_OK) {
		status = aggregate_apply(aggregate, step + 1, &err);
		if (status == STATUS_OK)
			status = pool_end_push(job->pool, &err);
		touched = status != STATUS_INVALID_ARGUMENT;
	}
	pthread_mutex_lock(&server->lock);
	give_spare(job, aggregate);
	if (status == STATUS_OK) {
		job_push_applied(job, push->worker, step);
		ps_finish_push(job, push, NULL);
		return;
	}
	if (touched)
		error_set(&job->failure, status, "a push could not be applied: %s", err.message);
	else
		sequence_forget(&job->members[push->worker].pushes, push->sequence);
	ps_finish_push(job, push, &err);
}

void ps_flush_pool(struct ps_server *server, struct job *job)
{
	struct error err;
	if (!job->pool)
		return;
	pthread_mutex_unlock(&server->lock);
	enum status status = pool_flush(job->pool, &err);
	pthread_mutex_lock(&server->lock);
	if (status != STATUS_OK)
		error_set(&job->failure, status, "a push could not be applied: %s", err.message);
}

/* ---- handlers ------------------------------------------------------------------------------ */

static enum status new_step_call(struct step_call **ret, struct rpc_server_call *call,
	const struct step_request *request, struct error *err)
{
	struct step_call *step = calloc(1, sizeof(*step));
	if (!step)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a call");
	const struct rpc_caller *caller = rpc_server_call_caller(call);
	step->call = call;
	step->worker = caller->worker;
	step->sequence = caller->sequence;
	step->deadline_ns = rpc_server_call_deadline_ns(call);
	step->pull = request->pull;
	step->pull_ids = request->pull_ids;
	step->reply_bytes = request->reply_bytes;
	*ret = step;
	return STATUS_OK;
}

/* Without the lock: it looks at what never changes in a job. */
static enum status read_request(const struct ps_server *server, const struct job *job,
	struct rpc_server_call *call, struct step_request *request, struct step_call **ret,
	struct error *err)
{
	enum status status =
		step_request_measure(request, job, rpc_server_call_caller(call)->worker,
			rpc_server_call_raw(call), server->max_message_bytes, err);
	if (status == STATUS_OK)
		status = step_rows_widen(request, err);
	if (status == STATUS_OK)
		status = new_step_call(ret, call, request, err);
	return status;
}

/* Takes the lock again, for the job that the request was read for. Free on failure. */
static enum status lock_again(struct ps_server *server, struct rpc_server_call *call,
	const struct job *job, struct error *err)
{
	struct job *now;
	enum status status = ps_lock_job(server, call, &now, err);
	if (status != STATUS_OK)
		return status;
	bool same = now == job;
	ps_job_release(now); /* the server and, if it is the same, the caller have references */
	if (same)
		return STATUS_OK;
	pthread_mutex_unlock(&server->lock);
	return error_set(err, STATUS_UNAVAILABLE, "the job was started again meanwhile");
}

/* The lock is held. The call is in the job's list afterwards, or answered by `list`. */
static void run_step(struct ps_server *server, struct job *job, struct step_call *step,
	struct pending_push *push, const struct step_request *request, struct step_call **list)
{
	const uint64_t deadline_ns = step->deadline_ns;
	step->next = job->calls;
	job->calls = step;
	if (push && job->spec.mode == JOB_SYNC)
		ps_apply_complete_step(server, job);
	else if (push)
		apply_on_arrival(server, job, push, request);
	ps_collect_ready(job, list);
	/* The sweeper is not woken for a call that can be answered at once. */
	if (job->calls && deadline_ns < server->sweep_at_ns)
		pthread_cond_signal(&server->sweep);
}

static void handle(
	struct ps_server *server, struct rpc_server_call *call, struct step_request request)
{
	struct error err;
	struct job *job;
	struct step_call *step = NULL;
	struct step_call *list = NULL;
	struct pending_push *push = NULL;
	if (ps_lock_job(server, call, &job, &err) != STATUS_OK) {
		rpc_server_call_fail_with(call, &err);
		return;
	}
	pthread_mutex_unlock(&server->lock);
	enum status status = read_request(server, job, call, &request, &step, &err);
	if (status == STATUS_OK)
		status = lock_again(server, call, job, &err);
	if (status == STATUS_OK) {
		ps_replace_attempt(job, step, &list);
		status = ps_check_parked(job, step->worker, &err);
		if (status == STATUS_OK && request.push)
			status = admit_push(job, step, &request, &push, &err);
		if (status == STATUS_OK)
			run_step(server, job, step, push, &request, &list);
		pthread_mutex_unlock(&server->lock);
	}
	ps_answer(job, list);
	if (status != STATUS_OK) {
		free(step);
		rpc_server_call_fail_with(call, &err);
	}
	free(request.widened);
	ps_job_release(job);
}

void ps_pull(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PullRequest *input, Marquee__Ps__V1__PullReply_Closure closure,
	void *closure_data)
{
	(void)closure;
	handle((struct ps_server *)service, closure_data, (struct step_request){.pull = input});
}

void ps_push(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PushRequest *input, Marquee__Ps__V1__PushReply_Closure closure,
	void *closure_data)
{
	(void)closure;
	handle((struct ps_server *)service, closure_data, (struct step_request){.push = input});
}

void ps_push_pull(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__PushPullRequest *input, Marquee__Ps__V1__PullReply_Closure closure,
	void *closure_data)
{
	(void)closure;
	struct error err;
	if (!input->push || !input->pull) {
		error_set(&err, STATUS_INVALID_ARGUMENT,
			"PushPull without its push or without its pull");
		rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	handle((struct ps_server *)service, closure_data,
		(struct step_request){.push = input->push, .pull = input->pull});
}
