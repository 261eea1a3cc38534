#include "pserver/store.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <string.h>

static struct table_spec spec_of(const char *name, uint32_t dim, enum optimizer_kind kind)
{
	struct table_spec spec = {
		.dim = dim, .init_limit = 0.5f, .optimizer = optimizer_defaults(kind)};
	strncpy(spec.name, name, sizeof(spec.name) - 1);
	return spec;
}

START_TEST(pull_of_unknown_id_returns_initialised_row_and_creates_nothing)
{
	struct error err;
	struct store *store;
	struct store_options options = {.seed = 7};
	assert_ok(store_new(&store, &options, &err), &err);
	struct table_spec spec = spec_of("user", 5, OPTIMIZER_SGD);
	uint32_t table;
	assert_ok(store_create_table(store, &spec, &table, &err), &err);
	const uint64_t ids[3] = {41, UINT64_MAX, 41};
	float rows[15], expected[5];
	assert_ok(store_pull(store, table, ids, 3, rows, &err), &err);
	random_uniform_row(7, random_stream("user"), UINT64_MAX, 0.5f, expected, 5);
	ck_assert_mem_eq(rows + 5, expected, sizeof(expected));
	ck_assert_mem_eq(rows, rows + 10, sizeof(expected));
	ck_assert_uint_eq(store_count(store, table), 0);
	const float gradient[5] = {1, 2, 3, 4, 5};
	assert_ok(store_apply(store, table, ids + 1, 1, gradient, 1, &err), &err);
	assert_ok(store_pull(store, table, ids, 3, rows, &err), &err);
	for (int i = 0; i < 5; i++)
		ck_assert(rows[5 + i] == expected[i] - spec.optimizer.learning_rate * gradient[i]);
	ck_assert_uint_eq(store_count(store, table), 1);
	store_free(store);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		pull_of_unknown_id_returns_initialised_row_and_creates_nothing, NULL};
	return run_cases("store", cases);
}
