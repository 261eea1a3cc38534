/*
 * A step's exchange between ranks of one host that host the tables themselves: through memory that
 * they share, on their own threads.
 *
 * Design notes. A step takes two turns of comm_shared.h. In the first, every worker lays into its
 * place what it would send to each server. Then who hosts a shard takes from all places what is for
 * it, applies it, and in the second turn lays the rows of each worker into its place. There are no
 * messages, no copies by the system, and no threads beside the workers': on shared cores a message
 * costs a few switches of threads, each of which may wait behind a rank that computes. What is rare
 * (joining, pulls without a push, checkpoints, leaving) goes to the servers in messages, and so
 * does a step that is too long for a place: everybody sees that in the first turn.
 */
#include "common/base/memory.h"
#include "pserver/service.h"
#include "worker/comm_shared.h"
#include "worker/remote_internal.h"

#include <stdlib.h>

#define PLACE_ALIGN ((size_t)64)

/* What stands at the head of a worker's place in the first turn. */
struct request_head {
	uint64_t step;
	uint32_t fits; /* 0: there is nothing behind the head but the sizes of replies */
	struct request_leg {
		uint64_t at; /* of the leg, in the place: routes of pushes and pulls, then raw */
		uint64_t raw_bytes;
		uint64_t reply_bytes;
		uint32_t pushes, pulls;
	} legs[SERVERS_MAX];
};

struct request_route {
	uint32_t table, slot, count, examples;
};

