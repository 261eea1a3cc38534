#include "tests/sim/job.h"

#include "pserver/service.h"
#include "tests/sim/disk.h"
#include "worker/comm_shared.h"
#include "worker/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define URL_SIZE	128
#define READY_NS	(60 * SIM_S)
#define PATIENCE_MS_MAX 3000u /* from a failure until the launcher has ended the others */
#define GRACE_NS	(20 * SIM_S)
#define PAUSE_NS	(SIM_S / 2)
#define COMM_DEADLINE_S 600.0
#define CONNECT_S	120.0

struct sim_server {
	struct sim_job *job;
	struct sim_process *process;
	uint32_t index;
	char url[URL_SIZE]; /* to listen at, and then the one it has */
	bool ready, failed, ending, ended;
};

struct sim_worker {
	struct sim_job *job;
	struct sim_process *process;
	struct comm_shared comm;
	char urls[SIM_SERVERS_MAX * (URL_SIZE + 1)];
	bool ended;
	enum status status;
	struct error error;
	struct train_result result;
};

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);
	if (!memory)
		abort();
	return memory;
}

void sim_job_notice(struct sim_job *job)
{
	sim_wake_all(job);
}

void sim_job_kill_all(struct sim_job *job)
{
	for (uint32_t i = 0; i < job->servers + job->workers; i++) {
		struct sim_process *process = sim_job_process(job, i);
		if (process)
			sim_process_kill(process);
	}
	sim_job_notice(job);
}

struct sim_process *sim_job_process(const struct sim_job *job, uint32_t index)
{
	if (index < job->servers)
		return job->server[index] ? job->server[index]->process : NULL;
	index -= job->servers;
	return index < job->workers && job->worker[index] ? job->worker[index]->process : NULL;
}

/* ---- a server: pserver/main.c ---- */

static void *server_main(void *argument)
{
	struct sim_server *self = argument;
	struct ps_server *server;
	struct error error;
	const struct ps_server_options options = {.listen_url = self->url,
		.shard_index = self->index,
		.shard_count = self->job->servers};
	if (ps_server_open(&server, &options, &error) != STATUS_OK) {
		sim_note("server %u: %s", self->index, error.message);
		self->failed = true;
		sim_wake_all(self->job);
		return NULL;
	}
	snprintf(self->url, sizeof(self->url), "%s", ps_server_url(server));
	self->ready = true;
	sim_wake_all(self->job);
	while (!self->ending)
		(void)sim_wait(self, SIM_NEVER);
	ps_server_close(server);
	self->ended = true;
	sim_wake_all(self->job);
	return NULL;
}

static struct sim_server *start_server(struct sim_job *job, uint32_t index, const char *url)
{
	struct sim_server *server = allocate(sizeof(*server));
	char name[24];
	snprintf(name, sizeof(name), "server %u.%u", index, job->attempts);
	server->job = job;
	server->index = index;
	snprintf(server->url, sizeof(server->url), "%s", url);
	server->process = sim_process_new(name);
	sim_start(server->process, server_main, server);
	return server;
}

void sim_job_return_server(struct sim_job *job, uint32_t index)
{
	job->server[index] = start_server(job, index, job->server[index]->url);
}

/* ---- a worker: worker/main.c ---- */

static void on_warning(void *context, const char *text)
{
	(void)context;
	sim_note("warning: %s", text);
}

static enum status train(struct sim_worker *self)
{
	struct connector *connector;
	struct comm *comm = &self->comm.comm;
	const struct train_options *options = &self->job->options;
	const struct connect_options connect = {
		.servers = self->urls, .connect_timeout_s = CONNECT_S};
	enum status status = connector_open(&connector, &connect, options, comm, &self->error);
	if (status != STATUS_OK)
		return status;
	const struct trainer_setup setup = {.comm = comm,
		.clock = clock_real(),
		.connect = connector_connect,
		.connect_context = connector,
		.on_warning = on_warning,
		.progress_descriptor = -1};
	status = trainer_run(options, &setup, &self->result, &self->error);
	if (status == STATUS_OK)
		status = comm_barrier(comm, &self->error);
	connector_close(connector);
	return status;
}

static void *worker_main(void *argument)
{
	struct sim_worker *self = argument;
	self->status = train(self);
	if (self->status != STATUS_OK)
		sim_note("worker %u: %s", self->comm.comm.rank, self->error.message);
	sim_trace("worker ends", self->comm.comm.rank, self->status);
	self->ended = true;
	sim_wake_all(self->job);
	return NULL;
}

