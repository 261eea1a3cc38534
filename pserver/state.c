/* Cut, Snapshot, Restore, Digest, Audit and Stats: the tables read and written as a whole. */
#include "pserver/service_internal.h"

#include <stdlib.h>
#include <string.h>

#define CURSOR_BITS 32 /* of a snapshot's cursor: the position; above it the virtual shard */

/* As ps_lock_job(), and lets go of the lock: the reference keeps the job's tables. */
static enum status hold_job(
	struct ps_server *server, struct rpc_server_call *call, struct job **ret, struct error *err)
{
	enum status status = ps_lock_job(server, call, ret, err);
	if (status == STATUS_OK)
		pthread_mutex_unlock(&server->lock);
	return status;
}

static enum status check_table(const struct job *job, uint32_t table, struct error *err)
{
	if (table < job->spec.table_count)
		return STATUS_OK;
	return error_set(err, STATUS_INVALID_ARGUMENT, "there is no table %u, the job has %u",
		table, job->spec.table_count);
}

static enum status check_is_first(
	const struct rpc_server_call *call, const char *what, struct error *err)
{
	const struct rpc_caller *caller = rpc_server_call_caller(call);
	if (caller->worker == 0)
		return STATUS_OK;
	return error_set(err, STATUS_PERMISSION_DENIED, "worker %u may not %s, only worker 0",
		caller->worker, what);
}

static void count_read_cut(struct ps_server *server)
{
	struct ps_counts *counts = &server->counts;
	counts->cuts_read++;
	counts->cut_read_s = clock_seconds_since(server->clock, counts->cut_began_ns);
	counts->cut_read_unix_s = (double)clock_unix_ns() * 1e-9;
}

/*
 * Under the lock, so that no step can begin to be applied meanwhile; it takes the store's locks,
 * but touches no rows. A late repeat finds another step next and is refused.
 */
static enum status cut(struct ps_server *server, struct job *job,
	const Marquee__Ps__V1__CutRequest *input, struct error *err)
{
	const bool here = job->has_cut && job->cut_step == input->step;
	if (input->end) {
		if (here) {
			store_uncut(job->store);
			count_read_cut(server);
		}
		job->has_cut = job->has_cut && !here;
		return STATUS_OK;
	}
	if (here)
		return STATUS_OK;
	if (job->failure.status != STATUS_OK)
		return error_set(err, job->failure.status, "%s", job->failure.message);
	if (input->step != job->next_step || job->applying)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"a cut before step %llu is asked for, but this server applies step %llu "
			"%s",
			(unsigned long long)input->step, (unsigned long long)job->next_step,
			job->applying ? "now" : "next");
	store_cut(job->store);
	job->has_cut = true;
	job->cut_step = input->step;
	server->counts.cuts++;
	server->counts.cut_began_ns = clock_now_ns(server->clock);
	return STATUS_OK;
}

void ps_cut(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__CutRequest *input, Marquee__Ps__V1__CutReply_Closure closure,
	void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	Marquee__Ps__V1__CutReply reply = MARQUEE__PS__V1__CUT_REPLY__INIT;
	struct error err;
	struct job *job;
	enum status status = check_is_first(closure_data, "cut the tables", &err);
	if (status == STATUS_OK)
		status = ps_lock_job(server, closure_data, &job, &err);
	if (status == STATUS_OK) {
		/* The late repeat of an earlier step's cut ends no round of the pool. */
		if (!input->end && input->step == job->next_step &&
			!(job->has_cut && job->cut_step == input->step))
			ps_flush_pool(server, job);
		status = cut(server, job, input, &err);
		pthread_mutex_unlock(&server->lock);
		ps_job_release(job);
	}
	if (status == STATUS_OK)
		closure(&reply, closure_data);
	else
		rpc_server_call_fail_with(closure_data, &err);
}

