#include "tests/support/cluster.h"

#include "common/base/file.h"
#include "common/data/synth.h"
#include "pserver/service.h"
#include "tests/support/suite.h"
#include "tests/support/thread_comm.h"
#include "worker/params_remote.h"

#include <stdatomic.h>
#include <stdio.h>

char cluster_shared_data[PATH_SIZE];

struct running {
	const struct cluster *cluster;
	const char *urls[CLUSTER_SERVERS_MAX];
	struct ps_server *servers[CLUSTER_SERVERS_MAX];
	char job[32];
	struct worker_outcome {
		enum status status;
		struct error error;
		struct train_result result;
	} outcomes[LANES_MAX];
};

struct worker_context {
	const struct running *running;
	const struct comm *comm;
};

static enum status connect_plain(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	const struct worker_context *worker = context;
	const struct cluster *cluster = worker->running->cluster;
	if (cluster->servers == 0)
		return params_embedded_new(ret, job->seed, job->tables, job->table_count, err);
	const struct params_remote_options options = {
		.urls = worker->running->urls,
		.url_count = cluster->servers,
		.job = worker->running->job,
		.worker = worker->comm->rank,
		.workers = worker->comm->workers,
		.incarnation = 1,
		.connect_timeout_s = 10,
		.deadline_s = 60,
		.clock = clock_real(),
		.shared = cluster->hosted ? worker->comm->shared : NULL,
		.shared_bytes = cluster->shared_bytes,
		.own = worker->comm->rank < cluster->servers
			       ? worker->running->servers[worker->comm->rank]
			       : NULL,
	};
	return params_remote_new(ret, &options, job, err);
}

static enum status connect_worker(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	const struct worker_context *worker = context;
	const struct cluster *cluster = worker->running->cluster;
	struct params *params;
	enum status status = connect_plain(context, job, &params, err);
	if (status == STATUS_OK)
		*ret = cluster->wrap ? cluster->wrap(cluster->wrap_context, params) : params;
	return status;
}

static void run_worker(void *context, struct comm *comm)
{
	struct running *running = context;
	struct worker_context worker = {running, comm};
	struct trainer_setup setup = {
		.comm = comm,
		.clock = clock_real(),
		.connect = connect_worker,
		.connect_context = &worker,
		.progress_descriptor = -1,
		.on_warning = running->cluster->on_warning,
		.warning_context = running->cluster->warning_context,
	};
	struct worker_outcome *outcome = &running->outcomes[comm->rank];
	outcome->status =
		trainer_run(&running->cluster->options, &setup, &outcome->result, &outcome->error);
}

static void server_url(char *url, size_t size, const struct cluster *cluster, const char *directory,
	uint32_t server)
{
	static atomic_uint names;
	switch (cluster->transport) {
	case TRANSPORT_INPROC:
		snprintf(url, size, "inproc://cluster-%u", atomic_fetch_add(&names, 1));
		break;
	case TRANSPORT_IPC:
		snprintf(url, size, "ipc://%.90s/%u", directory, server);
		break;
	case TRANSPORT_TCP:
		snprintf(url, size, "tcp://127.0.0.1:0");
		break;
	}
}

enum status cluster_train(
	const struct cluster *cluster, struct train_result *ret, struct error *err)
{
	static atomic_uint jobs;
	static _Thread_local struct running running;
	struct ps_server **servers = running.servers;
	char directory[PATH_SIZE], url[128];
	enum status status = STATUS_OK;
	running = (struct running){.cluster = cluster};
	snprintf(running.job, sizeof(running.job), "test-%u", atomic_fetch_add(&jobs, 1));
	scratch_open(directory);
	for (uint32_t s = 0; s < cluster->servers && status == STATUS_OK; s++) {
		server_url(url, sizeof(url), cluster, directory, s);
		const struct ps_server_options options = {
			.listen_url = url, .shard_index = s, .shard_count = cluster->servers};
		status = ps_server_open(&servers[s], &options, err);
		if (status == STATUS_OK)
			running.urls[s] = ps_server_url(servers[s]);
	}
	if (status == STATUS_OK)
		thread_group_run(cluster->workers, run_worker, &running);
	for (uint32_t w = 0; w < cluster->workers && status == STATUS_OK; w++) {
		status = running.outcomes[w].status;
		if (status != STATUS_OK)
			*err = running.outcomes[w].error;
	}
	if (status == STATUS_OK)
		*ret = running.outcomes[0].result;
	for (uint32_t s = 0; s < cluster->servers; s++)
		ps_server_close(servers[s]);
	scratch_close(directory);
	return status;
}

struct train_options cluster_options(const char *data)
{
	struct train_options options;
	struct train_flags flags;
	struct error error;
	train_options_init(&options, &flags);
	options.data = data;
	assert_ok(train_options_finish(&options, &error), &error);
	return options;
}

void cluster_data(const char *directory, uint64_t users, uint64_t movies, uint64_t ratings)
{
	const struct synth_options options = {
		.out = directory, .users = users, .movies = movies, .ratings = ratings, .seed = 5};
	struct synth_report report;
	struct error error;
	assert_ok(synth_generate(&options, &report, &error), &error);
}

void cluster_open_shared_data(void)
{
	scratch_open(cluster_shared_data);
	cluster_data(cluster_shared_data, 200, 120, CLUSTER_SHARED_RATINGS);
}

void cluster_close_shared_data(void)
{
	scratch_close(cluster_shared_data);
}

struct cluster cluster_alone(void)
{
	struct cluster cluster = {.workers = 1, .options = cluster_options(cluster_shared_data)};
	cluster.options.epochs = 1;
	return cluster;
}

struct digest cluster_digest(const struct cluster *cluster)
{
	struct train_result result;
	struct error error;
	assert_ok(cluster_train(cluster, &result, &error), &error);
	return result.digest;
}

void cluster_assert_same(struct digest a, struct digest b)
{
	ck_assert_uint_eq(a.low, b.low);
	ck_assert_uint_eq(a.high, b.high);
}