static void start_workers(struct sim_job *job)
{
	const size_t bytes = comm_shared_bytes(job->workers);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	comm_shared_prepare(memory);
	for (uint32_t w = 0; w < job->workers; w++) {
		struct sim_worker *worker = allocate(sizeof(*worker));
		char name[24];
		snprintf(name, sizeof(name), "worker %u.%u", w, job->attempts);
		worker->job = job;
		for (uint32_t s = 0; s < job->servers; s++)
			snprintf(worker->urls + strlen(worker->urls), URL_SIZE + 1, "%s%s",
				s ? "," : "", job->server[s]->url);
		comm_shared_init(&worker->comm, memory, w, job->workers, COMM_DEADLINE_S);
		worker->process = sim_process_new(name);
		sim_start(worker->process, worker_main, worker);
		job->worker[w] = worker;
	}
	job->working = true;
}

/* ---- the launcher ---- */

static bool all_ready(const struct sim_job *job)
{
	for (uint32_t s = 0; s < job->servers; s++)
		if (!job->server[s]->ready)
			return false;
	return true;
}

/* Whether the attempt has failed; ret_done: or every worker has succeeded. */
static bool has_failed(const struct sim_job *job, bool *ret_done)
{
	uint32_t succeeded = 0;
	for (uint32_t s = 0; s < job->servers; s++)
		if (!job->server[s]->process->alive || job->server[s]->failed)
			return true;
	for (uint32_t w = 0; w < job->workers; w++) {
		const struct sim_worker *worker = job->worker[w];
		if (!worker)
			continue;
		if (!worker->process->alive || (worker->ended && worker->status != STATUS_OK))
			return true;
		succeeded += worker->ended;
	}
	*ret_done = succeeded == job->workers;
	return false;
}

/* What no schedule excuses is kept apart: what was applied is not what was read, or files that the
 * disk did not damage are. */
static void take_error(struct sim_job *job, const struct error *error)
{
	job->error = *error;
	const bool grave = error->status == STATUS_INTERNAL || error->status == STATUS_DATA_LOSS;
	if (strstr(error->message, "audit: ") || (grave && sim_disk_failures() == 0))
		job->inexcusable = *error;
}

/* Keeps what the first worker that failed by itself said. */
static void keep_error(struct sim_job *job)
{
	error_set(&job->error, STATUS_ABORTED, "a process died");
	for (uint32_t w = job->workers; w-- > 0;)
		if (job->worker[w] && job->worker[w]->ended && job->worker[w]->status != STATUS_OK)
			take_error(job, &job->worker[w]->error);
}

static void end_servers(struct sim_job *job)
{
	const uint64_t until_ns = sim_now_ns() + GRACE_NS;
	for (uint32_t s = 0; s < job->servers; s++) {
		job->server[s]->ending = true;
		sim_wake_all(job->server[s]);
	}
	for (uint32_t s = 0; s < job->servers; s++) {
		const struct sim_server *server = job->server[s];
		while (server->process->alive && !server->ended && !server->failed &&
			sim_now_ns() < until_ns)
			(void)sim_wait(job, until_ns);
		sim_process_kill(server->process);
	}
}

static bool run_attempt(struct sim_job *job)
{
	bool failed, done = false;
	memset(job->worker, 0, sizeof(job->worker));
	for (uint32_t s = 0; s < job->servers; s++)
		job->server[s] = start_server(job, s, "tcp://127.0.0.1:0");
	const uint64_t ready_by_ns = sim_now_ns() + READY_NS;
	while (!(failed = has_failed(job, &done)) && !all_ready(job) && sim_now_ns() < ready_by_ns)
		(void)sim_wait(job, ready_by_ns);
	if (!failed && all_ready(job))
		start_workers(job);
	while (!(failed = has_failed(job, &done)) && !done)
		(void)sim_wait(job, SIM_NEVER);
	if (failed) {
		/* Survivors go on until the launcher, or mpirun, gets to them. */
		sim_sleep(SIM_MS * (1 + sim_draw(SIM_PLAN, PATIENCE_MS_MAX)));
		keep_error(job);
	}
	job->working = false;
	for (uint32_t w = 0; w < job->workers; w++)
		if (job->worker[w])
			sim_process_kill(job->worker[w]->process);
	end_servers(job);
	if (!failed)
		job->result = job->worker[0]->result;
	return !failed;
}

void *sim_job_main(void *argument)
{
	struct sim_job *job = argument;
	while (job->attempts < SIM_ATTEMPTS_MAX) {
		job->attempts++;
		sim_trace("attempt", job->attempts, 0);
		if (run_attempt(job)) {
			job->status = STATUS_OK;
			return NULL;
		}
		sim_note("attempt %u failed: %s", job->attempts, job->error.message);
		job->options.resume = job->options.checkpoint_dir != NULL;
		sim_sleep(PAUSE_NS);
	}
	job->status = job->error.status;
	return NULL;
}