/* Records that fit a message, that are there, and that are asked for. */
static size_t records_at_most(const struct ps_server *server, const struct job *job, uint32_t table,
	uint32_t asked, uint32_t record_floats)
{
	uint64_t fit =
		server->max_message_bytes / 2 / (sizeof(uint64_t) + record_floats * sizeof(float));
	uint64_t there = store_count(job->store, table);
	uint64_t most = asked < fit ? asked : fit;
	if (most > there)
		most = there;
	return most > 0 ? (size_t)most : 1;
}

static enum status read_records(struct job *job, const Marquee__Ps__V1__SnapshotRequest *input,
	struct store_cursor *cursor, size_t max, unsigned char *ids, float *records, size_t *ret_n,
	struct error *err)
{
	if (!input->of_cut)
		return store_snapshot(
			job->store, input->table, cursor, max, ids, records, ret_n, err);
	return store_cut_read(job->store, input->table, cursor, max, ids, records, ret_n, err);
}

static enum status snapshot(struct ps_server *server, struct job *job,
	const Marquee__Ps__V1__SnapshotRequest *input, struct rpc_server_call *call,
	Marquee__Ps__V1__SnapshotReply *reply, struct error *err)
{
	enum status status = check_table(job, input->table, err);
	if (status != STATUS_OK)
		return status;
	if (input->max_records == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "max_records is 0");
	uint32_t floats = store_record_floats(job->store, input->table);
	size_t most = records_at_most(server, job, input->table, input->max_records, floats);
	size_t record_bytes = floats * sizeof(float);
	unsigned char *raw;
	status = rpc_server_call_reserve(call, most * (sizeof(uint64_t) + record_bytes), &raw, err);
	if (status != STATUS_OK)
		return status;
	struct store_cursor cursor = {
		.virtual_shard = input->cursor >> CURSOR_BITS,
		.position = input->cursor & UINT32_MAX,
	};
	unsigned char *records = raw + most * sizeof(uint64_t);
	size_t n;
	status = read_records(job, input, &cursor, most, raw, (float *)(void *)records, &n, err);
	if (status != STATUS_OK)
		return status;
	if (n < most) {
		memmove(raw + n * sizeof(uint64_t), records, n * record_bytes);
		rpc_server_call_shrink(call, n * (sizeof(uint64_t) + record_bytes));
	}
	reply->cursor = cursor.virtual_shard << CURSOR_BITS | cursor.position;
	reply->count = (uint32_t)n;
	reply->done = n < most;
	reply->record_floats = floats;
	return STATUS_OK;
}

void ps_snapshot(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__SnapshotRequest *input,
	Marquee__Ps__V1__SnapshotReply_Closure closure, void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	Marquee__Ps__V1__SnapshotReply reply = MARQUEE__PS__V1__SNAPSHOT_REPLY__INIT;
	struct error err;
	struct job *job;
	enum status status = STATUS_OK;
	if (input->of_cut)
		status = check_is_first(closure_data, "read a cut", &err);
	if (status == STATUS_OK)
		status = ps_lock_job(server, closure_data, &job, &err);
	if (status == STATUS_OK) {
		const bool here = job->has_cut && job->cut_step == input->cut_step;
		pthread_mutex_unlock(&server->lock);
		if (input->of_cut && !here)
			status = error_set(&err, STATUS_FAILED_PRECONDITION,
				"there is no cut before step %llu",
				(unsigned long long)input->cut_step);
		else
			status = snapshot(server, job, input, closure_data, &reply, &err);
		ps_job_release(job);
	}
	if (status == STATUS_OK)
		closure(&reply, closure_data);
	else
		rpc_server_call_fail_with(closure_data, &err);
}

/*
 * As hold_job(), for worker 0 before the first push. Until release_restored(), which comes before
 * the answer, no push is accepted.
 */
static enum status hold_to_restore(struct ps_server *server, struct rpc_server_call *call,
	const char *what, struct job **ret, struct error *err)
{
	enum status status = ps_lock_job(server, call, ret, err);
	if (status != STATUS_OK)
		return status;
	status = check_is_first(call, what, err);
	if (status == STATUS_OK)
		status = job_begin_restore(*ret, err);
	pthread_mutex_unlock(&server->lock);
	if (status != STATUS_OK)
		ps_job_release(*ret);
	return status;
}

