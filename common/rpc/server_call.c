/*
 * One request on its way through the server.
 *
 * Design notes. Each connection has a thread (connections.h) that takes the messages which have
 * come and serves them one after the other: a handler that answers at once does it there. So
 * requests of one connection begin in their order, those of several at the same time, and between
 * two that follow each other no thread wakes another. Beyond max_calls unanswered ones, or
 * CALLS_MAX of one connection, the thread waits; further requests stay where they are. An answer
 * may come from any thread; the call ends when it is handed to the link, and counts until its bytes
 * are out.
 */
#include "common/rpc/server_internal.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define CALLS_MAX 256u /* of one connection: more than any worker has under way */

struct rpc_server_call {
	struct rpc_server *server;
	struct connection *connection; /* its link is held */
	bool runs;		       /* it is counted as running; else it is refused */
	struct link_route route;
	struct buffer *message; /* the request */
	struct rpc_bytes raw;
	Marquee__Rpc__V1__RequestHeader *header;
	ProtobufCMessage *input;
	struct rpc_caller caller;
	struct rpc_method_record *record; /* of its method */
	uint64_t received_ns;
	uint64_t deadline_ns;
	struct rpc_message reply; /* reserved by the handler */
};

struct rpc_kept {
	atomic_uint references;
	struct buffer *message;
	ProtobufCMessage *input;
};

static void drop_request(struct rpc_server_call *call)
{
	if (call->input)
		protobuf_c_message_free_unpacked(call->input, NULL);
	if (call->header)
		marquee__rpc__v1__request_header__free_unpacked(call->header, NULL);
	buffer_free(call->message);
	rpc_message_free(&call->reply);
	call->input = NULL;
	call->header = NULL;
	call->message = NULL;
	call->raw = (struct rpc_bytes){0};
}

/* Sets *ret_records to those of its methods. */
static ProtobufCService *find_service(
	const struct rpc_server *server, const char *name, struct rpc_method_record **ret_records)
{
	*ret_records = server->methods;
	for (size_t i = 0; i < server->service_count; i++) {
		if (strcmp(server->services[i]->descriptor->name, name) == 0)
			return server->services[i];
		*ret_records += server->services[i]->descriptor->n_methods;
	}
	return NULL;
}

static void reply_closure(const ProtobufCMessage *body, void *closure_data)
{
	rpc_server_call_reply(closure_data, body);
}

static void refuse(struct rpc_server_call *call, const struct error *err)
{
	atomic_fetch_add_explicit(&call->server->refused, 1, memory_order_relaxed);
	rpc_server_call_fail_with(call, err);
}

static enum status read_request(struct rpc_server_call *call, struct error *err)
{
	struct rpc_server *server = call->server;
	struct rpc_frame frame;
	enum status status = rpc_frame_parse(
		&frame, RPC_FRAME_REQUEST, call->message->data, call->message->length, err);
	if (status != STATUS_OK)
		return status;
	call->header = marquee__rpc__v1__request_header__unpack(
		NULL, frame.header.size, frame.header.data);
	if (!call->header)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "the request's header cannot be read");
	if (!rpc_server_has_token(server, &call->header->token))
		return error_set(err, STATUS_UNAUTHENTICATED,
			"the server asks for a token (--token-file) and this is not it");
	connection_admit(call->connection);
	if (call->header->deadline_ms == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "the request has no deadline");
	call->raw = frame.raw;
	call->deadline_ns = call->received_ns + call->header->deadline_ms * NS_PER_MS;
	call->caller = (struct rpc_caller){call->header->job, call->header->worker,
		call->header->incarnation, call->header->sequence};
	struct rpc_method_record *records;
	ProtobufCService *service = find_service(server, call->header->service, &records);
	if (!service)
		return error_set(err, STATUS_UNIMPLEMENTED, "this server has no service '%.64s'",
			call->header->service);
	const ProtobufCServiceDescriptor *descriptor = service->descriptor;
	const ProtobufCMethodDescriptor *method =
		protobuf_c_service_descriptor_get_method_by_name(descriptor, call->header->method);
	if (!method)
		return error_set(err, STATUS_UNIMPLEMENTED, "%s has no method '%.64s'",
			descriptor->name, call->header->method);
	call->record = &records[method - descriptor->methods];
	call->input =
		protobuf_c_message_unpack(method->input, NULL, frame.body.size, frame.body.data);
	if (!call->input)
		return error_set(err, STATUS_INVALID_ARGUMENT, "the request's body is no %s",
			method->input->name);
	service->invoke(service, (unsigned int)(method - descriptor->methods), call->input,
		reply_closure, call);
	return STATUS_OK;
}

