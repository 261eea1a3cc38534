#include "worker/params_remote.h"

#include "common/base/memory.h"
#include "common/rpc/channel.h"
#include "proto/parameter_server.pb-c.h"
#include "worker/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Marquee__Ps__V1__Segment segment_message;
typedef Marquee__Ps__V1__TableIds table_ids_message;

struct remote;

struct remote_server {
	const struct remote *remote;
	struct rpc_channel *channel;
	struct rpc_call *call;
	/* the exchange under way */
	const struct params_step *step;
	struct routes push, pull;
	bool started;
	/* protobuf's view of the routes: structs, and the pointers that repeated fields want */
	segment_message *segments;
	segment_message **segment_list;
	size_t segment_capacity, segment_list_capacity;
	table_ids_message *tables;
	table_ids_message **table_list;
	size_t table_capacity, table_list_capacity;
};

struct remote {
	struct params params; /* first: the interface */
	uint32_t server_count;
	struct remote_server servers[SERVERS_MAX]; /* in the order of their shards */
	uint32_t deadline_ms;
};

static struct remote *remote_of(struct params *params)
{
	return (struct remote *)params;
}

static const ProtobufCServiceDescriptor *service(void)
{
	return &marquee__ps__v1__parameter_server__descriptor;
}

/* ---- exchange ---- */

static enum status route_step(
	struct remote *remote, const struct params_step *step, struct error *err)
{
	struct routes *push[SERVERS_MAX], *pull[SERVERS_MAX];
	for (uint32_t s = 0; s < remote->server_count; s++) {
		push[s] = &remote->servers[s].push;
		pull[s] = &remote->servers[s].pull;
		routes_clear(push[s]);
		routes_clear(pull[s]);
	}
	enum status status = STATUS_OK;
	for (uint32_t i = 0; step->has_push && i < step->push_count && status == STATUS_OK; i++)
		status = routes_add(push, remote->server_count, i, step->pushes[i].ids,
			step->pushes[i].count, err);
	for (uint32_t i = 0; step->has_pull && i < step->pull_count && status == STATUS_OK; i++)
		status = routes_add(pull, remote->server_count, i, step->pulls[i].ids,
			step->pulls[i].count, err);
	return status;
}

static enum status describe_push(
	struct remote_server *server, Marquee__Ps__V1__PushRequest *push, struct error *err)
{
	const struct routes *routes = &server->push;
	size_t n = routes->route_count;
	enum status status = memory_grow(&server->segments, &server->segment_capacity, n,
		sizeof(*server->segments), "push", err);
	if (status == STATUS_OK)
		status = memory_grow(&server->segment_list, &server->segment_list_capacity, n,
			sizeof(segment_message *), "push", err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		const struct route *route = &routes->routes[i];
		const struct params_push *from = &server->step->pushes[route->segment];
		server->segments[i] = (segment_message)MARQUEE__PS__V1__SEGMENT__INIT;
		server->segments[i].table = from->table;
		server->segments[i].slot = from->slot;
		server->segments[i].count = route->count;
		server->segment_list[i] = &server->segments[i];
	}
	push->step = server->step->push_step;
	push->n_segments = n;
	push->segments = server->segment_list;
	return status;
}

static enum status describe_pull(
	struct remote_server *server, Marquee__Ps__V1__PullRequest *pull, struct error *err)
{
	const struct routes *routes = &server->pull;
	size_t n = routes->route_count;
	enum status status = memory_grow(
		&server->tables, &server->table_capacity, n, sizeof(*server->tables), "pull", err);
	if (status == STATUS_OK)
		status = memory_grow(&server->table_list, &server->table_list_capacity, n,
			sizeof(table_ids_message *), "pull", err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		const struct route *route = &routes->routes[i];
		server->tables[i] = (table_ids_message)MARQUEE__PS__V1__TABLE_IDS__INIT;
		server->tables[i].table = server->step->pulls[route->segment].table;
		server->tables[i].count = route->count;
		server->table_list[i] = &server->tables[i];
	}
	pull->step = server->step->pull_step;
	pull->n_tables = n;
	pull->tables = server->table_list;
	return status;
}

