/* The training loop in one process with embedded tables. */
#include "worker/trainer.h"

#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_number_of_threads_gives_the_same_bits)
{
	struct cluster cluster = cluster_alone();
	struct digest first = cluster_digest(&cluster);
	for (uint64_t threads = 2; threads <= 9; threads += threads == 3 ? 5 : 1) {
		cluster.options.threads = threads;
		cluster_assert_same(first, cluster_digest(&cluster));
	}
}
END_TEST

START_TEST(another_seed_gives_other_bits)
{
	struct cluster cluster = cluster_alone();
	struct digest first = cluster_digest(&cluster);
	cluster.options.seed = 2;
	ck_assert(cluster_digest(&cluster).low != first.low);
}
END_TEST

START_TEST(training_learns_more_than_the_mean)
{
	struct cluster cluster = cluster_alone();
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

START_TEST(a_target_that_is_reached_stops_the_training)
{
	struct cluster cluster = cluster_alone();
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
	struct cluster cluster = cluster_alone();
	scratch_open(directory);
	cluster.options.epochs = 2;
	cluster.options.metrics_every = 5;
	cluster.options.dump_metrics = scratch_path(path, directory, "metrics.jsonl");
	cluster_digest(&cluster);
	size_t size, epochs = 0, steps = 0;
	char *text = scratch_read(path, &size), *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
		json_t *object = json_loads(line, 0, NULL);
		ck_assert_msg(object != NULL, "no JSON: %s", line);
		epochs += json_is_real(json_object_get(object, "test_rmse"));
		steps += json_is_null(json_object_get(object, "test_rmse"));
		const bool run = json_is_object(json_object_get(object, "run"));
		const bool hot = json_is_object(json_object_get(object, "hot"));
		ck_assert_int_eq(run, epochs + steps == 1);
		ck_assert_int_eq(
			hot, epochs == 1 && json_is_real(json_object_get(object, "test_rmse")));
		ck_assert_uint_eq(json_object_size(object), 11u + run + hot);
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
	struct cluster cluster = cluster_alone();
	struct train_result result;
	struct error error;
	cluster.workers = 9;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_INVALID_ARGUMENT, &error,
		"9 workers for 8 lanes");
}
END_TEST

START_TEST(outputs_that_cannot_be_written_end_the_run_before_the_data_are_read)
{
	struct cluster cluster = cluster_alone();
	struct train_result result;
	struct error error;
	cluster.options.data = "/nowhere";
	cluster.options.checkpoint_dir = "/proc/checkpoints";
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_NOT_FOUND, &error,
		"--checkpoint-dir: /proc/checkpoints: cannot create");
	cluster.options.checkpoint_dir = NULL;
	cluster.options.dump_metrics = "/proc/metrics/of.jsonl";
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_NOT_FOUND, &error,
		"--dump-metrics: /proc/metrics/of.jsonl");
}
END_TEST

START_TEST(a_target_without_test_ratings_is_refused)
{
	struct cluster cluster = cluster_alone();
	struct train_result result;
	struct error error;
	cluster.options.holdout = 0;
	cluster.options.target_rmse = 1;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"--target-rmse");
	cluster.options.target_rmse = 0;
	assert_ok(cluster_train(&cluster, &result, &error), &error);
	ck_assert(isnan(result.test_rmse) && !result.reached_target);
}
END_TEST

/* Empty lanes, lanes of one example, one lane, batches beyond the data. */
START_TEST(any_cut_of_the_data_trains_every_example_once_an_epoch)
{
	char tiny[PATH_SIZE], path[PATH_SIZE];
	static const uint64_t cuts[][3] = {/* lanes, batch, threads */
		{1, 1, 4}, {256, 256, 3}, {256, 1u << 20, 200}, {8, 8, 2}, {1, 1u << 20, 1}};
	scratch_open(tiny);
	cluster_data(tiny, 20, 20, 100);
	static const size_t counts[] = {100, 1};
	for (size_t c = 0; c < 2; c++) {
		const size_t ratings = counts[c];
		size_t size;
		char *text = scratch_read(scratch_path(path, tiny, "ratings.dat"), &size);
		const char *end = text;
		for (size_t i = 0; i < ratings; i++)
			end = strchr(end, '\n') + 1;
		scratch_write(path, text, (size_t)(end - text));
		free(text);
		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			struct cluster cluster = cluster_alone();
			struct train_result result;
			struct error error;
			cluster.options.data = tiny;
			cluster.options.holdout = 0;
			cluster.options.lanes = cuts[i][0];
			cluster.options.batch_size = cuts[i][1];
			cluster.options.threads = cuts[i][2];
			assert_ok(cluster_train(&cluster, &result, &error), &error);
			uint64_t lane = (ratings + cuts[i][0] - 1) / cuts[i][0];
			uint64_t batch = cuts[i][1] / cuts[i][0];
			ck_assert_uint_eq(result.steps, (lane + batch - 1) / batch);
			ck_assert(result.train_cost > 0 && result.train_cost < 64);
		}
	}
	scratch_close(tiny);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_number_of_threads_gives_the_same_bits,
		another_seed_gives_other_bits, training_learns_more_than_the_mean,
		a_target_that_is_reached_stops_the_training, metrics_are_one_json_object_a_line,
		more_workers_than_lanes_are_refused,
		outputs_that_cannot_be_written_end_the_run_before_the_data_are_read,
		a_target_without_test_ratings_is_refused,
		any_cut_of_the_data_trains_every_example_once_an_epoch, NULL};
	return run_cases_around(
		"trainer", cases, cluster_open_shared_data, cluster_close_shared_data);
}
