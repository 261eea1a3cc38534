/*
 * Which ids of a request go to which server.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_WORKER_ROUTES_H
#define MARQUEE_WORKER_ROUTES_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The part of one segment that goes to one server. */
struct route {
	uint32_t segment; /* index in the request */
	uint32_t count;
	bool whole;   /* all of it, as it stands: there is one server, and no positions */
	size_t first; /* in positions */
};

/* All that goes to one server. Arrays grow only. */
struct routes {
	struct route *routes;
	size_t route_count, route_capacity;
	size_t id_count;     /* over all routes */
	uint32_t *positions; /* in the segment's arrays */
	size_t position_count, position_capacity;
};

void routes_clear(struct routes *routes);
void routes_fini(struct routes *routes);

/*
 * Cuts ids[count] of a segment over servers[server_count]; a server that gets none gets no route,
 * unless `empty` says that it is to get an empty one.
 */
MUST_CHECK enum status routes_add(struct routes *const *servers, uint32_t server_count,
	uint32_t segment, const uint64_t *ids, uint32_t count, bool empty, struct error *err);

/*
 * Writes the ids, or the rows of dim floats, at the route's positions to `out` (any alignment);
 * returns the place behind them.
 */
unsigned char *routes_gather_ids(const struct routes *routes, const struct route *route,
	const uint64_t *ids, unsigned char *out);
unsigned char *routes_gather_rows(const struct routes *routes, const struct route *route,
	const float *rows, uint32_t dim, unsigned char *out);

/* The number within the segment of the route's i-th id. */
static inline uint32_t route_position(
	const struct routes *routes, const struct route *route, uint32_t i)
{
	return route->whole ? i : routes->positions[route->first + i];
}

/* Reads rows from `in` to the route's positions; returns the place behind them. */
const unsigned char *routes_scatter_rows(const struct routes *routes, const struct route *route,
	float *rows, uint32_t dim, const unsigned char *in);

#endif