/* ---- a connection's requests ---- */

/* Who has shown no token gets one answer after the other, and so cannot use up max_calls. */
static bool may_go_on(const struct rpc_server *server, const struct connection *connection)
{
	const uint32_t most = atomic_load(&connection->admitted) ? CALLS_MAX : 1;
	return server->closing ||
	       (server->unanswered < server->max_calls && connection->unanswered < most);
}

/*
 * Counts a call that is about to be taken, when it may be. False: the server closes. It waits for
 * the calls that run and would wait for ever for those that keep coming, so the call does not
 * count as one of them.
 */
static bool count_call(struct connection *connection)
{
	struct rpc_server *server = connection->connections->server;
	pthread_mutex_lock(&server->lock);
	if (!may_go_on(server, connection)) {
		pthread_mutex_unlock(&server->lock);
		link_uncork(connection->link); /* they count, too */
		pthread_mutex_lock(&server->lock);
	}
	server->waiting++;
	while (!may_go_on(server, connection))
		pthread_cond_wait(&server->fewer, &server->lock);
	server->waiting--;
	const bool runs = !server->closing;
	server->running += runs;
	server->unanswered++;
	connection->unanswered++;
	pthread_mutex_unlock(&server->lock);
	return runs;
}

/* The handler has answered. The server may be gone afterwards. */
static void end_running(struct rpc_server *server)
{
	pthread_mutex_lock(&server->lock);
	if (--server->running == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
}

void rpc_server_on_sent(void *context, uint32_t count)
{
	struct connection *connection = context;
	struct rpc_server *server = connection->connections->server;
	pthread_mutex_lock(&server->lock);
	connection->unanswered -= count;
	server->unanswered -= count;
	if (server->unanswered == 0)
		pthread_cond_broadcast(&server->idle);
	if (server->waiting > 0)
		pthread_cond_broadcast(&server->fewer);
	pthread_mutex_unlock(&server->lock);
}

/* A call that was counted did not come about, or ends without an answer. */
static void drop_call(struct connection *connection, bool runs)
{
	rpc_server_on_sent(connection, 1);
	if (runs)
		end_running(connection->connections->server);
}

/* The message is the call's. False: without memory for it the client has to ask again. */
static bool on_request(struct connection *connection, struct buffer *message,
	const struct link_route *route, bool runs)
{
	struct rpc_server *server = connection->connections->server;
	struct rpc_server_call *call;
	struct error err;
	atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&server->bytes_received, message->length, memory_order_relaxed);
	if (memory_zalloc(&call, 1, sizeof(*call), "server's call", NULL) != STATUS_OK) {
		buffer_free(message);
		drop_call(connection, runs);
		return false;
	}
	call->server = server;
	call->connection = connection;
	call->runs = runs;
	(void)link_hold(connection->link);
	call->route = *route;
	call->message = message;
	call->received_ns = clock_now_ns(server->clock);
	call->record = &server->methods[server->method_count - 1];
	if (!runs) {
		error_set(&err, STATUS_UNAVAILABLE, "the server is shutting down");
		refuse(call, &err);
	} else if (read_request(call, &err) != STATUS_OK) {
		refuse(call, &err);
	}
	return true;
}

/* Serves what has come. What is answered at once goes out together, when all of it has been. */
static int serve(struct connection *connection)
{
	for (;;) {
		struct buffer *message;
		struct link_route route;
		const bool runs = count_call(connection);
		const int rv = connection_next(connection, &message, &route);
		if (rv != 0 || !message) {
			drop_call(connection, runs);
			link_uncork(connection->link);
			return rv;
		}
		link_cork(connection->link);
		if (!on_request(connection, message, &route, runs)) {
			link_uncork(connection->link);
			return NNG_ENOMEM;
		}
	}
}

void rpc_server_serve(struct connection *connection)
{
	int rv = serve(connection);
	while (rv == 0) {
		rv = connection_wait(connection);
		if (rv == 0)
			rv = serve(connection);
	}
}

/* ---- what handlers do with a call ---- */

struct rpc_server *rpc_server_call_server(const struct rpc_server_call *call)
{
	return call->server;
}

const struct rpc_caller *rpc_server_call_caller(const struct rpc_server_call *call)
{
	return &call->caller;
}

struct rpc_bytes rpc_server_call_raw(const struct rpc_server_call *call)
{
	return call->raw;
}

uint64_t rpc_server_call_deadline_ns(const struct rpc_server_call *call)
{
	return call->deadline_ns;
}

