/* nng's dialers and listeners, in the simulated world. */
#include "tests/sim/network_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PORT  20000
#define DIAL_US_MAX 300u

struct nng_stream_dialer {
	struct nng_stream_dialer *next_made;
	struct sim_process *process;
	char url[SIM_URL_SIZE];
	bool closed, freed;
	struct sim_queue dials;
};

struct nng_stream_listener {
	struct nng_stream_listener *next_made;
	struct sim_process *process;
	uint32_t number;
	char url[SIM_URL_SIZE];
	bool listens, closed, freed;
	struct sim_queue accepts;
	struct nng_stream *waiting; /* connections that nobody has accepted, the oldest first */
};

static struct nng_stream_dialer *dialers;
static struct nng_stream_listener *listeners;
static int next_port;

void sim_dialers_begin_world(void)
{
	while (dialers) {
		struct nng_stream_dialer *next = dialers->next_made;
		free(dialers);
		dialers = next;
	}
	while (listeners) {
		struct nng_stream_listener *next = listeners->next_made;
		free(listeners);
		listeners = next;
	}
	next_port = FIRST_PORT;
}

/* ---- listeners ---- */

int nng_stream_listener_alloc(nng_stream_listener **ret, const char *url)
{
	nng_stream_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return NNG_ENOMEM;
	*listener = (nng_stream_listener){
		.next_made = listeners, .process = sim_self(), .number = sim_next_number()};
	snprintf(listener->url, SIM_URL_SIZE, "%s", url);
	listeners = listener;
	*ret = listener;
	return 0;
}

static struct nng_stream_listener *find_listener(const char *url)
{
	struct nng_stream_listener *listener = listeners;
	while (listener && !(listener->listens && strcmp(listener->url, url) == 0))
		listener = listener->next_made;
	return listener;
}

int nng_stream_listener_listen(nng_stream_listener *listener)
{
	char *port = strrchr(listener->url, ':');
	sim_require(!listener->freed, "a listener that was freed listens");
	if (listener->listens || listener->closed)
		return listener->closed ? NNG_ECLOSED : NNG_ESTATE;
	if (port && strcmp(port, ":0") == 0)
		snprintf(port, (size_t)(listener->url + SIM_URL_SIZE - port), ":%d", next_port++);
	if (find_listener(listener->url))
		return NNG_EADDRINUSE;
	listener->listens = true;
	return 0;
}

static void accept_on(struct nng_stream_listener *listener)
{
	while (listener->waiting && listener->accepts.first) {
		nng_aio *aio = listener->accepts.first;
		aio->output = listener->waiting;
		listener->waiting = listener->waiting->next_waiting;
		sim_aio_finish(aio, 0, 0);
	}
}

void nng_stream_listener_accept(nng_stream_listener *listener, nng_aio *aio)
{
	sim_require(!listener->freed, "a listener that was freed accepts");
	if (!sim_aio_begin(aio, &listener->accepts))
		return;
	if (listener->closed)
		sim_aio_finish(aio, NNG_ECLOSED, 0);
	else if (!listener->listens)
		sim_aio_finish(aio, NNG_ESTATE, 0);
	else
		accept_on(listener);
}

static void close_listener(struct nng_stream_listener *listener)
{
	listener->closed = true;
	listener->listens = false;
	sim_queue_finish(&listener->accepts, NNG_ECLOSED);
	for (; listener->waiting; listener->waiting = listener->waiting->next_waiting)
		sim_stream_close(listener->waiting);
}

void nng_stream_listener_close(nng_stream_listener *listener)
{
	sim_require(!listener->freed, "a listener is closed that was freed");
	close_listener(listener);
}

void nng_stream_listener_free(nng_stream_listener *listener)
{
	if (!listener)
		return;
	nng_stream_listener_close(listener);
	listener->freed = true;
}

