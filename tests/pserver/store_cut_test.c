/* Cuts: the records as they were, whatever is applied while they are read. */
#include "pserver/store.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIVERSE 3000u
#define BATCH	 200u
#define DIM	 6u

static struct store *store;
static struct random_sequence sequence;

static void open_store(uint32_t tables, enum optimizer_kind kind)
{
	struct error err;
	const struct store_options options = {.seed = 3, .one_thread_per_table = tables % 2 == 0};
	assert_ok(store_new(&store, &options, &err), &err);
	for (uint32_t t = 0; t < tables; t++) {
		struct table_spec spec = {
			.dim = DIM, .init_limit = 0.5f, .optimizer = optimizer_defaults(kind)};
		uint32_t number;
		snprintf(spec.name, sizeof(spec.name), "table%u", t);
		assert_ok(store_create_table(store, &spec, &number, &err), &err);
	}
}

/* The seed is new in every run, and printed for the one that fails. */
static void seed_sequence(void)
{
	const uint64_t seed = clock_now_ns(clock_real());
	printf("seed %llu\n", (unsigned long long)seed);
	random_sequence_init(&sequence, seed, random_stream("cuts"));
}

/* Ids of [first, end), some of them twice. */
static void apply_some(uint32_t table, uint32_t first, uint32_t end)
{
	struct error err;
	uint64_t ids[BATCH];
	float gradients[BATCH * DIM];
	uint32_t n = 1 + random_below(&sequence, BATCH);
	for (uint32_t i = 0; i < n; i++)
		ids[i] = first + random_below(&sequence, end - first);
	for (uint32_t i = 0; i < n * DIM; i++)
		gradients[i] = (float)random_below(&sequence, 1000) / 500.0f - 1.0f;
	assert_ok(store_apply(store, table, ids, n, gradients, 1, &err), &err);
}

/* A table's records by id: the slot of id i holds its record, or nothing. */
struct records {
	size_t floats;
	uint32_t count;
	bool there[UNIVERSE];
	float *values; /* [UNIVERSE x floats] */
};

static struct records *new_records(uint32_t table)
{
	struct records *records = calloc(1, sizeof(*records));
	ck_assert(records != NULL);
	records->floats = store_record_floats(store, table);
	records->values = calloc(UNIVERSE * records->floats, sizeof(float));
	ck_assert(records->values != NULL);
	return records;
}

static void free_records(struct records *records)
{
	free(records->values);
	free(records);
}

static void add(struct records *records, const uint64_t *ids, const float *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_lt(ids[i], UNIVERSE);
		ck_assert_msg(
			!records->there[ids[i]], "id %llu comes twice", (unsigned long long)ids[i]);
		records->there[ids[i]] = true;
		memcpy(records->values + ids[i] * records->floats, values + i * records->floats,
			records->floats * sizeof(float));
		records->count++;
	}
}

static void assert_equal(const struct records *a, const struct records *b)
{
	ck_assert_uint_eq(a->count, b->count);
	ck_assert_mem_eq(a->there, b->there, sizeof(a->there));
	for (uint32_t id = 0; id < UNIVERSE; id++)
		ck_assert_msg(memcmp(a->values + id * a->floats, b->values + id * b->floats,
				      a->floats * sizeof(float)) == 0,
			"id %u has another record", id);
}

/* Reads on from a cursor; false at the end. */
static bool read_some(
	uint32_t table, struct store_cursor *cursor, size_t max, struct records *records)
{
	struct error err;
	uint64_t ids[BATCH];
	float values[BATCH * 3 * DIM];
	size_t n;
	assert_ok(store_cut_read(store, table, cursor, max, ids, values, &n, &err), &err);
	add(records, ids, values, n);
	return n == max;
}

static struct records *read_live(uint32_t table)
{
	struct records *records = new_records(table);
	struct store_cursor cursor = {0};
	struct error err;
	uint64_t ids[BATCH];
	float values[BATCH * 3 * DIM];
	size_t n;
	do {
		assert_ok(
			store_snapshot(store, table, &cursor, BATCH, ids, values, &n, &err), &err);
		add(records, ids, values, n);
	} while (n == BATCH);
	return records;
}

START_TEST(a_cut_is_read_as_it_was_while_everything_changes)
{
	seed_sequence();
	for (int kind = 0; kind < (int)OPTIMIZER_COUNT; kind++) {
		open_store(2, (enum optimizer_kind)kind);
		for (int round = 0; round < 4; round++) {
			/* Old rows change, and new ones come, before and after. */
			for (int i = 0; i < 20; i++)
				apply_some((uint32_t)i % 2, 0, UNIVERSE * 3 / 4);
			struct records *before[2], *cut[2];
			struct store_cursor cursors[2] = {{0}};
			store_cut(store);
			for (uint32_t t = 0; t < 2; t++) {
				before[t] = read_live(t);
				cut[t] = new_records(t);
			}
			for (bool more[2] = {true, true}; more[0] || more[1];) {
				uint32_t table = random_below(&sequence, 2);
				if (random_below(&sequence, 2))
					apply_some(table, 0, UNIVERSE);
				else if (more[table])
					more[table] = read_some(table, &cursors[table],
						1 + random_below(&sequence, BATCH), cut[table]);
			}
			for (uint32_t t = 0; t < 2; t++) {
				assert_equal(before[t], cut[t]);
				free_records(before[t]);
				free_records(cut[t]);
			}
			if (round % 2)
				store_uncut(store);
		}
		store_free(store);
	}
}
END_TEST

