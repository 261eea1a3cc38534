#include "common/http/acceptor.h"

#include "common/base/memory.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_NS 10000000L /* when the process has no descriptor left, until it may have one */

struct acceptor {
	int listener;
	acceptor_take_fn *take;
	void *context;
	pthread_t thread;
	_Atomic bool stop;
};

static void accept_all(const struct acceptor *acceptor)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct sockaddr_storage from;
	for (;;) {
		socklen_t size = sizeof(from);
		const int connected = accept4(acceptor->listener, (struct sockaddr *)&from, &size,
			SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (connected >= 0)
			acceptor->take(
				acceptor->context, connected, (const struct sockaddr *)&from, size);
		else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINVAL)
			return;
		else if (errno != ECONNABORTED && errno != EINTR) {
			(void)nanosleep(&pause, NULL);
			return;
		}
	}
}

static void *run(void *argument)
{
	const struct acceptor *acceptor = argument;
	struct pollfd waiting = {.fd = acceptor->listener, .events = POLLIN};
	while (!atomic_load(&acceptor->stop)) {
		(void)poll(&waiting, 1, -1);
		if (!atomic_load(&acceptor->stop))
			accept_all(acceptor);
	}
	return NULL;
}

enum status acceptor_new(struct acceptor **ret, int listener, acceptor_take_fn *take, void *context,
	struct error *err)
{
	struct acceptor *acceptor;
	enum status status = memory_zalloc(&acceptor, 1, sizeof(*acceptor), "acceptor", err);
	if (status != STATUS_OK)
		return status;
	acceptor->listener = listener;
	acceptor->take = take;
	acceptor->context = context;
	const int failed = pthread_create(&acceptor->thread, NULL, run, acceptor);
	if (failed != 0) {
		free(acceptor);
		return error_set_errno(err, failed, "a thread that accepts connections");
	}
	*ret = acceptor;
	return STATUS_OK;
}

void acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	atomic_store(&acceptor->stop, true);
	/* Wakes poll(). */
	(void)shutdown(acceptor->listener, SHUT_RDWR);
	(void)pthread_join(acceptor->thread, NULL);
	free(acceptor);
}
