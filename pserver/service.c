#include "pserver/service_internal.h"

#include "common/base/condition.h"
#include "common/base/memory.h"
#include "pserver/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S     UINT64_C(1000000000)
#define POLL_MAX_NS  (NS_PER_S / 20) /* how stale the sweeper's idea of a test's clock may be */
#define ABANDONED_NS (PS_ABANDONED_S * NS_PER_S)

/* ---- the job ------------------------------------------------------------------------------- */

static bool is_abandoned(const struct ps_server *server, const struct job *job)
{
	return !job->calls && clock_now_ns(server->clock) - job->last_heard_ns > ABANDONED_NS;
}

static enum status shutting_down(struct error *err)
{
	return error_set(err, STATUS_UNAVAILABLE, "the server is shutting down");
}

enum status ps_lock_job(
	struct ps_server *server, struct rpc_server_call *call, struct job **ret, struct error *err)
{
	const struct rpc_caller *caller = rpc_server_call_caller(call);
	pthread_mutex_lock(&server->lock);
	struct job *job = server->job;
	enum status status = STATUS_OK;
	if (server->closing)
		status = shutting_down(err);
	else if (!job)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"job '%.128s' is not active on this server, which has none: it was "
			"started again or the job has ended",
			caller->job);
	else if (strcmp(job->spec.name, caller->job) != 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"job '%.128s' is not active on this server, which serves job '%s'",
			caller->job, job->spec.name);
	else
		status = job_check_member(job, caller->worker, caller->incarnation, err);
	if (status != STATUS_OK) {
		pthread_mutex_unlock(&server->lock);
		return status;
	}
	job->last_heard_ns = clock_now_ns(server->clock);
	atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
	*ret = job;
	return STATUS_OK;
}

/* Takes the active job out, its calls to be answered with why. The lock is held. */
static struct job *end_job(
	struct ps_server *server, const struct error *why, struct step_call **list)
{
	struct job *job = server->job;
	server->job = NULL;
	if (job)
		ps_collect_all(job, UINT32_MAX, why, list);
	return job; /* with the server's reference */
}

/* ---- Join and Leave ------------------------------------------------------------------------ */

static enum status read_optimizer(struct optimizer_config *ret,
	const Marquee__Ps__V1__Optimizer *optimizer, struct error *err)
{
	if (!optimizer)
		return error_set(err, STATUS_INVALID_ARGUMENT, "it has no optimizer");
	struct optimizer_config config = {
		.learning_rate = optimizer->learning_rate,
		.momentum = optimizer->momentum,
		.beta1 = optimizer->beta1,
		.beta2 = optimizer->beta2,
		.epsilon = optimizer->epsilon,
		.beta = optimizer->beta,
		.l1 = optimizer->l1,
		.l2 = optimizer->l2,
	};
	if (!optimizer_find(optimizer->name, &config.kind))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"there is no optimizer '%.40s'; there are " OPTIMIZER_CHOICES,
			optimizer->name);
	*ret = config;
	return STATUS_OK;
}

static enum status read_table(
	struct table_spec *ret, const Marquee__Ps__V1__TableSpec *table, struct error *err)
{
	if (strlen(table->name) >= sizeof(ret->name))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table '%.40s...': a name has at most %u bytes", table->name,
			TABLE_NAME_SIZE - 1);
	snprintf(ret->name, sizeof(ret->name), "%s", table->name);
	ret->dim = table->dim;
	ret->init_limit = table->init_limit;
	ret->pooled = table->pooled;
	enum status status = read_optimizer(&ret->optimizer, table->optimizer, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "table '%s'", table->name);
	return STATUS_OK;
}

