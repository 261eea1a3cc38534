/* Pooled tables: what several workers push becomes one step, each gradient once, none forgotten. */
#include "pserver/pool.h"

#include "pserver/service.h"
#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>

#define WAIT_MS 10000u
#define DIM	PS_CLIENT_DIM
#define IDS	5u

static struct table_spec spec_of(enum optimizer_kind kind, bool pooled)
{
	struct table_spec spec = {.name = "dense",
		.dim = DIM,
		.init_limit = 0.5f,
		.pooled = pooled,
		.optimizer = optimizer_defaults(kind)};
	return spec;
}

static struct store *store_of(const struct table_spec *spec)
{
	struct error err;
	struct store *store;
	uint32_t table;
	assert_ok(store_new(&store, &(struct store_options){.seed = 3}, &err), &err);
	assert_ok(store_create_table(store, spec, &table, &err), &err);
	return store;
}

static void fill(float *gradients, uint32_t n, uint32_t push)
{
	/* Sums of these are exact in any order. */
	for (uint32_t i = 0; i < n * DIM; i++)
		gradients[i] = 0.125f * (float)(i + 1) * (push % 2 ? -1.0f : 2.0f);
}

static void assert_same_rows(struct store *a, struct store *b)
{
	struct error err;
	uint64_t ids[IDS];
	float left[IDS * DIM], right[IDS * DIM];
	for (uint64_t i = 0; i < IDS; i++)
		ids[i] = i;
	assert_ok(store_pull(a, 0, ids, IDS, left, &err), &err);
	assert_ok(store_pull(b, 0, ids, IDS, right, &err), &err);
	ck_assert_mem_eq(left, right, sizeof(left));
}

/* A round of three pushes is what one push of their sum is, for optimizers that count steps, too.
 */
START_TEST(a_round_is_one_step_of_the_sum)
{
	static const enum optimizer_kind kinds[] = {
		OPTIMIZER_SGD, OPTIMIZER_ADAGRAD, OPTIMIZER_ADAM};
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct error err;
		const struct table_spec spec = spec_of(kinds[k], true);
		struct store *pooled = store_of(&spec), *plain = store_of(&spec);
		struct pool *pool;
		assert_ok(pool_new(&pool, pooled, &spec, 1, 3, 10, &err), &err);
		for (uint32_t push = 0; push < 9; push++) {
			static float sums[IDS * DIM];
			uint64_t ids[IDS] = {0, 1, 2, 3, 4};
			float gradients[IDS * DIM];
			if (push % 3 == 0)
				memset(sums, 0, sizeof(sums));
			fill(gradients, IDS, push);
			for (uint32_t i = 0; i < IDS * DIM; i++)
				sums[i] += gradients[i];
			assert_ok(pool_add(pool, 0, ids, IDS, gradients, 1, &err), &err);
			assert_same_rows(pooled, plain);
			assert_ok(pool_end_push(pool, &err), &err);
			if (push % 3 == 2)
				assert_ok(
					store_apply(plain, 0, ids, IDS, sums, 11 + push / 3, &err),
					&err);
			assert_same_rows(pooled, plain);
		}
		pool_free(pool);
		store_free(pooled);
		store_free(plain);
	}
}
END_TEST

START_TEST(a_push_without_ids_counts_and_another_table_is_not_pooled)
{
	struct error err;
	const struct table_spec spec = spec_of(OPTIMIZER_SGD, true);
	struct table_spec both[2] = {spec, spec_of(OPTIMIZER_SGD, false)};
	struct store *store = store_of(&spec), *untouched = store_of(&spec);
	struct pool *pool;
	assert_ok(pool_new(&pool, store, both, 2, 2, 0, &err), &err);
	ck_assert(pool_has(pool, 0) && !pool_has(pool, 1) && !pool_has(pool, 2));
	assert_ok(pool_end_push(pool, &err), &err);
	assert_ok(pool_end_push(pool, &err), &err);
	assert_ok(pool_flush(pool, &err), &err);
	assert_same_rows(store, untouched);
	pool_free(pool);
	store_free(store);
	store_free(untouched);
}
END_TEST

/* ---- many pushes side by side ---- */

#define PUSHERS 4
#define PUSHES	300

