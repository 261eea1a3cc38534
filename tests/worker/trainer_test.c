/* The training loop in one process with embedded tables. */
#include "worker/trainer.h"

#include "common/base/file.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char data[PATH_SIZE];

static struct cluster one_process(void)
{
	struct cluster cluster = {.workers = 1, .options = cluster_options(data)};
	cluster.options.epochs = 1;
	return cluster;
}

static struct digest train_digest(const struct cluster *cluster)
{
	struct train_result result;
	struct error error;
	assert_ok(cluster_train(cluster, &result, &error), &error);
	return result.digest;
}

static void assert_same(struct digest a, struct digest b)
{
	ck_assert_uint_eq(a.low, b.low);
	ck_assert_uint_eq(a.high, b.high);
}

START_TEST(every_number_of_threads_gives_the_same_bits)
{
	struct cluster cluster = one_process();
	struct digest first = train_digest(&cluster);
	for (uint64_t threads = 2; threads <= 9; threads += threads == 3 ? 5 : 1) {
		cluster.options.threads = threads;
		assert_same(first, train_digest(&cluster));
	}
}
END_TEST

START_TEST(another_seed_gives_other_bits)
{
	struct cluster cluster = one_process();
	struct digest first = train_digest(&cluster);
	cluster.options.seed = 2;
	ck_assert(train_digest(&cluster).low != first.low);
}
END_TEST

START_TEST(training_learns_more_than_the_mean)
{
	struct cluster cluster = one_process();
	struct train_result first, later;
	struct error error;
	assert_ok(cluster_train(&cluster, &first, &error), &error);
	cluster.options.epochs = 4;
	assert_ok(cluster_train(&cluster, &later, &error), &error);
	ck_assert_msg(later.train_cost < first.train_cost && later.test_rmse < 1.1,
		"train cost %g then %g, test RMSE %g", first.train_cost, later.train_cost,
		later.test_rmse);
	ck_assert_uint_eq(later.epochs, 4);
}
END_TEST

/* Steps to a checkpoint in the middle of an epoch, then the rest from there. */
static struct digest train_in_two_parts(struct cluster cluster, const char *directory)
{
	uint64_t steps = cluster.options.max_steps;
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = steps / 2 + 3;
	train_digest(&cluster);
	cluster.options.max_steps = steps;
	cluster.options.resume = true;
	cluster.options.threads = 3;
	return train_digest(&cluster);
}

START_TEST(a_resumed_run_ends_with_the_bits_of_an_undisturbed_one)
{
	static const enum optimizer_kind kinds[] = {OPTIMIZER_SGD, OPTIMIZER_MOMENTUM,
		OPTIMIZER_ADAGRAD, OPTIMIZER_ROWWISE_ADAGRAD, OPTIMIZER_ADAM, OPTIMIZER_FTRL};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char directory[PATH_SIZE];
		struct cluster cluster = one_process();
		scratch_open(directory);
		cluster.options.optimizer = optimizer_defaults(kinds[i]);
		cluster.options.epochs = 3;
		cluster.options.max_steps = 40;
		assert_same(train_digest(&cluster), train_in_two_parts(cluster, directory));
		scratch_close(directory);
	}
}
END_TEST

START_TEST(a_directory_with_checkpoints_is_not_trained_into_by_accident)
{
	char directory[PATH_SIZE];
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = 3;
	struct digest first = train_digest(&cluster);
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"--resume");
	cluster.options.restart = true;
	assert_same(first, train_digest(&cluster));
	scratch_close(directory);
}
END_TEST

START_TEST(resuming_with_another_seed_or_batch_is_refused)
{
	char directory[PATH_SIZE];
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = 3;
	train_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.seed = 9;
	cluster.options.given.seed = true;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_INVALID_ARGUMENT, &error,
		"--seed differs");
	cluster.options.given.seed = false;
	cluster.options.batch_size = 512;
	cluster.options.given.batch_size = true;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_INVALID_ARGUMENT, &error,
		"--batch-size differs");
	scratch_close(directory);
}
END_TEST