static size_t aligned(size_t bytes)
{
	return (bytes + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
}

static const struct request_head *head_of(
	const struct remote *remote, uint64_t turn, uint32_t worker)
{
	return comm_shared_place(remote->shared->comm, turn, worker);
}

static uint32_t workers_of(const struct remote *remote)
{
	return remote->shared->comm->comm.workers;
}

/* Where worker's rows begin in the place of a server, in the second turn. */
static size_t reply_at(const struct remote *remote, uint64_t turn, uint32_t server, uint32_t worker)
{
	size_t at = 0;
	for (uint32_t w = 0; w < worker; w++)
		at += aligned(head_of(remote, turn, w)->legs[server].reply_bytes);
	return at;
}

/* The same on every worker. */
static bool everything_fits(const struct remote *remote, uint64_t turn)
{
	bool fits = true;
	for (uint32_t w = 0; w < workers_of(remote); w++)
		fits = fits && head_of(remote, turn, w)->fits;
	for (uint32_t s = 0; s < remote->server_count; s++)
		fits = fits &&
		       reply_at(remote, turn, s, workers_of(remote)) <= remote->shared->bytes_max;
	return fits;
}

/* ---- what goes out ---- */

static void write_leg(struct remote_leg *leg, unsigned char *at)
{
	const struct params_step *step = leg->step;
	struct request_route *routes = (struct request_route *)(void *)at;
	for (size_t i = 0; i < leg->push.route_count; i++) {
		const struct params_push *push = &step->pushes[leg->push.routes[i].segment];
		*routes++ = (struct request_route){.table = push->table,
			.slot = push->slot,
			.count = leg->push.routes[i].count,
			.examples = push->examples};
	}
	for (size_t i = 0; i < leg->pull.route_count; i++)
		*routes++ = (struct request_route){
			.table = step->pulls[leg->pull.routes[i].segment].table,
			.count = leg->pull.routes[i].count};
	remote_write_raw(leg, (unsigned char *)routes, remote_raw_bytes(leg));
}

static void write_request(struct remote *remote, uint64_t turn, const struct params_step *step)
{
	struct remote_leg *legs = remote->slots[0].legs;
	struct comm_shared *comm = remote->shared->comm;
	struct request_head *head = comm_shared_place(comm, turn, comm->comm.rank);
	size_t at = aligned(sizeof(*head));
	head->step = step->push_step;
	for (uint32_t s = 0; s < remote->server_count; s++) {
		legs[s].step = step;
		const size_t routes = legs[s].push.route_count + legs[s].pull.route_count;
		head->legs[s] = (struct request_leg){.at = at,
			.raw_bytes = remote_raw_bytes(&legs[s]),
			.reply_bytes = remote_reply_bytes(&legs[s]),
			.pushes = (uint32_t)legs[s].push.route_count,
			.pulls = (uint32_t)legs[s].pull.route_count};
		at += aligned(routes * sizeof(struct request_route) + head->legs[s].raw_bytes);
	}
	head->fits = at <= remote->shared->bytes_max;
	for (uint32_t s = 0; s < remote->server_count && head->fits; s++)
		write_leg(&legs[s], (unsigned char *)head + head->legs[s].at);
}

/* ---- the server's part ---- */

static enum status grow(struct remote *remote, uint64_t turn, uint32_t server, struct error *err)
{
	struct remote_shared *shared = remote->shared;
	size_t pushes = 0, pulls = 0;
	for (uint32_t w = 0; w < workers_of(remote); w++) {
		pushes += head_of(remote, turn, w)->legs[server].pushes;
		pulls += head_of(remote, turn, w)->legs[server].pulls;
	}
	enum status status = memory_grow(&shared->pushes, &shared->push_capacity, pushes,
		sizeof(*shared->pushes), "pushes", err);
	if (status == STATUS_OK)
		status = memory_grow(&shared->pulls, &shared->pull_capacity, pulls,
			sizeof(*shared->pulls), "pulls", err);
	return status;
}

/* Adds what one worker wants of a server, its rows to be written to `rows`. */
static void add_leg(struct remote *remote, const struct request_head *head, uint32_t server,
	float *rows, struct ps_step *step)
{
	struct remote_shared *shared = remote->shared;
	const struct request_leg *leg = &head->legs[server];
	const struct request_route *routes = (const void *)((const unsigned char *)head + leg->at);
	const unsigned char *ids = (const unsigned char *)(routes + leg->pushes + leg->pulls);
	const unsigned char *gradients = ids;
	for (uint32_t i = 0; i < leg->pushes; i++)
		gradients += routes[i].count * sizeof(uint64_t);
	for (uint32_t i = 0; i < leg->pushes; i++, routes++) {
		shared->pushes[step->push_count++] = (struct ps_push){.table = routes->table,
			.slot = routes->slot,
			.count = routes->count,
			.examples = routes->examples,
			.ids = ids,
			.gradients = (const float *)(const void *)gradients};
		ids += routes->count * sizeof(uint64_t);
		gradients += (size_t)routes->count * remote->params.tables[routes->table].dim *
			     sizeof(float);
	}
	ids = gradients;
	for (uint32_t i = 0; i < leg->pulls; i++, routes++) {
		shared->pulls[step->pull_count++] = (struct ps_pull){
			.table = routes->table, .count = routes->count, .ids = ids, .rows = rows};
		ids += routes->count * sizeof(uint64_t);
		rows += (size_t)routes->count * remote->params.tables[routes->table].dim;
	}
}

/* What all workers want of this rank's shard: applied, and their rows laid out for them. */
static enum status serve(
	struct remote *remote, uint64_t turn, uint64_t push_step, struct error *err)
{
	struct remote_shared *shared = remote->shared;
	const uint32_t server = shared->comm->comm.rank;
	unsigned char *replies = comm_shared_place(shared->comm, shared->comm->turn, server);
	enum status status = grow(remote, turn, server, err);
	if (status != STATUS_OK)
		return status;
	struct ps_step step = {.step = push_step, .pushes = shared->pushes, .pulls = shared->pulls};
	for (uint32_t w = 0; w < workers_of(remote); w++) {
		const struct request_head *head = head_of(remote, turn, w);
		if (head->step != push_step)
			return error_set(err, STATUS_INTERNAL,
				"worker %u pushes step %llu, worker %u step %llu", w,
				(unsigned long long)head->step, server,
				(unsigned long long)push_step);
		void *rows = replies + reply_at(remote, turn, server, w);
		add_leg(remote, head, server, rows, &step);
	}
	return ps_server_step(shared->own, &step, err);
}

/* ---- the exchange ---- */

enum status shared_exchange(
	struct remote *remote, const struct params_step *step, struct error *err)
{
	struct remote_slot *slot = &remote->slots[0];
	struct comm_shared *comm = remote->shared->comm;
	const double deadline_s = remote->deadline_ms * 1e-3; /* as a step in messages has it */
	enum status status = remote_slot_open(remote, slot, err);
	if (status == STATUS_OK)
		status = remote_route(remote, slot, step, err);
	if (status == STATUS_OK)
		status = remote_place_rows(remote, slot, step, err);
	if (status != STATUS_OK)
		return status;
	const uint64_t asked = comm->turn;
	write_request(remote, asked, step);
	comm_shared_announce(comm);
	status = comm_shared_wait(comm, asked, deadline_s, "push of a step", err);
	if (status != STATUS_OK)
		return status;
	comm_shared_add_part(comm);
	if (!everything_fits(remote, asked)) {
		status = remote_exchange_start(&remote->params, 0, step, err);
		return status == STATUS_OK ? remote_exchange_finish(&remote->params, 0, err)
					   : status;
	}
	if (remote->shared->own)
		status = serve(remote, asked, step->push_step, err);
	if (status != STATUS_OK)
		return status;
	const uint64_t answered = comm->turn;
	comm_shared_announce(comm);
	status = comm_shared_wait(comm, answered, deadline_s, "rows of a step", err);
	for (uint32_t s = 0; s < remote->server_count && status == STATUS_OK; s++)
		remote_take_rows(&slot->legs[s], step,
			(unsigned char *)comm_shared_place(comm, answered, s) +
				reply_at(remote, asked, s, comm->comm.rank));
	return status;
}

void remote_shared_free(struct remote_shared *shared)
{
	if (!shared)
		return;
	free(shared->pushes);
	free(shared->pulls);
	free(shared);
}
