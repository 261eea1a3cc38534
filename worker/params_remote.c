/* Joining the servers of a job, and leaving them. */
#include "common/base/memory.h"
#include "worker/comm_shared.h"
#include "worker/remote_internal.h"

#include <stdlib.h>
#include <string.h>

/* How long a worker that gives up tries to tell each server. */
#define FAREWELL_MS 2000u

/* What a stub's call brings is in the stub. */
static void ignore_join_reply(const Marquee__Ps__V1__JoinReply *reply, void *context)
{
	(void)reply, (void)context;
}

static void ignore_leave_reply(const Marquee__Ps__V1__LeaveReply *reply, void *context)
{
	(void)reply, (void)context;
}

/* Tells one server that this worker gives up; it may be dead, and that is all right. */
static void give_up(struct rpc_channel *channel)
{
	Marquee__Ps__V1__LeaveRequest request = MARQUEE__PS__V1__LEAVE_REQUEST__INIT;
	struct rpc_stub stub;
	request.failed = true;
	if (!channel ||
		rpc_stub_init(&stub, channel, remote_service(), FAREWELL_MS, NULL) != STATUS_OK)
		return;
	marquee__ps__v1__parameter_server__leave(&stub.base, &request, ignore_leave_reply, NULL);
	rpc_stub_fini(&stub);
}

static enum status leave(struct params *params, bool failed, struct error *err)
{
	struct remote *remote = remote_of(params);
	enum status status = STATUS_OK;
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		Marquee__Ps__V1__LeaveRequest request = MARQUEE__PS__V1__LEAVE_REQUEST__INIT;
		struct rpc_reply reply;
		if (failed)
			give_up(remote->servers[s].channel);
		else
			status = remote_ask(
				remote, &remote->servers[s], "Leave", &request.base, &reply, err);
	}
	return status;
}

static void server_fini(struct remote_server *server)
{
	rpc_call_free(server->bulk_calls[0]);
	rpc_call_free(server->bulk_calls[1]);
	rpc_channel_close(server->bulk_channel);
	rpc_call_free(server->call);
	rpc_channel_close(server->channel);
}

static void remote_free(struct params *params)
{
	struct remote *remote = remote_of(params);
	/* Calls go before their channels. */
	for (uint32_t i = 0; i < PARAMS_SLOTS; i++)
		remote_slot_fini(&remote->slots[i], remote->server_count);
	for (uint32_t s = 0; s < remote->server_count; s++)
		server_fini(&remote->servers[s]);
	remote_shared_free(remote->shared);
	free(remote);
}

struct join_messages {
	Marquee__Ps__V1__JoinRequest request;
	Marquee__Ps__V1__TableSpec tables[PARAMS_TABLES_MAX];
	Marquee__Ps__V1__TableSpec *list[PARAMS_TABLES_MAX];
	Marquee__Ps__V1__Optimizer optimizers[PARAMS_TABLES_MAX];
};

static void fill_join(struct join_messages *join, const struct params_remote_options *options,
	const struct job_tables *job)
{
	Marquee__Ps__V1__JoinRequest *request = &join->request;
	*request = (Marquee__Ps__V1__JoinRequest)MARQUEE__PS__V1__JOIN_REQUEST__INIT;
	for (uint32_t t = 0; t < job->table_count; t++) {
		const struct table_spec *spec = &job->tables[t];
		Marquee__Ps__V1__Optimizer *optimizer = &join->optimizers[t];
		*optimizer = (Marquee__Ps__V1__Optimizer)MARQUEE__PS__V1__OPTIMIZER__INIT;
		optimizer->name = (char *)(uintptr_t)optimizer_info(spec->optimizer.kind)->name;
		optimizer->learning_rate = spec->optimizer.learning_rate;
		optimizer->momentum = spec->optimizer.momentum;
		optimizer->beta1 = spec->optimizer.beta1;
		optimizer->beta2 = spec->optimizer.beta2;
		optimizer->epsilon = spec->optimizer.epsilon;
		optimizer->l1 = spec->optimizer.l1;
		optimizer->l2 = spec->optimizer.l2;
		optimizer->beta = spec->optimizer.beta;
		join->tables[t] = (Marquee__Ps__V1__TableSpec)MARQUEE__PS__V1__TABLE_SPEC__INIT;
		join->tables[t].name = (char *)(uintptr_t)spec->name;
		join->tables[t].dim = spec->dim;
		join->tables[t].init_limit = spec->init_limit;
		join->tables[t].pooled = spec->pooled;
		join->tables[t].optimizer = optimizer;
		join->list[t] = &join->tables[t];
	}
	request->job = (char *)(uintptr_t)options->job;
	request->worker = options->worker;
	request->workers = options->workers;
	request->lanes = job->lanes;
	request->mode = (Marquee__Ps__V1__Mode)job->mode;
	request->staleness = (uint32_t)job->staleness;
	request->seed = job->seed;
	request->n_tables = job->table_count;
	request->tables = join->list;
	request->first_step = job->first_step;
	request->generation = options->generation;
	request->after_incarnation = job->after_incarnation;
}