START_TEST(resuming_on_other_data_is_refused)
{
	char directory[PATH_SIZE], other[PATH_SIZE];
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	scratch_open(directory);
	scratch_open(other);
	cluster_data(other, 60, 50, 1000);
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = 3;
	train_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.data = other;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"is not the data of the checkpoint");
	scratch_close(other);
	scratch_close(directory);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint)
{
	char directory[PATH_SIZE];
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = 4;
	struct digest good = train_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.max_steps = 40;
	cluster.options.optimizer.learning_rate = 1e30f;
	cluster.options.given.learning_rate = true;
	assert_fails(
		cluster_train(&cluster, &result, &error), STATUS_DATA_LOSS, &error, "not finite");
	cluster.options.max_steps = 4;
	assert_same(good, train_digest(&cluster));
	scratch_close(directory);
}
END_TEST

START_TEST(a_target_that_is_reached_stops_the_training)
{
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	cluster.options.epochs = 5;
	cluster.options.target_rmse = 5;
	assert_ok(cluster_train(&cluster, &result, &error), &error);
	ck_assert(result.reached_target);
	ck_assert_uint_eq(result.epochs, 1);
}
END_TEST

START_TEST(metrics_are_one_json_object_a_line)
{
	char directory[PATH_SIZE], path[PATH_SIZE];
	struct cluster cluster = one_process();
	scratch_open(directory);
	cluster.options.epochs = 2;
	cluster.options.metrics_every = 5;
	cluster.options.dump_metrics = scratch_path(path, directory, "metrics.jsonl");
	train_digest(&cluster);
	size_t size, epochs = 0, steps = 0;
	char *text = scratch_read(path, &size), *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
		json_t *object = json_loads(line, 0, NULL);
		ck_assert_msg(object != NULL, "no JSON: %s", line);
		epochs += json_object_get(object, "test_rmse") != NULL;
		steps += json_object_get(object, "epoch") == NULL;
		ck_assert(json_is_number(json_object_get(object, "train_cost")));
		json_decref(object);
	}
	ck_assert_uint_eq(epochs, 2);
	ck_assert_uint_gt(steps, 2);
	free(text);
	scratch_close(directory);
}
END_TEST

START_TEST(more_workers_than_lanes_are_refused)
{
	struct cluster cluster = one_process();
	struct train_result result;
	struct error error;
	cluster.workers = 9;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_INVALID_ARGUMENT, &error,
		"9 workers for 8 lanes");
}
END_TEST

START_TEST(zero_steps_write_the_initial_parameters)
{
	char directory[PATH_SIZE];
	struct cluster cluster = one_process();
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = 0;
	struct digest initial = train_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.max_steps = 12;
	struct digest later = train_digest(&cluster);
	cluster.options.checkpoint_dir = NULL;
	cluster.options.resume = false;
	assert_same(later, train_digest(&cluster));
	ck_assert(initial.low != later.low);
	scratch_close(directory);
}
END_TEST

static void make_data(void)
{
	scratch_open(data);
	cluster_data(data, 200, 120, 5000);
}

static void remove_data(void)
{
	scratch_close(data);
}

int main(void)
{
	const TTest *const cases[] = {every_number_of_threads_gives_the_same_bits,
		another_seed_gives_other_bits, training_learns_more_than_the_mean,
		a_resumed_run_ends_with_the_bits_of_an_undisturbed_one,
		a_directory_with_checkpoints_is_not_trained_into_by_accident,
		resuming_with_another_seed_or_batch_is_refused, resuming_on_other_data_is_refused,
		a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint,
		a_target_that_is_reached_stops_the_training, metrics_are_one_json_object_a_line,
		more_workers_than_lanes_are_refused, zero_steps_write_the_initial_parameters, NULL};
	return run_cases_around("trainer", cases, make_data, remove_data);
}
