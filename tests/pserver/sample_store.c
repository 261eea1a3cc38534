#include "tests/pserver/sample_store.h"

#include "tests/support/suite.h"

#include <string.h>

struct table_spec sample_spec(const char *name, uint32_t dim, enum optimizer_kind kind)
{
	struct table_spec spec = {
		.dim = dim, .init_limit = 0.5f, .optimizer = optimizer_defaults(kind)};
	memcpy(spec.name, name, strlen(name) + 1);
	return spec;
}

struct store *sample_store(uint64_t seed, uint32_t index, uint32_t count)
{
	struct error err;
	struct store *store;
	struct store_options options = {.seed = seed, .shard_index = index, .shard_count = count};
	assert_ok(store_new(&store, &options, &err), &err);
	return store;
}

uint32_t sample_table(struct store *store, const char *name, uint32_t dim, enum optimizer_kind kind)
{
	struct error err;
	struct table_spec spec = sample_spec(name, dim, kind);
	uint32_t table;
	assert_ok(store_create_table(store, &spec, &table, &err), &err);
	return table;
}