static enum status join_server(struct rpc_channel *channel,
	const Marquee__Ps__V1__JoinRequest *request, uint32_t deadline_ms, uint32_t *ret_index,
	uint32_t *ret_count, struct error *err)
{
	struct rpc_stub stub;
	enum status status = rpc_stub_init(&stub, channel, remote_service(), deadline_ms, err);
	if (status != STATUS_OK)
		return status;
	marquee__ps__v1__parameter_server__join(&stub.base, request, ignore_join_reply, NULL);
	if (stub.error.status != STATUS_OK) {
		status = stub.error.status;
		if (err)
			*err = stub.error;
	} else {
		const Marquee__Ps__V1__JoinReply *reply =
			(const Marquee__Ps__V1__JoinReply *)stub.reply.body;
		*ret_index = reply->shard_index;
		*ret_count = reply->shard_count;
	}
	rpc_stub_fini(&stub);
	return status;
}

/* Whether a server that was joined is one that the job needs. */
static enum status check_shard(const struct remote *remote,
	const struct params_remote_options *options, const char *url, uint32_t index,
	uint32_t count, struct error *err)
{
	if (count != options->url_count || index >= count)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s is shard %u of %u, but --servers names %u: start as many servers as "
			"--shard I/N says",
			url, index, count, options->url_count);
	if (remote->servers[index].channel)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s and %s are both shard %u of %u", url,
			rpc_channel_url(remote->servers[index].channel), index, count);
	return STATUS_OK;
}

static enum status open_bulk(struct remote_server *server, const char *url,
	const struct rpc_channel_options *wanted, struct error *err)
{
	enum status status = rpc_channel_open(&server->bulk_channel, url, wanted, err);
	for (int i = 0; i < 2 && status == STATUS_OK; i++)
		status = rpc_call_new(&server->bulk_calls[i], server->bulk_channel, err);
	return status;
}

/* Connects to one URL, joins, and puts the channel at its shard's place. */
static enum status add_server(struct remote *remote, const struct params_remote_options *options,
	const char *url, const Marquee__Ps__V1__JoinRequest *request, struct error *err)
{
	struct rpc_channel_options wanted = {
		.job = options->job,
		.token = options->token,
		.token_bytes = options->token ? strlen(options->token) : 0,
		.tls = options->tls,
		.worker = options->worker,
		.incarnation = remote->params.incarnation,
		.connect_ms = (uint32_t)(options->connect_timeout_s * 1000),
		.clock = options->clock,
	};
	struct rpc_channel *channel;
	uint32_t index, count;
	enum status status = rpc_channel_open(&channel, url, &wanted, err);
	if (status != STATUS_OK)
		return status;
	status = join_server(channel, request, remote->deadline_ms, &index, &count, err);
	if (status == STATUS_OK) {
		status = check_shard(remote, options, url, index, count, err);
		if (status != STATUS_OK)
			give_up(channel);
	}
	if (status != STATUS_OK) {
		rpc_channel_close(channel);
		return status;
	}
	struct remote_server *server = &remote->servers[index];
	server->channel = channel;
	status = rpc_call_new(&server->call, channel, err);
	if (status == STATUS_OK && options->worker == 0)
		status = open_bulk(server, url, &wanted, err);
	return status;
}

static enum status share_steps(
	struct remote *remote, const struct params_remote_options *options, struct error *err)
{
	enum status status =
		memory_zalloc(&remote->shared, 1, sizeof(*remote->shared), "parameter client", err);
	if (status == STATUS_OK) {
		remote->shared->comm = options->shared;
		remote->shared->own = options->own;
		remote->shared->bytes_max = COMM_PLACE_BYTES;
		if (options->shared_bytes && options->shared_bytes < COMM_PLACE_BYTES)
			remote->shared->bytes_max = options->shared_bytes;
	}
	return status;
}

enum status params_remote_new(struct params **ret, const struct params_remote_options *options,
	const struct job_tables *job, struct error *err)
{
	static const struct params_operations operations = {
		.exchange = remote_exchange,
		.exchange_start = remote_exchange_start,
		.exchange_finish = remote_exchange_finish,
		.snapshot = remote_snapshot,
		.cut = remote_cut,
		.read_cut = remote_read_cut,
		.uncut = remote_uncut,
		.restore = remote_restore,
		.digest = remote_digest,
		.audit = remote_audit,
		.restore_examples = remote_restore_examples,
		.leave = leave,
		.free = remote_free,
	};
	if (options->url_count == 0 || options->url_count > SERVERS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u servers: expected 1 to %u",
			options->url_count, SERVERS_MAX);
	struct remote *remote;
	enum status status = memory_zalloc(&remote, 1, sizeof(*remote), "parameter client", err);
	if (status != STATUS_OK)
		return status;
	remote->params.operations = &operations;
	remote->server_count = options->url_count;
	remote->deadline_ms = (uint32_t)(options->deadline_s * 1000);
	remote->dtype = job->wire_dtype;
	remote->params.incarnation = options->incarnation > job->after_incarnation
					     ? options->incarnation
					     : job->after_incarnation + 1;
	status = params_set_tables(&remote->params, job->tables, job->table_count, err);
	/* Memory holds floats: who asked for bf16 gets it, and the same bits wherever servers are.
	 */
	if (status == STATUS_OK && options->shared && job->mode == MODE_SYNC &&
		job->wire_dtype == WIRE_F32)
		status = share_steps(remote, options, err);
	struct join_messages join;
	if (status == STATUS_OK) {
		remote_init_rounding(remote, job->seed);
		fill_join(&join, options, job);
	}
	for (uint32_t u = 0; u < options->url_count && status == STATUS_OK; u++)
		status = add_server(remote, options, options->urls[u], &join.request, err);
	if (status != STATUS_OK) {
		(void)!leave(&remote->params, true, NULL);
		remote_free(&remote->params);
		return status;
	}
	*ret = &remote->params;
	return STATUS_OK;
}