static size_t row_bytes(const struct params *params, uint32_t table)
{
	return params->tables[table].dim * sizeof(float);
}

static size_t raw_size(const struct remote_server *server)
{
	const struct params *params = &server->remote->params;
	size_t bytes = 0;
	for (size_t i = 0; i < server->push.route_count; i++) {
		const struct route *route = &server->push.routes[i];
		uint32_t table = server->step->pushes[route->segment].table;
		bytes += route->count * (sizeof(uint64_t) + row_bytes(params, table));
	}
	return bytes + server->pull.position_count * sizeof(uint64_t);
}

/* Push: all ids, all gradients. Then the pull's ids. */
static void write_raw(void *context, unsigned char *raw, size_t raw_bytes)
{
	const struct remote_server *server = context;
	const struct params_step *step = server->step;
	(void)raw_bytes;
	for (size_t i = 0; i < server->push.route_count; i++) {
		const struct route *route = &server->push.routes[i];
		raw = routes_gather_ids(
			&server->push, route, step->pushes[route->segment].ids, raw);
	}
	for (size_t i = 0; i < server->push.route_count; i++) {
		const struct route *route = &server->push.routes[i];
		const struct params_push *push = &step->pushes[route->segment];
		raw = routes_gather_rows(&server->push, route, push->gradients,
			server->remote->params.tables[push->table].dim, raw);
	}
	for (size_t i = 0; i < server->pull.route_count; i++) {
		const struct route *route = &server->pull.routes[i];
		raw = routes_gather_ids(&server->pull, route, step->pulls[route->segment].ids, raw);
	}
}

static enum status start(
	struct remote_server *server, const struct params_step *step, struct error *err)
{
	Marquee__Ps__V1__PushPullRequest both = MARQUEE__PS__V1__PUSH_PULL_REQUEST__INIT;
	Marquee__Ps__V1__PushRequest push = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	Marquee__Ps__V1__PullRequest pull = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	struct rpc_request request = {
		.service = service(),
		.deadline_ms = server->remote->deadline_ms,
		.write_raw = write_raw,
		.context = server,
	};
	server->step = step;
	enum status status = STATUS_OK;
	if (step->has_push)
		status = describe_push(server, &push, err);
	if (step->has_pull && status == STATUS_OK)
		status = describe_pull(server, &pull, err);
	if (status != STATUS_OK)
		return status;
	if (step->has_push && step->has_pull) {
		both.push = &push;
		both.pull = &pull;
		request.method = "PushPull";
		request.body = &both.base;
	} else if (step->has_push) {
		request.method = "Push";
		request.body = &push.base;
	} else {
		request.method = "Pull";
		request.body = &pull.base;
	}
	request.raw_bytes = raw_size(server);
	return rpc_call_start(server->call, &request, err);
}

static enum status finish(struct remote_server *server, struct error *err)
{
	const struct params_step *step = server->step;
	const struct params *params = &server->remote->params;
	struct rpc_reply reply;
	enum status status = rpc_call_wait(server->call, &reply, err);
	if (status != STATUS_OK || !step->has_pull)
		return status;
	size_t wanted = 0;
	for (size_t i = 0; i < server->pull.route_count; i++) {
		const struct route *route = &server->pull.routes[i];
		wanted += route->count * row_bytes(params, step->pulls[route->segment].table);
	}
	if (reply.raw.size != wanted)
		return error_set(err, STATUS_DATA_LOSS, "%s: %zu bytes of rows came, expected %zu",
			rpc_channel_url(server->channel), reply.raw.size, wanted);
	const unsigned char *in = reply.raw.data;
	for (size_t i = 0; i < server->pull.route_count; i++) {
		const struct route *route = &server->pull.routes[i];
		const struct params_pull *pull = &step->pulls[route->segment];
		in = routes_scatter_rows(
			&server->pull, route, pull->rows, params->tables[pull->table].dim, in);
	}
	return STATUS_OK;
}

