#include "worker/routes.h"

#include "common/base/memory.h"
#include "pserver/placement.h"

#include <stdlib.h>
#include <string.h>

void routes_clear(struct routes *routes)
{
	routes->route_count = routes->position_count = routes->id_count = 0;
}

void routes_fini(struct routes *routes)
{
	free(routes->routes);
	free(routes->positions);
	*routes = (struct routes){0};
}

static enum status begin(struct routes *routes, uint32_t segment, struct error *err)
{
	enum status status = memory_grow(&routes->routes, &routes->route_capacity,
		routes->route_count + 1, sizeof(*routes->routes), "routes", err);
	if (status == STATUS_OK)
		routes->routes[routes->route_count] =
			(struct route){.segment = segment, .first = routes->position_count};
	return status;
}

static void end(struct routes *routes, uint32_t count, bool empty)
{
	routes->routes[routes->route_count].count = count;
	routes->id_count += count;
	if (count > 0 || empty)
		routes->route_count++;
}

static enum status add_whole(
	struct routes *routes, uint32_t segment, uint32_t count, bool empty, struct error *err)
{
	enum status status = begin(routes, segment, err);
	if (status != STATUS_OK)
		return status;
	routes->routes[routes->route_count].whole = true;
	end(routes, count, empty);
	return STATUS_OK;
}

enum status routes_add(struct routes *const *servers, uint32_t server_count, uint32_t segment,
	const uint64_t *ids, uint32_t count, bool empty, struct error *err)
{
	if (server_count == 1)
		return add_whole(servers[0], segment, count, empty, err);
	for (uint32_t s = 0; s < server_count; s++) {
		struct routes *routes = servers[s];
		enum status status = begin(routes, segment, err);
		if (status == STATUS_OK)
			status = memory_grow(&routes->positions, &routes->position_capacity,
				routes->position_count + count, sizeof(*routes->positions),
				"routes", err);
		if (status != STATUS_OK)
			return status;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct routes *routes = servers[shard_of(virtual_shard_of(ids[i]), server_count)];
		routes->positions[routes->position_count++] = i;
	}
	for (uint32_t s = 0; s < server_count; s++) {
		const struct route *route = &servers[s]->routes[servers[s]->route_count];
		end(servers[s], (uint32_t)(servers[s]->position_count - route->first), empty);
	}
	return STATUS_OK;
}

unsigned char *routes_gather_ids(const struct routes *routes, const struct route *route,
	const uint64_t *ids, unsigned char *out)
{
	const uint32_t *positions = routes->positions + route->first;
	const size_t bytes = route->count * sizeof(*ids);
	if (route->whole)
		memcpy(out, ids, bytes);
	for (uint32_t i = 0; !route->whole && i < route->count; i++)
		memcpy(out + i * sizeof(*ids), &ids[positions[i]], sizeof(*ids));
	return out + bytes;
}

unsigned char *routes_gather_rows(const struct routes *routes, const struct route *route,
	const float *rows, uint32_t dim, unsigned char *out)
{
	const uint32_t *positions = routes->positions + route->first;
	const size_t bytes = dim * sizeof(*rows);
	if (route->whole)
		memcpy(out, rows, route->count * bytes);
	for (uint32_t i = 0; !route->whole && i < route->count; i++)
		memcpy(out + i * bytes, rows + (size_t)positions[i] * dim, bytes);
	return out + route->count * bytes;
}

const unsigned char *routes_scatter_rows(const struct routes *routes, const struct route *route,
	float *rows, uint32_t dim, const unsigned char *in)
{
	const uint32_t *positions = routes->positions + route->first;
	const size_t bytes = dim * sizeof(*rows);
	if (route->whole)
		memcpy(rows, in, route->count * bytes);
	for (uint32_t i = 0; !route->whole && i < route->count; i++)
		memcpy(rows + (size_t)positions[i] * dim, in + i * bytes, bytes);
	return in + route->count * bytes;
}
