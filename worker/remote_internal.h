/*
 * What the files of the remote parameter client share: params_remote.c (joining, leaving, life),
 * remote_exchange.c (a step), remote_state.c (snapshot, restore, digest). Private to worker/.
 */
#ifndef MARQUEE_WORKER_REMOTE_INTERNAL_H
#define MARQUEE_WORKER_REMOTE_INTERNAL_H

#include "common/rpc/channel.h"
#include "proto/parameter_server.pb-c.h"
#include "worker/params_remote.h"
#include "worker/routes.h"

#include <stdbool.h>

struct remote;

/* What one server has of one exchange. */
struct remote_leg {
	const struct remote *remote;
	struct rpc_call *call;
	const struct params_step *step; /* under way */
	struct routes push, pull;
	/* protobuf's view of the routes: structs, and the pointers that repeated fields want */
	Marquee__Ps__V1__Segment *segments;
	Marquee__Ps__V1__Segment **segment_list;
	size_t segment_capacity, segment_list_capacity;
	Marquee__Ps__V1__TableIds *tables;
	Marquee__Ps__V1__TableIds **table_list;
	size_t table_capacity, table_list_capacity;
};

/* An exchange, and what is kept from one to the next. */
struct remote_slot {
	struct remote_leg *legs; /* [server_count]; NULL: never used */
	float *rows;		 /* of pulls that are put together from several servers */
	size_t row_capacity;
};

struct remote_server {
	struct rpc_channel *channel;
	struct rpc_call *call; /* for the rare calls */
};

struct remote {
	struct params params; /* first: the interface */
	uint32_t server_count;
	struct remote_server servers[SERVERS_MAX]; /* in the order of their shards */
	struct remote_slot slots[PARAMS_SLOTS];
	uint32_t deadline_ms;
};

static inline struct remote *remote_of(struct params *params)
{
	return (struct remote *)params;
}

static inline const ProtobufCServiceDescriptor *remote_service(void)
{
	return &marquee__ps__v1__parameter_server__descriptor;
}

/* One blocking call; on success *ret is the reply, borrowed until the server's next call. */
MUST_CHECK enum status remote_ask(struct remote *remote, struct remote_server *server,
	const char *method, const ProtobufCMessage *body, struct rpc_reply *ret, struct error *err);

/* No exchange is under way. */
void remote_slot_fini(struct remote_slot *slot, uint32_t server_count);

/* The operations of params, one each. */
enum status remote_exchange(
	struct params *params, const struct params_step *step, struct error *err);
enum status remote_exchange_start(
	struct params *params, uint32_t slot, const struct params_step *step, struct error *err);
enum status remote_exchange_finish(struct params *params, uint32_t slot, struct error *err);
enum status remote_snapshot(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err);
enum status remote_count(
	struct params *params, uint32_t table, uint64_t *ret_rows, struct error *err);
enum status remote_restore(struct params *params, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err);
enum status remote_digest(struct params *params, struct digest *ret, struct error *err);

#endif
