/*
 * The audit: gradients that are lost, or applied twice, end the job with both figures.
 *
 * The parameter client is tampered with: in one step worker 0 leaves the first segment out, or
 * pushes everything two times under two numbers, so that nothing else on the way can notice.
 */
#include "common/checkpoint/directory.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH	    1024u
#define EPOCH_STEPS 5u

enum fault { NOTHING, LOSE, DOUBLE };

/* All workers of a job use the same functions, of which some are replaced. */
static struct tamper {
	pthread_mutex_t lock;
	enum fault fault;
	uint64_t step;
	atomic_bool taken; /* one worker is enough */
	const struct params_operations *real;
	struct params_operations operations;
} tamper = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool strikes(uint64_t step)
{
	return tamper.fault != NOTHING && step == tamper.step &&
	       !atomic_exchange(&tamper.taken, true);
}

static enum status exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	struct params_step changed = *step;
	if (!step->has_push || !strikes(step->push_step))
		return tamper.real->exchange(params, step, err);
	if (tamper.fault == LOSE) {
		changed.pushes++;
		changed.push_count--;
		return tamper.real->exchange(params, &changed, err);
	}
	changed.has_pull = false;
	enum status status = tamper.real->exchange(params, &changed, err);
	return status == STATUS_OK ? tamper.real->exchange(params, step, err) : status;
}

static enum status exchange_table(struct params *params, const struct params_push *push,
	uint64_t push_step, const struct params_pull *pull, struct error *err)
{
	if (!push || push->table != 0 || !strikes(push_step))
		return tamper.real->exchange_table(params, push, push_step, pull, err);
	if (tamper.fault == LOSE)
		return tamper.real->exchange_table(params, NULL, push_step, pull, err);
	enum status status = tamper.real->exchange_table(params, push, push_step, NULL, err);
	return status == STATUS_OK ? tamper.real->exchange_table(params, push, push_step, pull, err)
				   : status;
}

static struct params *replace(void *context, struct params *params)
{
	(void)context;
	pthread_mutex_lock(&tamper.lock);
	if (!tamper.real) {
		tamper.real = params->operations;
		tamper.operations = *params->operations;
		tamper.operations.exchange = exchange;
		if (tamper.real->exchange_table)
			tamper.operations.exchange_table = exchange_table;
	}
	params->operations = &tamper.operations;
	pthread_mutex_unlock(&tamper.lock);
	return params;
}

static struct cluster job_of(uint32_t workers, uint32_t servers, enum train_mode mode)
{
	struct cluster cluster = {.workers = workers,
		.servers = servers,
		.options = cluster_options(cluster_shared_data),
		.wrap = replace};
	cluster.options.mode = mode;
	cluster.options.staleness = 2;
	cluster.options.batch_size = BATCH;
	cluster.options.holdout = 0;
	cluster.options.epochs = 2;
	cluster.options.threads = 2;
	return cluster;
}

static enum status train(
	const struct cluster *cluster, enum fault fault, uint64_t step, struct error *err)
{
	struct train_result result;
	tamper.fault = fault;
	tamper.step = step;
	tamper.real = NULL;
	atomic_store(&tamper.taken, false);
	return cluster_train(cluster, &result, err);
}

/* The job ends with the sentence: this table has applied so many, so many were read. */
static void expect(const struct cluster *cluster, enum fault fault, uint64_t step, uint64_t applied,
	uint64_t read)
{
	struct error err;
	char figures[160];
	snprintf(figures, sizeof(figures),
		"has applied the gradients of %llu ratings, but %llu were read",
		(unsigned long long)applied, (unsigned long long)read);
	assert_fails(train(cluster, fault, step, &err), STATUS_DATA_LOSS, &err, figures);
	ck_assert_msg(strstr(err.message, "table user "), "%s", err.message);
}

static void expect_none(const struct cluster *cluster)
{
	struct error err;
	assert_ok(train(cluster, NOTHING, 0, &err), &err);
}

START_TEST(embedded_tables_that_lose_a_push_or_apply_one_twice_fail_the_job)
{
	struct cluster cluster = job_of(1, 0, MODE_SYNC);
	expect_none(&cluster);
	expect(&cluster, LOSE, 2, CLUSTER_SHARED_RATINGS - BATCH, CLUSTER_SHARED_RATINGS);
	expect(&cluster, DOUBLE, 2, CLUSTER_SHARED_RATINGS + BATCH, CLUSTER_SHARED_RATINGS);
	/* In the second epoch: the sums go on. */
	expect(&cluster, LOSE, EPOCH_STEPS, 2 * CLUSTER_SHARED_RATINGS - BATCH,
		2 * CLUSTER_SHARED_RATINGS);
}
END_TEST

