/* nng's asynchronous operations, in the simulated world. */
#include "common/base/hash.h"
#include "tests/sim/network_internal.h"

#include <stdlib.h>
#include <string.h>

#define GUARDED_BYTES ((size_t)4 << 10) /* of each part: enough to see that somebody is there */
#define POISON	      0xA5

static struct nng_aio *made;
static uint64_t operations;
static struct sim_queue sleeps;

void sim_aio_begin_world(void)
{
	while (made) {
		struct nng_aio *next = made->next_made;
		free(made);
		made = next;
	}
	operations = 0;
	sleeps.first = NULL;
}

const char *nng_strerror(int number)
{
	switch (number) {
	case NNG_ETIMEDOUT:
		return "Timed out";
	case NNG_ECONNREFUSED:
		return "Connection refused";
	case NNG_ECLOSED:
		return "Object closed";
	case NNG_EADDRINUSE:
		return "Address in use";
	case NNG_ECONNRESET:
		return "Connection reset";
	case NNG_ECANCELED:
		return "Operation canceled";
	case NNG_ECONNSHUT:
		return "Connection shutdown";
	default:
		return "another error of nng's";
	}
}

int nng_aio_alloc(nng_aio **ret, void (*callback)(void *), void *argument)
{
	nng_aio *aio = calloc(1, sizeof(*aio));
	if (!aio)
		return NNG_ENOMEM;
	*aio = (nng_aio){.next_made = made,
		.process = sim_self(),
		.callback = callback,
		.argument = argument,
		.timeout_ms = NNG_DURATION_INFINITE};
	made = aio;
	*ret = aio;
	return 0;
}

/* ---- the memory of an operation ---- */

size_t sim_aio_bytes(const nng_aio *aio)
{
	size_t count = 0;
	for (unsigned int i = 0; i < aio->iov_count; i++)
		count += aio->iov[i].iov_len;
	return count;
}

static size_t guarded_bytes(const nng_iov *part)
{
	return part->iov_len < GUARDED_BYTES ? part->iov_len : GUARDED_BYTES;
}

static uint64_t hash_of_memory(const nng_aio *aio)
{
	uint64_t hash = 0;
	for (unsigned int i = 0; i < aio->iov_count; i++)
		if (aio->iov[i].iov_len > 0)
			hash = hash_bytes(aio->iov[i].iov_buf, guarded_bytes(&aio->iov[i]), hash);
	return hash;
}

void sim_aio_poison(nng_aio *aio)
{
	for (unsigned int i = 0; i < aio->iov_count; i++)
		if (aio->iov[i].iov_len > 0)
			memset(aio->iov[i].iov_buf, POISON, guarded_bytes(&aio->iov[i]));
}

void sim_aio_guard(nng_aio *aio)
{
	aio->guard = hash_of_memory(aio);
	aio->guarded = true;
}

void sim_aio_unguard(nng_aio *aio)
{
	/* The stacks of a dead process are others' by now. */
	if (aio->guarded && aio->process->alive)
		sim_require(aio->guard == hash_of_memory(aio),
			"the memory of an operation changed while it was under way");
	aio->guarded = false;
}

/* ---- operations ---- */

static void remove_from_queue(nng_aio *aio)
{
	struct nng_aio **at = &aio->queue->first;
	while (*at != aio)
		at = &(*at)->next;
	*at = aio->next;
	aio->next = NULL;
	aio->queue = NULL;
}

static void not_busy(nng_aio *aio)
{
	if (--aio->busy == 0)
		sim_wake_all(aio);
}

static void *run_callback(void *argument)
{
	nng_aio *aio = argument;
	const uint32_t self = sim_context_number();
	aio->due = false;
	aio->calls_in = self;
	aio->callback(aio->argument);
	if (aio->calls_in == self)
		aio->calls_in = 0;
	not_busy(aio);
	return NULL;
}

void sim_aio_finish(nng_aio *aio, int result, size_t count)
{
	sim_aio_unguard(aio);
	remove_from_queue(aio);
	aio->result = result;
	aio->count = count;
	if (aio->callback && aio->process->alive) {
		aio->due = true;
		sim_detach(sim_start(aio->process, run_callback, aio));
	} else {
		not_busy(aio);
	}
}

void sim_queue_finish(struct sim_queue *queue, int result)
{
	while (queue->first)
		sim_aio_finish(queue->first, result, 0);
}

