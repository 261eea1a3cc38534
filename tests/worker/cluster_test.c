/* Whole clusters in one process: the bits do not depend on who does the work, or how it travels. */
#include "common/checkpoint/directory.h"
#include "common/checkpoint/json_field.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct train_result train(const struct cluster *cluster)
{
	struct train_result result;
	struct error error;
	enum status status = cluster_train(cluster, &result, &error);
	ck_assert_msg(status == STATUS_OK, "%u workers, %u servers, transport %d: %s",
		cluster->workers, cluster->servers, (int)cluster->transport, error.message);
	return result;
}

static struct cluster job(void)
{
	struct cluster cluster = {.workers = 1, .options = cluster_options(cluster_shared_data)};
	cluster.options.epochs = 1;
	return cluster;
}

static void assert_same(const struct train_result *a, const struct train_result *b)
{
	ck_assert_uint_eq(a->digest.low, b->digest.low);
	ck_assert_uint_eq(a->digest.high, b->digest.high);
	/* Both NAN where no epoch ended. */
	ck_assert_mem_eq(&a->test_rmse, &b->test_rmse, sizeof(a->test_rmse));
	ck_assert_mem_eq(&a->train_cost, &b->train_cost, sizeof(a->train_cost));
}

START_TEST(every_number_of_workers_and_servers_gives_the_same_bits)
{
	static const uint32_t shapes[][2] = {
		{1, 1}, {1, 3}, {2, 1}, {2, 2}, {3, 2}, {4, 3}, {5, 1}, {8, 8}};
	struct cluster cluster = job();
	struct train_result alone = train(&cluster);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		cluster.workers = shapes[i][0];
		cluster.servers = shapes[i][1];
		struct train_result result = train(&cluster);
		assert_same(&alone, &result);
	}
}
END_TEST

START_TEST(workers_that_host_the_shards_give_the_same_bits)
{
	static const uint32_t shapes[][2] = {{1, 1}, {2, 2}, {3, 2}, {5, 5}, {8, 3}};
	/* The default, and sizes at which some steps are too long, or all. */
	static const size_t longest[] = {0, 40000, 1};
	struct cluster cluster = job();
	struct train_result alone = train(&cluster);
	cluster.hosted = true;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		cluster.workers = shapes[i][0];
		cluster.servers = shapes[i][1];
		for (size_t k = 0; k < sizeof(longest) / sizeof(longest[0]); k++) {
			cluster.shared_bytes = longest[k];
			struct train_result result = train(&cluster);
			assert_same(&alone, &result);
		}
	}
}
END_TEST

START_TEST(bf16_on_the_wire_gives_the_same_bits_for_every_number_of_servers)
{
	struct cluster cluster = job();
	cluster.workers = 2;
	cluster.servers = 1;
	struct train_result exact = train(&cluster);
	cluster.options.wire_dtype = WIRE_BF16;
	struct train_result rounded = train(&cluster);
	ck_assert_uint_ne(exact.digest.low, rounded.digest.low);
	ck_assert_msg(fabs(exact.test_rmse - rounded.test_rmse) < 0.01, "f32: %g, bf16: %g",
		exact.test_rmse, rounded.test_rmse);
	for (uint32_t servers = 2; servers <= 4; servers += 2) {
		cluster.servers = servers;
		cluster.options.threads = servers;
		struct train_result result = train(&cluster);
		assert_same(&rounded, &result);
	}
	/* Where ranks host the shards they exchange messages all the same. */
	cluster.servers = 2;
	cluster.hosted = true;
	struct train_result hosted = train(&cluster);
	assert_same(&rounded, &hosted);
}
END_TEST

START_TEST(every_transport_gives_the_same_bits)
{
	struct cluster cluster = job();
	struct train_result alone = train(&cluster);
	cluster.workers = 2;
	cluster.servers = 2;
	for (int transport = TRANSPORT_INPROC; transport <= TRANSPORT_TCP; transport++) {
		cluster.transport = (enum cluster_transport)transport;
		struct train_result result = train(&cluster);
		assert_same(&alone, &result);
	}
}
END_TEST

START_TEST(every_optimizer_gives_the_same_bits_on_a_cluster)
{
	for (int kind = 0; kind < (int)OPTIMIZER_COUNT; kind++) {
		struct cluster cluster = job();
		cluster.options.optimizer = optimizer_defaults((enum optimizer_kind)kind);
		cluster.options.max_steps = 12;
		struct train_result alone = train(&cluster);
		cluster.workers = 3;
		cluster.servers = 2;
		struct train_result result = train(&cluster);
		assert_same(&alone, &result);
	}
}
END_TEST

