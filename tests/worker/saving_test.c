/*
 * Checkpoints that are written while training goes on.
 *
 * The tables' reader is held back until training has made some steps (late_params.h), so that the
 * cut is read while rows change and come; every checkpoint must still be that of its step, bit for
 * bit.
 */
#include "common/checkpoint/checkpoint_digest.h"
#include "common/checkpoint/directory.h"
#include "tests/support/cluster.h"
#include "tests/support/late_params.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define EPOCH_STEPS LATE_EPOCH_STEPS
#define EVERY	    3u

/* ---- jobs ---- */

static struct train_result train(const struct cluster *cluster)
{
	struct train_result result;
	struct error err;
	assert_ok(cluster_train(cluster, &result, &err), &err);
	return result;
}

static void digest_text(const struct cluster *cluster, char text[DIGEST_TEXT_SIZE])
{
	const struct digest found = train(cluster).digest;
	digest_format(&found, text);
}

static struct cluster job_of(uint32_t workers, uint32_t servers, enum train_mode mode,
	enum optimizer_kind optimizer, uint64_t steps)
{
	struct cluster cluster = {.workers = workers,
		.servers = servers,
		.options = cluster_options(cluster_shared_data)};
	cluster.options.mode = mode;
	cluster.options.optimizer = optimizer_defaults(optimizer);
	cluster.options.batch_size = 1024;
	cluster.options.epochs = 5;
	cluster.options.max_steps = steps;
	cluster.options.threads = 2;
	return cluster;
}

/* The checkpoint's own digest, that of its files and that of a run that ends there are one. */
static void check_checkpoint(const struct cluster *plain, const char *root, uint64_t step)
{
	struct error err;
	struct manifest manifest;
	struct digest of_files;
	char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
	struct cluster until = *plain;
	assert_ok(checkpoint_path(root, step, path, &err), &err);
	assert_ok(checkpoint_verify(path, &manifest, &err), &err);
	assert_ok(checkpoint_digest(path, &manifest, &of_files, &err), &err);
	digest_format(&of_files, text);
	ck_assert_str_eq(manifest.digest, text);
	until.options.max_steps = step;
	digest_text(&until, text);
	ck_assert_msg(strcmp(manifest.digest, text) == 0,
		"the checkpoint of step %llu is not that of its step", (unsigned long long)step);
	manifest_fini(&manifest);
}

/* What came after the step is forgotten, and the job goes on from there. */
static void check_resume(
	const struct cluster *plain, const char *root, uint64_t step, const char *wanted)
{
	struct error err;
	char text[DIGEST_TEXT_SIZE];
	struct cluster resumed = *plain;
	assert_ok(checkpoint_discard_after(root, step, &err), &err);
	resumed.options.checkpoint_dir = root;
	resumed.options.checkpoint_every = 0;
	resumed.options.keep = 0;
	resumed.options.resume = true;
	digest_text(&resumed, text);
	ck_assert_str_eq(wanted, text);
}

static void check_job(struct cluster plain)
{
	struct late_gate gate;
	struct error err;
	char root[PATH_SIZE], undisturbed[DIGEST_TEXT_SIZE], disturbed[DIGEST_TEXT_SIZE];
	uint64_t *steps;
	size_t count;
	digest_text(&plain, undisturbed);
	struct cluster saving = plain;
	late_gate_init(&gate, plain.options.max_steps);
	scratch_open(root);
	saving.options.checkpoint_dir = root;
	saving.options.checkpoint_every = EVERY;
	saving.options.keep = 0;
	saving.wrap = late_params_wrap;
	saving.wrap_context = &gate;
	digest_text(&saving, disturbed);
	ck_assert_str_eq(undisturbed, disturbed);
	ck_assert_uint_ge(gate.late_reads, 4);
	assert_ok(checkpoint_list(root, &steps, &count, &err), &err);
	/* The first one within an epoch, and the ends of epochs, are never left out. */
	ck_assert_uint_ge(count, 1 + 4 + 1);
	ck_assert(steps[0] == EVERY && steps[1] == EPOCH_STEPS);
	ck_assert_uint_eq(steps[count - 1], plain.options.max_steps);
	for (size_t i = 0; i < count; i++)
		check_checkpoint(&plain, root, steps[i]);
	check_resume(&plain, root, steps[count - 2], undisturbed);
	check_resume(&plain, root, steps[0], undisturbed);
	free(steps);
	scratch_close(root);
}

START_TEST(embedded_tables_are_saved_as_they_were_at_the_step)
{
	check_job(job_of(1, 0, MODE_SYNC, OPTIMIZER_SGD, 23));
	check_job(job_of(1, 0, MODE_SYNC, OPTIMIZER_ADAM, 23));
}
END_TEST

