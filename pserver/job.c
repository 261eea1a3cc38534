#include "pserver/job.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_MAX 4u /* workers named in a message; the others are counted */

enum status job_spec_validate(const struct job_spec *spec, struct error *err)
{
	if (spec->name[0] == '\0')
		return error_set(err, STATUS_INVALID_ARGUMENT, "the job has no name");
	if (spec->workers == 0 || spec->workers > JOB_WORKERS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u workers; expected 1 to %u",
			spec->workers, JOB_WORKERS_MAX);
	if (spec->lanes == 0 || spec->lanes > LANES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u lanes; expected 1 to %u",
			spec->lanes, LANES_MAX);
	if (spec->mode != JOB_SYNC && spec->mode != JOB_SSP && spec->mode != JOB_ASYNC)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "there is no mode %d", (int)spec->mode);
	if (spec->table_count == 0 || spec->table_count > JOB_TABLES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u tables; expected 1 to %u",
			spec->table_count, JOB_TABLES_MAX);
	/* Steps are counted up from here, and the optimizers' steps start at 1. */
	if (spec->first_step > UINT64_MAX / 2)
		return error_set(err, STATUS_INVALID_ARGUMENT, "first step %llu is too large",
			(unsigned long long)spec->first_step);
	return STATUS_OK;
}

static enum status create_tables(struct job *job, struct error *err)
{
	for (uint32_t t = 0; t < job->spec.table_count; t++) {
		uint32_t table;
		enum status status =
			store_create_table(job->store, &job->spec.tables[t], &table, err);
		if (status != STATUS_OK)
			return status;
		if (table != t)
			return error_set(err, STATUS_INVALID_ARGUMENT, "table %s is listed twice",
				job->spec.tables[t].name);
	}
	return STATUS_OK;
}

enum status job_new(struct job **ret, const struct job_spec *spec, const struct job_place *place,
	uint64_t now_ns, struct error *err)
{
	struct job *job;
	enum status status = memory_zalloc(&job, 1, sizeof(*job), "job", err);
	if (status != STATUS_OK)
		return status;
	job->spec = *spec;
	atomic_init(&job->references, 1);
	job->next_step = spec->first_step;
	job->last_heard_ns = now_ns;
	struct store_options options = {.seed = spec->seed,
		.shard_index = place->shard_index,
		.shard_count = place->shard_count,
		.crew = place->crew};
	status = memory_zalloc(&job->members, spec->workers, sizeof(*job->members), "members", err);
	if (status == STATUS_OK)
		status = store_new(&job->store, &options, err);
	if (status == STATUS_OK)
		status = create_tables(job, err);
	if (status == STATUS_OK)
		status = aggregate_new(&job->aggregate, job->store, err);
	if (status == STATUS_OK && spec->mode != JOB_SYNC)
		status = pool_new(&job->pool, job->store, spec->tables, spec->table_count,
			spec->workers, spec->first_step, err);
	if (status != STATUS_OK) {
		job_free(job);
		return status;
	}
	for (uint32_t w = 0; w < spec->workers; w++)
		job->members[w].clock = spec->first_step;
	*ret = job;
	return STATUS_OK;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	aggregate_free(job->aggregate);
	for (uint32_t i = 0; i < job->spare_count; i++)
		aggregate_free(job->spares[i]);
	pool_free(job->pool);
	store_free(job->store);
	free(job->members);
	free(job);
}

static enum status compare_specs(
	const struct job_spec *there, const struct job_spec *asked, struct error *err)
{
	struct {
		const char *what;
		uint64_t there, asked;
	} const numbers[] = {
		{"workers", there->workers, asked->workers},
		{"lanes", there->lanes, asked->lanes},
		{"mode", there->mode, asked->mode},
		{"staleness", there->staleness, asked->staleness},
		{"seed", there->seed, asked->seed},
		{"a checkpoint of incarnations up to", there->after_incarnation,
			asked->after_incarnation},
		{"tables", there->table_count, asked->table_count},
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (numbers[i].there != numbers[i].asked)
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"job '%s' runs with %s %llu, this worker has %llu: start all "
				"workers with the same options",
				there->name, numbers[i].what, (unsigned long long)numbers[i].there,
				(unsigned long long)numbers[i].asked);
	}
	for (uint32_t t = 0; t < there->table_count; t++) {
		if (!table_spec_equal(&there->tables[t], &asked->tables[t]))
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"job '%s' runs with another table %u (%s) than this worker has "
				"(%.31s): start all workers with the same model and optimizer",
				there->name, t, there->tables[t].name, asked->tables[t].name);
	}
	return STATUS_OK;
}

