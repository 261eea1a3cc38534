#include "tests/bench/ps_bare.h"

#include "common/base/memory.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVING 16u

static enum status nng_failed(int rv, const char *what, struct error *err)
{
	return error_set(err, STATUS_UNAVAILABLE, "nng: %s: %s", what, nng_strerror(rv));
}

/* ---- the server ---- */

struct serving {
	nng_ctx ctx;
	nng_aio *aio;
	bool sending;
};

static void answer(struct serving *serving, nng_msg *message)
{
	uint64_t wanted = 0;
	size_t length = nng_msg_len(message);
	if (length >= sizeof(wanted))
		memcpy(&wanted, nng_msg_body(message), sizeof(wanted));
	if (wanted <= length) {
		(void)nng_msg_chop(message, length - wanted);
	} else {
		nng_msg_free(message);
		if (nng_msg_alloc(&message, wanted) != 0)
			abort();
	}
	serving->sending = true;
	nng_aio_set_msg(serving->aio, message);
	nng_ctx_send(serving->ctx, serving->aio);
}

static void on_aio(void *context)
{
	struct serving *serving = context;
	if (nng_aio_result(serving->aio) != 0)
		return;
	if (!serving->sending) {
		nng_msg *message = nng_aio_get_msg(serving->aio);
		nng_aio_set_msg(serving->aio, NULL);
		answer(serving, message);
		return;
	}
	serving->sending = false;
	nng_ctx_recv(serving->ctx, serving->aio);
}

enum status bare_listen(const char *url, char *ret_url, size_t size, struct error *err)
{
	static struct serving serving[SERVING];
	nng_socket socket;
	nng_listener listener;
	int port = 0;
	int rv = nng_rep0_open(&socket);
	if (rv == 0)
		rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0);
	if (rv == 0)
		rv = nng_listen(socket, url, &listener, 0);
	for (uint32_t i = 0; i < SERVING && rv == 0; i++) {
		rv = nng_aio_alloc(&serving[i].aio, on_aio, &serving[i]);
		if (rv == 0)
			rv = nng_ctx_open(&serving[i].ctx, socket);
		if (rv == 0)
			nng_ctx_recv(serving[i].ctx, serving[i].aio);
	}
	if (rv != 0)
		return nng_failed(rv, url, err);
	(void)nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
	if (port > 0)
		snprintf(ret_url, size, "tcp://127.0.0.1:%d", port);
	else
		snprintf(ret_url, size, "%s", url);
	return STATUS_OK;
}

/* ---- the client ---- */

struct bare {
	nng_socket socket;
	uint32_t in_flight;
	nng_ctx ctx[BARE_IN_FLIGHT_MAX];
	nng_aio *aio[BARE_IN_FLIGHT_MAX];
};

enum status bare_open(struct bare **ret, const char *url, uint32_t in_flight, struct error *err)
{
	struct bare *bare;
	enum status status = memory_zalloc(&bare, 1, sizeof(*bare), "bare client", err);
	if (status != STATUS_OK)
		return status;
	int rv = nng_req0_open(&bare->socket);
	if (rv == 0)
		rv = nng_socket_set_ms(bare->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (rv == 0)
		rv = nng_socket_set_size(bare->socket, NNG_OPT_RECVMAXSZ, 0);
	if (rv == 0)
		rv = nng_dial(bare->socket, url, NULL, 0);
	for (; rv == 0 && bare->in_flight < in_flight; bare->in_flight++) {
		rv = nng_aio_alloc(&bare->aio[bare->in_flight], NULL, NULL);
		if (rv == 0)
			rv = nng_ctx_open(&bare->ctx[bare->in_flight], bare->socket);
	}
	if (rv != 0) {
		bare_close(bare);
		return nng_failed(rv, url, err);
	}
	*ret = bare;
	return STATUS_OK;
}

void bare_close(struct bare *bare)
{
	if (!bare)
		return;
	for (uint32_t i = 0; i < bare->in_flight; i++) {
		nng_aio_free(bare->aio[i]);
		(void)nng_ctx_close(bare->ctx[i]);
	}
	(void)nng_close(bare->socket);
	free(bare);
}

enum status bare_start(
	struct bare *bare, uint32_t slot, const struct bare_shape *shape, struct error *err)
{
	const uint64_t wanted = shape->reply_bytes;
	nng_msg *message;
	int rv = nng_msg_alloc(&message, shape->request_bytes);
	if (rv != 0)
		return nng_failed(rv, "message", err);
	memcpy(nng_msg_body(message), &wanted, sizeof(wanted));
	nng_aio_set_msg(bare->aio[slot], message);
	nng_ctx_send(bare->ctx[slot], bare->aio[slot]);
	return STATUS_OK;
}

enum status bare_finish(struct bare *bare, uint32_t slot, struct error *err)
{
	nng_aio_wait(bare->aio[slot]);
	int rv = nng_aio_result(bare->aio[slot]);
	if (rv != 0) {
		nng_msg_free(nng_aio_get_msg(bare->aio[slot]));
		return nng_failed(rv, "send", err);
	}
	nng_ctx_recv(bare->ctx[slot], bare->aio[slot]);
	nng_aio_wait(bare->aio[slot]);
	rv = nng_aio_result(bare->aio[slot]);
	if (rv != 0)
		return nng_failed(rv, "receive", err);
	nng_msg_free(nng_aio_get_msg(bare->aio[slot]));
	nng_aio_set_msg(bare->aio[slot], NULL);
	return STATUS_OK;
}
