/*
 * A service for the tests of calls: some methods of ParameterServer with another meaning.
 *
 *     Pull      gives back the raw part, and the step
 *     Push      is answered later, by echo_release(); echo_wait_for() waits for it
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
#define ECHO_CLOSE_S	 5.0 /* a server that closes waits a second for its clients to read */

struct echo_service {
	Marquee__Ps__V1__ParameterServer_Service service; /* first */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rpc_server_call *waiting[ECHO_WAITING_MAX];
	uint32_t waiting_count;
	uint32_t pulls;
	bool stopping;
};

/* On any port of the loopback. */
extern const struct rpc_server_options echo_any_port;

/* Makes the service and a server that has it. */
struct rpc_server *echo_open(struct echo_service *echo, const struct rpc_server_options *options);
/* Answers all that wait, and ends both. */
void echo_close(struct echo_service *echo, struct rpc_server *server);
/* The same, which must be over in ECHO_CLOSE_S, whatever the clients do. */
void echo_close_in_time(struct echo_service *echo, struct rpc_server *server);

/* Waits until so many Push calls wait. */
void echo_wait_for(struct echo_service *echo, uint32_t count);
/* Answers them, or fails them with UNAVAILABLE; gives how many. */
uint32_t echo_release(struct echo_service *echo, bool fail);

/* A channel that must open. */
struct rpc_channel *echo_connect(const char *url, const struct rpc_channel_options *options);
/* A request for Pull with these raw bytes. body is the caller's memory. */
struct rpc_request echo_request(Marquee__Ps__V1__PullRequest *body, const void *raw,
	size_t raw_bytes, uint32_t deadline_ms);
/* The same for Push, without any. */
struct rpc_request echo_push_request(Marquee__Ps__V1__PushRequest *body, uint32_t deadline_ms);
struct rpc_call *echo_call_new(struct rpc_channel *channel);
/* A call to Pull, which must succeed. */
void echo_works(struct rpc_channel *channel);
/* Writes a request for Pull with so many zeros, as one message holds it; returns its size. */
size_t echo_pull_frame(unsigned char *at, size_t raw_bytes, uint32_t deadline_ms);

#endif
