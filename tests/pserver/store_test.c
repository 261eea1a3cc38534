#include "pserver/store.h"

#include "common/base/random.h"
#include "pserver/crew.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct table_spec spec_of(const char *name, uint32_t dim, enum optimizer_kind kind)
{
	struct table_spec spec = {
		.dim = dim, .init_limit = 0.5f, .optimizer = optimizer_defaults(kind)};
	memcpy(spec.name, name, strlen(name) + 1);
	return spec;
}

static struct store *new_store(uint64_t seed, uint32_t index, uint32_t count)
{
	struct error err;
	struct store *store;
	struct store_options options = {.seed = seed, .shard_index = index, .shard_count = count};
	assert_ok(store_new(&store, &options, &err), &err);
	return store;
}

static uint32_t new_table(
	struct store *store, const char *name, uint32_t dim, enum optimizer_kind kind)
{
	struct error err;
	struct table_spec spec = spec_of(name, dim, kind);
	uint32_t table;
	assert_ok(store_create_table(store, &spec, &table, &err), &err);
	return table;
}

/* Several stores as one: a call's ids go to the servers that own them. */
struct cluster {
	uint32_t count;
	struct store *stores[VIRTUAL_SHARDS];
};

static struct cluster new_cluster(
	uint32_t count, uint64_t seed, uint32_t dim, enum optimizer_kind kind)
{
	struct cluster cluster = {.count = count};
	for (uint32_t i = 0; i < count; i++) {
		cluster.stores[i] = new_store(seed, i, count);
		ck_assert_uint_eq(new_table(cluster.stores[i], "user", dim, kind), 0);
	}
	return cluster;
}

static void free_cluster(struct cluster *cluster)
{
	for (uint32_t i = 0; i < cluster->count; i++)
		store_free(cluster->stores[i]);
}

static void cluster_apply(const struct cluster *cluster, const uint64_t *ids, size_t n,
	const float *gradients, uint32_t dim, uint64_t step)
{
	struct error err;
	uint64_t *part_ids = malloc(n * sizeof(*part_ids));
	float *part = malloc(n * dim * sizeof(*part));
	for (uint32_t s = 0; s < cluster->count; s++) {
		size_t count = 0;
		for (size_t i = 0; i < n; i++) {
			if (shard_of(virtual_shard_of(ids[i]), cluster->count) != s)
				continue;
			part_ids[count] = ids[i];
			memcpy(part + count * dim, gradients + i * dim, dim * sizeof(*part));
			count++;
		}
		assert_ok(store_apply(cluster->stores[s], 0, part_ids, count, part, step, &err),
			&err);
	}
	free(part_ids);
	free(part);
}

static void cluster_digest(const struct cluster *cluster, char text[DIGEST_TEXT_SIZE])
{
	struct digest digest = {0};
	for (uint32_t s = 0; s < cluster->count; s++) {
		struct digest part = {0};
		store_digest(cluster->stores[s], &part);
		digest_merge(&digest, &part);
	}
	digest_format(&digest, text);
}

static uint64_t cluster_count(const struct cluster *cluster)
{
	uint64_t count = 0;
	for (uint32_t s = 0; s < cluster->count; s++)
		count += store_count(cluster->stores[s], 0);
	return count;
}

/* A job of some steps over random ids; `reversed` sends each step's ids the other way round. */
static void train(const struct cluster *cluster, uint32_t dim, bool reversed)
{
	enum { STEPS = 6, IDS = 700 };
	struct random_sequence random;
	random_sequence_init(&random, 5, 5);
	uint64_t ids[IDS];
	float *gradients = malloc(IDS * dim * sizeof(*gradients));
	for (uint64_t step = 1; step <= STEPS; step++) {
		uint64_t start = random_below(&random, 2000);
		for (uint32_t i = 0; i < IDS; i++) {
			uint32_t at = reversed ? IDS - 1 - i : i;
			ids[at] = i ? start + i * 3 : UINT64_MAX;
			for (uint32_t j = 0; j < dim; j++)
				gradients[at * dim + j] = (float)random_double(&random) - 0.5f;
		}
		cluster_apply(cluster, ids, IDS, gradients, dim, step);
	}
	free(gradients);
}

START_TEST(pull_of_unknown_id_returns_initialised_row_and_creates_nothing)
{
	struct error err;
	struct store *store = new_store(7, 0, 1);
	uint32_t table = new_table(store, "user", 5, OPTIMIZER_SGD);
	const float rate = optimizer_defaults(OPTIMIZER_SGD).learning_rate;
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
		ck_assert(rows[5 + i] == expected[i] - rate * gradient[i]);
	ck_assert_uint_eq(store_count(store, table), 1);
	store_free(store);
}
END_TEST

