#include "pserver/metrics.h"

#include "common/metrics/prometheus.h"
#include "pserver/service_internal.h"

#include <stdio.h>
#include <string.h>

/* What the lock guards, copied so that no text is written under it. */
struct figures {
	struct ps_counts counts;
	bool active;
	enum job_mode mode;
	uint64_t step, slowest, fastest; /* the members' clocks */
	uint64_t applied, repeats, parked, waiting_pushes;
	uint64_t workers, joined, left;
};

/* Returns the active job, with a reference, or NULL. */
static struct job *read_figures(struct ps_server *server, struct figures *ret)
{
	*ret = (struct figures){0};
	pthread_mutex_lock(&server->lock);
	ret->counts = server->counts;
	struct job *job = server->job;
	if (!job) {
		pthread_mutex_unlock(&server->lock);
		return NULL;
	}
	atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
	ret->active = true;
	ret->mode = job->spec.mode;
	ret->step = job->next_step;
	ret->applied = job->pushes_applied;
	ret->repeats = job->repeats_answered;
	ret->workers = job->spec.workers;
	ret->slowest = UINT64_MAX;
	for (const struct step_call *call = job->calls; call; call = call->next)
		ret->parked++;
	for (const struct pending_push *push = job->pushes; push; push = push->next)
		ret->waiting_pushes++;
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		const struct job_member *member = &job->members[w];
		ret->joined += member->joined && !member->left;
		ret->left += member->left;
		if (member->clock < ret->slowest)
			ret->slowest = member->clock;
		if (member->clock > ret->fastest)
			ret->fastest = member->clock;
	}
	pthread_mutex_unlock(&server->lock);
	return job;
}

static void gauge(struct prometheus *out, const char *name, const char *help, double value)
{
	prometheus_family(out, name, PROMETHEUS_GAUGE, help);
	prometheus_number(out, NULL, 0, value);
}

static void counter(struct prometheus *out, const char *name, const char *help, uint64_t value)
{
	prometheus_family(out, name, PROMETHEUS_COUNTER, help);
	prometheus_count(out, NULL, 0, value);
}

/* ---- calls ---- */

static const char *method_name(const struct rpc_method_stats *stats)
{
	return stats->method[0] ? stats->method : "unknown";
}

static void write_calls(struct prometheus *out, const struct ps_server *server)
{
	const size_t methods = rpc_server_method_count(server->rpc);
	struct rpc_method_stats stats;
	prometheus_family(out, "marquee_ps_calls_total", PROMETHEUS_COUNTER,
		"Calls answered, by method and status.");
	for (size_t m = 0; m < methods; m++) {
		rpc_server_method_stats(server->rpc, m, &stats);
		for (unsigned int s = 0; s < STATUS_COUNT; s++) {
			const struct prometheus_label labels[] = {{"method", method_name(&stats)},
				{"status", status_name((enum status)s)}};
			/* OK always, so that a rate can be formed from the first call on. */
			if (stats.answered[s] || (s == STATUS_OK && stats.method[0]))
				prometheus_count(out, labels, 2, stats.answered[s]);
		}
	}
	prometheus_family(out, "marquee_ps_call_duration_seconds", PROMETHEUS_HISTOGRAM,
		"From a request's arrival to its answer, waiting for other workers included.");
	for (size_t m = 0; m < methods; m++) {
		rpc_server_method_stats(server->rpc, m, &stats);
		const struct prometheus_label label = {"method", method_name(&stats)};
		if (stats.method[0])
			prometheus_latency(out, &label, 1, stats.latency);
	}
}

static void write_traffic(struct prometheus *out, const struct ps_server *server)
{
	struct rpc_server_stats traffic;
	rpc_server_stats(server->rpc, &traffic);
	counter(out, "marquee_ps_requests_total", "Messages that came.", traffic.requests);
	counter(out, "marquee_ps_refused_total",
		"Requests refused before a method saw them: bad frames, unknown methods, wrong "
		"tokens.",
		traffic.refused);
	gauge(out, "marquee_ps_connections", "Connections that are open.",
		(double)traffic.connections);
	counter(out, "marquee_ps_connections_refused_total",
		"Connections refused, as too many were open.", traffic.connections_refused);
	counter(out, "marquee_ps_received_bytes_total", "Bytes of messages that came.",
		traffic.bytes_received);
	counter(out, "marquee_ps_sent_bytes_total", "Bytes of replies.", traffic.bytes_sent);
}

/* ---- the job ---- */