static void count_traffic(struct remote *remote)
{
	struct params_traffic sum = {0};
	for (uint32_t s = 0; s < remote->server_count; s++) {
		struct rpc_channel_stats stats;
		rpc_channel_stats(remote->servers[s].channel, &stats);
		sum.bytes_sent += stats.bytes_sent;
		sum.bytes_received += stats.bytes_received;
		sum.messages += stats.attempts;
	}
	remote->params.traffic = sum;
}

static enum status exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	struct remote *remote = remote_of(params);
	struct error ignored;
	enum status first = route_step(remote, step, err);
	uint32_t started = 0;
	while (first == STATUS_OK && started < remote->server_count) {
		first = start(&remote->servers[started], step, err);
		if (first == STATUS_OK)
			started++;
	}
	/* Every call that was started is waited for: its message borrows the step's arrays. */
	for (uint32_t s = 0; s < started; s++) {
		struct remote_server *server = &remote->servers[s];
		if (first == STATUS_OK)
			first = finish(server, err);
		else
			(void)!finish(server, &ignored);
		rpc_call_release(server->call);
	}
	count_traffic(remote);
	return first;
}

/* ---- the rare calls ---- */

static void ignore_reply(const ProtobufCMessage *message, void *context)
{
	(void)message, (void)context;
}

/* One blocking call; on success *ret is the reply, borrowed until the server's next call. */
static enum status ask(struct remote *remote, struct remote_server *server, const char *method,
	const ProtobufCMessage *body, const void *raw, size_t raw_bytes, struct rpc_reply *ret,
	struct error *err)
{
	struct rpc_request request = {
		.service = service(),
		.method = method,
		.body = body,
		.deadline_ms = remote->deadline_ms,
		.raw_bytes = raw_bytes,
		.write_raw = rpc_write_bytes,
		.context = (void *)(uintptr_t)raw,
	};
	return rpc_call_blocking(server->call, &request, ret, err);
}

static enum status snapshot_server(struct remote *remote, struct remote_server *server,
	uint32_t table, params_sink *sink, void *context, uint64_t *ids, struct error *err)
{
	Marquee__Ps__V1__SnapshotRequest request = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	const size_t floats = remote->params.record_floats[table];
	request.table = table;
	request.max_records = PARAMS_CHUNK;
	for (;;) {
		struct rpc_reply reply;
		enum status status =
			ask(remote, server, "Snapshot", &request.base, NULL, 0, &reply, err);
		if (status != STATUS_OK)
			return status;
		const Marquee__Ps__V1__SnapshotReply *body =
			(const Marquee__Ps__V1__SnapshotReply *)reply.body;
		size_t n = body->count;
		if (n > PARAMS_CHUNK ||
			reply.raw.size != n * (sizeof(*ids) + floats * sizeof(float)))
			return error_set(err, STATUS_DATA_LOSS,
				"%s: a snapshot of %zu records has %zu bytes",
				rpc_channel_url(server->channel), n, reply.raw.size);
		memcpy(ids, reply.raw.data, n * sizeof(*ids));
		/* Raw data is aligned to 4 bytes, so records may be read where they lie. */
		const float *records =
			(const float *)(const void *)(reply.raw.data + n * sizeof(*ids));
		if (n > 0)
			status = sink(context, table, ids, records, n, err);
		if (status != STATUS_OK || body->done)
			return status;
		request.cursor = body->cursor;
	}
}

static enum status snapshot(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	struct remote *remote = remote_of(params);
	uint64_t *ids;
	enum status status = memory_alloc(&ids, PARAMS_CHUNK, sizeof(*ids), "snapshot", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++)
		status = snapshot_server(
			remote, &remote->servers[s], table, sink, context, ids, err);
	free(ids);
	return status;
}