struct rpc_kept *rpc_server_call_keep(struct rpc_server_call *call)
{
	struct rpc_kept *kept = malloc(sizeof(*kept));
	if (!kept)
		return NULL;
	atomic_init(&kept->references, 1);
	kept->message = call->message;
	kept->input = call->input;
	call->message = NULL;
	call->input = NULL;
	return kept;
}

struct rpc_kept *rpc_kept_hold(struct rpc_kept *kept)
{
	atomic_fetch_add_explicit(&kept->references, 1, memory_order_relaxed);
	return kept;
}

void rpc_kept_release(struct rpc_kept *kept)
{
	if (!kept || atomic_fetch_sub_explicit(&kept->references, 1, memory_order_acq_rel) > 1)
		return;
	if (kept->input)
		protobuf_c_message_free_unpacked(kept->input, NULL);
	buffer_free(kept->message);
	free(kept);
}

enum status rpc_server_call_reserve(
	struct rpc_server_call *call, size_t raw_bytes, unsigned char **ret_raw, struct error *err)
{
	enum status status = rpc_message_new(&call->reply, RPC_ROOM_DEFAULT, raw_bytes,
		call->server->max_message_bytes, &call->server->buffers, err);
	if (status == STATUS_OK)
		*ret_raw = rpc_message_raw(&call->reply);
	return status;
}

void rpc_server_call_shrink(struct rpc_server_call *call, size_t raw_bytes)
{
	if (raw_bytes >= call->reply.raw_bytes)
		return;
	call->reply.buffer->length -= call->reply.raw_bytes - raw_bytes;
	call->reply.raw_bytes = raw_bytes;
}

static void end_call(struct rpc_server_call *call)
{
	struct rpc_server *server = call->server;
	const bool runs = call->runs;
	link_release(call->connection->link);
	free(call);
	if (runs)
		end_running(server);
}

/* Seals and sends. On failure nothing has been sent and the reserved reply is gone. */
static enum status send_reply(struct rpc_server_call *call,
	Marquee__Rpc__V1__ResponseHeader *header, const ProtobufCMessage *body, struct error *err)
{
	enum status status = STATUS_OK;
	if (!call->reply.buffer)
		status = rpc_message_new(
			&call->reply, RPC_ROOM_DEFAULT, 0, SIZE_MAX, &call->server->buffers, err);
	unsigned char *out;
	size_t body_bytes = body ? protobuf_c_message_get_packed_size(body) : 0;
	if (status == STATUS_OK)
		status = rpc_message_seal(
			&call->reply, RPC_FRAME_RESPONSE, &header->base, body_bytes, &out, err);
	if (status != STATUS_OK) {
		rpc_message_free(&call->reply);
		return status;
	}
	if (body)
		protobuf_c_message_pack(body, out);
	struct rpc_server *server = call->server;
	struct buffer *message = call->reply.buffer;
	call->reply = (struct rpc_message){0};
	drop_request(call);
	atomic_fetch_add_explicit(&server->bytes_sent, message->length, memory_order_relaxed);
	atomic_fetch_add_explicit(&call->record->answered[header->status], 1, memory_order_relaxed);
	latency_observe(&call->record->latency, clock_now_ns(server->clock) - call->received_ns);
	link_send(call->connection->link, message, &call->route);
	end_call(call);
	return STATUS_OK;
}

void rpc_server_call_reply(struct rpc_server_call *call, const ProtobufCMessage *body)
{
	Marquee__Rpc__V1__ResponseHeader header = MARQUEE__RPC__V1__RESPONSE_HEADER__INIT;
	struct error err;
	if (send_reply(call, &header, body, &err) != STATUS_OK)
		rpc_server_call_fail_with(call, &err);
}

void rpc_server_call_fail_with(struct rpc_server_call *call, const struct error *err)
{
	Marquee__Rpc__V1__ResponseHeader header = MARQUEE__RPC__V1__RESPONSE_HEADER__INIT;
	header.status = (uint32_t)err->status;
	header.message = (char *)err->message;
	rpc_message_free(&call->reply);
	struct error send_error;
	if (send_reply(call, &header, NULL, &send_error) == STATUS_OK)
		return;
	/* No memory for even this. The loss of its connection makes the client ask again. */
	drop_request(call);
	link_close(call->connection->link);
	rpc_server_on_sent(call->connection, 1);
	end_call(call);
}

void rpc_server_call_fail(struct rpc_server_call *call, enum status status, const char *format, ...)
{
	struct error err = {.status = status};
	va_list args;
	va_start(args, format);
	vsnprintf(err.message, sizeof(err.message), format, args);
	va_end(args);
	rpc_server_call_fail_with(call, &err);
}