static void *push_many(void *context)
{
	struct pool *pool = context;
	for (uint32_t push = 0; push < PUSHES; push++) {
		struct error err;
		const uint64_t ids[] = {push % IDS};
		const float gradient[DIM] = {1, 1, 1, 1};
		assert_ok(pool_add(pool, 0, ids, 1, gradient, 1, &err), &err);
		assert_ok(pool_end_push(pool, &err), &err);
	}
	return NULL;
}

START_TEST(every_push_is_applied_once_whoever_pushes_at_the_same_time)
{
	struct error err;
	struct table_spec spec = spec_of(OPTIMIZER_SGD, true);
	spec.init_limit = 0;
	spec.optimizer.learning_rate = 1;
	struct store *store = store_of(&spec);
	struct pool *pool;
	pthread_t threads[PUSHERS];
	assert_ok(pool_new(&pool, store, &spec, 1, PUSHERS, 0, &err), &err);
	for (int i = 0; i < PUSHERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, push_many, pool), 0);
	for (int i = 0; i < PUSHERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	/* All have pushed equally often: nothing is left over, and nothing is flushed here. */
	for (uint64_t id = 0; id < IDS; id++) {
		float row[DIM];
		assert_ok(store_pull(store, 0, &id, 1, row, &err), &err);
		ck_assert_float_eq(row[0], -(float)(PUSHERS * PUSHES / IDS));
	}
	pool_free(pool);
	store_free(store);
}
END_TEST

/* ---- on a server ---- */

static struct ps_server *server;
static struct ps_client clients[2];
static const uint64_t id = 7;

static void open_all(struct ps_job job)
{
	struct error err;
	struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0"};
	job.workers = 2;
	job.pooled = true;
	assert_ok(ps_server_open(&server, &options, &err), &err);
	for (uint32_t w = 0; w < 2; w++) {
		ps_client_open(&clients[w], ps_server_url(server), "job", w, 1);
		assert_ok(ps_client_join(&clients[w], &job, &err), &err);
	}
}

static void close_all(void)
{
	ps_client_close(&clients[0]);
	ps_client_close(&clients[1]);
	ps_server_close(server);
}

static struct ps_job job_of(Marquee__Ps__V1__Mode mode)
{
	struct ps_job job = ps_job_defaults();
	job.mode = mode;
	job.staleness = 2;
	return job;
}

static float row(void)
{
	struct error err;
	float rows[DIM];
	ps_client_start_pull(&clients[0], 0, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&clients[0], rows, 1, &err), &err);
	return rows[0];
}

static void push(uint32_t worker, uint64_t step, float value)
{
	struct error err;
	ps_client_start_push(&clients[worker], step, worker * 4, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(&clients[worker], NULL, 1, &err), &err);
}

START_TEST(any_two_pushes_of_two_workers_make_a_round)
{
	for (int mode = MARQUEE__PS__V1__MODE__SSP; mode <= MARQUEE__PS__V1__MODE__ASYNC; mode++) {
		open_all(job_of((Marquee__Ps__V1__Mode)mode));
		const float first = row();
		push(0, 0, 0.25f);
		ck_assert_float_eq(row(), first);
		push(1, 0, 0.5f);
		ck_assert_float_eq(row(), first - 0.75f);
		/* A worker that runs ahead does not wait for the other. */
		push(0, 1, 1);
		push(0, 2, 1);
		ck_assert_float_eq(row(), first - 2.75f);
		close_all();
	}
}
END_TEST

START_TEST(a_gradient_of_old_rows_counts_for_less)
{
	struct error err;
	open_all(job_of(MARQUEE__PS__V1__MODE__ASYNC));
	ps_client_start_pull(&clients[1], 0, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&clients[1], NULL, 1, &err), &err);
	const float first = row();
	for (uint64_t step = 0; step < 6; step++) {
		push(0, step, 1);
		(void)row();
	}
	ck_assert_float_eq(row(), first - 6);
	/* Three rounds have ended since worker 1 has asked for rows. */
	push(1, 0, 3);
	push(0, 6, 1);
	ck_assert_float_eq_tol(row(), first - 8, 1e-6f);
	ps_client_start_pull(&clients[1], 1, &id, 1, WAIT_MS);
	assert_ok(ps_client_finish(&clients[1], NULL, 1, &err), &err);
	push(1, 1, 3);
	push(0, 7, 1);
	ck_assert_float_eq_tol(row(), first - 12, 1e-6f);
	/* One round old is how old they are where all workers are equally fast. */
	ck_assert(pool_weight(0) == 1 && pool_weight(1) == 1 && pool_weight(4) == 0.25f);
	close_all();
}
END_TEST

