/*
 * A worker as the server sees it, for tests: joins, pushes and pulls over a real channel, with one
 * table and one segment in a request. Failures of what a test takes for granted fail the test.
 */
#ifndef MARQUEE_TESTS_PS_CLIENT_H
#define MARQUEE_TESTS_PS_CLIENT_H

#include "common/base/clock.h"
#include "common/rpc/channel.h"
#include "proto/parameter_server.pb-c.h"

#include <stdbool.h>

#define PS_CLIENT_RAW_MAX 4096
#define PS_CLIENT_DIM	  4u

struct ps_server;

struct ps_client {
	struct rpc_channel *channel;
	struct rpc_call *call;
	uint32_t worker;
	char job[32];
	unsigned char raw[PS_CLIENT_RAW_MAX]; /* of the request that is under way */
	size_t raw_bytes;
};

/* A clock for servers that stands until a test moves it; one in a process. */
const struct clock *ps_test_clock(void);
void ps_test_clock_advance(uint64_t seconds);

/* What the job is like; the defaults are ps_job_defaults(). */
struct ps_job {
	const char *name;
	uint32_t workers, lanes, staleness;
	Marquee__Ps__V1__Mode mode;
	uint64_t seed, first_step, generation, after_incarnation;
	const char *optimizer; /* with a learning rate of 1 */
	bool pooled;	       /* table 0 */
};

/* "job", one worker, eight lanes, sync, sgd. */
struct ps_job ps_job_defaults(void);

void ps_client_open(struct ps_client *client, const char *url, const char *job, uint32_t worker,
	uint64_t incarnation);
/* The same with calls that are repeated when nothing came for attempt_ms. */
void ps_client_open_impatient(struct ps_client *client, const char *url, const char *job,
	uint32_t worker, uint64_t incarnation, uint32_t attempt_ms);
void ps_client_close(struct ps_client *client);
/* A server on the loopback, for messages of up to 1 MiB, and its only worker, which has joined. */
struct ps_server *ps_client_open_alone(struct ps_client *client, const struct ps_job *job);

/* Any request without raw data, blocking; the reply is borrowed until the next call. */
enum status ps_client_call(struct ps_client *client, const char *method,
	const ProtobufCMessage *body, uint32_t deadline_ms, struct rpc_reply *ret,
	struct error *err);

enum status ps_client_join(struct ps_client *client, const struct ps_job *job, struct error *err);
void ps_client_leave(struct ps_client *client);

/* Starts pulling table 0's rows of ids[n]. */
void ps_client_start_pull(struct ps_client *client, uint64_t step, const uint64_t *ids, uint32_t n,
	uint32_t deadline_ms);
/* Starts pushing gradients [n, PS_CLIENT_DIM] of table 0, all elements of row i being values[i]. */
void ps_client_start_push(struct ps_client *client, uint64_t step, uint32_t slot,
	const uint64_t *ids, const float *values, uint32_t n, uint32_t deadline_ms);
/* A push as above, and then the same ids' rows for the next step. */
void ps_client_start_push_pull(struct ps_client *client, uint64_t step, uint32_t slot,
	const uint64_t *ids, const float *values, uint32_t n, uint32_t deadline_ms);

/* Pushes rows of ids i * i, i from 0 to n - 1, all elements being i, and waits. */
void ps_client_push_rows(struct ps_client *client, uint64_t step, uint32_t n);

/* Waits. rows (may be NULL) gets what came, [n, PS_CLIENT_DIM]. */
enum status ps_client_finish(struct ps_client *client, float *rows, uint32_t n, struct error *err);

/* The server's statistics; borrowed until the client's next call. */
const Marquee__Ps__V1__StatsReply *ps_client_stats(struct ps_client *client);
/* Asks for statistics until so many calls are parked. */
void ps_client_wait_for_parked(struct ps_client *client, uint32_t count);

/* 32 hex digits of the server's tables. */
void ps_client_digest(struct ps_client *client, char text[33]);

#endif
