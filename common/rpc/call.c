/*
 * One call: start, wait, repeat.
 *
 * Design notes. What has become of the attempt is its request's state (channel_internal.h). Where
 * there is no connection nothing is sent, and waiting begins with connecting.
 */
#include "common/rpc/channel_internal.h"

#include "common/base/memory.h"
#include "common/rpc/message.h"
#include "proto/rpc.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS	   UINT64_C(1000000)
#define BACKOFF_MIN_MS	   2u
#define BACKOFF_MAX_MS	   200u
#define ANSWER_RESERVE_MAX 100u /* ms of the deadline kept for the server's explanation */

enum call_state { IDLE, STARTED, REPLIED };

struct rpc_call {
	struct rpc_channel *channel;
	struct request sent;
	enum call_state state;
	/* The request; what a repeat needs. */
	const ProtobufCServiceDescriptor *service;
	const ProtobufCMethodDescriptor *method;
	unsigned char *body; /* packed */
	size_t body_bytes, body_capacity;
	size_t raw_bytes;
	void (*write_raw)(void *context, unsigned char *raw, size_t raw_bytes);
	void *context;
	uint32_t deadline_ms;
	uint64_t deadline_ns;
	uint64_t sequence;
	uint32_t attempts;
	uint64_t attempt_end_ns; /* the last one is given up */
	struct rpc_call_traffic traffic;
	uint32_t backoff_ms;
	bool connected;	     /* a server was reached */
	struct error answer; /* the last UNAVAILABLE that a server sent; OK: none */
	/* The reply. */
	struct buffer *message;
	ProtobufCMessage *output;
};

enum status rpc_call_new(struct rpc_call **ret, struct rpc_channel *channel, struct error *err)
{
	struct rpc_call *call;
	enum status status = memory_zalloc(&call, 1, sizeof(*call), "call", err);
	if (status != STATUS_OK)
		return status;
	call->channel = channel;
	*ret = call;
	return STATUS_OK;
}

void rpc_call_free(struct rpc_call *call)
{
	if (!call)
		return;
	rpc_call_release(call);
	free(call->body);
	free(call);
}

void rpc_call_release(struct rpc_call *call)
{
	channel_forget(call->channel, &call->sent);
	if (call->output)
		protobuf_c_message_free_unpacked(call->output, NULL);
	buffer_free(call->message);
	call->output = NULL;
	call->message = NULL;
	call->state = IDLE;
}

