/* One step over the wire: ids routed to their servers, one call each, all in flight together. */
#include "common/base/bf16.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "worker/remote_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Marquee__Ps__V1__Segment segment_message;
typedef Marquee__Ps__V1__TableIds table_ids_message;

enum status remote_route(struct remote *remote, const struct remote_slot *slot,
	const struct params_step *step, struct error *err)
{
	struct routes *push[SERVERS_MAX], *pull[SERVERS_MAX];
	for (uint32_t s = 0; s < remote->server_count; s++) {
		push[s] = &slot->legs[s].push;
		pull[s] = &slot->legs[s].pull;
		routes_clear(push[s]);
		routes_clear(pull[s]);
	}
	enum status status = STATUS_OK;
	for (uint32_t i = 0; step->has_push && i < step->push_count && status == STATUS_OK; i++)
		status = routes_add(push, remote->server_count, i, step->pushes[i].ids,
			step->pushes[i].count, true, err);
	for (uint32_t i = 0; step->has_pull && i < step->pull_count && status == STATUS_OK; i++)
		status = routes_add(pull, remote->server_count, i, step->pulls[i].ids,
			step->pulls[i].count, false, err);
	return status;
}

static Marquee__Ps__V1__Dtype dtype_of(const struct remote *remote)
{
	return remote->dtype == WIRE_BF16 ? MARQUEE__PS__V1__DTYPE__BF16
					  : MARQUEE__PS__V1__DTYPE__F32;
}

static enum status describe_push(
	struct remote_leg *leg, Marquee__Ps__V1__PushRequest *push, struct error *err)
{
	const struct routes *routes = &leg->push;
	size_t n = routes->route_count;
	enum status status = memory_grow(
		&leg->segments, &leg->segment_capacity, n, sizeof(*leg->segments), "push", err);
	if (status == STATUS_OK)
		status = memory_grow(&leg->segment_list, &leg->segment_list_capacity, n,
			sizeof(segment_message *), "push", err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		const struct route *route = &routes->routes[i];
		const struct params_push *from = &leg->step->pushes[route->segment];
		leg->segments[i] = (segment_message)MARQUEE__PS__V1__SEGMENT__INIT;
		leg->segments[i].table = from->table;
		leg->segments[i].slot = from->slot;
		leg->segments[i].count = route->count;
		leg->segments[i].examples = from->examples;
		leg->segment_list[i] = &leg->segments[i];
	}
	push->step = leg->step->push_step;
	push->dtype = dtype_of(leg->remote);
	push->n_segments = n;
	push->segments = leg->segment_list;
	return status;
}

static enum status describe_pull(
	struct remote_leg *leg, Marquee__Ps__V1__PullRequest *pull, struct error *err)
{
	const struct routes *routes = &leg->pull;
	size_t n = routes->route_count;
	enum status status = memory_grow(
		&leg->tables, &leg->table_capacity, n, sizeof(*leg->tables), "pull", err);
	if (status == STATUS_OK)
		status = memory_grow(&leg->table_list, &leg->table_list_capacity, n,
			sizeof(table_ids_message *), "pull", err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		const struct route *route = &routes->routes[i];
		leg->tables[i] = (table_ids_message)MARQUEE__PS__V1__TABLE_IDS__INIT;
		leg->tables[i].table = leg->step->pulls[route->segment].table;
		leg->tables[i].count = route->count;
		leg->table_list[i] = &leg->tables[i];
	}
	pull->step = leg->step->pull_step;
	pull->dtype = dtype_of(leg->remote);
	pull->n_tables = n;
	pull->tables = leg->table_list;
	return status;
}

/* On the wire. */
static size_t row_bytes(const struct remote *remote, uint32_t table)
{
	const size_t dim = remote->params.tables[table].dim;
	return dim * (remote->dtype == WIRE_BF16 ? BF16_BYTES : sizeof(float));
}

size_t remote_raw_bytes(const struct remote_leg *leg)
{
	size_t bytes = 0;
	for (size_t i = 0; i < leg->push.route_count; i++) {
		const struct route *route = &leg->push.routes[i];
		uint32_t table = leg->step->pushes[route->segment].table;
		bytes += route->count * (sizeof(uint64_t) + row_bytes(leg->remote, table));
	}
	return bytes + leg->pull.id_count * sizeof(uint64_t);
}

void remote_init_rounding(struct remote *remote, uint64_t seed)
{
	const uint64_t stream = random_substream(random_stream("wire rounding"), seed);
	for (uint32_t t = 0; t < remote->params.table_count; t++)
		remote->rounding[t] =
			random_substream(stream, random_stream(remote->params.tables[t].name));
}

/* The same bytes whenever it is called, whatever server the ids go to. */
static unsigned char *gather_rounded(const struct remote_leg *leg, const struct route *route,
	const struct params_push *push, unsigned char *out)
{
	const size_t dim = leg->remote->params.tables[push->table].dim;
	const uint64_t step = random_substream(
		random_substream(leg->remote->rounding[push->table], leg->step->push_step),
		push->slot);
	for (uint32_t i = 0; i < route->count; i++, out += dim * BF16_BYTES) {
		uint32_t at = route_position(&leg->push, route, i);
		bf16_round_randomly(out, push->gradients + at * dim, dim,
			random_substream(step, push->ids[at]));
	}
	return out;
}