static void write_job(struct prometheus *out, const struct figures *figures)
{
	gauge(out, "marquee_ps_job_active", "1 while a job has tables here.", figures->active);
	if (!figures->active)
		return;
	gauge(out, "marquee_ps_step",
		"The step that is applied next; the slowest worker's without sync.",
		(double)figures->step);
	gauge(out, "marquee_ps_worker_clock_slowest", "The slowest worker's next step.",
		(double)figures->slowest);
	gauge(out, "marquee_ps_worker_clock_fastest", "The fastest worker's next step.",
		(double)figures->fastest);
	counter(out, "marquee_ps_pushes_applied_total", "Pushes applied in this job.",
		figures->applied);
	counter(out, "marquee_ps_repeats_answered_total",
		"Pushes that came again and were not applied again.", figures->repeats);
	gauge(out, "marquee_ps_parked_calls", "Calls that wait for a step or a worker.",
		(double)figures->parked);
	gauge(out, "marquee_ps_waiting_pushes", "Pushes accepted and not applied yet.",
		(double)figures->waiting_pushes);
	prometheus_family(
		out, "marquee_ps_members", PROMETHEUS_GAUGE, "The job's workers, by what they do.");
	const struct prometheus_label states[] = {
		{"state", "training"}, {"state", "left"}, {"state", "expected"}};
	prometheus_count(out, &states[0], 1, figures->joined);
	prometheus_count(out, &states[1], 1, figures->left);
	prometheus_count(out, &states[2], 1, figures->workers - figures->joined - figures->left);
}

static void write_counts(struct prometheus *out, const struct ps_counts *counts)
{
	counter(out, "marquee_ps_jobs_total",
		"Jobs begun here; a restart of all workers is a new one.", counts->jobs);
	counter(out, "marquee_ps_worker_restarts_total",
		"Workers replaced by a new start of themselves.", counts->workers_replaced);
	counter(out, "marquee_ps_expired_calls_total", "Calls that waited until their deadline.",
		counts->expired_calls);
	counter(out, "marquee_ps_checkpoint_cuts_total", "Checkpoints that a worker began to read.",
		counts->cuts);
	counter(out, "marquee_ps_checkpoint_cuts_read_total",
		"Checkpoints that were read to their end.", counts->cuts_read);
	if (counts->cuts_read == 0)
		return;
	gauge(out, "marquee_ps_checkpoint_read_seconds",
		"From the latest checkpoint's cut until it was read.", counts->cut_read_s);
	gauge(out, "marquee_ps_checkpoint_read_timestamp_seconds",
		"When that was, in seconds since 1970.", counts->cut_read_unix_s);
}

/* ---- tables ---- */

static void write_tables(struct prometheus *out, struct job *job)
{
	static const struct {
		const char *name, *help;
		enum prometheus_kind kind;
		size_t member;
	} families[] = {
		{"marquee_ps_table_rows", "Rows that exist here.", PROMETHEUS_GAUGE,
			offsetof(struct store_table_stats, rows)},
		{"marquee_ps_table_bytes", "Memory of rows, optimizer state and index.",
			PROMETHEUS_GAUGE, offsetof(struct store_table_stats, bytes)},
		{"marquee_ps_rows_pulled_total", "Rows that were asked for.", PROMETHEUS_COUNTER,
			offsetof(struct store_table_stats, pulled)},
		{"marquee_ps_rows_pushed_total", "Rows that gradients were applied to.",
			PROMETHEUS_COUNTER, offsetof(struct store_table_stats, pushed)},
	};
	struct store_table_stats stats[JOB_TABLES_MAX];
	for (uint32_t t = 0; t < job->spec.table_count; t++)
		store_table_stats(job->store, t, &stats[t]);
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		prometheus_family(out, families[f].name, families[f].kind, families[f].help);
		for (uint32_t t = 0; t < job->spec.table_count; t++) {
			const struct prometheus_label label = {"table", job->spec.tables[t].name};
			uint64_t value;
			memcpy(&value, (const char *)&stats[t] + families[f].member, sizeof(value));
			prometheus_count(out, &label, 1, value);
		}
	}
}

enum status ps_server_metrics(
	struct ps_server *server, char **ret_text, size_t *ret_size, struct error *err)
{
	struct prometheus out;
	struct figures figures;
	char index[16], count[16];
	struct job *job = read_figures(server, &figures);
	snprintf(index, sizeof(index), "%u", server->shard_index);
	snprintf(count, sizeof(count), "%u", server->shard_count);
	const struct prometheus_label shard[] = {{"shard", index}, {"shards", count}};
	prometheus_init(&out);
	prometheus_family(&out, "marquee_ps_shard_info", PROMETHEUS_GAUGE,
		"Always 1: which part of the ids this server has.");
	prometheus_count(&out, shard, 2, 1);
	write_job(&out, &figures);
	write_counts(&out, &figures.counts);
	if (job) {
		write_tables(&out, job);
		ps_job_release(job);
	}
	write_calls(&out, server);
	write_traffic(&out, server);
	prometheus_process(&out);
	return prometheus_finish(&out, ret_text, ret_size, err);
}