START_TEST(a_segment_lost_on_its_way_to_servers_fails_the_job)
{
	const uint64_t half = BATCH / 2; /* worker 0's lanes */
	struct cluster cluster = job_of(2, 3, MODE_SYNC);
	expect_none(&cluster);
	expect(&cluster, LOSE, 3, CLUSTER_SHARED_RATINGS - half, CLUSTER_SHARED_RATINGS);
	cluster.options.wire_dtype = WIRE_BF16;
	expect_none(&cluster);
	expect(&cluster, LOSE, 3, CLUSTER_SHARED_RATINGS - half, CLUSTER_SHARED_RATINGS);
}
END_TEST

START_TEST(a_segment_lost_in_memory_that_ranks_share_fails_the_job)
{
	struct cluster cluster = job_of(2, 2, MODE_SYNC);
	cluster.hosted = true;
	expect_none(&cluster);
	expect(&cluster, LOSE, 3, CLUSTER_SHARED_RATINGS - BATCH / 2, CLUSTER_SHARED_RATINGS);
}
END_TEST

START_TEST(a_push_that_is_applied_twice_on_arrival_fails_the_job)
{
	static const enum train_mode modes[] = {MODE_SSP, MODE_ASYNC};
	for (size_t i = 0; i < 2; i++) {
		struct cluster cluster = job_of(2, 2, modes[i]);
		expect_none(&cluster);
		expect(&cluster, DOUBLE, 2, CLUSTER_SHARED_RATINGS + BATCH / 2,
			CLUSTER_SHARED_RATINGS);
		expect(&cluster, LOSE, 2, CLUSTER_SHARED_RATINGS - BATCH / 2,
			CLUSTER_SHARED_RATINGS);
	}
}
END_TEST

/* The dense parameters of the asynchronous modes are the last table: lost alone, it is named. */
static enum status exchange_without_dense(
	struct params *params, const struct params_step *step, struct error *err)
{
	struct params_step changed = *step;
	if (step->has_push && strikes(step->push_step))
		changed.push_count--;
	return tamper.real->exchange(params, &changed, err);
}

static struct params *replace_dense(void *context, struct params *params)
{
	replace(context, params);
	pthread_mutex_lock(&tamper.lock);
	tamper.operations.exchange = exchange_without_dense;
	pthread_mutex_unlock(&tamper.lock);
	return params;
}

START_TEST(dense_parameters_on_servers_are_audited_too)
{
	struct error err;
	struct cluster cluster = job_of(1, 2, MODE_ASYNC);
	cluster.wrap = replace_dense;
	assert_fails(train(&cluster, LOSE, 2, &err), STATUS_DATA_LOSS, &err, "audit: table dense ");
}
END_TEST

START_TEST(a_resumed_job_goes_on_with_the_sums_of_its_checkpoint)
{
	static const struct {
		uint32_t workers, servers;
		enum train_mode mode;
	} jobs[] = {{1, 0, MODE_SYNC}, {2, 2, MODE_SYNC}, {2, 3, MODE_ASYNC}};
	for (size_t i = 0; i < 3; i++) {
		char root[PATH_SIZE];
		struct cluster cluster = job_of(jobs[i].workers, jobs[i].servers, jobs[i].mode);
		scratch_open(root);
		cluster.options.checkpoint_dir = root;
		cluster.options.max_steps = EPOCH_STEPS + 2;
		expect_none(&cluster);
		cluster.options.max_steps = UINT64_MAX;
		cluster.options.resume = true;
		cluster.workers = 1;
		cluster.servers = jobs[i].servers ? 1 : 0;
		expect(&cluster, LOSE, EPOCH_STEPS + 3, 2 * CLUSTER_SHARED_RATINGS - BATCH,
			2 * CLUSTER_SHARED_RATINGS);
		expect_none(&cluster);
		scratch_close(root);
	}
}
END_TEST

START_TEST(no_checkpoint_is_written_of_tables_that_fail_the_audit)
{
	char root[PATH_SIZE];
	uint64_t *steps;
	size_t count;
	struct error err;
	struct cluster cluster = job_of(2, 2, MODE_SYNC);
	scratch_open(root);
	cluster.options.checkpoint_dir = root;
	cluster.options.checkpoint_every = 2;
	expect(&cluster, LOSE, 2, 4 * BATCH - BATCH / 2, 4 * BATCH);
	assert_ok(checkpoint_list(root, &steps, &count, &err), &err);
	ck_assert_uint_le(count, 1);
	ck_assert(count == 0 || steps[0] == 2);
	free(steps);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		embedded_tables_that_lose_a_push_or_apply_one_twice_fail_the_job,
		a_segment_lost_on_its_way_to_servers_fails_the_job,
		a_segment_lost_in_memory_that_ranks_share_fails_the_job,
		a_push_that_is_applied_twice_on_arrival_fails_the_job,
		dense_parameters_on_servers_are_audited_too,
		a_resumed_job_goes_on_with_the_sums_of_its_checkpoint,
		no_checkpoint_is_written_of_tables_that_fail_the_audit, NULL};
	return run_cases_around(
		"audit", cases, cluster_open_shared_data, cluster_close_shared_data);
}
