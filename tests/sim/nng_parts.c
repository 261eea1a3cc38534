/* nng's messages and asynchronous operations, in the simulated world. */
#include "tests/sim/network_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- messages ---- */

int nng_msg_alloc(nng_msg **ret, size_t size)
{
	nng_msg *message = malloc(sizeof(*message));
	unsigned char *memory = calloc(1, size + 16);
	if (!message || !memory) {
		free(message);
		free(memory);
		return NNG_ENOMEM;
	}
	*message = (nng_msg){.memory = memory, .allocated = size + 16, .length = size};
	*ret = message;
	return 0;
}

void nng_msg_free(nng_msg *message)
{
	free(message->memory);
	free(message);
}

void *nng_msg_body(nng_msg *message)
{
	return message->memory + message->offset;
}

size_t nng_msg_len(const nng_msg *message)
{
	return message->length;
}

size_t nng_msg_capacity(nng_msg *message)
{
	return message->allocated - message->offset;
}

void nng_msg_clear(nng_msg *message)
{
	message->length = 0;
}

int nng_msg_realloc(nng_msg *message, size_t size)
{
	if (size > nng_msg_capacity(message)) {
		const size_t needed = message->offset + size;
		unsigned char *memory = realloc(message->memory, needed);
		if (!memory)
			return NNG_ENOMEM;
		memset(memory + message->allocated, 0, needed - message->allocated);
		message->memory = memory;
		message->allocated = needed;
	}
	message->length = size;
	return 0;
}

int nng_msg_trim(nng_msg *message, size_t size)
{
	if (size > message->length)
		return NNG_EINVAL;
	message->offset += size;
	message->length -= size;
	return 0;
}

int nng_msg_chop(nng_msg *message, size_t size)
{
	if (size > message->length)
		return NNG_EINVAL;
	message->length -= size;
	return 0;
}

nng_pipe nng_msg_get_pipe(const nng_msg *message)
{
	const nng_pipe none = NNG_PIPE_INITIALIZER;
	(void)message;
	return none;
}

nng_msg *sim_copy_message(nng_msg *message)
{
	nng_msg *copy;
	if (nng_msg_alloc(&copy, message->length) != 0)
		abort();
	memcpy(copy->memory, nng_msg_body(message), message->length);
	return copy;
}

const char *nng_strerror(int number)
{
	switch (number) {
	case NNG_ETIMEDOUT:
		return "Timed out";
	case NNG_ECONNRESET:
		return "Connection reset";
	case NNG_ECLOSED:
		return "Object closed";
	case NNG_ECANCELED:
		return "Operation canceled";
	case NNG_EADDRINUSE:
		return "Address in use";
	default:
		return "another error of nng's";
	}
}

/* ---- asynchronous operations ---- */

int nng_aio_alloc(nng_aio **ret, void (*callback)(void *), void *argument)
{
	nng_aio *aio = calloc(1, sizeof(*aio));
	if (!aio)
		return NNG_ENOMEM;
	*aio = (nng_aio){.process = sim_self(),
		.callback = callback,
		.argument = argument,
		.timeout_ms = NNG_DURATION_INFINITE};
	*ret = aio;
	return 0;
}

static void *run_callback(void *context)
{
	nng_aio *aio = context;
	uint64_t operation = aio->operation;
	aio->callback(aio->argument);
	if (aio->operation == operation) {
		aio->busy = false;
		sim_wake_all(aio);
	}
	return NULL;
}

void sim_aio_finish(nng_aio *aio, int result)
{
	aio->pending = false;
	aio->result = result;
	if (aio->callback && aio->process->alive) {
		sim_detach(sim_start(aio->process, run_callback, aio));
		return;
	}
	aio->busy = false;
	sim_wake_all(aio);
}

/* Takes the operation out of the context that has it. False: it has ended already. */
static bool abort_operation(nng_aio *aio)
{
	if (!aio->pending)
		return false;
	sim_network_give_up(aio);
	return true;
}

static void on_timeout(void *context, uint64_t operation)
{
	nng_aio *aio = context;
	if (aio->operation == operation && abort_operation(aio))
		sim_aio_finish(aio, NNG_ETIMEDOUT);
}

void sim_aio_begin(nng_aio *aio)
{
	aio->operation++;
	aio->busy = aio->pending = true;
	if (aio->timeout_ms != NNG_DURATION_INFINITE)
		sim_at(sim_now_ns() + (uint64_t)aio->timeout_ms * SIM_MS, on_timeout, aio,
			aio->operation);
}

void nng_aio_cancel(nng_aio *aio)
{
	if (abort_operation(aio))
		sim_aio_finish(aio, NNG_ECANCELED);
}

void nng_aio_wait(nng_aio *aio)
{
	while (aio->busy)
		(void)sim_wait(aio, SIM_NEVER);
}

void nng_aio_stop(nng_aio *aio)
{
	nng_aio_cancel(aio);
	nng_aio_wait(aio);
}

/* Its memory stays: a timeout may still come. */
void nng_aio_free(nng_aio *aio)
{
	nng_aio_stop(aio);
	aio->freed = true;
}

int nng_aio_result(nng_aio *aio)
{
	return aio->result;
}

void nng_aio_set_msg(nng_aio *aio, nng_msg *message)
{
	aio->message = message;
}

nng_msg *nng_aio_get_msg(nng_aio *aio)
{
	return aio->message;
}

void nng_aio_set_timeout(nng_aio *aio, nng_duration timeout_ms)
{
	aio->timeout_ms = timeout_ms;
}
