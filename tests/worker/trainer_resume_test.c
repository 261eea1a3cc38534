/* Training that goes on from its checkpoints, in one process with embedded tables. */
#include "worker/trainer.h"

#include "common/checkpoint/directory.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[PATH_SIZE];

/* A worker that has a directory of its own for checkpoints. */
static struct cluster open_saving(void)
{
	struct cluster cluster = cluster_alone();
	scratch_open(directory);
	cluster.options.checkpoint_dir = directory;
	return cluster;
}

static void close_saving(void)
{
	scratch_close(directory);
}

/* Steps to a checkpoint in the middle of an epoch, then the rest from there. */
static struct digest train_in_two_parts(struct cluster cluster)
{
	uint64_t steps = cluster.options.max_steps;
	cluster.options.checkpoint_dir = directory;
	cluster.options.max_steps = steps / 2 + 3;
	cluster_digest(&cluster);
	cluster.options.max_steps = steps;
	cluster.options.resume = true;
	cluster.options.threads = 3;
	return cluster_digest(&cluster);
}

START_TEST(a_resumed_run_ends_with_the_bits_of_an_undisturbed_one)
{
	static const enum optimizer_kind kinds[] = {OPTIMIZER_SGD, OPTIMIZER_MOMENTUM,
		OPTIMIZER_ADAGRAD, OPTIMIZER_ROWWISE_ADAGRAD, OPTIMIZER_ADAM, OPTIMIZER_FTRL};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct cluster cluster = cluster_alone();
		scratch_open(directory);
		cluster.options.optimizer = optimizer_defaults(kinds[i]);
		cluster.options.epochs = 3;
		cluster.options.max_steps = 40;
		cluster_assert_same(cluster_digest(&cluster), train_in_two_parts(cluster));
		scratch_close(directory);
	}
}
END_TEST

START_TEST(a_directory_with_checkpoints_is_not_trained_into_by_accident)
{
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	cluster.options.max_steps = 3;
	struct digest first = cluster_digest(&cluster);
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"--resume");
	cluster.options.restart = true;
	cluster_assert_same(first, cluster_digest(&cluster));
	close_saving();
}
END_TEST

START_TEST(resuming_with_another_seed_or_batch_is_refused)
{
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	cluster.options.max_steps = 3;
	cluster_digest(&cluster);
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
	close_saving();
}
END_TEST

START_TEST(resuming_on_other_data_is_refused)
{
	char other[PATH_SIZE];
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	scratch_open(other);
	cluster_data(other, 60, 50, 1000);
	cluster.options.max_steps = 3;
	cluster_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.data = other;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"is not the data of the checkpoint");
	scratch_close(other);
	close_saving();
}
END_TEST

/* As many ratings by the same people, of which the last has other stars. */
START_TEST(resuming_on_other_stars_is_refused)
{
	char same[PATH_SIZE], path[PATH_SIZE];
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	size_t size;
	scratch_open(same);
	cluster_data(same, 200, 120, 5000);
	cluster.options.max_steps = 3;
	cluster_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.data = same;
	cluster.options.max_steps = 4;
	cluster_digest(&cluster);
	char *text = scratch_read(scratch_path(path, same, "ratings.dat"), &size);
	/* ...::stars::time */
	char *time = strrchr(text, ':');
	time[-2] = time[-2] == '1' ? '2' : '1';
	scratch_write(path, text, size);
	free(text);
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"is not the data of the checkpoint");
	scratch_close(same);
	close_saving();
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint)
{
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	cluster.options.max_steps = 4;
	struct digest good = cluster_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.max_steps = 40;
	cluster.options.optimizer.learning_rate = 1e30f;
	cluster.options.given.learning_rate = true;
	assert_fails(
		cluster_train(&cluster, &result, &error), STATUS_DATA_LOSS, &error, "not finite");
	cluster.options.max_steps = 4;
	cluster_assert_same(good, cluster_digest(&cluster));
	close_saving();
}
END_TEST

START_TEST(a_finished_job_that_is_resumed_says_again_what_it_reached)
{
	struct cluster cluster = open_saving();
	struct train_result first, again;
	struct error error;
	cluster.options.seed = UINT64_MAX; /* more than a JSON number holds */
	/* At the end of an epoch, in the middle of one, and told to stop before. */
	static const uint64_t stops[][2] = {{UINT64_MAX, UINT64_MAX}, {7, 7}, {7, 3}};
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		cluster.options.resume = false;
		cluster.options.restart = true;
		cluster.options.max_steps = stops[i][0];
		assert_ok(cluster_train(&cluster, &first, &error), &error);
		cluster.options.resume = true;
		cluster.options.restart = false;
		cluster.options.max_steps = stops[i][1];
		cluster.options.given.seed = true;
		assert_ok(cluster_train(&cluster, &again, &error), &error);
		cluster_assert_same(first.digest, again.digest);
		ck_assert(isfinite(first.test_rmse) && first.test_rmse == again.test_rmse);
		ck_assert_uint_eq(first.steps, again.steps);
	}
	close_saving();
}
END_TEST