/* Push: all ids, all gradients. Then the pull's ids. */
void remote_write_raw(void *context, unsigned char *raw, size_t raw_bytes)
{
	const struct remote_leg *leg = context;
	const struct params_step *step = leg->step;
	(void)raw_bytes;
	for (size_t i = 0; i < leg->push.route_count; i++) {
		const struct route *route = &leg->push.routes[i];
		raw = routes_gather_ids(&leg->push, route, step->pushes[route->segment].ids, raw);
	}
	for (size_t i = 0; i < leg->push.route_count; i++) {
		const struct route *route = &leg->push.routes[i];
		const struct params_push *push = &step->pushes[route->segment];
		if (leg->remote->dtype == WIRE_BF16)
			raw = gather_rounded(leg, route, push, raw);
		else
			raw = routes_gather_rows(&leg->push, route, push->gradients,
				leg->remote->params.tables[push->table].dim, raw);
	}
	for (size_t i = 0; i < leg->pull.route_count; i++) {
		const struct route *route = &leg->pull.routes[i];
		raw = routes_gather_ids(&leg->pull, route, step->pulls[route->segment].ids, raw);
	}
}

static enum status start(struct remote_leg *leg, const struct params_step *step, struct error *err)
{
	Marquee__Ps__V1__PushPullRequest both = MARQUEE__PS__V1__PUSH_PULL_REQUEST__INIT;
	Marquee__Ps__V1__PushRequest push = MARQUEE__PS__V1__PUSH_REQUEST__INIT;
	Marquee__Ps__V1__PullRequest pull = MARQUEE__PS__V1__PULL_REQUEST__INIT;
	struct rpc_request request = {
		.service = remote_service(),
		.deadline_ms = leg->remote->deadline_ms,
		.write_raw = remote_write_raw,
		.context = leg,
	};
	leg->step = step;
	enum status status = STATUS_OK;
	if (step->has_push)
		status = describe_push(leg, &push, err);
	if (step->has_pull && status == STATUS_OK)
		status = describe_pull(leg, &pull, err);
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
	request.raw_bytes = remote_raw_bytes(leg);
	return rpc_call_start(leg->call, &request, err);
}

/* Where a pull's rows go when they cannot stay where they arrived. */
static float *rows_of(const struct params_pull *pull)
{
	/* In the slot's own rows: remote_place_rows() put it there. */
	return pull->rows ? pull->rows : (float *)(uintptr_t)*pull->found;
}

void remote_take_rows(struct remote_leg *leg, const struct params_step *step, const void *rows)
{
	const struct params *params = &leg->remote->params;
	const unsigned char *in = rows;
	for (size_t i = 0; i < leg->pull.route_count; i++) {
		const struct route *route = &leg->pull.routes[i];
		const struct params_pull *pull = &step->pulls[route->segment];
		const uint32_t dim = params->tables[pull->table].dim;
		if (route->whole && !pull->rows) {
			*pull->found = (const float *)(const void *)in;
			in += (size_t)route->count * dim * sizeof(float);
		} else {
			in = routes_scatter_rows(&leg->pull, route, rows_of(pull), dim, in);
		}
	}
}

size_t remote_reply_bytes(const struct remote_leg *leg)
{
	size_t bytes = 0;
	for (size_t i = 0; i < leg->pull.route_count; i++) {
		const struct route *route = &leg->pull.routes[i];
		bytes += route->count *
			 row_bytes(leg->remote, leg->step->pulls[route->segment].table);
	}
	return bytes;
}

static enum status widen(struct remote_leg *leg, struct rpc_bytes raw, struct error *err)
{
	const size_t floats = raw.size / BF16_BYTES;
	enum status status = memory_grow(
		&leg->widened, &leg->widened_capacity, floats, sizeof(*leg->widened), "rows", err);
	if (status == STATUS_OK)
		bf16_widen(leg->widened, raw.data, floats);
	return status;
}

static uint64_t staleness(const struct params_step *step, const Marquee__Ps__V1__PullReply *reply)
{
	return reply->step < step->pull_step ? step->pull_step - reply->step : 0;
}