static void release_restored(struct ps_server *server, struct job *job)
{
	pthread_mutex_lock(&server->lock);
	job_end_restore(job);
	pthread_mutex_unlock(&server->lock);
	ps_job_release(job);
}

static enum status restore(struct job *job, const Marquee__Ps__V1__RestoreRequest *input,
	const struct rpc_server_call *call, struct error *err)
{
	enum status status = check_table(job, input->table, err);
	if (status != STATUS_OK)
		return status;
	struct rpc_bytes raw = rpc_server_call_raw(call);
	uint32_t floats = store_record_floats(job->store, input->table);
	uint64_t bytes = input->count * (sizeof(uint64_t) + (uint64_t)floats * sizeof(float));
	if (bytes != raw.size)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%u records of %u floats take %llu bytes with their ids, there are %zu",
			input->count, floats, (unsigned long long)bytes, raw.size);
	return store_restore(job->store, input->table, raw.data, input->count,
		(const float *)(const void *)(raw.data + input->count * sizeof(uint64_t)), err);
}

void ps_restore(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__RestoreRequest *input, Marquee__Ps__V1__RestoreReply_Closure closure,
	void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	Marquee__Ps__V1__RestoreReply reply = MARQUEE__PS__V1__RESTORE_REPLY__INIT;
	struct error err;
	struct job *job;
	enum status status = hold_to_restore(server, closure_data, "restore rows", &job, &err);
	if (status == STATUS_OK) {
		status = restore(job, input, closure_data, &err);
		release_restored(server, job);
	}
	if (status == STATUS_OK)
		closure(&reply, closure_data);
	else
		rpc_server_call_fail_with(closure_data, &err);
}

void ps_digest(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__DigestRequest *input, Marquee__Ps__V1__DigestReply_Closure closure,
	void *closure_data)
{
	(void)input;
	struct error err;
	struct job *job;
	if (hold_job((struct ps_server *)service, closure_data, &job, &err) != STATUS_OK) {
		rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	Marquee__Ps__V1__DigestReply reply = MARQUEE__PS__V1__DIGEST_REPLY__INIT;
	struct digest digest = {0};
	uint64_t rows[JOB_TABLES_MAX];
	store_digest(job->store, &digest);
	for (uint32_t t = 0; t < job->spec.table_count; t++)
		rows[t] = store_count(job->store, t);
	reply.low = digest.low;
	reply.high = digest.high;
	reply.n_rows = job->spec.table_count;
	reply.rows = rows;
	closure(&reply, closure_data);
	ps_job_release(job);
}

/* Counts that are read have all rounds of the pool. */
static enum status hold_to_audit(struct ps_server *server, struct rpc_server_call *call,
	bool restores, struct job **ret, struct error *err)
{
	if (restores)
		return hold_to_restore(server, call, "restore the tables' counts", ret, err);
	enum status status = ps_lock_job(server, call, ret, err);
	if (status != STATUS_OK)
		return status;
	/* A late repeat of Cut may have ended a round early: its rest waits for others. */
	ps_flush_pool(server, *ret);
	pthread_mutex_unlock(&server->lock);
	return STATUS_OK;
}

void ps_audit(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__AuditRequest *input, Marquee__Ps__V1__AuditReply_Closure closure,
	void *closure_data)
{
	struct ps_server *server = (struct ps_server *)service;
	struct error err;
	struct job *job;
	if (hold_to_audit(server, closure_data, input->restore, &job, &err) != STATUS_OK) {
		rpc_server_call_fail_with(closure_data, &err);
		return;
	}
	Marquee__Ps__V1__AuditReply reply = MARQUEE__PS__V1__AUDIT_REPLY__INIT;
	uint64_t examples[JOB_TABLES_MAX];
	reply.n_examples = job->spec.table_count;
	reply.examples = examples;
	for (uint32_t t = 0; t < job->spec.table_count; t++) {
		if (input->restore)
			store_set_examples(job->store, t, input->examples);
		examples[t] = store_examples(job->store, t);
	}
	if (input->restore)
		release_restored(server, job);
	else
		ps_job_release(job);
	closure(&reply, closure_data);
}

/* The parts of a StatsReply that have to live until it is packed. */
struct stats {
	Marquee__Ps__V1__StatsReply reply;
	Marquee__Ps__V1__TableStats tables[JOB_TABLES_MAX];
	Marquee__Ps__V1__TableStats *table_pointers[JOB_TABLES_MAX];
	Marquee__Ps__V1__WorkerStats workers[JOB_WORKERS_MAX];
	Marquee__Ps__V1__WorkerStats *worker_pointers[JOB_WORKERS_MAX];
};

/* What the lock guards. */
static void fill_progress(struct stats *stats, const struct job *job)
{
	Marquee__Ps__V1__StatsReply *reply = &stats->reply;
	reply->next_step = job->next_step;
	reply->pushes_applied = job->pushes_applied;
	reply->repeats_answered = job->repeats_answered;
	for (const struct step_call *step = job->calls; step; step = step->next)
		reply->parked_calls++;
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		const struct job_member *member = &job->members[w];
		Marquee__Ps__V1__WorkerStats *worker = &stats->workers[w];
		marquee__ps__v1__worker_stats__init(worker);
		worker->worker = w;
		worker->joined = member->joined;
		worker->left = member->left;
		worker->incarnation = member->incarnation;
		worker->sequence = member->pushes.highest;
		worker->clock = member->clock;
		stats->worker_pointers[w] = worker;
	}
	reply->n_workers = job->spec.workers;
	reply->workers = stats->worker_pointers;
}