static enum status read_spec(
	struct job_spec *ret, const Marquee__Ps__V1__JoinRequest *input, struct error *err)
{
	struct job_spec spec = {
		.workers = input->workers,
		.lanes = input->lanes,
		.mode = (enum job_mode)input->mode,
		.staleness = input->staleness,
		.seed = input->seed,
		.first_step = input->first_step,
		.generation = input->generation,
		.after_incarnation = input->after_incarnation,
	};
	if (strlen(input->job) >= sizeof(spec.name))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"the job's name has more than %zu bytes", sizeof(spec.name) - 1);
	snprintf(spec.name, sizeof(spec.name), "%s", input->job);
	spec.table_count =
		input->n_tables > JOB_TABLES_MAX ? UINT32_MAX : (uint32_t)input->n_tables;
	enum status status = job_spec_validate(&spec, err);
	for (uint32_t t = 0; status == STATUS_OK && t < spec.table_count; t++)
		status = read_table(&spec.tables[t], input->tables[t], err);
	if (status == STATUS_OK)
		*ret = spec;
	return status;
}

/* Makes the job that the spec means; the one in its place is ended. The lock is held. */
static enum status replace_job(struct ps_server *server, const struct job_spec *spec,
	struct job **ret_ended, struct step_call **list, struct error *err)
{
	struct job *made;
	const struct job_place place = {server->shard_index, server->shard_count, server->crew};
	enum status status = job_new(&made, spec, &place, clock_now_ns(server->clock), err);
	if (status != STATUS_OK)
		return status;
	struct error why;
	error_set(&why, STATUS_ABORTED, "job '%s' was started again", spec->name);
	*ret_ended = end_job(server, &why, list);
	server->job = made;
	server->counts.jobs++;
	return STATUS_OK;
}

/*
 * Finds or makes the job that the spec means. A job that is in its place and may be replaced is
 * ended: it comes back in *ret_ended. The lock is held.
 */
static enum status choose_job(struct ps_server *server, const struct job_spec *spec,
	struct job **ret_ended, struct step_call **list, struct error *err)
{
	struct job *job = server->job;
	bool same = job && strcmp(job->spec.name, spec->name) == 0;
	if (same && spec->generation == job->spec.generation &&
		!job_is_before(job, spec->after_incarnation))
		return STATUS_OK;
	if (same && spec->generation < job->spec.generation)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"job '%s' was started again: generation %llu is older than %llu",
			spec->name, (unsigned long long)spec->generation,
			(unsigned long long)job->spec.generation);
	if (job && !same && !is_abandoned(server, job))
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"this server serves job '%s' and cannot serve job '%s' at the same time: "
			"end that one, or wait until nothing was heard of it for %u s",
			job->spec.name, spec->name, PS_ABANDONED_S);
	return replace_job(server, spec, ret_ended, list, err);
}

/* The lock is held. */
static enum status join(struct ps_server *server, const struct job_spec *spec, uint32_t worker,
	uint64_t incarnation, struct job **ret_ended, struct step_call **list, struct error *err)
{
	if (server->closing)
		return shutting_down(err);
	if (worker >= spec->workers)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"worker %u of %u: they are counted from 0", worker, spec->workers);
	if (spec->after_incarnation && incarnation <= spec->after_incarnation)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"worker %u goes on after incarnation %llu and is itself %llu", worker,
			(unsigned long long)spec->after_incarnation,
			(unsigned long long)incarnation);
	enum status status = choose_job(server, spec, ret_ended, list, err);
	if (status != STATUS_OK)
		return status;
	struct job *job = server->job;
	bool again = worker < job->spec.workers && job->members[worker].joined &&
		     job->members[worker].incarnation != incarnation;
	status = job_join(job, spec, worker, incarnation, err);
	if (status != STATUS_OK && is_abandoned(server, job)) {
		status = replace_job(server, spec, ret_ended, list, err);
		job = server->job;
		if (status == STATUS_OK)
			status = job_join(job, spec, worker, incarnation, err);
	}
	if (status != STATUS_OK)
		return status;
	job->last_heard_ns = clock_now_ns(server->clock);
	server->counts.workers_replaced += again;
	/* A cut that the one before has begun to read is not the new one's. */
	if (again && worker == 0)
		job->has_cut = false;
	if (again && !*ret_ended) {
		struct error why;
		error_set(&why, STATUS_ABORTED, "worker %u was started again", worker);
		ps_collect_all(job, worker, &why, list);
	}
	return STATUS_OK;
}

