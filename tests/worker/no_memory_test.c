/*
 * A training that runs out of memory at its n-th allocation, for every n: it ends with a message,
 * leaks no descriptor and no memory (the sanitizers look), and a checkpoint directory never holds
 * half a checkpoint.
 */
#include "common/base/file.h"
#include "common/checkpoint/directory.h"
#include "pserver/service.h"
#include "tests/support/cluster.h"
#include "tests/support/failing_memory.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "worker/params_remote.h"
#include "worker/trainer.h"

#include <dirent.h>
#include <nng/nng.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE INT64_MAX

static char root[PATH_SIZE], data[PATH_SIZE], checkpoints[PATH_SIZE];

static enum status connect_embedded(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	(void)context;
	return params_embedded_new(ret, job->seed, job->tables, job->table_count, err);
}

/* A server of this process, opened here so that its allocations count; context is where it goes. */
static enum status connect_own_server(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	struct ps_server **server = context;
	const struct ps_server_options own = {.listen_url = "inproc://no-memory"};
	enum status status = ps_server_open(server, &own, err);
	if (status != STATUS_OK)
		return status;
	const char *url = ps_server_url(*server);
	const struct params_remote_options options = {
		.urls = &url,
		.url_count = 1,
		.job = "job",
		.workers = 1,
		.incarnation = 1,
		.connect_timeout_s = 5,
		.deadline_s = 5,
		.clock = clock_real(),
	};
	return params_remote_new(ret, &options, job, err);
}

/* *ret_refused: whether there was an allocation of that number. */
static enum status train(bool remote, bool resume, uint64_t refuse, struct train_result *ret,
	bool *ret_refused, struct error *err)
{
	struct comm comm;
	struct ps_server *server = NULL;
	struct train_options options = cluster_options(data);
	comm_local_init(&comm);
	options.epochs = resume ? 2 : 1;
	options.batch_size = 64;
	options.lanes = 2;
	options.threads = 2;
	options.checkpoint_dir = checkpoints;
	options.resume = resume;
	const struct trainer_setup setup = {.comm = &comm,
		.clock = clock_real(),
		.connect = remote ? connect_own_server : connect_embedded,
		.connect_context = &server,
		.progress_descriptor = -1};
	/* Around this call alone: Check, too, allocates. */
	failing_memory_arm(refuse);
	enum status status = trainer_run(&options, &setup, ret, err);
	ps_server_close(server);
	*ret_refused = failing_memory_disarm();
	return status;
}

static void check_checkpoints(void)
{
	struct checkpoint found = {0};
	struct error err;
	enum status status = checkpoint_newest_verified(&found, checkpoints, &err);
	if (status == STATUS_OK)
		checkpoint_fini(&found);
	else
		ck_assert_msg(status == STATUS_NOT_FOUND, "%s", err.message);
}

/* Makes the checkpoint directory what a run finds: a copy of `kept`, or nothing. */
static void lay_out(const char *kept)
{
	static char command[3 * PATH_SIZE];
	struct error err;
	assert_ok(directory_remove(checkpoints, &err), &err);
	if (!kept)
		return;
	snprintf(command, sizeof(command), "cp -r %s %s", kept, checkpoints);
	ck_assert_int_eq(system(command), 0); /* fixed words. NOLINT(cert-env33-c) */
}

static uint32_t open_descriptors(void)
{
	uint32_t count = 0;
	DIR *directory = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* nng closes those of connections on a thread of its own. */
static void wait_for_descriptors(uint32_t count)
{
	const uint64_t start_ns = clock_now_ns(clock_real());
	while (open_descriptors() != count && clock_seconds_since(clock_real(), start_ns) < 10)
		sched_yield();
	ck_assert_uint_eq(open_descriptors(), count);
}

/* nng's own, which stay. */
static void start_nng(void)
{
	nng_aio *aio;
	ck_assert_int_eq(nng_aio_alloc(&aio, NULL, NULL), 0);
	nng_aio_free(aio);
}

/* Returns after the first run in which every allocation succeeded. */
static void refuse_every_allocation(bool remote, bool resume, const char *kept)
{
	struct train_result expected, result;
	struct error err;
	uint64_t number = 0;
	bool refused;
	lay_out(kept);
	start_nng();
	const uint32_t descriptors = open_descriptors();
	assert_ok(train(remote, resume, NONE, &expected, &refused, &err), &err);
	wait_for_descriptors(descriptors);
	for (refused = true; refused; number++) {
		lay_out(kept);
		enum status status = train(remote, resume, number, &result, &refused, &err);
		/* Some can be done without: what was asked for must then be there whole. */
		if (status == STATUS_OK)
			ck_assert_mem_eq(&result.digest, &expected.digest, sizeof(result.digest));
		else
			ck_assert_msg(refused && err.status == status && err.message[0],
				"allocation %llu: %s", (unsigned long long)number, err.message);
		check_checkpoints();
		wait_for_descriptors(descriptors);
	}
	printf("%llu allocations\n", (unsigned long long)number - 1);
	ck_assert_uint_gt(number, 100);
}

START_TEST(a_training_survives_every_refused_allocation)
{
	scratch_open(root);
	scratch_path(data, root, "data");
	scratch_path(checkpoints, root, "checkpoints");
	cluster_data(data, 30, 20, 250);
	refuse_every_allocation(false, false, NULL);
	scratch_close(root);
}
END_TEST

START_TEST(client_and_server_survive_every_refused_allocation)
{
	scratch_open(root);
	scratch_path(data, root, "data");
	scratch_path(checkpoints, root, "checkpoints");
	cluster_data(data, 30, 20, 250);
	refuse_every_allocation(true, false, NULL);
	scratch_close(root);
}
END_TEST

START_TEST(resuming_survives_every_refused_allocation)
{
	struct train_result result;
	struct error err;
	char kept[PATH_SIZE];
	bool refused;
	scratch_open(root);
	scratch_path(data, root, "data");
	scratch_path(checkpoints, root, "kept");
	memcpy(kept, checkpoints, sizeof(kept));
	cluster_data(data, 30, 20, 250);
	assert_ok(train(false, false, NONE, &result, &refused, &err), &err);
	scratch_path(checkpoints, root, "checkpoints");
	refuse_every_allocation(false, true, kept);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_training_survives_every_refused_allocation,
		client_and_server_survive_every_refused_allocation,
		resuming_survives_every_refused_allocation, NULL};
	return run_cases("no_memory", cases);
}