static void fill_tables(struct stats *stats, struct job *job)
{
	Marquee__Ps__V1__StatsReply *reply = &stats->reply;
	reply->job = job->spec.name;
	for (uint32_t t = 0; t < job->spec.table_count; t++) {
		Marquee__Ps__V1__TableStats *table = &stats->tables[t];
		marquee__ps__v1__table_stats__init(table);
		table->name = job->spec.tables[t].name;
		table->dim = job->spec.tables[t].dim;
		table->record_floats = store_record_floats(job->store, t);
		table->rows = store_count(job->store, t);
		stats->table_pointers[t] = table;
	}
	reply->n_tables = job->spec.table_count;
	reply->tables = stats->table_pointers;
}

/* Of whatever job is active; for anybody, so that a monitor need not be a member. */
void ps_stats(Marquee__Ps__V1__ParameterServer_Service *service,
	const Marquee__Ps__V1__StatsRequest *input, Marquee__Ps__V1__StatsReply_Closure closure,
	void *closure_data)
{
	(void)input;
	struct ps_server *server = (struct ps_server *)service;
	struct stats *stats = malloc(sizeof(*stats));
	if (!stats) {
		rpc_server_call_fail(closure_data, STATUS_RESOURCE_EXHAUSTED, "no memory");
		return;
	}
	marquee__ps__v1__stats_reply__init(&stats->reply);
	struct rpc_server_stats traffic;
	rpc_server_stats(rpc_server_call_server(closure_data), &traffic);
	stats->reply.shard_index = server->shard_index;
	stats->reply.shard_count = server->shard_count;
	stats->reply.bytes_received = traffic.bytes_received;
	stats->reply.bytes_sent = traffic.bytes_sent;
	stats->reply.requests = traffic.requests;
	pthread_mutex_lock(&server->lock);
	struct job *job = server->job;
	if (job) {
		atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
		fill_progress(stats, job);
	}
	pthread_mutex_unlock(&server->lock);
	if (job)
		fill_tables(stats, job);
	closure(&stats->reply, closure_data);
	if (job)
		ps_job_release(job);
	free(stats);
}