START_TEST(servers_are_saved_as_they_were_at_the_step)
{
	check_job(job_of(1, 1, MODE_SYNC, OPTIMIZER_ADAGRAD, 23));
	check_job(job_of(3, 2, MODE_SYNC, OPTIMIZER_SGD, 23));
}
END_TEST

/* One worker alone is deterministic without synchronisation too. */
START_TEST(asynchronous_tables_are_saved_as_they_were_at_the_step)
{
	check_job(job_of(1, 2, MODE_ASYNC, OPTIMIZER_ADAM, 23));
	check_job(job_of(1, 0, MODE_SSP, OPTIMIZER_SGD, 23));
}
END_TEST

/* Where the order of pushes is anybody's, the digest tells whether all was of one moment. */
START_TEST(asynchronous_workers_save_what_verifies_and_resumes)
{
	struct error err;
	struct late_gate gate;
	char root[PATH_SIZE];
	uint64_t *steps;
	size_t count;
	for (int mode = MODE_SSP; mode <= MODE_ASYNC; mode++) {
		struct cluster cluster = job_of(3, 2, (enum train_mode)mode, OPTIMIZER_ADAGRAD, 23);
		late_gate_init(&gate, cluster.options.max_steps);
		scratch_open(root);
		cluster.options.checkpoint_dir = root;
		cluster.options.checkpoint_every = 3;
		cluster.options.keep = 0;
		cluster.wrap = late_params_wrap;
		cluster.wrap_context = &gate;
		train(&cluster);
		assert_ok(checkpoint_list(root, &steps, &count, &err), &err);
		ck_assert_uint_ge(count, 1 + 4 + 1);
		for (size_t i = 0; i < count; i++) {
			struct manifest manifest;
			struct digest of_files;
			char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
			assert_ok(checkpoint_path(root, steps[i], path, &err), &err);
			assert_ok(checkpoint_verify(path, &manifest, &err), &err);
			assert_ok(checkpoint_digest(path, &manifest, &of_files, &err), &err);
			digest_format(&of_files, text);
			ck_assert_str_eq(manifest.digest, text);
			manifest_fini(&manifest);
		}
		assert_ok(checkpoint_discard_after(root, steps[1], &err), &err);
		cluster.wrap = NULL;
		cluster.options.resume = true;
		ck_assert_uint_eq(train(&cluster).steps, 23);
		free(steps);
		scratch_close(root);
	}
}
END_TEST

/* ---- failures ---- */

struct warnings {
	unsigned int count;
	char last[ERROR_MESSAGE_SIZE + 256];
};

static void note_warning(void *context, const char *text)
{
	struct warnings *warnings = context;
	warnings->count++;
	snprintf(warnings->last, sizeof(warnings->last), "%s", text);
}

START_TEST(a_checkpoint_that_fails_is_a_warning_and_spares_the_ones_before)
{
	struct error err;
	struct late_gate gate;
	struct warnings warnings = {0};
	char root[PATH_SIZE], undisturbed[DIGEST_TEXT_SIZE], disturbed[DIGEST_TEXT_SIZE];
	uint64_t *steps;
	size_t count;
	struct cluster cluster = job_of(2, 2, MODE_SYNC, OPTIMIZER_SGD, 3 * EPOCH_STEPS);
	digest_text(&cluster, undisturbed);
	scratch_open(root);
	late_gate_init(&gate, 3 * EPOCH_STEPS);
	gate.fail_from = 2 * EPOCH_STEPS;
	gate.fail_until = 2 * EPOCH_STEPS + 1;
	cluster.options.checkpoint_dir = root;
	cluster.options.keep = 0;
	cluster.wrap = late_params_wrap;
	cluster.wrap_context = &gate;
	cluster.on_warning = note_warning;
	cluster.warning_context = &warnings;
	digest_text(&cluster, disturbed);
	ck_assert_str_eq(undisturbed, disturbed);
	ck_assert_uint_eq(warnings.count, 1);
	ck_assert_str_eq(warnings.last,
		"checkpoint of step 10: the tables cannot be read; training goes on");
	assert_ok(checkpoint_list(root, &steps, &count, &err), &err);
	ck_assert_uint_eq(count, 2);
	ck_assert(steps[0] == EPOCH_STEPS && steps[1] == 3 * EPOCH_STEPS);
	free(steps);
	scratch_close(root);
}
END_TEST

