/*
 * One request on its way through the server.
 *
 * Design notes. A call is one nng context with one aio, and goes round RECEIVING -> RUNNING ->
 * SENDING -> RECEIVING. The aio's callback, on a thread of nng, moves it on; in RUNNING the aio is
 * idle and the call belongs to its handler. There is always some call receiving: whoever takes a
 * request opens more when few are left, up to max_calls, and at that bound requests wait in their
 * connections.
 *
 * A call's memory is freed at close only, so that a late callback never meets freed memory.
 */
#include "common/rpc/server_internal.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVING_MIN 4u
#define NS_PER_MS     UINT64_C(1000000)

enum call_state { RECEIVING, RUNNING, SENDING };

struct rpc_server_call {
	struct rpc_server *server;
	struct rpc_server_call *next; /* in server->calls */
	nng_ctx ctx;
	nng_aio *aio;
	enum call_state state;
	nng_msg *message; /* the request */
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
	struct message_pool *spares; /* the server's */
	nng_msg *message;
	ProtobufCMessage *input;
};

static void on_aio(void *context);

static void receive(struct rpc_server_call *call)
{
	call->state = RECEIVING;
	nng_ctx_recv(call->ctx, call->aio);
}

static enum status add_call(struct rpc_server *server, struct error *err)
{
	struct rpc_server_call *call;
	enum status status = memory_zalloc(&call, 1, sizeof(*call), "server's call", err);
	if (status != STATUS_OK)
		return status;
	call->server = server;
	int rv = nng_aio_alloc(&call->aio, on_aio, call);
	if (rv == 0) {
		rv = nng_ctx_open(&call->ctx, server->socket);
		if (rv != 0)
			nng_aio_free(call->aio);
	}
	if (rv != 0) {
		free(call);
		return error_set(err, rpc_status_from_nng(rv), "%s", nng_strerror(rv));
	}
	pthread_mutex_lock(&server->lock);
	call->next = server->calls;
	server->calls = call;
	pthread_mutex_unlock(&server->lock);
	receive(call);
	return STATUS_OK;
}

enum status rpc_server_add_calls(struct rpc_server *server, struct error *err)
{
	for (;;) {
		pthread_mutex_lock(&server->lock);
		bool wanted = !server->closing && server->receiving < RECEIVING_MIN &&
			      server->call_count < server->max_calls;
		if (wanted) {
			server->receiving++;
			server->call_count++;
		}
		pthread_mutex_unlock(&server->lock);
		if (!wanted)
			return STATUS_OK;
		enum status status = add_call(server, err);
		if (status != STATUS_OK) {
			pthread_mutex_lock(&server->lock);
			server->receiving--;
			server->call_count--;
			pthread_mutex_unlock(&server->lock);
			return status;
		}
	}
}

static void drop_request(struct rpc_server_call *call)
{
	if (call->input)
		protobuf_c_message_free_unpacked(call->input, NULL);
	if (call->header)
		marquee__rpc__v1__request_header__free_unpacked(call->header, NULL);
	if (call->message)
		message_pool_give(&call->server->spares, call->message);
	rpc_message_free(&call->reply);
	call->input = NULL;
	call->header = NULL;
	call->message = NULL;
	call->raw = (struct rpc_bytes){0};
}

/* A request that comes at the same moment is answered, or dropped with its reply. */
void rpc_server_stop_receiving(struct rpc_server *server)
{
	pthread_mutex_lock(&server->lock);
	struct rpc_server_call *first = server->calls;
	pthread_mutex_unlock(&server->lock);
	for (struct rpc_server_call *call = first; call; call = call->next)
		nng_aio_cancel(call->aio);
}

void rpc_server_free_calls(struct rpc_server *server)
{
	struct rpc_server_call *next;
	for (struct rpc_server_call *call = server->calls; call; call = next) {
		next = call->next;
		nng_aio_stop(call->aio);
		nng_msg *message = nng_aio_get_msg(call->aio);
		if (message)
			nng_msg_free(message);
		nng_aio_free(call->aio);
		drop_request(call);
		free(call);
	}
	server->calls = NULL;
}

