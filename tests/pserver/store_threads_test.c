/* Threads that share a store, and helpers: nothing is lost, and rows are the same as without. */
#include "pserver/store.h"

#include "common/base/random.h"
#include "pserver/crew.h"
#include "tests/pserver/sample_store.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdlib.h>

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
	struct table_spec spec = sample_spec("shared", DIM, OPTIMIZER_SGD);
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
		uint32_t table = sample_table(store, "user", FLOATS, OPTIMIZER_MOMENTUM);
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
	const TTest *const cases[] = {concurrent_pushes_and_pulls_lose_nothing,
		threads_that_share_a_table_of_one_thread_wait_for_each_other,
		helpers_beside_concurrent_pushes_and_pulls_lose_nothing,
		rows_do_not_depend_on_locks_and_helpers, NULL};
	return run_cases("store_threads", cases);
}