START_TEST(two_runs_do_not_write_to_one_directory)
{
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	int lock;
	cluster.options.max_steps = 1;
	assert_ok(checkpoint_lock(directory, 0, &lock, &error), &error);
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_FAILED_PRECONDITION, &error,
		"another run is writing");
	close(lock);
	cluster_digest(&cluster);
	close_saving();
}
END_TEST

static void damage_dense(uint64_t step)
{
	char path[PATH_SIZE], file[PATH_SIZE];
	struct error error;
	assert_ok(checkpoint_path(directory, step, path, &error), &error);
	scratch_flip(scratch_path(file, path, CHECKPOINT_DENSE_NAME), 3000, 1);
}

/* The damaged one is newer than what is written next: it must not push that out. */
START_TEST(a_run_that_falls_back_keeps_what_it_writes_from_there)
{
	struct cluster cluster = open_saving();
	struct checkpoint newest = {0};
	struct error error;
	cluster.options.keep = 2;
	cluster.options.checkpoint_every = 4;
	cluster.options.max_steps = 12;
	struct digest undisturbed = cluster_digest(&cluster);
	damage_dense(12);
	cluster.options.resume = true;
	cluster.options.keep = 1;
	cluster.options.checkpoint_every = 1;
	cluster.options.max_steps = 9;
	cluster_digest(&cluster);
	assert_ok(checkpoint_newest_verified(&newest, directory, &error), &error);
	ck_assert_uint_eq(newest.manifest.step, 9);
	ck_assert_str_eq(newest.notes, "");
	checkpoint_fini(&newest);
	cluster.options.max_steps = 12;
	cluster_assert_same(undisturbed, cluster_digest(&cluster));
	close_saving();
}
END_TEST

START_TEST(test_ratings_may_lie_elsewhere_after_a_resume)
{
	char first[PATH_SIZE], moved[PATH_SIZE], ratings[PATH_SIZE];
	struct cluster cluster = open_saving();
	struct train_result result;
	struct error error;
	size_t size;
	char *text = scratch_read(scratch_path(ratings, cluster_shared_data, "ratings.dat"), &size);
	scratch_write(scratch_path(first, directory, "first.dat"), text, size);
	cluster.options.test_ratings = first;
	cluster.options.max_steps = 2;
	cluster_digest(&cluster);
	remove(first);
	scratch_write(scratch_path(moved, directory, "moved.dat"), text, size);
	cluster.options.resume = true;
	cluster.options.max_steps = 3;
	assert_fails(cluster_train(&cluster, &result, &error), STATUS_NOT_FOUND, &error, first);
	cluster.options.test_ratings = moved;
	cluster.options.given.test_ratings = true;
	cluster_digest(&cluster);
	free(text);
	close_saving();
}
END_TEST

START_TEST(a_job_that_reached_its_target_does_not_go_on_when_resumed)
{
	struct cluster cluster = open_saving();
	struct train_result first, again;
	struct error error;
	cluster.options.epochs = 5;
	cluster.options.target_rmse = 5;
	assert_ok(cluster_train(&cluster, &first, &error), &error);
	cluster.options.resume = true;
	assert_ok(cluster_train(&cluster, &again, &error), &error);
	ck_assert(again.reached_target);
	ck_assert_uint_eq(again.epochs, 1);
	cluster_assert_same(first.digest, again.digest);
	close_saving();
}
END_TEST

START_TEST(zero_steps_write_the_initial_parameters)
{
	struct cluster cluster = open_saving();
	cluster.options.max_steps = 0;
	struct digest initial = cluster_digest(&cluster);
	cluster.options.resume = true;
	cluster.options.max_steps = 12;
	struct digest later = cluster_digest(&cluster);
	cluster.options.checkpoint_dir = NULL;
	cluster.options.resume = false;
	cluster_assert_same(later, cluster_digest(&cluster));
	ck_assert(initial.low != later.low);
	close_saving();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_resumed_run_ends_with_the_bits_of_an_undisturbed_one,
		a_directory_with_checkpoints_is_not_trained_into_by_accident,
		resuming_with_another_seed_or_batch_is_refused, resuming_on_other_data_is_refused,
		resuming_on_other_stars_is_refused,
		a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint,
		a_finished_job_that_is_resumed_says_again_what_it_reached,
		two_runs_do_not_write_to_one_directory,
		a_run_that_falls_back_keeps_what_it_writes_from_there,
		test_ratings_may_lie_elsewhere_after_a_resume,
		a_job_that_reached_its_target_does_not_go_on_when_resumed,
		zero_steps_write_the_initial_parameters, NULL};
	return run_cases_around(
		"trainer resume", cases, cluster_open_shared_data, cluster_close_shared_data);
}