static enum status count_rows(
	struct params *params, uint32_t table, uint64_t *ret_rows, struct error *err)
{
	struct remote *remote = remote_of(params);
	Marquee__Ps__V1__StatsRequest request = MARQUEE__PS__V1__STATS_REQUEST__INIT;
	uint64_t rows = 0;
	for (uint32_t s = 0; s < remote->server_count; s++) {
		struct remote_server *server = &remote->servers[s];
		struct rpc_reply reply;
		enum status status =
			ask(remote, server, "Stats", &request.base, NULL, 0, &reply, err);
		if (status != STATUS_OK)
			return status;
		const Marquee__Ps__V1__StatsReply *stats =
			(const Marquee__Ps__V1__StatsReply *)reply.body;
		if (stats->n_tables <= table)
			return error_set(err, STATUS_DATA_LOSS,
				"%s: knows %zu tables, not table %u",
				rpc_channel_url(server->channel), stats->n_tables, table);
		rows += stats->tables[table]->rows;
	}
	*ret_rows = rows;
	return STATUS_OK;
}

struct restore_part {
	const struct routes *routes;
	const struct route *route;
	const uint64_t *ids;
	const float *records;
	uint32_t floats;
};

static void write_restore(void *context, unsigned char *raw, size_t raw_bytes)
{
	const struct restore_part *part = context;
	(void)raw_bytes;
	raw = routes_gather_ids(part->routes, part->route, part->ids, raw);
	routes_gather_rows(part->routes, part->route, part->records, part->floats, raw);
}

static enum status restore_chunk(struct remote *remote, uint32_t table, const uint64_t *ids,
	const float *records, uint32_t count, struct error *err)
{
	struct routes *push[SERVERS_MAX];
	for (uint32_t s = 0; s < remote->server_count; s++) {
		push[s] = &remote->servers[s].push;
		routes_clear(push[s]);
	}
	enum status status = routes_add(push, remote->server_count, 0, ids, count, err);
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		struct remote_server *server = &remote->servers[s];
		if (push[s]->route_count == 0)
			continue;
		Marquee__Ps__V1__RestoreRequest body = MARQUEE__PS__V1__RESTORE_REQUEST__INIT;
		struct restore_part part = {push[s], &push[s]->routes[0], ids, records,
			remote->params.record_floats[table]};
		struct rpc_reply reply;
		body.table = table;
		body.count = part.route->count;
		struct rpc_request request = {
			.service = service(),
			.method = "Restore",
			.body = &body.base,
			.deadline_ms = remote->deadline_ms,
			.raw_bytes =
				part.route->count * (sizeof(*ids) + part.floats * sizeof(*records)),
			.write_raw = write_restore,
			.context = &part,
		};
		status = rpc_call_blocking(server->call, &request, &reply, err);
	}
	return status;
}

static enum status restore(struct params *params, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	const size_t floats = params->record_floats[table];
	enum status status = STATUS_OK;
	for (size_t at = 0; at < count && status == STATUS_OK; at += PARAMS_CHUNK) {
		size_t n = count - at < PARAMS_CHUNK ? count - at : PARAMS_CHUNK;
		status = restore_chunk(remote_of(params), table, ids + at, records + at * floats,
			(uint32_t)n, err);
	}
	return status;
}

static enum status digest(struct params *params, struct digest *ret, struct error *err)
{
	struct remote *remote = remote_of(params);
	Marquee__Ps__V1__DigestRequest request = MARQUEE__PS__V1__DIGEST_REQUEST__INIT;
	struct digest sum = {0};
	for (uint32_t s = 0; s < remote->server_count; s++) {
		struct rpc_reply reply;
		enum status status = ask(
			remote, &remote->servers[s], "Digest", &request.base, NULL, 0, &reply, err);
		if (status != STATUS_OK)
			return status;
		const Marquee__Ps__V1__DigestReply *body =
			(const Marquee__Ps__V1__DigestReply *)reply.body;
		digest_merge(&sum, &(struct digest){.low = body->low, .high = body->high});
	}
	*ret = sum;
	return STATUS_OK;
}