int nng_stream_listener_get_int(nng_stream_listener *listener, const char *name, int *ret)
{
	sim_require(!listener->freed, "an option of a listener that was freed");
	if (strcmp(name, NNG_OPT_TCP_BOUND_PORT) != 0)
		return NNG_ENOTSUP;
	*ret = (int)strtol(strrchr(listener->url, ':') + 1, NULL, 10);
	return 0;
}

int nng_stream_listener_set_bool(nng_stream_listener *listener, const char *name, bool value)
{
	(void)name, (void)value;
	sim_require(!listener->freed, "an option of a listener that was freed");
	return 0;
}

int nng_stream_listener_set_ptr(nng_stream_listener *listener, const char *name, void *value)
{
	(void)name, (void)value;
	sim_require(!listener->freed, "an option of a listener that was freed");
	return 0;
}

/* ---- dialers ---- */

int nng_stream_dialer_alloc(nng_stream_dialer **ret, const char *url)
{
	nng_stream_dialer *dialer = calloc(1, sizeof(*dialer));
	if (!dialer)
		return NNG_ENOMEM;
	*dialer = (nng_stream_dialer){.next_made = dialers, .process = sim_self()};
	snprintf(dialer->url, SIM_URL_SIZE, "%s", url);
	dialers = dialer;
	*ret = dialer;
	return 0;
}

static void on_dial(void *argument, uint64_t operation)
{
	struct nng_stream_dialer *dialer = argument;
	nng_aio *aio = dialer->dials.first;
	while (aio && aio->operation != operation)
		aio = aio->next;
	if (!aio)
		return;
	struct nng_stream_listener *listener = find_listener(dialer->url);
	if (!listener) {
		sim_aio_finish(aio, NNG_ECONNREFUSED, 0);
		return;
	}
	struct nng_stream *client = sim_connect(dialer->process, listener->process);
	sim_trace("connect", client->number, listener->number);
	struct nng_stream **at = &listener->waiting;
	while (*at)
		at = &(*at)->next_waiting;
	*at = client->peer;
	accept_on(listener);
	aio->output = client;
	sim_aio_finish(aio, 0, 0);
}

void nng_stream_dialer_dial(nng_stream_dialer *dialer, nng_aio *aio)
{
	sim_require(!dialer->freed, "a dialer that was freed dials");
	if (!sim_aio_begin(aio, &dialer->dials))
		return;
	if (dialer->closed)
		sim_aio_finish(aio, NNG_ECLOSED, 0);
	else
		sim_at(sim_later_us(DIAL_US_MAX), on_dial, dialer, aio->operation);
}

static void close_dialer(struct nng_stream_dialer *dialer)
{
	dialer->closed = true;
	sim_queue_finish(&dialer->dials, NNG_ECLOSED);
}

void nng_stream_dialer_close(nng_stream_dialer *dialer)
{
	sim_require(!dialer->freed, "a dialer is closed that was freed");
	close_dialer(dialer);
}

void nng_stream_dialer_free(nng_stream_dialer *dialer)
{
	if (!dialer)
		return;
	nng_stream_dialer_close(dialer);
	dialer->freed = true;
}

int nng_stream_dialer_set_bool(nng_stream_dialer *dialer, const char *name, bool value)
{
	(void)name, (void)value;
	sim_require(!dialer->freed, "an option of a dialer that was freed");
	return 0;
}

int nng_stream_dialer_set_ptr(nng_stream_dialer *dialer, const char *name, void *value)
{
	(void)name, (void)value;
	sim_require(!dialer->freed, "an option of a dialer that was freed");
	return 0;
}

void sim_dialers_forget(const struct sim_process *process)
{
	for (struct nng_stream_dialer *dialer = dialers; dialer; dialer = dialer->next_made)
		if (dialer->process == process && !dialer->closed)
			close_dialer(dialer);
	for (struct nng_stream_listener *listener = listeners; listener;
		listener = listener->next_made)
		if (listener->process == process && !listener->closed)
			close_listener(listener);
}