START_TEST(a_cut_is_read_again_from_a_cursor_until_one_behind_it_is)
{
	struct error err;
	struct store_cursor cursor = {0};
	uint64_t ids[2][50];
	float values[2][50 * DIM];
	size_t n;
	seed_sequence();
	open_store(1, OPTIMIZER_SGD);
	for (int i = 0; i < 30; i++)
		apply_some(0, 0, UNIVERSE);
	store_cut(store);
	do {
		const struct store_cursor here = cursor;
		for (int again = 0; again < 2; again++) {
			cursor = here;
			assert_ok(store_cut_read(store, 0, &cursor, 50, ids[again], values[again],
					  &n, &err),
				&err);
			apply_some(0, 0, UNIVERSE);
		}
		ck_assert_mem_eq(ids[0], ids[1], n * sizeof(ids[0][0]));
		ck_assert_mem_eq(values[0], values[1], n * DIM * sizeof(values[0][0]));
	} while (n == 50);
	cursor = (struct store_cursor){0};
	assert_fails(store_cut_read(store, 0, &cursor, 50, ids[0], values[0], &n, &err),
		STATUS_FAILED_PRECONDITION, &err, "has been read beyond");
	store_free(store);
}
END_TEST

START_TEST(without_a_cut_there_is_nothing_to_read)
{
	struct error err;
	struct store_cursor cursor = {0};
	uint64_t id;
	float values[DIM];
	size_t n;
	seed_sequence();
	open_store(1, OPTIMIZER_SGD);
	assert_fails(store_cut_read(store, 0, &cursor, 1, &id, values, &n, &err),
		STATUS_FAILED_PRECONDITION, &err, "no cut");
	assert_fails(store_cut_read(store, 1, &cursor, 1, &id, values, &n, &err), STATUS_NOT_FOUND,
		&err, "no table 1");
	store_uncut(store);
	store_cut(store);
	assert_ok(store_cut_read(store, 0, &cursor, 1, &id, values, &n, &err), &err);
	ck_assert_uint_eq(n, 0);
	store_uncut(store);
	cursor = (struct store_cursor){0};
	assert_fails(store_cut_read(store, 0, &cursor, 1, &id, values, &n, &err),
		STATUS_FAILED_PRECONDITION, &err, "no cut");
	store_free(store);
}
END_TEST

/* What is kept is what was touched, no more than once each, and it goes as it is read. */
START_TEST(a_cut_takes_memory_for_the_rows_that_were_touched)
{
	struct error err;
	struct store_cursor cursor = {0};
	static uint64_t ids[100000];
	static float values[100000 * DIM];
	size_t n;
	open_store(1, OPTIMIZER_SGD);
	for (uint64_t i = 0; i < 100000; i++)
		ids[i] = i;
	/* The second time lets the index finish its growth. */
	for (int i = 0; i < 2; i++)
		assert_ok(store_apply(store, 0, ids, 100000, values, 1, &err), &err);
	const uint64_t before = store_bytes(store);
	store_cut(store);
	ck_assert_uint_eq(store_bytes(store), before);
	for (int i = 0; i < 50; i++)
		assert_ok(store_apply(store, 0, ids, 5000, values, 1, &err), &err);
	/* A record is 32 bytes, an entry of the index at most 10, and pieces double. */
	ck_assert_uint_gt(store_bytes(store) - before, 5000 * 32);
	ck_assert_uint_lt(store_bytes(store) - before, 2 * 5000 * 42);
	do {
		assert_ok(store_cut_read(store, 0, &cursor, 1000, ids, values, &n, &err), &err);
	} while (n == 1000);
	store_uncut(store);
	ck_assert_uint_eq(store_bytes(store), before);
	store_free(store);
}
END_TEST

static atomic_bool stop;

static void *keep_applying(void *context)
{
	const uint32_t *lane = context;
	struct error err;
	uint64_t ids[64];
	float gradients[64 * DIM];
	for (uint64_t round = 0; !atomic_load(&stop); round++) {
		for (uint32_t i = 0; i < 64; i++) {
			ids[i] = hash_u64(round * 64 + i) % (UNIVERSE / 2) * 2 + *lane;
			for (uint32_t d = 0; d < DIM; d++)
				gradients[i * DIM + d] = (float)(round % 7) - 3.0f;
		}
		if (store_apply(store, 0, ids, 64, gradients, 1, &err) != STATUS_OK)
			return (void *)(uintptr_t)1;
	}
	return NULL;
}

START_TEST(a_cut_is_read_beside_threads_that_apply)
{
	pthread_t threads[2];
	uint32_t lanes[2] = {0, 1};
	seed_sequence();
	open_store(1, OPTIMIZER_ADAGRAD);
	for (int i = 0; i < 30; i++)
		apply_some(0, 0, UNIVERSE);
	for (int round = 0; round < 20; round++) {
		struct records *before = read_live(0);
		struct records *cut = new_records(0);
		struct store_cursor cursor = {0};
		store_cut(store);
		atomic_store(&stop, false);
		for (uint32_t i = 0; i < 2; i++)
			ck_assert_int_eq(
				pthread_create(&threads[i], NULL, keep_applying, &lanes[i]), 0);
		while (read_some(0, &cursor, 1 + random_below(&sequence, 30), cut))
			;
		atomic_store(&stop, true);
		for (uint32_t i = 0; i < 2; i++) {
			void *failed;
			ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
			ck_assert_ptr_null(failed);
		}
		assert_equal(before, cut);
		free_records(before);
		free_records(cut);
	}
	store_free(store);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_cut_is_read_as_it_was_while_everything_changes,
		a_cut_is_read_again_from_a_cursor_until_one_behind_it_is,
		without_a_cut_there_is_nothing_to_read,
		a_cut_takes_memory_for_the_rows_that_were_touched,
		a_cut_is_read_beside_threads_that_apply, NULL};
	return run_cases("store_cut", cases);
}