START_TEST(a_last_checkpoint_that_fails_is_the_runs_failure)
{
	struct error err;
	struct late_gate gate;
	struct train_result result;
	char root[PATH_SIZE];
	struct checkpoint newest;
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		struct cluster cluster = job_of(workers, workers - 1, MODE_SYNC, OPTIMIZER_SGD, 8);
		scratch_open(root);
		late_gate_init(&gate, 8);
		gate.fail_from = 8;
		gate.fail_until = 9;
		cluster.options.checkpoint_dir = root;
		cluster.options.checkpoint_every = 4;
		cluster.wrap = late_params_wrap;
		cluster.wrap_context = &gate;
		assert_fails(cluster_train(&cluster, &result, &err), STATUS_RESOURCE_EXHAUSTED,
			&err, "checkpoint of step 8: the tables cannot be read");
		assert_ok(checkpoint_newest_verified(&newest, root, &err), &err);
		ck_assert_uint_eq(newest.manifest.step, 5);
		ck_assert_str_eq(newest.notes, "");
		checkpoint_fini(&newest);
		scratch_close(root);
	}
}
END_TEST

/* The limit on the size of files stands for a disk that is full. */
START_TEST(a_disk_that_is_full_costs_no_training_and_leaves_no_leftovers)
{
	struct error err;
	struct warnings warnings = {0};
	struct rlimit unlimited, tiny;
	char root[PATH_SIZE], partial[PATH_SIZE];
	struct train_result result;
	struct cluster cluster = job_of(1, 0, MODE_SYNC, OPTIMIZER_SGD, 5);
	scratch_open(root);
	cluster.options.checkpoint_dir = root;
	train(&cluster);
	cluster.options.max_steps = 22;
	cluster.options.checkpoint_every = 10;
	cluster.options.resume = true;
	cluster.on_warning = note_warning;
	cluster.warning_context = &warnings;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	tiny = unlimited;
	tiny.rlim_cur = 20000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	enum status status = cluster_train(&cluster, &result, &err);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	ck_assert_int_ne(status, STATUS_OK);
	ck_assert_msg(strstr(err.message, "checkpoint of step 22: "), "%s", err.message);
	ck_assert_msg(strstr(err.message, "File too large"), "%s", err.message);
	ck_assert_uint_ge(warnings.count, 2);
	scratch_path(partial, root, "step-00000000000000000022.partial");
	ck_assert(!directory_exists(partial));
	struct checkpoint newest;
	assert_ok(checkpoint_newest_verified(&newest, root, &err), &err);
	ck_assert_uint_eq(newest.manifest.step, 5);
	ck_assert_str_eq(newest.notes, "");
	checkpoint_fini(&newest);
	cluster.options.checkpoint_every = 0;
	ck_assert_uint_eq(train(&cluster).steps, 22);
	scratch_close(root);
}
END_TEST

START_TEST(a_checkpoint_that_comes_too_soon_is_left_out_with_a_warning)
{
	struct error err;
	struct late_gate gate;
	struct warnings warnings = {0};
	char root[PATH_SIZE];
	uint64_t *steps;
	size_t count;
	struct cluster cluster = job_of(1, 0, MODE_SYNC, OPTIMIZER_SGD, 6);
	scratch_open(root);
	late_gate_init(&gate, 6);
	cluster.options.checkpoint_dir = root;
	cluster.options.checkpoint_every = 1;
	cluster.options.keep = 0;
	cluster.wrap = late_params_wrap;
	cluster.wrap_context = &gate;
	cluster.on_warning = note_warning;
	cluster.warning_context = &warnings;
	train(&cluster);
	ck_assert_uint_ge(warnings.count, 2);
	ck_assert_msg(strstr(warnings.last, "the one before is still being written"), "%s",
		warnings.last);
	assert_ok(checkpoint_list(root, &steps, &count, &err), &err);
	ck_assert_uint_ge(count, 2);
	ck_assert(steps[0] == 1 && steps[1] >= 4 && steps[count - 1] == 6);
	free(steps);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {embedded_tables_are_saved_as_they_were_at_the_step,
		servers_are_saved_as_they_were_at_the_step,
		asynchronous_tables_are_saved_as_they_were_at_the_step,
		asynchronous_workers_save_what_verifies_and_resumes,
		a_checkpoint_that_fails_is_a_warning_and_spares_the_ones_before,
		a_last_checkpoint_that_fails_is_the_runs_failure,
		a_disk_that_is_full_costs_no_training_and_leaves_no_leftovers,
		a_checkpoint_that_comes_too_soon_is_left_out_with_a_warning, NULL};
	return run_cases_around(
		"saving", cases, cluster_open_shared_data, cluster_close_shared_data);
}
