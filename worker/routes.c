#include "worker/routes.h"

#include "common/base/memory.h"
#include "pserver/placement.h"

#include <stdlib.h>
#include <string.h>

void routes_clear(struct routes *routes)
{
	routes->route_count = routes->position_count = 0;
}

void routes_fini(struct routes *routes)
{
	free(routes->routes);
	free(routes->positions);
	*routes = (struct routes){0};
}

static enum status begin(struct routes *routes, uint32_t segment, uint32_t count, struct error *err)
{
	enum status status = memory_grow(&routes->routes, &routes->route_capacity,
		routes->route_count + 1, sizeof(*routes->routes), "routes", err);
	if (status == STATUS_OK)
		status = memory_grow(&routes->positions, &routes->position_capacity,
			routes->position_count + count, sizeof(*routes->positions), "routes", err);
	if (status == STATUS_OK)
		routes->routes[routes->route_count] =
			(struct route){.segment = segment, .first = routes->position_count};
	return status;
}

enum status routes_add(struct routes *const *servers, uint32_t server_count, uint32_t segment,
	const uint64_t *ids, uint32_t count, struct error *err)
{
	for (uint32_t s = 0; s < server_count; s++) {
		enum status status = begin(servers[s], segment, count, err);
		if (status != STATUS_OK)
			return status;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t owner =
			server_count == 1 ? 0 : shard_of(virtual_shard_of(ids[i]), server_count);
		struct routes *routes = servers[owner];
		routes->positions[routes->position_count++] = i;
	}
	for (uint32_t s = 0; s < server_count; s++) {
		struct route *route = &servers[s]->routes[servers[s]->route_count];
		route->count = (uint32_t)(servers[s]->position_count - route->first);
		if (route->count > 0)
			servers[s]->route_count++;
	}
	return STATUS_OK;
}

unsigned char *routes_gather_ids(const struct routes *routes, const struct route *route,
	const uint64_t *ids, unsigned char *out)
{
	const uint32_t *positions = routes->positions + route->first;
	for (uint32_t i = 0; i < route->count; i++, out += sizeof(*ids))
		memcpy(out, &ids[positions[i]], sizeof(*ids));
	return out;
}

unsigned char *routes_gather_rows(const struct routes *routes, const struct route *route,
	const float *rows, uint32_t dim, unsigned char *out)
{
	const uint32_t *positions = routes->positions + route->first;
	const size_t bytes = dim * sizeof(*rows);
	for (uint32_t i = 0; i < route->count; i++, out += bytes)
		memcpy(out, rows + (size_t)positions[i] * dim, bytes);
	return out;
}

const unsigned char *routes_scatter_rows(const struct routes *routes, const struct route *route,
	float *rows, uint32_t dim, const unsigned char *in)
{
	const uint32_t *positions = routes->positions + route->first;
	const size_t bytes = dim * sizeof(*rows);
	for (uint32_t i = 0; i < route->count; i++, in += bytes)
		memcpy(rows + (size_t)positions[i] * dim, in, bytes);
	return in;
}