START_TEST(a_job_resumes_with_other_numbers_of_workers_and_servers)
{
	char directory[PATH_SIZE];
	struct cluster cluster = job();
	cluster.options.epochs = 2;
	cluster.options.optimizer = optimizer_defaults(OPTIMIZER_ADAM);
	struct train_result undisturbed = train(&cluster);
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.resume = true;
	cluster.workers = 4;
	cluster.servers = 3;
	cluster.options.max_steps = 7;
	train(&cluster);
	cluster.workers = 2;
	cluster.servers = 1;
	cluster.options.max_steps = 21;
	train(&cluster);
	cluster.workers = 1;
	cluster.servers = 0;
	cluster.options.max_steps = UINT64_MAX;
	struct train_result resumed = train(&cluster);
	assert_same(&undisturbed, &resumed);
	scratch_close(directory);
}
END_TEST

/* The servers' mark in the newest checkpoint: the largest incarnation whose pushes it may hold. */
static uint64_t saved_incarnation(const char *directory)
{
	struct checkpoint found = {0};
	struct error error;
	uint64_t incarnation;
	assert_ok(checkpoint_newest_verified(&found, directory, &error), &error);
	assert_ok(json_field_u64(found.manifest.servers, "incarnation", &incarnation, &error),
		&error);
	checkpoint_fini(&found);
	return incarnation;
}

/* Whatever the clock says: the cluster's stands at 1. */
START_TEST(a_job_that_resumes_has_newer_incarnations_than_the_checkpoint)
{
	char directory[PATH_SIZE];
	struct cluster cluster = job();
	struct error error;
	struct train_result result;
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.resume = true;
	for (uint32_t start = 1; start <= 3; start++) {
		cluster.workers = start;
		cluster.servers = 4 - start;
		cluster.options.max_steps = start;
		train(&cluster);
		ck_assert_uint_eq(saved_incarnation(directory), start);
	}
	/* Embedded tables take pushes of nobody else; the mark goes on to who has servers again. */
	cluster.workers = 1;
	cluster.servers = 0;
	cluster.options.max_steps = 4;
	train(&cluster);
	ck_assert_uint_eq(saved_incarnation(directory), 3);
	/* No room above it: a mark that nobody made. */
	struct checkpoint found = {0};
	assert_ok(checkpoint_newest_verified(&found, directory, &error), &error);
	json_object_set_new(found.manifest.servers, "incarnation", json_from_u64(UINT64_MAX));
	assert_ok(manifest_write(&found.manifest, found.path, &error), &error);
	checkpoint_fini(&found);
	cluster.options.max_steps = 5;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_DATA_LOSS, &error,
		"'incarnation' is too large");
	scratch_close(directory);
}
END_TEST

/* What worker 0 alone runs into ends all of them, at once and in its words. */
START_TEST(a_disk_that_is_full_of_metrics_ends_every_worker)
{
	char directory[PATH_SIZE];
	struct cluster cluster = job();
	struct train_result result;
	struct error error;
	scratch_open(directory);
	for (int mode = MODE_SYNC; mode <= MODE_ASYNC; mode++) {
		cluster.workers = 3;
		cluster.servers = 2;
		cluster.options.mode = (enum train_mode)mode;
		cluster.options.checkpoint_dir = directory;
		cluster.options.restart = true;
		cluster.options.dump_metrics = "/dev/full";
		assert_fails(cluster_train(&cluster, &result, &error), STATUS_RESOURCE_EXHAUSTED,
			&error, "--dump-metrics: /dev/full");
		/* The epoch's checkpoint was written before. */
		cluster.options.dump_metrics = NULL;
		cluster.options.restart = false;
		cluster.options.resume = true;
		cluster.options.epochs = 1;
		ck_assert_uint_eq(train(&cluster).epochs, 1);
		cluster.options.resume = false;
	}
	scratch_close(directory);
}
END_TEST