START_TEST(a_repeat_is_no_second_push_of_the_round)
{
	struct error err;
	struct ps_client again;
	struct ps_job job = job_of(MARQUEE__PS__V1__MODE__ASYNC);
	open_all(job);
	/* Its calls count as the other channel's do: see repeats_test.c. */
	ps_client_open(&again, ps_server_url(server), "job", 1, 1);
	job.workers = 2;
	job.pooled = true;
	assert_ok(ps_client_join(&again, &job, &err), &err);
	const float first = row(), value = 0.5f;
	push(1, 0, value);
	ps_client_start_push(&again, 0, 4, &id, &value, 1, WAIT_MS);
	assert_ok(ps_client_finish(&again, NULL, 1, &err), &err);
	ck_assert_uint_eq(ps_client_stats(&clients[0])->repeats_answered, 1);
	ck_assert_float_eq(row(), first);
	push(0, 0, value);
	ck_assert_float_eq(row(), first - 1);
	ps_client_close(&again);
	close_all();
}
END_TEST

START_TEST(sync_mode_pools_nothing)
{
	struct error err;
	open_all(job_of(MARQUEE__PS__V1__MODE__SYNC));
	const float first = row(), values[] = {0.25f, 0.5f};
	for (uint32_t w = 0; w < 2; w++)
		ps_client_start_push(&clients[w], 0, w * 4, &id, &values[w], 1, WAIT_MS);
	for (uint32_t w = 0; w < 2; w++)
		assert_ok(ps_client_finish(&clients[w], NULL, 1, &err), &err);
	ck_assert_float_eq(row(), first - 0.75f);
	close_all();
}
END_TEST

/* What a cut and a worker that leaves find half done is part of the tables afterwards. */
START_TEST(a_cut_and_a_leave_end_the_round)
{
	struct error err;
	open_all(job_of(MARQUEE__PS__V1__MODE__SSP));
	const float first = row();
	push(0, 0, 1);
	push(0, 1, 1);
	push(0, 2, 1);
	ck_assert_float_eq(row(), first - 2);
	Marquee__Ps__V1__CutRequest cut = MARQUEE__PS__V1__CUT_REQUEST__INIT;
	struct rpc_reply reply;
	assert_ok(ps_client_call(&clients[0], "Cut", &cut.base, WAIT_MS, &reply, &err), &err);
	ck_assert_float_eq(row(), first - 3);
	Marquee__Ps__V1__SnapshotRequest snapshot = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	snapshot.of_cut = true;
	snapshot.max_records = 10;
	assert_ok(ps_client_call(&clients[0], "Snapshot", &snapshot.base, WAIT_MS, &reply, &err),
		&err);
	float saved;
	ck_assert_uint_ge(reply.raw.size, sizeof(id) + sizeof(saved));
	memcpy(&saved, reply.raw.data + sizeof(id), sizeof(saved));
	ck_assert_float_eq(saved, first - 3);
	push(0, 3, 1);
	ck_assert_float_eq(row(), first - 3);
	ps_client_leave(&clients[1]);
	ck_assert_float_eq(row(), first - 4);
	/* Alone, a worker's push is a round. */
	push(0, 4, 1);
	ck_assert_float_eq(row(), first - 5);
	close_all();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_round_is_one_step_of_the_sum,
		a_push_without_ids_counts_and_another_table_is_not_pooled,
		every_push_is_applied_once_whoever_pushes_at_the_same_time,
		any_two_pushes_of_two_workers_make_a_round, a_gradient_of_old_rows_counts_for_less,
		a_repeat_is_no_second_push_of_the_round, sync_mode_pools_nothing,
		a_cut_and_a_leave_end_the_round, NULL};
	return run_cases("pool", cases);
}