/* ssp, async: the smallest clock among those who are waited for. */
static void update_next_step(struct job *job)
{
	uint64_t smallest = UINT64_MAX;
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		const struct job_member *member = &job->members[w];
		if (!member->left && member->clock < smallest)
			smallest = member->clock;
	}
	if (smallest != UINT64_MAX)
		job->next_step = smallest;
}

/* ssp, async: somebody has come or gone. */
static void update_members(struct job *job)
{
	uint32_t members = 0;
	for (uint32_t w = 0; w < job->spec.workers; w++)
		members += !job->members[w].left;
	pool_set_members(job->pool, members);
	update_next_step(job);
}

static enum status refuse_older(
	const struct job_member *member, uint32_t worker, uint64_t incarnation, struct error *err)
{
	return error_set(err, STATUS_FAILED_PRECONDITION,
		"worker %u was started again: incarnation %llu is older than %llu", worker,
		(unsigned long long)incarnation, (unsigned long long)member->incarnation);
}

bool job_is_before(const struct job *job, uint64_t after_incarnation)
{
	for (uint32_t w = 0; w < job->spec.workers; w++)
		if (job->members[w].joined && job->members[w].incarnation <= after_incarnation)
			return true;
	return false;
}

enum status job_join(struct job *job, const struct job_spec *spec, uint32_t worker,
	uint64_t incarnation, struct error *err)
{
	if (job->spec.after_incarnation && incarnation <= job->spec.after_incarnation)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"worker %u of incarnation %llu is of before the checkpoint that job '%s' "
			"goes on from, which holds those up to %llu",
			worker, (unsigned long long)incarnation, job->spec.name,
			(unsigned long long)job->spec.after_incarnation);
	enum status status = compare_specs(&job->spec, spec, err);
	if (status != STATUS_OK)
		return status;
	if (worker >= job->spec.workers)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"worker %u of %u: they are counted from 0", worker, job->spec.workers);
	struct job_member *member = &job->members[worker];
	if (member->joined && incarnation < member->incarnation)
		return refuse_older(member, worker, incarnation, err);
	if (member->joined && incarnation == member->incarnation) {
		if (!member->left)
			return STATUS_OK; /* a repeat */
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"worker %u has left job '%s' and comes back only with a new incarnation",
			worker, job->spec.name);
	}
	if (job->failure.status != STATUS_OK)
		return error_set(err, job->failure.status, "%s", job->failure.message);
	/* Elsewhere than in sync a clock orders nothing that was applied; it may be set. */
	if (job->spec.mode == JOB_SYNC && spec->first_step != member->clock)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"job '%s' expects step %llu of worker %u next, which starts at step %llu: "
			"start the whole job again",
			job->spec.name, (unsigned long long)member->clock, worker,
			(unsigned long long)spec->first_step);
	*member = (struct job_member){
		.joined = true, .incarnation = incarnation, .clock = spec->first_step};
	if (job->pool)
		job->members[worker].rounds = pool_rounds(job->pool);
	if (job->spec.mode != JOB_SYNC)
		update_members(job);
	return STATUS_OK;
}

enum status job_check_member(
	const struct job *job, uint32_t worker, uint64_t incarnation, struct error *err)
{
	if (worker >= job->spec.workers)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"worker %u of %u: they are counted from 0", worker, job->spec.workers);
	const struct job_member *member = &job->members[worker];
	if (!member->joined)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"worker %u has not joined job '%s'", worker, job->spec.name);
	if (incarnation < member->incarnation)
		return refuse_older(member, worker, incarnation, err);
	if (incarnation > member->incarnation)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"worker %u has not joined in incarnation %llu", worker,
			(unsigned long long)incarnation);
	if (member->left)
		return error_set(err, STATUS_FAILED_PRECONDITION, "worker %u has left job '%s'",
			worker, job->spec.name);
	return STATUS_OK;
}

void job_leave(struct job *job, uint32_t worker)
{
	job->members[worker].left = true;
	if (job->spec.mode != JOB_SYNC)
		update_members(job);
}

