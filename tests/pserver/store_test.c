/* Rows of a store: the same for any number of servers and any order of ids, and after a move. */
#include "pserver/store.h"

#include "common/base/random.h"
#include "tests/pserver/sample_store.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

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
		cluster.stores[i] = sample_store(seed, i, count);
		ck_assert_uint_eq(sample_table(cluster.stores[i], "user", dim, kind), 0);
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
	struct store *store = sample_store(7, 0, 1);
	uint32_t table = sample_table(store, "user", 5, OPTIMIZER_SGD);
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
	struct store *stores[2] = {sample_store(3, 0, 1), sample_store(3, 0, 1)};
	struct digest digests[2] = {{0}, {0}};
	for (uint32_t s = 0; s < 2; s++) {
		uint32_t table = sample_table(stores[s], "user", 4, OPTIMIZER_ADAM);
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
	struct store *store = sample_store(1, 0, 1);
	uint32_t table = sample_table(store, "user", 2, OPTIMIZER_SGD);
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

START_TEST(reset_drops_the_tables_and_takes_the_new_seed)
{
	struct error err;
	struct store *store = sample_store(1, 0, 1);
	uint32_t table = sample_table(store, "user", 4, OPTIMIZER_SGD);
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
	ck_assert_uint_eq(sample_table(store, "user", 4, OPTIMIZER_ADAM), 0);
	assert_ok(store_pull(store, table, &id, 1, row, &err), &err);
	random_uniform_row(2, random_stream("user"), 5, 0.5f, expected, 4);
	ck_assert_mem_eq(row, expected, sizeof(row));
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

int main(void)
{
	const TTest *const cases[] = {
		pull_of_unknown_id_returns_initialised_row_and_creates_nothing,
		rows_do_not_depend_on_the_number_of_servers_or_the_order_of_ids,
		rows_do_not_depend_on_the_order_of_their_creation,
		a_snapshot_restores_into_any_number_of_servers,
		a_call_may_have_more_ids_than_a_block,
		reset_drops_the_tables_and_takes_the_new_seed, placement_tiles_the_virtual_shards,
		NULL};
	return run_cases("store", cases);
}
