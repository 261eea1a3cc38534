/*
 * Cuts on the servers, read on connections of their own.
 *
 * Two calls to a server take turns: it fills the next chunk while the one before is used here.
 */
#include "common/base/memory.h"
#include "worker/remote_internal.h"

#include <stdlib.h>
#include <string.h>

/* Of a chunk: far more than a round trip costs, and little beside what a worker holds. */
#define CHUNK_BYTES ((size_t)2 << 20)

/* Tells every server; all requests are in flight together. */
static enum status tell(
	struct remote *remote, uint64_t step, bool end, bool bulk, struct error *err)
{
	Marquee__Ps__V1__CutRequest body = MARQUEE__PS__V1__CUT_REQUEST__INIT;
	enum status status = STATUS_OK;
	uint32_t started = 0;
	body.step = step;
	body.end = end;
	const struct rpc_request request = {
		.service = remote_service(),
		.method = "Cut",
		.body = &body.base,
		.deadline_ms = remote->deadline_ms,
	};
	for (; started < remote->server_count && status == STATUS_OK; started++) {
		struct remote_server *server = &remote->servers[started];
		status = rpc_call_start(bulk ? server->bulk_calls[0] : server->call, &request, err);
	}
	for (uint32_t s = 0; s < started; s++) {
		struct rpc_reply reply;
		struct error failure;
		const struct remote_server *server = &remote->servers[s];
		struct rpc_call *call = bulk ? server->bulk_calls[0] : server->call;
		enum status one = bulk ? rpc_call_wait(call, &reply, &failure)
				       : remote_wait(remote, server, call, &reply, &failure);
		rpc_call_release(call);
		if (one != STATUS_OK && status == STATUS_OK)
			status = error_set(err, one, "%s", failure.message);
	}
	return status;
}

/* On the steps' own connections, so that it cannot be overtaken by the pushes that come next. */
enum status remote_cut(struct params *params, uint64_t step, struct error *err)
{
	struct remote *remote = remote_of(params);
	remote->cut_step = step;
	return tell(remote, step, false, false, err);
}

enum status remote_uncut(struct params *params, struct error *err)
{
	struct remote *remote = remote_of(params);
	return tell(remote, remote->cut_step, true, true, err);
}

/* One table of one server, on its way. */
struct cut_read {
	struct remote *remote;
	struct remote_server *server;
	Marquee__Ps__V1__SnapshotRequest request;
	uint64_t *ids; /* [request.max_records] */
	params_sink *sink;
	void *context;
};

static enum status ask(struct cut_read *read, unsigned int turn, struct error *err)
{
	const struct rpc_request request = {
		.service = remote_service(),
		.method = "Snapshot",
		.body = &read->request.base,
		.deadline_ms = read->remote->deadline_ms,
	};
	return rpc_call_start(read->server->bulk_calls[turn], &request, err);
}

static enum status use(struct cut_read *read, const struct rpc_reply *reply, struct error *err)
{
	const Marquee__Ps__V1__SnapshotReply *body =
		(const Marquee__Ps__V1__SnapshotReply *)reply->body;
	const size_t n = body->count;
	const size_t floats = read->remote->params.record_floats[read->request.table];
	if (n > read->request.max_records ||
		reply->raw.size != n * (sizeof(*read->ids) + floats * sizeof(float)))
		return error_set(err, STATUS_DATA_LOSS,
			"%s: a snapshot of %zu records has %zu bytes",
			rpc_channel_url(read->server->channel), n, reply->raw.size);
	if (n == 0)
		return STATUS_OK;
	memcpy(read->ids, reply->raw.data, n * sizeof(*read->ids));
	/* Raw data is aligned to 4 bytes, so records may be read where they lie. */
	const float *records =
		(const float *)(const void *)(reply->raw.data + n * sizeof(*read->ids));
	return read->sink(read->context, read->request.table, read->ids, records, n, err);
}

static enum status read_server(struct cut_read *read, struct error *err)
{
	unsigned int turn = 0;
	read->request.cursor = 0;
	enum status status = ask(read, turn, err);
	while (status == STATUS_OK) {
		struct rpc_reply reply;
		status = rpc_call_wait(read->server->bulk_calls[turn], &reply, err);
		if (status != STATUS_OK)
			break;
		const Marquee__Ps__V1__SnapshotReply *body =
			(const Marquee__Ps__V1__SnapshotReply *)reply.body;
		const bool done = body->done;
		read->request.cursor = body->cursor;
		if (!done)
			status = ask(read, 1 - turn, err);
		if (status == STATUS_OK)
			status = use(read, &reply, err);
		if (done)
			break;
		turn = 1 - turn;
	}
	rpc_call_release(read->server->bulk_calls[0]);
	rpc_call_release(read->server->bulk_calls[1]);
	return status;
}

enum status remote_read_cut(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	struct remote *remote = remote_of(params);
	struct cut_read read = {.remote = remote, .sink = sink, .context = context};
	const size_t record_bytes =
		sizeof(*read.ids) + params->record_floats[table] * sizeof(float);
	read.request = (Marquee__Ps__V1__SnapshotRequest)MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	read.request.table = table;
	read.request.max_records =
		CHUNK_BYTES > record_bytes ? (uint32_t)(CHUNK_BYTES / record_bytes) : 1;
	read.request.of_cut = true;
	read.request.cut_step = remote->cut_step;
	enum status status = memory_alloc(
		&read.ids, read.request.max_records, sizeof(*read.ids), "snapshot", err);
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		read.server = &remote->servers[s];
		status = read_server(&read, err);
	}
	free(read.ids);
	return status;
}
