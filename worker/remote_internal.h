/*
 * What the files of the remote parameter client share: params_remote.c (joining, leaving, life),
 * remote_exchange.c (a step), remote_state.c (snapshot, restore, digest), remote_cut.c (cuts).
 * Private to worker/.
 */
#ifndef MARQUEE_WORKER_REMOTE_INTERNAL_H
#define MARQUEE_WORKER_REMOTE_INTERNAL_H

#include "common/rpc/channel.h"
#include "proto/parameter_server.pb-c.h"
#include "worker/params_remote.h"
#include "worker/routes.h"

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
	float *widened; /* rows that came as bf16 */
	size_t widened_capacity;
	uint64_t staleness; /* of the rows that came last */
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
	/* Worker 0, for cuts: a connection of their own, so that steps do not queue behind them. */
	struct rpc_channel *bulk_channel;
	struct rpc_call *bulk_calls[2]; /* take turns */
};

/* Where the tables are in ranks of one host: what a step's exchange through memory keeps. */
struct remote_shared {
	struct comm_shared *comm;
	struct ps_server *own; /* this rank's; NULL: none. Rank s hosts shard s */
	size_t bytes_max;      /* of a worker's part of a step, either way */
	struct ps_push *pushes;
	struct ps_pull *pulls;
	size_t push_capacity, pull_capacity;
};

struct remote {
	struct params params;	      /* first: the interface */
	struct remote_shared *shared; /* NULL: steps go in messages */
	uint32_t server_count;
	struct remote_server servers[SERVERS_MAX]; /* in the order of their shards */
	struct remote_slot slots[PARAMS_SLOTS];
	uint32_t deadline_ms;
	uint64_t cut_step; /* of the latest cut */
	enum wire_dtype dtype;
	uint64_t rounding[PARAMS_TABLES_MAX]; /* a stream of random numbers for each table */
};

static inline struct remote *remote_of(struct params *params)
{
	return (struct remote *)params;
}

static inline const ProtobufCServiceDescriptor *remote_service(void)
{
	return &marquee__ps__v1__parameter_server__descriptor;
}

/* rpc_call_wait() of a call to the server, on the worker's own thread: the others may know of it.
 */
MUST_CHECK enum status remote_wait(struct remote *remote, const struct remote_server *server,
	struct rpc_call *call, struct rpc_reply *ret, struct error *err);

/* One blocking call; on success *ret is the reply, borrowed until the server's next call. */
MUST_CHECK enum status remote_ask(struct remote *remote, struct remote_server *server,
	const char *method, const ProtobufCMessage *body, struct rpc_reply *ret, struct error *err);

/* Gradients are rounded by numbers that depend on (seed, table, step, slot, id). */
void remote_init_rounding(struct remote *remote, uint64_t seed);

/* Makes the slot's legs if they are not there. */
MUST_CHECK enum status remote_slot_open(
	struct remote *remote, struct remote_slot *slot, struct error *err);
/* Cuts the step's ids over the slot's legs. */
MUST_CHECK enum status remote_route(struct remote *remote, const struct remote_slot *slot,
	const struct params_step *step, struct error *err);
/* Finds room, in the slot, for rows that come from several servers and have no place. */
MUST_CHECK enum status remote_place_rows(struct remote *remote, struct remote_slot *slot,
	const struct params_step *step, struct error *err);
/* A leg's raw part: of the push all ids and all gradients, then the pull's ids. */
size_t remote_raw_bytes(const struct remote_leg *leg);
/* context: the leg. */
void remote_write_raw(void *context, unsigned char *raw, size_t raw_bytes);
/* What the server sends back, and where it goes. */
size_t remote_reply_bytes(const struct remote_leg *leg);
void remote_take_rows(struct remote_leg *leg, const struct params_step *step, const void *rows);

/* shared_exchange.c: an exchange with a push. Every worker of the job makes it. */
MUST_CHECK enum status shared_exchange(
	struct remote *remote, const struct params_step *step, struct error *err);
void remote_shared_free(struct remote_shared *shared);

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
enum status remote_cut(struct params *params, uint64_t step, struct error *err);
enum status remote_read_cut(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err);
enum status remote_uncut(struct params *params, struct error *err);
enum status remote_restore(struct params *params, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err);
enum status remote_audit(struct params *params, uint64_t examples, struct error *err);
enum status remote_restore_examples(struct params *params, uint64_t examples, struct error *err);
enum status remote_digest(struct params *params, struct digest *ret, struct error *err);

#endif