START_TEST(rows_do_not_depend_on_the_number_of_servers_or_the_order_of_ids)
{
	const uint32_t counts[] = {1, 2, 3, 7, 64};
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		char first[DIGEST_TEXT_SIZE] = "", text[DIGEST_TEXT_SIZE];
		for (size_t c = 0; c < 5; c++) {
			struct cluster cluster =
				new_cluster(counts[c], 3, 9, (enum optimizer_kind)kind);
			train(&cluster, 9, c % 2 == 1);
			cluster_digest(&cluster, text);
			if (c == 0)
				strcpy(first, text);
			ck_assert_str_eq(first, text);
			free_cluster(&cluster);
		}
		struct cluster cluster = new_cluster(1, 4, 9, (enum optimizer_kind)kind);
		train(&cluster, 9, false);
		cluster_digest(&cluster, text);
		ck_assert_msg(strcmp(first, text) != 0, "another seed gives the same rows");
		free_cluster(&cluster);
	}
}
END_TEST

START_TEST(rows_do_not_depend_on_the_order_of_their_creation)
{
	/* SGD on distinct ids: the gradients of an id are the same numbers in both directions. */
	struct error err;
	struct store *stores[2] = {new_store(3, 0, 1), new_store(3, 0, 1)};
	struct digest digests[2] = {{0}, {0}};
	for (uint32_t s = 0; s < 2; s++) {
		uint32_t table = new_table(stores[s], "user", 4, OPTIMIZER_ADAM);
		for (uint64_t i = 0; i < 3000; i++) {
			uint64_t id = s ? 2999 - i : i;
			const float gradient[4] = {(float)id, 1.0f, -(float)id, 0.5f};
			assert_ok(store_apply(stores[s], table, &id, 1, gradient, 1, &err), &err);
		}
		store_digest(stores[s], &digests[s]);
	}
	ck_assert_mem_eq(&digests[0], &digests[1], sizeof(digests[0]));
	for (uint32_t s = 0; s < 2; s++)
		store_free(stores[s]);
}
END_TEST

/* Reads a server in parts of `max` records into all servers of another cluster. */
static void move_rows(struct store *from, const struct cluster *to, size_t max)
{
	struct error err;
	const uint32_t floats = store_record_floats(from, 0);
	/* One float in front, so that ids and records lie as in a message: aligned to 4 bytes. */
	unsigned char *raw = malloc(4 + max * 8);
	float *records = malloc(max * floats * sizeof(*records));
	struct store_cursor cursor = {0};
	size_t n;
	do {
		assert_ok(store_snapshot(from, 0, &cursor, max, raw + 4, records, &n, &err), &err);
		for (size_t i = 0; i < n; i++) {
			uint64_t id;
			memcpy(&id, raw + 4 + i * 8, sizeof(id));
			struct store *store = to->stores[shard_of(virtual_shard_of(id), to->count)];
			assert_ok(store_restore(
					  store, 0, raw + 4 + i * 8, 1, records + i * floats, &err),
				&err);
		}
	} while (n == max);
	assert_ok(store_snapshot(from, 0, &cursor, max, raw + 4, records, &n, &err), &err);
	ck_assert_uint_eq(n, 0);
	free(raw);
	free(records);
}

START_TEST(a_snapshot_restores_into_any_number_of_servers)
{
	const uint32_t counts[] = {1, 2, 3, 7};
	struct cluster origin = new_cluster(3, 3, 5, OPTIMIZER_FTRL);
	char text[DIGEST_TEXT_SIZE], restored[DIGEST_TEXT_SIZE];
	train(&origin, 5, false);
	cluster_digest(&origin, text);
	for (size_t c = 0; c < 4; c++) {
		/* Another seed: a restored row must owe nothing to it. */
		struct cluster cluster = new_cluster(counts[c], 99, 5, OPTIMIZER_FTRL);
		for (uint32_t s = 0; s < origin.count; s++)
			move_rows(origin.stores[s], &cluster, 1 + c * 57);
		cluster_digest(&cluster, restored);
		ck_assert_str_eq(text, restored);
		ck_assert_uint_eq(cluster_count(&origin), cluster_count(&cluster));
		/* Over what is there already: overwritten, not doubled. */
		train(&cluster, 5, true);
		for (uint32_t s = 0; s < origin.count; s++)
			move_rows(origin.stores[s], &cluster, 100);
		cluster_digest(&cluster, restored);
		ck_assert_str_eq(text, restored);
		free_cluster(&cluster);
	}
	free_cluster(&origin);
}
END_TEST