bool job_is_over(const struct job *job)
{
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		if (!job->members[w].left)
			return false;
	}
	return true;
}

enum status job_begin_restore(struct job *job, struct error *err)
{
	if (job->started)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"step %llu has begun: tables are restored before the first push",
			(unsigned long long)job->spec.first_step);
	job->restoring++;
	return STATUS_OK;
}

void job_end_restore(struct job *job)
{
	job->restoring--;
}

enum status job_check_push(const struct job *job, uint32_t worker, uint64_t step, struct error *err)
{
	uint64_t clock = job->members[worker].clock;
	if (job->restoring > 0)
		return error_set(
			err, STATUS_UNAVAILABLE, "rows of a checkpoint are still being restored");
	if (job->spec.mode == JOB_SYNC && step == clock && step == job->next_step)
		return STATUS_OK;
	if (job->spec.mode != JOB_SYNC && step < UINT64_MAX / 2)
		return STATUS_OK;
	if (job->spec.mode == JOB_SYNC && step < clock)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"worker %u pushed step %llu a second time", worker,
			(unsigned long long)step);
	return error_set(err, STATUS_FAILED_PRECONDITION,
		"worker %u pushed step %llu before step %llu was applied", worker,
		(unsigned long long)step, (unsigned long long)job->next_step);
}

void job_accept_push(struct job *job, uint32_t worker, uint64_t sequence, uint64_t step)
{
	struct job_member *member = &job->members[worker];
	sequence_accept(&member->pushes, sequence);
	job->started = true;
	if (job->spec.mode == JOB_SYNC)
		member->clock = step + 1;
}

void job_accept_pushes(struct job *job)
{
	job->started = true;
	for (uint32_t w = 0; w < job->spec.workers; w++)
		job->members[w].clock = job->next_step + 1;
}

bool job_step_is_complete(const struct job *job)
{
	bool some = false;
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		const struct job_member *member = &job->members[w];
		if (member->clock > job->next_step)
			some = true;
		else if (!member->left)
			return false;
	}
	return some;
}

void job_step_applied(struct job *job)
{
	job->next_step++;
	job->pushes_applied++;
}

void job_push_applied(struct job *job, uint32_t worker, uint64_t step)
{
	struct job_member *member = &job->members[worker];
	if (member->clock < step + 1)
		member->clock = step + 1;
	job->pushes_applied++;
	update_next_step(job);
}

bool job_may_pull(const struct job *job, uint64_t step)
{
	switch (job->spec.mode) {
	case JOB_SYNC:
		return step <= job->next_step;
	case JOB_SSP:
		return step <= job->spec.staleness || step - job->spec.staleness <= job->next_step;
	case JOB_ASYNC:
	default:
		return true;
	}
}

/* Whether the others wait for this member before they get `step`. */
static bool is_missing(const struct job *job, const struct job_member *member, uint64_t step)
{
	if (member->left)
		return false;
	if (job->spec.mode == JOB_SYNC)
		return member->clock <= job->next_step;
	return member->clock + job->spec.staleness < step;
}

void job_describe_wait(const struct job *job, uint64_t step, char *text, size_t size)
{
	char names[128] = "";
	size_t used = 0;
	uint32_t named = 0, missing = 0;
	for (uint32_t w = 0; w < job->spec.workers; w++) {
		const struct job_member *member = &job->members[w];
		if (!is_missing(job, member, step))
			continue;
		if (++missing > NAMED_MAX)
			continue;
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%u%s",
			named++ ? ", " : "", w, member->joined ? "" : " (has not joined)");
	}
	if (missing > NAMED_MAX)
		snprintf(names + used, sizeof(names) - used, " and %u more", missing - NAMED_MAX);
	const char *plural = missing == 1 ? "" : "s";
	if (job->applying || missing == 0)
		snprintf(
			text, size, "step %llu: being applied", (unsigned long long)job->next_step);
	else if (job->spec.mode == JOB_SYNC)
		snprintf(text, size, "step %llu: waiting for the push of worker%s %s",
			(unsigned long long)job->next_step, plural, names);
	else
		snprintf(text, size,
			"step %llu: waiting for worker%s %s, at step %llu with a staleness of %u",
			(unsigned long long)step, plural, names, (unsigned long long)job->next_step,
			job->spec.staleness);
}
