/* The rare calls: what the servers hold is read, set, digested and audited. */
#include "common/base/memory.h"
#include "worker/comm_shared.h"
#include "worker/remote_internal.h"

#include <stdlib.h>
#include <string.h>

enum status remote_wait(struct remote *remote, const struct remote_server *server,
	struct rpc_call *call, struct rpc_reply *ret, struct error *err)
{
	struct remote_shared *shared = remote->shared;
	if (shared)
		comm_shared_asks(shared->comm, (uint32_t)(server - remote->servers));
	enum status status = rpc_call_wait(call, ret, err);
	/* Without an answer others may give up at the same moment, and still name the right one. */
	if (shared && status == STATUS_OK)
		comm_shared_is_answered(shared->comm);
	return status;
}

static enum status ask(struct remote *remote, const struct remote_server *server,
	const struct rpc_request *request, struct rpc_reply *ret, struct error *err)
{
	enum status status = rpc_call_start(server->call, request, err);
	return status == STATUS_OK ? remote_wait(remote, server, server->call, ret, err) : status;
}

enum status remote_ask(struct remote *remote, struct remote_server *server, const char *method,
	const ProtobufCMessage *body, struct rpc_reply *ret, struct error *err)
{
	struct rpc_request request = {
		.service = remote_service(),
		.method = method,
		.body = body,
		.deadline_ms = remote->deadline_ms,
	};
	return ask(remote, server, &request, ret, err);
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
			remote_ask(remote, server, "Snapshot", &request.base, &reply, err);
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

enum status remote_snapshot(
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
	struct routes routes[SERVERS_MAX] = {0}, *push[SERVERS_MAX];
	for (uint32_t s = 0; s < remote->server_count; s++)
		push[s] = &routes[s];
	enum status status = routes_add(push, remote->server_count, 0, ids, count, false, err);
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
			.service = remote_service(),
			.method = "Restore",
			.body = &body.base,
			.deadline_ms = remote->deadline_ms,
			.raw_bytes =
				part.route->count * (sizeof(*ids) + part.floats * sizeof(*records)),
			.write_raw = write_restore,
			.context = &part,
		};
		status = ask(remote, server, &request, &reply, err);
	}
	for (uint32_t s = 0; s < remote->server_count; s++)
		routes_fini(push[s]);
	return status;
}

enum status remote_restore(struct params *params, uint32_t table, const uint64_t *ids,
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

enum status remote_digest(struct params *params, struct digest *ret, struct error *err)
{
	struct remote *remote = remote_of(params);
	Marquee__Ps__V1__DigestRequest request = MARQUEE__PS__V1__DIGEST_REQUEST__INIT;
	struct digest sum = {0};
	for (uint32_t s = 0; s < remote->server_count; s++) {
		struct rpc_reply reply;
		enum status status = remote_ask(
			remote, &remote->servers[s], "Digest", &request.base, &reply, err);
		if (status != STATUS_OK)
			return status;
		const Marquee__Ps__V1__DigestReply *body =
			(const Marquee__Ps__V1__DigestReply *)reply.body;
		digest_merge(&sum, &(struct digest){.low = body->low, .high = body->high});
	}
	*ret = sum;
	return STATUS_OK;
}

enum status remote_audit(struct params *params, uint64_t examples, struct error *err)
{
	struct remote *remote = remote_of(params);
	Marquee__Ps__V1__AuditRequest request = MARQUEE__PS__V1__AUDIT_REQUEST__INIT;
	enum status status = STATUS_OK;
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		struct remote_server *server = &remote->servers[s];
		const char *url = rpc_channel_url(server->channel);
		struct rpc_reply reply;
		status = remote_ask(remote, server, "Audit", &request.base, &reply, err);
		if (status != STATUS_OK)
			break;
		const Marquee__Ps__V1__AuditReply *body =
			(const Marquee__Ps__V1__AuditReply *)reply.body;
		if (body->n_examples != params->table_count)
			return error_set(err, STATUS_DATA_LOSS,
				"%s: an audit of %zu tables, there are %u", url, body->n_examples,
				params->table_count);
		for (uint32_t t = 0; t < params->table_count && status == STATUS_OK; t++)
			status = params_audit_table(
				params, t, url, body->examples[t], examples, err);
	}
	return status;
}

enum status remote_restore_examples(struct params *params, uint64_t examples, struct error *err)
{
	struct remote *remote = remote_of(params);
	Marquee__Ps__V1__AuditRequest request = MARQUEE__PS__V1__AUDIT_REQUEST__INIT;
	enum status status = STATUS_OK;
	request.restore = true;
	request.examples = examples;
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++) {
		struct rpc_reply reply;
		status = remote_ask(
			remote, &remote->servers[s], "Audit", &request.base, &reply, err);
	}
	return status;
}