START_TEST(bytes_on_the_wire_are_those_of_the_epoch)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct cluster cluster = job();
	double first = 0;
	size_t size, epochs = 0;
	scratch_open(directory);
	cluster.workers = 2;
	cluster.servers = 2;
	cluster.options.epochs = 4;
	cluster.options.checkpoint_dir = directory;
	cluster.options.dump_metrics = scratch_path(path, directory, "metrics.jsonl");
	train(&cluster);
	char *text = scratch_read(path, &size), *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line; epochs++) {
		json_t *object = json_loads(line, 0, NULL);
		double bytes = json_number_value(json_object_get(object, "wire_bytes_per_rating"));
		double messages =
			json_number_value(json_object_get(object, "wire_messages_per_rating"));
		if (epochs == 0)
			first = bytes;
		ck_assert_msg(bytes > 0.8 * first && bytes < 1.2 * first,
			"%g bytes a rating in the first epoch, %g in a later one", first, bytes);
		/* A step is a call and its answer between each worker and each server; the last one
		 * of an epoch has fewer ratings, the first epoch one pull more. */
		messages *= (double)cluster.options.batch_size / (2 * 2 * 2);
		ck_assert_msg(messages >= 1 && messages < 1.3, "%g calls a step", messages);
		json_decref(object);
	}
	ck_assert_uint_eq(epochs, 4);
	free(text);
	scratch_close(directory);
}
END_TEST

/* How near is the other builds' to say: ThreadSanitizer looks for races, ten times as slowly. */
#ifdef __SANITIZE_THREAD__
#define NEAR_EPOCHS 1
#define NEAR	    INFINITY
#else
#define NEAR_EPOCHS 5
#define NEAR	    0.03
#endif

START_TEST(ssp_and_async_end_near_sync)
{
	char larger[PATH_SIZE];
	scratch_open(larger);
	cluster_data(larger, 500, 300, 40000);
	struct cluster cluster = {.workers = 1, .options = cluster_options(larger)};
	/* After two epochs the curve is so steep that a little more or less staleness shows. */
	cluster.options.epochs = NEAR_EPOCHS;
	struct train_result sync = train(&cluster);
	cluster.workers = 4;
	cluster.servers = 2;
	for (int mode = MODE_SSP; mode <= MODE_ASYNC; mode++) {
		cluster.options.mode = (enum train_mode)mode;
		struct train_result result = train(&cluster);
		ck_assert_msg(fabs(result.test_rmse - sync.test_rmse) < NEAR, "%s: %g, sync: %g",
			train_mode_name(cluster.options.mode), result.test_rmse, sync.test_rmse);
	}
	scratch_close(larger);
}
END_TEST

START_TEST(one_asynchronous_worker_is_a_synchronous_one)
{
	struct cluster cluster = job();
	cluster.servers = 2;
	struct train_result sync = train(&cluster);
	cluster.options.mode = MODE_ASYNC;
	struct train_result async = train(&cluster);
	assert_same(&sync, &async);
	cluster.servers = 0;
	struct train_result embedded = train(&cluster);
	assert_same(&sync, &embedded);
}
END_TEST

START_TEST(asynchronous_jobs_resume)
{
	char directory[PATH_SIZE];
	struct cluster cluster = job();
	scratch_open(directory);
	cluster.servers = 2;
	cluster.options.mode = MODE_ASYNC;
	cluster.options.optimizer = optimizer_defaults(OPTIMIZER_ADAGRAD);
	struct train_result undisturbed = train(&cluster);
	cluster.options.checkpoint_dir = directory;
	cluster.options.resume = true;
	cluster.options.max_steps = 9;
	train(&cluster);
	cluster.servers = 1;
	cluster.options.max_steps = UINT64_MAX;
	struct train_result resumed = train(&cluster);
	assert_same(&undisturbed, &resumed);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_number_of_workers_and_servers_gives_the_same_bits,
		workers_that_host_the_shards_give_the_same_bits,
		bf16_on_the_wire_gives_the_same_bits_for_every_number_of_servers,
		every_transport_gives_the_same_bits,
		every_optimizer_gives_the_same_bits_on_a_cluster,
		a_job_resumes_with_other_numbers_of_workers_and_servers,
		a_job_that_resumes_has_newer_incarnations_than_the_checkpoint,
		a_disk_that_is_full_of_metrics_ends_every_worker,
		bytes_on_the_wire_are_those_of_the_epoch, ssp_and_async_end_near_sync,
		one_asynchronous_worker_is_a_synchronous_one, asynchronous_jobs_resume, NULL};
	return run_cases_around(
		"cluster", cases, cluster_open_shared_data, cluster_close_shared_data);
}