static uint64_t remaining_ms(const struct rpc_call *call)
{
	uint64_t now = clock_now_ns(call->channel->clock);
	if (now >= call->deadline_ns)
		return 0;
	return (call->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
}

static enum status seal_request(struct rpc_call *call, struct rpc_message *message,
	Marquee__Rpc__V1__RequestHeader *header, struct error *err)
{
	unsigned char *body;
	enum status status = rpc_message_seal(
		message, RPC_FRAME_REQUEST, &header->base, call->body_bytes, &body, err);
	if (status == STATUS_OK && call->body_bytes > 0)
		memcpy(body, call->body, call->body_bytes);
	return status;
}

static enum status write_request(
	struct rpc_call *call, uint64_t left_ms, struct buffer **ret, struct error *err)
{
	struct rpc_channel *channel = call->channel;
	uint64_t reserve_ms = left_ms / 10 < ANSWER_RESERVE_MAX ? left_ms / 10 : ANSWER_RESERVE_MAX;
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = (char *)call->service->name;
	header.method = (char *)call->method->name;
	header.deadline_ms = (uint32_t)(left_ms - reserve_ms);
	header.job = channel->job;
	header.token = (ProtobufCBinaryData){channel->token_bytes, channel->token};
	header.worker = channel->worker;
	header.incarnation = channel->incarnation;
	header.sequence = call->sequence;
	size_t room = rpc_frame_prefix_bytes(
		protobuf_c_message_get_packed_size(&header.base), call->body_bytes);
	struct rpc_message message;
	enum status status = rpc_message_new(&message, room, call->raw_bytes,
		channel->max_message_bytes, &channel->buffers, err);
	if (status != STATUS_OK)
		return status;
	if (call->raw_bytes > 0)
		call->write_raw(call->context, rpc_message_raw(&message), call->raw_bytes);
	status = seal_request(call, &message, &header, err);
	if (status != STATUS_OK) {
		rpc_message_free(&message);
		return status;
	}
	*ret = message.buffer;
	return STATUS_OK;
}

static void begin_attempt(struct rpc_call *call)
{
	call->attempts++;
	call->attempt_end_ns =
		clock_now_ns(call->channel->clock) + call->channel->attempt_ms * NS_PER_MS;
}

/* Sends the request on a connection of the channel's. */
static enum status attempt(
	struct rpc_call *call, struct link *link, uint64_t left_ms, struct error *err)
{
	struct rpc_channel *channel = call->channel;
	struct buffer *message;
	enum status status = write_request(call, left_ms, &message, err);
	if (status == STATUS_OK) {
		const uint64_t bytes = message->length;
		begin_attempt(call);
		call->traffic.bytes_sent += bytes;
		call->traffic.messages++;
		atomic_fetch_add_explicit(&channel->attempts, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&channel->bytes_sent, bytes, memory_order_relaxed);
		channel_send(channel, link, &call->sent, message);
	}
	return status;
}

enum status rpc_call_start(
	struct rpc_call *call, const struct rpc_request *request, struct error *err)
{
	struct rpc_channel *channel = call->channel;
	if (call->state == STARTED)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: %s: the call before was not waited for", channel->url,
			request->method);
	rpc_call_release(call);
	const ProtobufCMethodDescriptor *method =
		protobuf_c_service_descriptor_get_method_by_name(request->service, request->method);
	if (!method)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s has no method %s",
			request->service->name, request->method);
	if (request->deadline_ms == 0 || request->deadline_ms > INT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%s: a deadline of %u ms; expected 1 to %d", request->method,
			request->deadline_ms, INT32_MAX);
	size_t body_bytes = protobuf_c_message_get_packed_size(request->body);
	enum status status = memory_grow(
		&call->body, &call->body_capacity, body_bytes, 1, "request's body", err);
	if (status != STATUS_OK)
		return status;
	protobuf_c_message_pack(request->body, call->body);
	call->service = request->service;
	call->method = method;
	call->body_bytes = body_bytes;
	call->raw_bytes = request->raw_bytes;
	call->write_raw = request->write_raw;
	call->context = request->context;
	call->deadline_ms = request->deadline_ms;
	call->deadline_ns = clock_now_ns(channel->clock) + request->deadline_ms * NS_PER_MS;
	call->sequence = atomic_fetch_add(&channel->sequence, 1) + 1;
	call->attempts = 0;
	call->traffic = (struct rpc_call_traffic){0};
	call->backoff_ms = 0;
	call->connected = false;
	call->answer = (struct error){0};
	atomic_fetch_add_explicit(&channel->calls, 1, memory_order_relaxed);
	call->state = STARTED;
	struct link *link = channel_link(channel);
	if (link)
		status = attempt(call, link, request->deadline_ms, err);
	link_release(link);
	if (status != STATUS_OK) {
		rpc_call_release(call);
		return error_wrap(err, status, "%s: %s", channel->url, method->name);
	}
	return STATUS_OK;
}

/* Why the call ends at its deadline, from what its attempts met. */
static enum status deadline_error(const struct rpc_call *call, struct error *err)
{
	const char *url = call->channel->url;
	const char *method = call->method->name;
	const char *why = channel_trouble(call->channel);
	const char *open = *why ? " (" : "", *close = *why ? ")" : "";
	double seconds = call->deadline_ms / 1000.0;
	if (call->answer.status != STATUS_OK)
		return error_set(err, call->answer.status, "%s: %s: %s (for %g s, %u attempts)",
			url, method, call->answer.message, seconds, call->attempts);
	if (!call->connected)
		return error_set(err, STATUS_UNAVAILABLE,
			"%s: no server answered within %g s: is pserver running there?%s%s%s", url,
			seconds, open, why, close);
	if (call->attempts > 1)
		return error_set(err, STATUS_UNAVAILABLE,
			"%s: %s: the connection was lost or silent and no server answered within "
			"%g s (%u attempts): is pserver still running there?%s%s%s",
			url, method, seconds, call->attempts, open, why, close);
	return error_set(err, STATUS_DEADLINE_EXCEEDED, "%s: %s: no answer within %g s", url,
		method, seconds);
}