static void ps_join(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__JoinRequest *input, Marquee__Ps__V1__JoinReply_Closure closure,
	void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	const struct rpc_caller *caller = rpc_server_call_caller(closure_data);
	struct job_spec spec;
	struct error err;
	enum status status = read_spec(&spec, input, &err);
	if (status == STATUS_OK && strcmp(caller->job, input->job) != 0)
		status = error_set(&err, STATUS_INVALID_ARGUMENT,
			"the header is of job '%.128s', the body of job '%s'", caller->job,
			spec.name);
	if (status == STATUS_OK && caller->worker != input->worker)
		status = error_set(&err, STATUS_INVALID_ARGUMENT,
			"the header is of worker %u, the body of worker %u", caller->worker,
			input->worker);
	if (status != STATUS_OK) {
		rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	Marquee__Ps__V1__JoinReply reply = MARQUEE__PS__V1__JOIN_REPLY__INIT;
	reply.shard_index = server->shard_index;
	reply.shard_count = server->shard_count;
	struct job *ended = NULL, *job = NULL;
	struct step_call *list = NULL;
	pthread_mutex_lock(&server->lock);
	status = join(server, &spec, input->worker, caller->incarnation, &ended, &list, &err);
	if (status == STATUS_OK) {
		job = server->job;
		reply.next_step = job->members[input->worker].clock;
		atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
		/* A clock that was set may let others go on. */
		ps_collect_ready(job, &list);
	}
	pthread_mutex_unlock(&server->lock);
	ps_answer(job, list);
	if (status == STATUS_OK)
		closure(&reply, closure_data);
	else
		rpc_server_call_fail_with(closure_data, &err);
	if (job)
		ps_job_release(job);
	if (ended)
		ps_job_release(ended);
}

/* Also for a worker that has left already, and when the job is gone: a repeat of Leave. */
static bool has_left(struct ps_server *server, const struct rpc_caller *caller)
{
	pthread_mutex_lock(&server->lock);
	const struct job *job = server->job;
	bool left = !job || strcmp(job->spec.name, caller->job) != 0;
	if (!left && caller->worker < job->spec.workers) {
		const struct job_member *member = &job->members[caller->worker];
		left = member->left && member->incarnation == caller->incarnation;
	}
	pthread_mutex_unlock(&server->lock);
	return left;
}

static void ps_leave(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__LeaveRequest *input, Marquee__Ps__V1__LeaveReply_Closure closure,
	void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	const struct rpc_caller *caller = rpc_server_call_caller(closure_data);
	Marquee__Ps__V1__LeaveReply reply = MARQUEE__PS__V1__LEAVE_REPLY__INIT;
	struct error err;
	struct job *job, *ended = NULL;
	if (ps_lock_job(server, closure_data, &job, &err) != STATUS_OK) {
		/* In this order: an attempt of the same call may leave at any moment. */
		if (has_left(server, caller))
			closure(&reply, closure_data);
		else
			rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	struct step_call *list = NULL;
	struct error why;
	error_set(&why, STATUS_ABORTED,
		input->failed ? "worker %u gave up: see its message" : "worker %u has left",
		caller->worker);
	if (input->failed && server->job == job)
		ended = end_job(server, &why, &list);
	ps_collect_all(job, caller->worker, &why, &list);
	job_leave(job, caller->worker);
	ps_flush_pool(server, job);
	if (job->spec.mode == JOB_SYNC && !ended)
		ps_apply_complete_step(server, job);
	if (job_is_over(job) && server->job == job)
		ended = end_job(server, &why, &list);
	ps_collect_ready(job, &list);
	pthread_mutex_unlock(&server->lock);
	ps_answer(job, list);
	closure(&reply, closure_data);
	ps_job_release(job);
	if (ended)
		ps_job_release(ended);
}

/* ---- the sweeper --------------------------------------------------------------------------- */

/* Waits until the clock may have reached at_ns, or for a signal. The lock is held. */
static void wait_until(struct ps_server *server, uint64_t at_ns)
{
	if (at_ns == UINT64_MAX) {
		pthread_cond_wait(&server->sweep, &server->lock);
		return;
	}
	uint64_t now = clock_now_ns(server->clock);
	uint64_t pause = at_ns > now ? at_ns - now : 0;
	if (server->clock != clock_real() && pause > POLL_MAX_NS)
		pause = POLL_MAX_NS;
	(void)condition_wait_until(
		&server->sweep, &server->lock, clock_now_ns(clock_real()) + pause);
}

static void *sweep(void *context)
{
	struct ps_server *server = context;
	pthread_mutex_lock(&server->lock);
	while (!server->closing) {
		struct step_call *list = NULL;
		struct job *job = server->job;
		uint64_t next = UINT64_MAX;
		if (job)
			ps_collect_expired(job, clock_now_ns(server->clock), &list, &next);
		for (const struct step_call *call = list; call; call = call->next)
			server->counts.expired_calls++;
		if (list) {
			atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
			pthread_mutex_unlock(&server->lock);
			ps_answer(job, list);
			ps_job_release(job);
			pthread_mutex_lock(&server->lock);
			continue;
		}
		server->sweep_at_ns = next;
		wait_until(server, next);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

static enum status start_sweeper(struct ps_server *server, struct error *err)
{
	int rv = pthread_create(&server->sweeper, NULL, sweep, server);
	if (rv != 0)
		return error_set_errno(err, rv, "cannot start a thread");
	server->sweeping = true;
	return STATUS_OK;
}

/* ---- open and close ------------------------------------------------------------------------ */

static void init_server(struct ps_server *server, const struct ps_server_options *options)
{
	server->service =
		(Marquee__Ps__V1__ParameterServer_Service)MARQUEE__PS__V1__PARAMETER_SERVER__INIT(
			ps_);
	server->shard_index = options->shard_index;
	server->shard_count = options->shard_count ? options->shard_count : 1;
	server->clock = options->clock ? options->clock : clock_real();
	server->max_message_bytes =
		options->max_message_bytes ? options->max_message_bytes : RPC_MESSAGE_BYTES_DEFAULT;
	server->sweep_at_ns = UINT64_MAX;
	pthread_mutex_init(&server->lock, NULL);
	condition_init(&server->sweep);
}

enum status ps_server_open(
	struct ps_server **ret, const struct ps_server_options *options, struct error *err)
{
	uint32_t count = options->shard_count ? options->shard_count : 1;
	if (count > VIRTUAL_SHARDS || options->shard_index >= count)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"shard %u/%u: there are 1 to %u shards, counted from 0",
			options->shard_index, count, VIRTUAL_SHARDS);
	struct ps_server *server;
	enum status status = memory_zalloc(&server, 1, sizeof(*server), "server", err);
	if (status != STATUS_OK)
		return status;
	init_server(server, options);
	struct rpc_server_options rpc = {
		.url = options->listen_url,
		.token = options->token,
		.token_bytes = options->token_bytes,
		.tls = options->tls,
		.max_message_bytes = options->max_message_bytes,
		.max_connections = options->max_connections,
		.on_refused = options->on_refused,
		.refused_context = options->refused_context,
		.clock = server->clock,
	};
	ProtobufCService *services[] = {&server->service.base};
	if (options->helpers > 0)
		status = crew_new(&server->crew, options->helpers, err);
	if (status == STATUS_OK)
		status = start_sweeper(server, err);
	if (status == STATUS_OK)
		status = rpc_server_open(&server->rpc, &rpc, services, 1, err);
	if (status != STATUS_OK) {
		ps_server_close(server);
		return status;
	}
	*ret = server;
	return STATUS_OK;
}

void ps_server_close(struct ps_server *server)
{
	if (!server)
		return;
	struct step_call *list = NULL;
	struct error why;
	(void)shutting_down(&why);
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	pthread_cond_signal(&server->sweep);
	struct job *job = end_job(server, &why, &list);
	pthread_mutex_unlock(&server->lock);
	ps_answer(job, list);
	if (server->sweeping)
		pthread_join(server->sweeper, NULL);
	/* What its pushes keep of their messages is given back before the server is closed. */
	if (job)
		ps_job_release(job);
	rpc_server_close(server->rpc);
	crew_free(server->crew);
	pthread_cond_destroy(&server->sweep);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

const char *ps_server_url(const struct ps_server *server)
{
	return rpc_server_url(server->rpc);
}