static void on_timeout(void *context, uint64_t operation)
{
	nng_aio *aio = context;
	if (aio->queue && aio->operation == operation)
		sim_aio_finish(aio, NNG_ETIMEDOUT, 0);
}

bool sim_aio_begin(nng_aio *aio, struct sim_queue *queue)
{
	sim_require(!aio->freed, "an operation of an aio that was freed");
	sim_require(!aio->queue && !aio->due, "a second operation of an aio that has one");
	aio->output = NULL;
	aio->count = 0;
	aio->result = aio->stopped ? NNG_ECANCELED : 0;
	if (aio->stopped)
		return false; /* without a callback: that is nng's way */
	aio->operation = ++operations;
	aio->busy++;
	aio->queue = queue;
	struct nng_aio **at = &queue->first;
	while (*at)
		at = &(*at)->next;
	*at = aio;
	if (aio->timeout_ms == NNG_DURATION_ZERO) {
		sim_aio_finish(aio, NNG_ETIMEDOUT, 0);
		return false;
	}
	if (aio->timeout_ms > 0)
		sim_at(sim_now_ns() + (uint64_t)aio->timeout_ms * SIM_MS, on_timeout, aio,
			aio->operation);
	return true;
}

static void on_slept(void *context, uint64_t operation)
{
	nng_aio *aio = context;
	if (aio->queue && aio->operation == operation)
		sim_aio_finish(aio, 0, 0);
}

void nng_sleep_aio(nng_duration ms, nng_aio *aio)
{
	if (sim_aio_begin(aio, &sleeps))
		sim_at(sim_now_ns() + (uint64_t)ms * SIM_MS, on_slept, aio, aio->operation);
}

void nng_aio_cancel(nng_aio *aio)
{
	sim_require(!aio->freed, "an aio that was freed is cancelled");
	if (aio->queue)
		sim_aio_finish(aio, NNG_ECANCELED, 0);
}

void nng_aio_wait(nng_aio *aio)
{
	sim_require(!aio->freed, "an aio that was freed is waited for");
	sim_require(aio->calls_in == 0 || aio->calls_in != sim_context_number(),
		"a callback waits for itself");
	while (aio->busy > 0)
		(void)sim_wait(aio, SIM_NEVER);
}

void nng_aio_stop(nng_aio *aio)
{
	if (!aio)
		return;
	aio->stopped = true;
	nng_aio_cancel(aio);
	nng_aio_wait(aio);
}

/* Its memory stays: a timeout may still come, and whoever uses it is found. */
void nng_aio_free(nng_aio *aio)
{
	if (!aio)
		return;
	sim_require(!aio->freed, "an aio is freed twice");
	aio->stopped = true;
	if (aio->queue)
		sim_aio_finish(aio, NNG_ECLOSED, 0);
	nng_aio_wait(aio);
	aio->freed = true;
}

static void *free_later(void *aio)
{
	nng_aio_free(aio);
	return NULL;
}

void nng_aio_reap(nng_aio *aio)
{
	if (aio)
		sim_detach(sim_start(sim_self(), free_later, aio));
}

int nng_aio_result(nng_aio *aio)
{
	sim_require(!aio->freed, "the result of an aio that was freed");
	return aio->result;
}

size_t nng_aio_count(nng_aio *aio)
{
	sim_require(!aio->freed, "the count of an aio that was freed");
	return aio->count;
}

void *nng_aio_get_output(nng_aio *aio, unsigned int index)
{
	sim_require(!aio->freed, "the output of an aio that was freed");
	return index == 0 ? aio->output : NULL;
}

int nng_aio_set_output(nng_aio *aio, unsigned int index, void *output)
{
	sim_require(!aio->freed && !aio->queue, "an output of an aio that is under way, or freed");
	if (index > 0)
		return NNG_EINVAL;
	aio->output = output;
	return 0;
}

int nng_aio_set_iov(nng_aio *aio, unsigned int count, const nng_iov *iov)
{
	sim_require(!aio->freed && !aio->queue, "memory for an aio that is under way, or freed");
	if (count > SIM_IOV_MAX)
		return NNG_EINVAL;
	memcpy(aio->iov, iov, count * sizeof(*iov));
	aio->iov_count = count;
	return 0;
}

void nng_aio_set_timeout(nng_aio *aio, nng_duration timeout_ms)
{
	sim_require(!aio->freed, "a timeout for an aio that was freed");
	aio->timeout_ms = timeout_ms;
}