static enum status pause_and_attempt(struct rpc_call *call, struct link *link, struct error *err)
{
	uint64_t left = remaining_ms(call);
	if (call->backoff_ms > 0) {
		uint64_t pause = call->backoff_ms < left ? call->backoff_ms : left;
		struct timespec time = {(time_t)(pause / 1000), (long)(pause % 1000 * NS_PER_MS)};
		(void)nanosleep(&time, NULL);
		left = remaining_ms(call);
	}
	if (left == 0)
		return deadline_error(call, err);
	if (call->attempts > 0)
		call->backoff_ms = call->backoff_ms == 0 ? BACKOFF_MIN_MS : call->backoff_ms * 2;
	if (call->backoff_ms > BACKOFF_MAX_MS)
		call->backoff_ms = BACKOFF_MAX_MS;
	enum status status = attempt(call, link, left, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s: %s", call->channel->url, call->method->name);
	return STATUS_OK;
}

/*
 * Sends the call again after a pause, or says why not. Without a connection nothing happens; nor
 * while the last message has not gone out: the next one would only queue up behind it.
 */
static enum status repeat(struct rpc_call *call, struct error *err)
{
	if (remaining_ms(call) > 0 && channel_is_unsent(call->channel, &call->sent)) {
		begin_attempt(call);
		return STATUS_OK;
	}
	channel_forget(call->channel, &call->sent);
	if (remaining_ms(call) == 0)
		return deadline_error(call, err);
	struct link *link = channel_link(call->channel);
	enum status status = STATUS_OK;
	if (link)
		status = pause_and_attempt(call, link, err);
	link_release(link);
	return status;
}

/* Reads the reply in call->message; fills ret_answer with the status that the server gave. */
static enum status read_reply(
	struct rpc_call *call, struct rpc_reply *ret, struct error *ret_answer, struct error *err)
{
	struct rpc_frame frame;
	enum status status = rpc_frame_parse(
		&frame, RPC_FRAME_RESPONSE, call->message->data, call->message->length, err);
	if (status != STATUS_OK)
		return status;
	Marquee__Rpc__V1__ResponseHeader *header = marquee__rpc__v1__response_header__unpack(
		NULL, frame.header.size, frame.header.data);
	if (!header)
		return error_set(err, STATUS_DATA_LOSS, "the reply's header cannot be read");
	error_set(ret_answer, status_from_wire(header->status), "%s", header->message);
	marquee__rpc__v1__response_header__free_unpacked(header, NULL);
	if (ret_answer->status != STATUS_OK)
		return STATUS_OK;
	call->output = protobuf_c_message_unpack(
		call->method->output, NULL, frame.body.size, frame.body.data);
	if (!call->output)
		return error_set(err, STATUS_DATA_LOSS, "the reply's body is no %s",
			call->method->output->name);
	*ret = (struct rpc_reply){.body = call->output, .raw = frame.raw};
	return STATUS_OK;
}

/* A message has arrived. */
static enum status take_reply(
	struct rpc_call *call, struct rpc_reply *ret, bool *ret_again, struct error *err)
{
	const char *url = call->channel->url;
	call->message = call->sent.answer;
	call->sent = (struct request){0};
	call->traffic.bytes_received += call->message->length;
	call->traffic.messages++;
	atomic_fetch_add_explicit(
		&call->channel->bytes_received, call->message->length, memory_order_relaxed);
	struct error answer = {0};
	enum status status = read_reply(call, ret, &answer, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s: %s", url, call->method->name);
	if (answer.status == STATUS_OK)
		return STATUS_OK;
	buffer_free(call->message);
	call->message = NULL;
	if (answer.status == STATUS_UNAVAILABLE) {
		call->answer = answer;
		*ret_again = true;
		return STATUS_OK;
	}
	return error_set(err, answer.status, "%s: %s: %s", url, call->method->name, answer.message);
}

/* How long to wait for what comes next: the attempt's end, or the call's. */
static uint64_t waiting_ms(const struct rpc_call *call)
{
	const uint64_t now_ns = clock_now_ns(call->channel->clock);
	uint64_t end_ns = call->deadline_ns;
	if (call->sent.number != 0 && call->attempt_end_ns < end_ns)
		end_ns = call->attempt_end_ns;
	return now_ns < end_ns ? (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

enum status rpc_call_wait(struct rpc_call *call, struct rpc_reply *ret, struct error *err)
{
	if (call->state != STARTED)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: no call was started that could be waited for", call->channel->url);
	enum status status = STATUS_OK;
	while (status == STATUS_OK) {
		const enum request_state state = channel_wait(
			call->channel, &call->sent, waiting_ms(call), &call->connected);
		bool again = state != REQUEST_ANSWERED;
		if (!again)
			status = take_reply(call, ret, &again, err);
		else if (state == REQUEST_SENT && waiting_ms(call) > 0)
			continue;
		else
			/* Lost or silent: what a server said before no longer tells why. */
			call->answer = (struct error){0};
		if (state == REQUEST_SENT)
			channel_suspect(call->channel);
		if (status == STATUS_OK && !again) {
			call->state = REPLIED;
			return STATUS_OK;
		}
		if (status == STATUS_OK)
			status = repeat(call, err);
	}
	rpc_call_release(call);
	return status;
}

enum status rpc_call_blocking(struct rpc_call *call, const struct rpc_request *request,
	struct rpc_reply *ret, struct error *err)
{
	enum status status = rpc_call_start(call, request, err);
	if (status != STATUS_OK)
		return status;
	return rpc_call_wait(call, ret, err);
}

void rpc_call_traffic(const struct rpc_call *call, struct rpc_call_traffic *ret)
{
	*ret = call->traffic;
}

void rpc_write_bytes(void *context, unsigned char *raw, size_t raw_bytes)
{
	memcpy(raw, context, raw_bytes);
}