static enum status leave(struct params *params, struct error *err)
{
	struct remote *remote = remote_of(params);
	for (uint32_t s = 0; s < remote->server_count; s++) {
		Marquee__Ps__V1__LeaveRequest request = MARQUEE__PS__V1__LEAVE_REQUEST__INIT;
		struct rpc_reply reply;
		enum status status = ask(
			remote, &remote->servers[s], "Leave", &request.base, NULL, 0, &reply, err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static void server_fini(struct remote_server *server)
{
	rpc_call_free(server->call);
	rpc_channel_close(server->channel);
	routes_fini(&server->push);
	routes_fini(&server->pull);
	free(server->segments);
	free(server->segment_list);
	free(server->tables);
	free(server->table_list);
}

static void remote_free(struct params *params)
{
	struct remote *remote = remote_of(params);
	for (uint32_t s = 0; s < remote->server_count; s++)
		server_fini(&remote->servers[s]);
	free(remote);
}

/* ---- joining ---- */

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
}

static enum status join_server(struct rpc_channel *channel,
	const Marquee__Ps__V1__JoinRequest *request, uint32_t deadline_ms, uint32_t *ret_index,
	uint32_t *ret_count, struct error *err)
{
	struct rpc_stub stub;
	enum status status = rpc_stub_init(&stub, channel, service(), deadline_ms, err);
	if (status != STATUS_OK)
		return status;
	marquee__ps__v1__parameter_server__join(&stub.base, request,
		(Marquee__Ps__V1__JoinReply_Closure)(void (*)(void))ignore_reply, NULL);
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

/* Connects to one URL, joins, and puts the channel at its shard's place. */
static enum status add_server(struct remote *remote, const struct params_remote_options *options,
	const char *url, const Marquee__Ps__V1__JoinRequest *request, struct error *err)
{
	struct rpc_channel_options wanted = {
		.job = options->job,
		.token = options->token,
		.token_bytes = options->token ? strlen(options->token) : 0,
		.worker = options->worker,
		.incarnation = options->incarnation,
		.connect_ms = (uint32_t)(options->connect_timeout_s * 1000),
		.clock = options->clock,
	};
	struct rpc_channel *channel;
	uint32_t index, count;
	enum status status = rpc_channel_open(&channel, url, &wanted, err);
	if (status != STATUS_OK)
		return status;
	status = join_server(channel, request, remote->deadline_ms, &index, &count, err);
	if (status == STATUS_OK && (count != options->url_count || index >= count))
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"%s is shard %u of %u, but --servers names %u: start as many servers as "
			"--shard I/N says",
			url, index, count, options->url_count);
	else if (status == STATUS_OK && remote->servers[index].channel)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"%s and %s are both shard %u of %u", url,
			rpc_channel_url(remote->servers[index].channel), index, count);
	if (status != STATUS_OK) {
		rpc_channel_close(channel);
		return status;
	}
	remote->servers[index].channel = channel;
	return rpc_call_new(&remote->servers[index].call, channel, err);
}

enum status params_remote_new(struct params **ret, const struct params_remote_options *options,
	const struct job_tables *job, struct error *err)
{
	static const struct params_operations operations = {
		.exchange = exchange,
		.snapshot = snapshot,
		.count = count_rows,
		.restore = restore,
		.digest = digest,
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
	status = params_set_tables(&remote->params, job->tables, job->table_count, err);
	struct join_messages join;
	if (status == STATUS_OK)
		fill_join(&join, options, job);
	for (uint32_t s = 0; s < remote->server_count; s++)
		remote->servers[s].remote = remote;
	for (uint32_t u = 0; u < options->url_count && status == STATUS_OK; u++)
		status = add_server(remote, options, options->urls[u], &join.request, err);
	if (status != STATUS_OK) {
		remote_free(&remote->params);
		return status;
	}
	*ret = &remote->params;
	return STATUS_OK;
}