START_TEST(a_call_may_have_more_ids_than_a_block)
{
	enum { COUNT = 20000 };
	struct error err;
	struct store *store = new_store(1, 0, 1);
	uint32_t table = new_table(store, "user", 2, OPTIMIZER_SGD);
	uint64_t *ids = malloc(COUNT * sizeof(*ids));
	float *before = malloc(COUNT * 2 * sizeof(*before));
	float *after = malloc(COUNT * 2 * sizeof(*after));
	float *gradients = malloc(COUNT * 2 * sizeof(*gradients));
	for (uint32_t i = 0; i < COUNT; i++) {
		ids[i] = hash_u64(i);
		gradients[2 * i] = (float)i;
		gradients[2 * i + 1] = -1.0f;
	}
	const float rate = optimizer_defaults(OPTIMIZER_SGD).learning_rate;
	assert_ok(store_pull(store, table, ids, COUNT, before, &err), &err);
	assert_ok(store_apply(store, table, ids, COUNT, gradients, 1, &err), &err);
	assert_ok(store_pull(store, table, ids, COUNT, after, &err), &err);
	for (uint32_t i = 0; i < 2 * COUNT; i++)
		ck_assert(after[i] == before[i] - rate * gradients[i]);
	ck_assert_uint_eq(store_count(store, table), COUNT);
	free(ids);
	free(before);
	free(after);
	free(gradients);
	store_free(store);
}
END_TEST

