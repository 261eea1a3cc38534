/*
 * A service for the tests of calls: some methods of ParameterServer with another meaning.
 *
 *     Pull      gives back the raw part, and the step
 *     Push      is answered later, by echo_release(); echo_waiting() says how many wait
 *     Digest    fails with DATA_LOSS "the disk is on fire"
 *     Stats     is never UNIMPLEMENTED, says who called (worker, and sequence as next_step)
 *
 * Threads: internally locked.
 */
#ifndef MARQUEE_TESTS_ECHO_SERVICE_H
#define MARQUEE_TESTS_ECHO_SERVICE_H

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "proto/parameter_server.pb-c.h"

#include <pthread.h>

#define ECHO_WAITING_MAX 64

struct echo_service {
	Marquee__Ps__V1__ParameterServer_Service service; /* first */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rpc_server_call *waiting[ECHO_WAITING_MAX];
	uint32_t waiting_count;
	uint32_t pulls;
	bool stopping;
};

void echo_init(struct echo_service *echo);
void echo_fini(struct echo_service *echo);
/* Waits until so many Push calls wait. */
void echo_wait_for(struct echo_service *echo, uint32_t count);
/* Answers them, or fails them with UNAVAILABLE; gives how many. */
uint32_t echo_release(struct echo_service *echo, bool fail);

/* Answers those that wait and from now on every Push at once: a late repeat must not stay. */
void echo_stop(struct echo_service *echo);

/* A server with this service. */
struct rpc_server *echo_open(struct echo_service *echo, const struct rpc_server_options *options);
/* A channel that must open. */
struct rpc_channel *echo_connect(const char *url, const struct rpc_channel_options *options);
/* A request for Pull with these raw bytes. body is the caller's memory. */
struct rpc_request echo_request(Marquee__Ps__V1__PullRequest *body, const void *raw,
	size_t raw_bytes, uint32_t deadline_ms);

#endif