static enum status finish(struct remote *remote, struct remote_leg *leg,
	const struct remote_server *server, struct error *err)
{
	const struct params_step *step = leg->step;
	struct rpc_reply reply;
	enum status status = remote_wait(remote, server, leg->call, &reply, err);
	if (status != STATUS_OK || !step->has_pull)
		return status;
	const size_t wanted = remote_reply_bytes(leg);
	if (reply.raw.size != wanted)
		return error_set(err, STATUS_DATA_LOSS, "%s: %zu bytes of rows came, expected %zu",
			rpc_channel_url(server->channel), reply.raw.size, wanted);
	leg->staleness = staleness(step, (const Marquee__Ps__V1__PullReply *)reply.body);
	if (leg->remote->dtype == WIRE_BF16)
		status = widen(leg, reply.raw, err);
	if (status == STATUS_OK)
		remote_take_rows(leg, step,
			leg->remote->dtype == WIRE_BF16 ? (const void *)leg->widened
							: (const void *)reply.raw.data);
	return status;
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

static void leg_fini(struct remote_leg *leg)
{
	rpc_call_free(leg->call);
	routes_fini(&leg->push);
	routes_fini(&leg->pull);
	free(leg->segments);
	free(leg->segment_list);
	free(leg->tables);
	free(leg->table_list);
	free(leg->widened);
}

void remote_slot_fini(struct remote_slot *slot, uint32_t server_count)
{
	for (uint32_t s = 0; slot->legs && s < server_count; s++)
		leg_fini(&slot->legs[s]);
	free(slot->legs);
	free(slot->rows);
}

enum status remote_slot_open(struct remote *remote, struct remote_slot *slot, struct error *err)
{
	if (slot->legs)
		return STATUS_OK;
	enum status status = memory_zalloc(
		&slot->legs, remote->server_count, sizeof(*slot->legs), "exchange", err);
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		slot->legs[s].remote = remote;
		status = rpc_call_new(&slot->legs[s].call, remote->servers[s].channel, err);
	}
	if (status != STATUS_OK) {
		remote_slot_fini(slot, remote->server_count);
		*slot = (struct remote_slot){0};
	}
	return status;
}

enum status remote_place_rows(struct remote *remote, struct remote_slot *slot,
	const struct params_step *step, struct error *err)
{
	const uint32_t pulls = step->has_pull ? step->pull_count : 0;
	size_t floats = 0, at = 0;
	for (uint32_t i = 0; i < pulls; i++)
		if (!step->pulls[i].rows && remote->server_count > 1)
			floats += (size_t)step->pulls[i].count *
				  remote->params.tables[step->pulls[i].table].dim;
	enum status status = memory_grow(
		&slot->rows, &slot->row_capacity, floats, sizeof(*slot->rows), "rows", err);
	for (uint32_t i = 0; i < pulls && status == STATUS_OK; i++) {
		const struct params_pull *pull = &step->pulls[i];
		if (pull->rows)
			continue;
		*pull->found = slot->rows + at;
		if (remote->server_count > 1)
			at += (size_t)pull->count * remote->params.tables[pull->table].dim;
	}
	return status;
}

static void count_traffic(struct params_traffic *traffic, const struct rpc_call *call)
{
	struct rpc_call_traffic moved;
	rpc_call_traffic(call, &moved);
	traffic->bytes_sent += moved.bytes_sent;
	traffic->bytes_received += moved.bytes_received;
	traffic->messages += moved.messages;
}

/*
 * Waits for the first `started` legs, also when something failed: their messages borrow the step's
 * arrays.
 */
static enum status finish_legs(struct remote *remote, struct remote_slot *slot, uint32_t started,
	enum status first, struct error *err)
{
	bool kept = false;
	remote->params.staleness = 0;
	for (uint32_t s = 0; s < started; s++) {
		struct remote_leg *leg = &slot->legs[s];
		struct error failure;
		if (finish(remote, leg, &remote->servers[s], &failure) != STATUS_OK)
			first = add_failure(first, err, &failure);
		if (leg->step->has_pull && leg->staleness > remote->params.staleness)
			remote->params.staleness = leg->staleness;
		count_traffic(&remote->params.traffic, leg->call);
		for (uint32_t i = 0; leg->step->has_pull && i < leg->step->pull_count; i++)
			kept |= !leg->step->pulls[i].rows;
		if (!kept)
			rpc_call_release(leg->call);
	}
	return first;
}

enum status remote_exchange_start(
	struct params *params, uint32_t slot, const struct params_step *step, struct error *err)
{
	struct remote *remote = remote_of(params);
	struct remote_slot *mine = &remote->slots[slot];
	uint32_t started = 0;
	enum status status = remote_slot_open(remote, mine, err);
	if (status == STATUS_OK)
		status = remote_route(remote, mine, step, err);
	if (status == STATUS_OK)
		status = remote_place_rows(remote, mine, step, err);
	while (status == STATUS_OK && started < remote->server_count) {
		status = start(&mine->legs[started], step, err);
		if (status == STATUS_OK)
			started++;
	}
	return status == STATUS_OK ? status : finish_legs(remote, mine, started, status, err);
}

enum status remote_exchange_finish(struct params *params, uint32_t slot, struct error *err)
{
	struct remote *remote = remote_of(params);
	return finish_legs(remote, &remote->slots[slot], remote->server_count, STATUS_OK, err);
}

enum status remote_exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	if (remote_of(params)->shared && step->has_push)
		return shared_exchange(remote_of(params), step, err);
	enum status status = remote_exchange_start(params, 0, step, err);
	return status == STATUS_OK ? remote_exchange_finish(params, 0, err) : status;
}