START_TEST(the_same_table_again_is_the_same_and_another_is_refused)
{
	struct error err;
	struct store *store = new_store(1, 0, 1);
	uint32_t user = new_table(store, "user", 4, OPTIMIZER_SGD);
	uint32_t movie = new_table(store, "movie", 4, OPTIMIZER_SGD);
	ck_assert_uint_ne(user, movie);
	ck_assert_uint_eq(new_table(store, "user", 4, OPTIMIZER_SGD), user);
	uint32_t table = 77;
	struct table_spec spec = spec_of("user", 5, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_FAILED_PRECONDITION,
		&err, "table user is there already");
	spec = spec_of("user", 4, OPTIMIZER_SGD);
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

START_TEST(reset_drops_the_tables_and_takes_the_new_seed)
{
	struct error err;
	struct store *store = new_store(1, 0, 1);
	uint32_t table = new_table(store, "user", 4, OPTIMIZER_SGD);
	const uint64_t id = 5;
	const float gradient[4] = {1, 1, 1, 1};
	assert_ok(store_apply(store, table, &id, 1, gradient, 1, &err), &err);
	ck_assert_uint_gt(store_bytes(store), 0);
	store_reset(store, 2);
	ck_assert_uint_eq(store_table_count(store), 0);
	ck_assert_uint_eq(store_bytes(store), 0);
	float row[4], expected[4];
	assert_fails(store_pull(store, table, &id, 1, row, &err), STATUS_NOT_FOUND, &err,
		"there is no table 0");
	ck_assert_uint_eq(new_table(store, "user", 4, OPTIMIZER_ADAM), 0);
	assert_ok(store_pull(store, table, &id, 1, row, &err), &err);
	random_uniform_row(2, random_stream("user"), 5, 0.5f, expected, 4);
	ck_assert_mem_eq(row, expected, sizeof(row));
	store_free(store);
}
END_TEST

START_TEST(foreign_ids_are_refused_and_change_nothing)
{
	struct error err;
	struct store *store = new_store(1, 1, 3);
	uint32_t table = new_table(store, "user", 1, OPTIMIZER_SGD);
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
	struct store *store = new_store(1, 0, 1);
	uint32_t table;
	struct table_spec spec = spec_of("user", 0, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: dim is 0");
	spec.dim = TABLE_DIM_MAX + 1;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: dim is 65537, expected 1 to 65536");
	spec = spec_of("", 4, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table name");
	memset(spec.name, 'x', sizeof(spec.name));
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"more than 31 characters");
	spec = spec_of("a/b", 4, OPTIMIZER_SGD);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"character 0x2f at 1");
	spec = spec_of("user", 4, OPTIMIZER_SGD);
	spec.init_limit = -1.0f;
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: init_limit is -1");
	spec = spec_of("user", 4, (enum optimizer_kind) - 1);
	assert_fails(store_create_table(store, &spec, &table, &err), STATUS_INVALID_ARGUMENT, &err,
		"table user: optimizer: there is no kind -1");
	ck_assert_uint_eq(store_table_count(store), 0);
	store_free(store);
}
END_TEST

START_TEST(too_many_tables_and_impossible_servers_are_refused)
{
	struct error err;
	struct store *store = new_store(1, 0, 1);
	char name[TABLE_NAME_SIZE];
	for (uint32_t t = 0; t < STORE_TABLES_MAX; t++) {
		snprintf(name, sizeof(name), "t%u", t);
		ck_assert_uint_eq(new_table(store, name, 1, OPTIMIZER_SGD), t);
	}
	struct table_spec spec = spec_of("one.too-many", 1, OPTIMIZER_SGD);
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
	struct store *store = new_store(1, 1, 2);
	uint32_t table = new_table(store, "user", 1, OPTIMIZER_SGD);
	struct cluster cluster = {.count = 1, .stores = {store}};
	uint64_t ids[4];
	float records[4];
	size_t n;
	for (uint64_t id = 0; id < 100; id++)
		if (shard_of(virtual_shard_of(id), 2) == 1)
			cluster_apply(&cluster, &id, 1, (const float[1]){1.0f}, 1, 1);
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

START_TEST(placement_tiles_the_virtual_shards)
{
	for (uint32_t count = 1; count <= VIRTUAL_SHARDS; count++) {
		ck_assert_uint_eq(shard_first(0, count), 0);
		ck_assert_uint_eq(shard_end(count - 1, count), VIRTUAL_SHARDS);
		for (uint32_t i = 0; i < count; i++) {
			ck_assert_uint_lt(shard_first(i, count), shard_end(i, count));
			for (uint32_t v = shard_first(i, count); v < shard_end(i, count); v++)
				ck_assert_uint_eq(shard_of(v, count), i);
		}
	}
}
END_TEST

/*
 * Four threads push and pull the same ids. The gradients are small integers and the learning rate
 * is 1, rows start at 0: the updates commute exactly, and a row read on the way is an integer.
 */
enum { THREADS = 4, ROUNDS = 60, SHARED_IDS = 1100, DIM = 3 };

struct pusher {
	struct store *store;
	uint32_t table;
	uint32_t number;
	uint32_t failures; /* Check's assertions are for the main thread */
};

static void *push_and_pull(void *argument)
{
	struct pusher *pusher = argument;
	struct error err;
	struct random_sequence random;
	random_sequence_init(&random, 1, pusher->number);
	uint64_t ids[SHARED_IDS];
	float rows[SHARED_IDS * DIM], gradients[SHARED_IDS * DIM];
	for (uint32_t round = 0; round < ROUNDS; round++) {
		/* Every thread pushes every id once a round, from another place on. */
		uint32_t start = random_below(&random, SHARED_IDS);
		for (uint32_t i = 0; i < SHARED_IDS; i++) {
			uint32_t k = (start + i) % SHARED_IDS;
			ids[i] = (uint64_t)k * 1000003;
			for (uint32_t j = 0; j < DIM; j++)
				gradients[i * DIM + j] = (float)(k % 7 + j);
		}
		if (store_apply(pusher->store, pusher->table, ids, SHARED_IDS, gradients, round + 1,
			    &err) != STATUS_OK ||
			store_pull(pusher->store, pusher->table, ids, SHARED_IDS, rows, &err) !=
				STATUS_OK) {
			pusher->failures++;
			break;
		}
		for (uint32_t i = 0; i < SHARED_IDS * DIM; i++)
			pusher->failures += rows[i] != (float)(int)rows[i];
		if (round % 16 == pusher->number) {
			struct digest digest = {0};
			store_digest(pusher->store, &digest);
			(void)store_count(pusher->store, pusher->table);
		}
	}
	return NULL;
}

static void push_and_pull_at_once(bool one_thread_per_table, struct crew *crew)
{
	struct error err;
	struct store *store;
	const struct store_options options = {
		.seed = 1, .one_thread_per_table = one_thread_per_table, .crew = crew};
	assert_ok(store_new(&store, &options, &err), &err);
	struct table_spec spec = spec_of("shared", DIM, OPTIMIZER_SGD);
	spec.init_limit = 0.0f;
	spec.optimizer.learning_rate = 1.0f;
	uint32_t table;
	assert_ok(store_create_table(store, &spec, &table, &err), &err);
	pthread_t threads[THREADS];
	struct pusher pushers[THREADS];
	for (uint32_t t = 0; t < THREADS; t++) {
		pushers[t] = (struct pusher){.store = store, .table = table, .number = t};
		ck_assert(pthread_create(&threads[t], NULL, push_and_pull, &pushers[t]) == 0);
	}
	for (uint32_t t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (uint32_t t = 0; t < THREADS; t++)
		ck_assert_uint_eq(pushers[t].failures, 0);
	ck_assert_uint_eq(store_count(store, table), SHARED_IDS);
	for (uint32_t k = 0; k < SHARED_IDS; k++) {
		uint64_t id = (uint64_t)k * 1000003;
		float row[DIM];
		assert_ok(store_pull(store, table, &id, 1, row, &err), &err);
		for (uint32_t j = 0; j < DIM; j++)
			ck_assert(row[j] == -(float)(THREADS * ROUNDS * (k % 7 + j)));
	}
	store_free(store);
}

START_TEST(concurrent_pushes_and_pulls_lose_nothing)
{
	push_and_pull_at_once(false, NULL);
}
END_TEST

START_TEST(threads_that_share_a_table_of_one_thread_wait_for_each_other)
{
	push_and_pull_at_once(true, NULL);
}
END_TEST

START_TEST(helpers_beside_concurrent_pushes_and_pulls_lose_nothing)
{
	struct error err;
	struct crew *crew;
	assert_ok(crew_new(&crew, 2, &err), &err);
	push_and_pull_at_once(false, crew);
	crew_free(crew);
}
END_TEST

START_TEST(rows_do_not_depend_on_locks_and_helpers)
{
	enum { COUNT = 10000, FLOATS = 3, KINDS = 3 };
	struct error err;
	struct crew *crew;
	uint64_t *ids = malloc(COUNT * sizeof(*ids));
	float *values[KINDS];
	struct digest digests[KINDS] = {{0}};
	assert_ok(crew_new(&crew, 2, &err), &err);
	for (size_t k = 0; k < KINDS; k++) {
		struct store *store;
		const struct store_options options = {
			.seed = 5, .one_thread_per_table = k == 1, .crew = k == 2 ? crew : NULL};
		assert_ok(store_new(&store, &options, &err), &err);
		uint32_t table = new_table(store, "user", FLOATS, OPTIMIZER_MOMENTUM);
		values[k] = calloc(COUNT * FLOATS, sizeof(float));
		/* Every id three times, so that one call has some of them in several groups. */
		for (uint32_t i = 0; i < COUNT; i++) {
			ids[i] = hash_u64(i % (COUNT / 3));
			values[k][i * FLOATS] = (float)i;
		}
		assert_ok(store_apply(store, table, ids, COUNT, values[k], 1, &err), &err);
		assert_ok(store_pull(store, table, ids, COUNT, values[k], &err), &err);
		store_digest(store, &digests[k]);
		store_free(store);
	}
	for (size_t k = 1; k < KINDS; k++) {
		ck_assert_mem_eq(values[0], values[k], COUNT * FLOATS * sizeof(float));
		ck_assert_mem_eq(&digests[0], &digests[k], sizeof(digests[0]));
	}
	for (size_t k = 0; k < KINDS; k++)
		free(values[k]);
	free(ids);
	crew_free(crew);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		pull_of_unknown_id_returns_initialised_row_and_creates_nothing,
		rows_do_not_depend_on_the_number_of_servers_or_the_order_of_ids,
		rows_do_not_depend_on_the_order_of_their_creation,
		a_snapshot_restores_into_any_number_of_servers,
		a_call_may_have_more_ids_than_a_block,
		the_same_table_again_is_the_same_and_another_is_refused,
		reset_drops_the_tables_and_takes_the_new_seed,
		foreign_ids_are_refused_and_change_nothing, specs_from_a_hostile_peer_are_refused,
		too_many_tables_and_impossible_servers_are_refused,
		a_cursor_from_a_hostile_peer_reads_nothing_it_should_not,
		placement_tiles_the_virtual_shards, concurrent_pushes_and_pulls_lose_nothing,
		threads_that_share_a_table_of_one_thread_wait_for_each_other,
		helpers_beside_concurrent_pushes_and_pulls_lose_nothing,
		rows_do_not_depend_on_locks_and_helpers, NULL};
	return run_cases("store", cases);
}