/* The time does not depend on where the bytes differ. */
static bool same_token(const struct rpc_server *server, const ProtobufCBinaryData *token)
{
	if (!server->token)
		return true;
	unsigned int difference = token->len != server->token_bytes;
	for (size_t i = 0; i < server->token_bytes; i++)
		difference |= (unsigned int)server->token[i] ^
			      (i < token->len ? (unsigned int)token->data[i] : 0u);
	return difference == 0;
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
	size_t size = nng_msg_len(call->message);
	if (size > server->max_message_bytes) /* inproc does not check it */
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"a message of %zu bytes; this server takes %zu", size,
			server->max_message_bytes);
	struct rpc_frame frame;
	enum status status =
		rpc_frame_parse(&frame, RPC_FRAME_REQUEST, nng_msg_body(call->message), size, err);
	if (status != STATUS_OK)
		return status;
	call->header = marquee__rpc__v1__request_header__unpack(
		NULL, frame.header.size, frame.header.data);
	if (!call->header)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "the request's header cannot be read");
	if (!same_token(server, &call->header->token))
		return error_set(err, STATUS_UNAUTHENTICATED,
			"the server asks for a token (--token-file) and this is not it");
	connections_admit(&server->connections, nng_msg_get_pipe(call->message));
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

static void on_request(struct rpc_server_call *call)
{
	struct rpc_server *server = call->server;
	call->message = nng_aio_get_msg(call->aio);
	nng_aio_set_msg(call->aio, NULL);
	call->received_ns = clock_now_ns(server->clock);
	call->record = &server->methods[server->method_count - 1];
	atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(
		&server->bytes_received, nng_msg_len(call->message), memory_order_relaxed);
	pthread_mutex_lock(&server->lock);
	call->state = RUNNING;
	server->receiving--;
	server->busy++;
	bool closing = server->closing;
	pthread_mutex_unlock(&server->lock);
	struct error err;
	if (closing) {
		error_set(&err, STATUS_UNAVAILABLE, "the server is shutting down");
		refuse(call, &err);
		return;
	}
	/* Without memory for more there are still the calls that are going round. */
	if (rpc_server_add_calls(server, &err) != STATUS_OK)
		err = (struct error){0};
	if (read_request(call, &err) != STATUS_OK)
		refuse(call, &err);
}

/* The reply is out, or its client is gone. */
static void on_sent(struct rpc_server_call *call)
{
	struct rpc_server *server = call->server;
	nng_msg *message = nng_aio_get_msg(call->aio);
	if (message) {
		nng_aio_set_msg(call->aio, NULL);
		nng_msg_free(message);
	}
	call->state = RECEIVING;
	pthread_mutex_lock(&server->lock);
	server->busy--;
	bool closing = server->closing;
	if (!closing)
		server->receiving++;
	else if (server->busy == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
	/* After the broadcast the server may be waiting in nng_aio_stop for this callback. */
	if (!closing)
		receive(call);
}

static void on_aio(void *context)
{
	struct rpc_server_call *call = context;
	int rv = nng_aio_result(call->aio);
	if (call->state == SENDING) {
		on_sent(call);
		return;
	}
	if (rv == 0) {
		on_request(call);
		return;
	}
	if (rv != NNG_ECLOSED && rv != NNG_ECANCELED)
		receive(call);
}

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
	kept->spares = &call->server->spares;
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
	message_pool_give(kept->spares, kept->message);
	free(kept);
}

enum status rpc_server_call_reserve(
	struct rpc_server_call *call, size_t raw_bytes, unsigned char **ret_raw, struct error *err)
{
	enum status status = rpc_message_new(&call->reply, RPC_ROOM_DEFAULT, raw_bytes,
		call->server->max_message_bytes, &call->server->spares, err);
	if (status == STATUS_OK)
		*ret_raw = rpc_message_raw(&call->reply);
	return status;
}

void rpc_server_call_shrink(struct rpc_server_call *call, size_t raw_bytes)
{
	if (raw_bytes >= call->reply.raw_bytes)
		return;
	(void)nng_msg_chop(call->reply.msg, call->reply.raw_bytes - raw_bytes);
	call->reply.raw_bytes = raw_bytes;
}

/* Seals and sends. On failure nothing has been sent and the reserved reply is gone. */
static enum status send_reply(struct rpc_server_call *call,
	Marquee__Rpc__V1__ResponseHeader *header, const ProtobufCMessage *body, struct error *err)
{
	enum status status = STATUS_OK;
	if (!call->reply.msg)
		status = rpc_message_new(&call->reply, RPC_ROOM_DEFAULT, 0, SIZE_MAX, NULL, err);
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
	nng_msg *message = call->reply.msg;
	call->reply = (struct rpc_message){0};
	drop_request(call);
	atomic_fetch_add_explicit(
		&call->server->bytes_sent, nng_msg_len(message), memory_order_relaxed);
	atomic_fetch_add_explicit(&call->record->answered[header->status], 1, memory_order_relaxed);
	latency_observe(
		&call->record->latency, clock_now_ns(call->server->clock) - call->received_ns);
	call->state = SENDING;
	nng_aio_set_msg(call->aio, message);
	nng_ctx_send(call->ctx, call->aio);
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
	/* No memory for even this: the client's deadline tells it; the call goes round. */
	drop_request(call);
	on_sent(call);
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
