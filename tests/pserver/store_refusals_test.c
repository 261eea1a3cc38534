/* What a store refuses: tables, ids and cursors that come from anywhere. */
#include "pserver/store.h"

#include "tests/pserver/sample_store.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

START_TEST(the_same_table_again_is_the_same_and_another_is_refused)
{
	struct error err;
	struct store *store = sample_store(1, 0, 1);
	uint32_t user = sample_table(store, "user", 4, OPTIMIZER_SGD);
	uint32_t movie = sample_table(store, "movie", 4, OPTIMIZER_SGD);
	ck_assert_uint_ne(user, movie);
	ck_assert_uint_eq(sample_table(store, "user", 4, OPTIMIZER_SGD), user);
	uint32_t table = 77;
	struct table_spec spec = sample_spec("user", 5, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_FAILED_PRECONDITION,
		&err, "table user is there already");
	spec = sample_spec("user", 4, OPTIMIZER_SGD);
	spec.optimizer.learning_rate = 0.125f;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_FAILED_PRECONDITION,
		&err, "table user");
	ck_assert_uint_eq(table, 77);
	ck_assert_uint_eq(store_table_count(store), 2);
	struct table_spec there;
	assert_ok(store_table_spec(store, movie, &there, &err), &err);
	ck_assert_str_eq(there.name, "movie");
	store_free(store);
}
END_TEST

START_TEST(foreign_ids_are_refused_and_change_nothing)
{
	struct error err;
	struct store *store = sample_store(1, 1, 3);
	uint32_t table = sample_table(store, "user", 1, OPTIMIZER_SGD);
	uint64_t ids[10000], foreign = 0;
	float values[10000] = {0};
	uint32_t n = 0;
	for (uint64_t id = 0; n < 10000; id++) {
		if (shard_of(virtual_shard_of(id), 3) == 1)
			ids[n++] = id;
		else
			foreign = id;
	}
	char text[100];
	snprintf(text, sizeof(text), "table user: id %llu belongs to server %u, this is 1 of 3",
		(unsigned long long)foreign, shard_of(virtual_shard_of(foreign), 3));
	ids[9999] = foreign;
	assert_fails(store_apply(store, table, ids, 10000, values, 1, &err),
		STATUS_INVALID_ARGUMENT, &err, text);
	assert_fails(store_restore(store, table, ids, 10000, values, &err), STATUS_INVALID_ARGUMENT,
		&err, text);
	assert_fails(store_pull(store, table, ids, 10000, values, &err), STATUS_INVALID_ARGUMENT,
		&err, text);
	assert_fails(store_check_ids(store, table, ids, 10000, &err), STATUS_INVALID_ARGUMENT, &err,
		text);
	ck_assert_uint_eq(store_count(store, table), 0);
	assert_ok(store_apply(store, table, ids, 9999, values, 1, &err), &err);
	ck_assert_uint_eq(store_count(store, table), 9999);
	store_free(store);
}
END_TEST

START_TEST(specs_from_a_hostile_peer_are_refused)
{
	struct error err;
	struct store *store = sample_store(1, 0, 1);
	uint32_t table;
	struct table_spec spec = sample_spec("user", 0, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: dim is 0");
	spec.dim = TABLE_DIM_MAX + 1;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: dim is 65537, expected 1 to 65536");
	spec = sample_spec("", 4, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table name");
	memset(spec.name, 'x', sizeof(spec.name));
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"more than 31 characters");
	spec = sample_spec("a/b", 4, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"character 0x2f at 1");
	spec = sample_spec("user", 4, OPTIMIZER_SGD);
	spec.init_limit = -1.0f;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: init_limit is -1");
	spec = sample_spec("user", 4, (enum optimizer_kind) - 1);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: optimizer: there is no kind -1");
	ck_assert_uint_eq(store_table_count(store), 0);
	store_free(store);
}
END_TEST

START_TEST(too_many_tables_and_impossible_servers_are_refused)
{
	struct error err;
	struct store *store = sample_store(1, 0, 1);
	char name[TABLE_NAME_SIZE];
	for (uint32_t t = 0; t < STORE_TABLES_MAX; t++) {
		snprintf(name, sizeof(name), "t%u", t);
		ck_assert_uint_eq(sample_table(store, name, 1, OPTIMIZER_SGD), t);
	}
	struct table_spec spec = sample_spec("one.too-many", 1, OPTIMIZER_SGD);
	uint32_t table;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_RESOURCE_EXHAUSTED,
		&err, "256 tables");
	store_free(store);

	const struct store_options impossible[] = {
		{.shard_index = 2, .shard_count = 2}, {.shard_index = 0, .shard_count = 65}};
	for (size_t i = 0; i < 2; i++)
		assert_fails(store_new(&store, &impossible[i], &err), STATUS_INVALID_ARGUMENT, &err,
			"at most 64");
	store_free(NULL);
}
END_TEST

START_TEST(a_cursor_from_a_hostile_peer_reads_nothing_it_should_not)
{
	struct error err;
	struct store *store = sample_store(1, 1, 2);
	uint32_t table = sample_table(store, "user", 1, OPTIMIZER_SGD);
	uint64_t ids[4];
	float records[4];
	size_t n;
	for (uint64_t id = 0; id < 100; id++)
		if (shard_of(virtual_shard_of(id), 2) == 1)
			assert_ok(
				store_apply(store, table, &id, 1, (const float[1]){1.0f}, 1, &err),
				&err);
	const struct store_cursor beyond[] = {{64, 0}, {40, UINT32_MAX}, {64, 9}};
	for (size_t i = 0; i < 3; i++) {
		struct store_cursor cursor = beyond[i];
		assert_ok(store_snapshot(store, table, &cursor, 4, ids, records, &n, &err), &err);
		ck_assert_uint_le(n, 4);
	}
	const struct store_cursor impossible[] = {
		{65, 0}, {UINT64_MAX, UINT64_MAX}, {33, UINT64_C(1) << 32}};
	for (size_t i = 0; i < 3; i++) {
		struct store_cursor cursor = impossible[i];
		assert_fails(store_snapshot(store, table, &cursor, 4, ids, records, &n, &err),
			STATUS_INVALID_ARGUMENT, &err, "there is no cursor");
	}
	struct store_cursor cursor = {0};
	assert_fails(store_snapshot(store, table, &cursor, 0, ids, records, &n, &err),
		STATUS_INVALID_ARGUMENT, &err, "no room");
	assert_fails(store_snapshot(store, 9, &cursor, 4, ids, records, &n, &err), STATUS_NOT_FOUND,
		&err, "no table 9");
	store_free(store);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_same_table_again_is_the_same_and_another_is_refused,
		foreign_ids_are_refused_and_change_nothing, specs_from_a_hostile_peer_are_refused,
		too_many_tables_and_impossible_servers_are_refused,
		a_cursor_from_a_hostile_peer_reads_nothing_it_should_not, NULL};
	return run_cases("store_refusals", cases);
}
