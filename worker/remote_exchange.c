/* One step over the wire: ids routed to their servers, one call each, all in flight together. */
#include "common/base/memory.h"
#include "worker/remote_internal.h"

#include <stdio.h>
#include <string.h>

typedef Marquee__Ps__V1__Segment segment_message;
typedef Marquee__Ps__V1__TableIds table_ids_message;

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
		.service = remote_service(),
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

/* What the channels have moved since they were opened. */
static struct params_traffic all_traffic(const struct remote *remote)
{
	struct params_traffic sum = {0};
	for (uint32_t s = 0; s < remote->server_count; s++) {
		struct rpc_channel_stats stats;
		rpc_channel_stats(remote->servers[s].channel, &stats);
		sum.bytes_sent += stats.bytes_sent;
		sum.bytes_received += stats.bytes_received;
		sum.messages += stats.attempts;
	}
	return sum;
}

/* Adds what was moved since `before`: what other calls moved in between is not the steps'. */
static void count_traffic(struct remote *remote, const struct params_traffic *before)
{
	struct params_traffic now = all_traffic(remote);
	remote->params.traffic.bytes_sent += now.bytes_sent - before->bytes_sent;
	remote->params.traffic.bytes_received += now.bytes_received - before->bytes_received;
	remote->params.traffic.messages += now.messages - before->messages;
}

/*
 * One message for all servers that failed: one may only say that it waits for a worker, which in
 * turn waits for the server that is dead, and only the next one's failure names that.
 */
static enum status add_failure(enum status first, struct error *err, const struct error *next)
{
	if (first == STATUS_OK)
		return error_set(err, next->status, "%s", next->message);
	char before[ERROR_MESSAGE_SIZE / 2]; /* half of the room for each */
	snprintf(before, sizeof(before), "%.255s", err ? err->message : "");
	return error_set(err, first, "%s; %s", before, next->message);
}

enum status remote_exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	struct remote *remote = remote_of(params);
	const struct params_traffic before = all_traffic(remote);
	enum status first = route_step(remote, step, err);
	uint32_t started = 0;
	while (first == STATUS_OK && started < remote->server_count) {
		first = start(&remote->servers[started], step, err);
		if (first == STATUS_OK)
			started++;
	}
	/* Every call that was started is waited for: its message borrows the step's arrays. */
	for (uint32_t s = 0; s < started; s++) {
		struct error failure;
		if (finish(&remote->servers[s], &failure) != STATUS_OK)
			first = add_failure(first, err, &failure);
		rpc_call_release(remote->servers[s].call);
	}
	count_traffic(remote, &before);
	return first;
}
