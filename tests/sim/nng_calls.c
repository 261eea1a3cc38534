/* nng's sockets, dialers, listeners and contexts, in the simulated world. */
#include "tests/sim/network_internal.h"

#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int nng_req0_open(nng_socket *ret)
{
	ret->id = sim_object_new()->number;
	return 0;
}

int nng_rep0_open(nng_socket *ret)
{
	struct sim_object *socket = sim_object_new();
	socket->serves = true;
	ret->id = socket->number;
	return 0;
}

int nng_close(nng_socket socket)
{
	struct sim_object *closed = sim_object_of(socket.id);
	sim_object_close(closed);
	for (uint32_t i = 1; i <= sim_object_count(); i++) {
		struct sim_object *context = sim_object_of(i);
		nng_aio *const operations[] = {context->sending, context->receiving};
		if (context->socket != closed->number)
			continue;
		context->open = false;
		context->sending = context->receiving = NULL;
		for (int k = 0; k < 2; k++)
			if (operations[k])
				sim_aio_finish(operations[k], NNG_ECLOSED);
	}
	return 0;
}

int nng_socket_set_ms(nng_socket socket, const char *name, nng_duration value)
{
	(void)socket, (void)name, (void)value;
	return 0;
}

int nng_socket_set_size(nng_socket socket, const char *name, size_t value)
{
	(void)socket, (void)name, (void)value;
	return 0;
}

int nng_dialer_create(nng_dialer *ret, nng_socket socket, const char *url)
{
	snprintf(sim_object_of(socket.id)->url, SIM_URL_SIZE, "%s", url);
	ret->id = socket.id;
	return 0;
}

int nng_dialer_set_bool(nng_dialer dialer, const char *name, bool value)
{
	(void)dialer, (void)name, (void)value;
	return 0;
}

/* A socket that is to connect no more is one that its owner has left. */
int nng_dialer_set_ms(nng_dialer dialer, const char *name, nng_duration value)
{
	(void)name;
	if (value == INT32_MAX)
		sim_object_of(dialer.id)->open = false;
	return 0;
}

int nng_dialer_start(nng_dialer dialer, int flags)
{
	struct sim_object *socket = sim_object_of(dialer.id);
	(void)flags;
	sim_dial(socket);
	return 0;
}

int nng_listener_create(nng_listener *ret, nng_socket socket, const char *url)
{
	snprintf(sim_object_of(socket.id)->url, SIM_URL_SIZE, "%s", url);
	ret->id = socket.id;
	return 0;
}

int nng_listener_set_bool(nng_listener listener, const char *name, bool value)
{
	(void)listener, (void)name, (void)value;
	return 0;
}

int nng_listener_start(nng_listener listener, int flags)
{
	struct sim_object *socket = sim_object_of(listener.id);
	char *port = strrchr(socket->url, ':');
	(void)flags;
	if (port && strcmp(port, ":0") == 0)
		snprintf(port, (size_t)(socket->url + SIM_URL_SIZE - port), ":%d", sim_next_port());
	for (uint32_t i = 1; i <= sim_object_count(); i++)
		if (sim_object_of(i)->listens && strcmp(sim_object_of(i)->url, socket->url) == 0)
			return NNG_EADDRINUSE;
	socket->listens = true;
	return 0;
}

int nng_listener_get_int(nng_listener listener, const char *name, int *ret)
{
	(void)name;
	*ret = atoi(strrchr(sim_object_of(listener.id)->url, ':') + 1);
	return 0;
}

/* Its connections are none of nng's, and as many as there are clients. */
int nng_pipe_notify(nng_socket socket, nng_pipe_ev event, nng_pipe_cb callback, void *argument)
{
	(void)socket, (void)event, (void)callback, (void)argument;
	return 0;
}

int nng_ctx_open(nng_ctx *ret, nng_socket socket)
{
	struct sim_object *context = sim_object_new();
	context->socket = socket.id;
	context->open = sim_object_of(socket.id)->open;
	ret->id = context->number;
	return context->open ? 0 : NNG_ECLOSED;
}

/*
 * The real one frees the context's memory while nng's thread for timeouts may be about to look into
 * it for an operation that has just ended; only freeing the operation waits for that thread.
 */
int nng_ctx_close(nng_ctx ctx)
{
	struct sim_object *context = sim_object_of(ctx.id);
	if (context->last && !context->last->freed) {
		fprintf(stderr, "simulation: a context is closed before its operation is freed\n");
		abort();
	}
	context->open = false;
	return 0;
}

static void send_reply(struct sim_object *context, nng_aio *aio)
{
	struct sim_packet packet = context->from;
	packet.reply = true;
	packet.message = aio->message;
	aio->message = NULL;
	sim_transmit(&packet);
	sim_aio_finish(aio, 0);
}

void nng_ctx_send(nng_ctx ctx, nng_aio *aio)
{
	struct sim_object *context = sim_object_of(ctx.id);
	const struct sim_object *socket = sim_object_of(context->socket);
	context->last = aio;
	sim_aio_begin(aio);
	if (!socket->open) {
		sim_aio_finish(aio, NNG_ECLOSED);
	} else if (socket->serves) {
		send_reply(context, aio);
	} else {
		if (context->answer)
			nng_msg_free(context->answer);
		context->answer = NULL;
		context->was_reset = false;
		context->request = sim_next_request();
		context->sending = aio;
		if (socket->server)
			sim_send_request(context);
	}
}

static void receive_request(struct sim_object *server, struct sim_object *context)
{
	struct sim_packet *first = server->inbox;
	if (!first)
		return;
	server->inbox = first->next;
	sim_give_request(context, first);
	free(first);
}

void nng_ctx_recv(nng_ctx ctx, nng_aio *aio)
{
	struct sim_object *context = sim_object_of(ctx.id);
	struct sim_object *socket = sim_object_of(context->socket);
	context->last = aio;
	sim_aio_begin(aio);
	context->receiving = aio;
	if (!socket->open) {
		context->receiving = NULL;
		sim_aio_finish(aio, NNG_ECLOSED);
	} else if (socket->serves) {
		receive_request(socket, context);
	} else if (context->answer || context->was_reset || !context->request) {
		context->receiving = NULL;
		aio->message = context->answer;
		int result = context->answer ? 0 : context->was_reset ? NNG_ECONNRESET : NNG_ESTATE;
		context->answer = NULL;
		context->was_reset = false;
		context->request = 0;
		sim_aio_finish(aio, result);
	}
}
