/*
 * One training step, in two phases on the team and what the owner does after each.
 *
 *   lanes    each lane: forward and backward of step t; then each lane: the examples of step t+1,
 *            the distinct users and movies in them, the model's plan
 *   tables   each table: the lanes' gradients of t summed along the tree, the unique ids of t+1,
 *            and, where the tables are in this process, the exchange; beside them, in shares, the
 *            dense gradients summed over the lanes
 *   owner    the dense sums to the other workers; where the tables are on servers, one message to
 *            each, with the gradients of t and the ids of t+1; the dense sums of all, and the dense
 *            step
 *
 * Gradients and rows of two steps are alive at once, so batches and spans take turns.
 */
#include "worker/event_log.h"
#include "worker/trainer_internal.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Shares of the dense vector per thread: small enough to even out what the tables leave. */
#define DENSE_SHARES 4u

static uint64_t lane_examples(const struct trainer *trainer, uint64_t count, uint64_t step)
{
	uint64_t begin = step * trainer->lane_batch;
	uint64_t left = begin < count ? count - begin : 0;
	return left < trainer->lane_batch ? left : trainer->lane_batch;
}

uint64_t trainer_step_examples(const struct trainer *trainer, uint64_t step_in_epoch)
{
	uint64_t examples = 0;
	for (uint32_t l = 0; l < trainer->options.lanes; l++)
		examples += lane_examples(trainer, trainer->dataset.train[l].count, step_in_epoch);
	return examples;
}

uint64_t trainer_examples(const struct trainer *trainer, uint64_t steps)
{
	uint64_t examples = steps / trainer->steps_per_epoch * trainer->dataset.train_count;
	for (uint64_t s = 0; s < steps % trainer->steps_per_epoch; s++)
		examples += trainer_step_examples(trainer, s);
	return examples;
}

struct lane_phase {
	struct trainer *trainer;
	const struct lane_pass *passes;
	uint32_t count;
	atomic_bool taken[LANE_PASSES_MAX][LANES_MAX];
};

/*
 * A member starts with the lanes that it had in the last step, whose memory its core still holds,
 * and then takes what the others have not come to: cores that share a machine with others are
 * seldom equally fast, and what a lane computes does not depend on who does.
 */
static void run_lanes(void *context, uint32_t member, uint32_t members)
{
	struct lane_phase *phase = context;
	struct trainer *trainer = phase->trainer;
	const uint32_t lanes = trainer->block.count;
	const uint32_t first = lane_block(lanes, member, members).first;
	for (uint32_t p = 0; p < phase->count; p++) {
		for (uint32_t k = 0; k < lanes; k++) {
			uint32_t i = first + k < lanes ? first + k : first + k - lanes;
			if (atomic_exchange_explicit(
				    &phase->taken[p][i], true, memory_order_relaxed))
				continue;
			struct lane_outcome *outcome = &trainer->outcomes[i];
			outcome->status[p] = phase->passes[p].function(trainer, &trainer->lanes[i],
				outcome, phase->passes[p].argument, &outcome->errors[p]);
		}
	}
}

enum status trainer_each_lane(
	struct trainer *trainer, const struct lane_pass *passes, uint32_t count, struct error *err)
{
	struct lane_phase phase = {.trainer = trainer, .passes = passes, .count = count};
	team_run(trainer->team, run_lanes, &phase);
	for (uint32_t p = 0; p < count; p++) {
		for (uint32_t i = 0; i < trainer->block.count; i++) {
			const struct lane_outcome *outcome = &trainer->outcomes[i];
			if (outcome->status[p] != STATUS_OK)
				return error_set(err, outcome->status[p], "lane %u: %s",
					trainer->lanes[i].index, outcome->errors[p].message);
		}
	}
	return STATUS_OK;
}

void trainer_lane_rows(const struct trainer *trainer, const struct spans *spans,
	const struct lane *lane, struct model_rows *ret_rows)
{
	spans_lane_rows(spans, lane->index - trainer->block.first, ret_rows);
}

/* ---- lanes ---- */

/* Loads step `step` of the job into the batches whose turn it is then. */
static enum status load(struct trainer *trainer, struct lane *lane, struct lane_outcome *outcome,
	uint64_t step, struct error *err)
{
	uint32_t turn = step == trainer->step ? trainer->turn : 1 - trainer->turn;
	uint64_t in_epoch = step % trainer->steps_per_epoch;
	uint64_t examples = trainer_step_examples(trainer, in_epoch);
	(void)outcome;
	return lane_load_train(lane, turn, step / trainer->steps_per_epoch,
		in_epoch * trainer->lane_batch, trainer->lane_batch, 1.0f / (float)examples, err);
}

static enum status train(struct trainer *trainer, struct lane *lane, struct lane_outcome *outcome,
	uint64_t argument, struct error *err)
{
	(void)argument;
	struct model_rows rows[MODEL_TABLES_MAX];
	struct model_workspace *workspace = lane->batches[trainer->turn].workspace;
	trainer_lane_rows(trainer, &trainer->spans[trainer->turn], lane, rows);
	const struct model_weights weights = dense_weights(&trainer->dense);
	enum status status = model_train(workspace, &weights, rows, err);
	if (status != STATUS_OK)
		return status;
	outcome->cost = model_cost(workspace);
	outcome->epoch_cost += outcome->cost;
	if (!isfinite(outcome->cost))
		return error_set(err, STATUS_DATA_LOSS,
			"the loss of step %llu is not finite: try a smaller --learning-rate",
			(unsigned long long)trainer->step);
	return STATUS_OK;
}

/* ---- tables ---- */

struct tables_phase {
	struct trainer *trainer;
	struct spans *push; /* whose gradients to merge; NULL: none */
	struct spans *pull; /* whose ids to collect; NULL: none */
	uint32_t tables;
	uint32_t dense_shares;
	atomic_uint next;
	enum status status[MODEL_TABLES_MAX];
	struct error errors[MODEL_TABLES_MAX];
};

static enum status run_table(struct tables_phase *phase, uint32_t table, struct error *err)
{
	struct trainer *trainer = phase->trainer;
	struct params *params = trainer->params;
	enum status status = STATUS_OK;
	if (phase->push)
		spans_merge(phase->push, trainer->lanes, table);
	if (phase->pull)
		status = spans_collect(phase->pull, trainer->lanes, table, err);
	if (!params->operations->exchange_table || status != STATUS_OK)
		return status;
	/* Tables are here, so this worker is the only one and has one span. */
	return params->operations->exchange_table(params,
		phase->push ? &phase->push->pushes[table] : NULL, trainer->step,
		phase->pull ? &phase->pull->pulls[table] : NULL, err);
}

static bool steps_dense_alone(const struct trainer *trainer)
{
	return trainer->comm->workers == 1 && trainer->dense_table == UINT32_MAX;
}

static void run_dense_share(struct trainer *trainer, uint32_t share, uint32_t shares)
{
	uint64_t begin, end;
	const float *slots[LANES_MAX];
	const struct spans *spans = &trainer->spans[trainer->turn];
	team_share(model_dense_size(trainer->model), share, shares, &begin, &end);
	for (uint32_t s = 0; s < spans->count; s++) {
		const struct lane_span *lanes = &spans->spans[s].lanes;
		const struct lane *first = &trainer->lanes[lanes->first - trainer->block.first];
		for (uint32_t i = 0; i < lanes->count; i++)
			slots[i] = model_dense_gradient(first[i].batches[spans->turn].workspace) +
				   begin;
		lane_tree_sum(trainer->dense_sums[s] + begin, slots, lanes->count, end - begin);
	}
	if (steps_dense_alone(trainer))
		dense_apply(&trainer->dense, begin, end, trainer->dense_sums[0], trainer->step + 1);
}

static void run_tables(void *context, uint32_t member, uint32_t members)
{
	struct tables_phase *phase = context;
	(void)member, (void)members;
	for (;;) {
		uint32_t task = atomic_fetch_add_explicit(&phase->next, 1, memory_order_relaxed);
		if (task < phase->tables) {
			phase->status[task] = run_table(phase, task, &phase->errors[task]);
			continue;
		}
		task -= phase->tables;
		if (task >= phase->dense_shares)
			return;
		run_dense_share(phase->trainer, task, phase->dense_shares);
	}
}

/* In ssp and async mode the dense parameters travel like a table: one more push a span, one pull.
 */
static uint32_t add_dense_pushes(struct trainer *trainer, const struct spans *spans, uint32_t count)
{
	for (uint32_t s = 0; s < spans->count; s++)
		trainer->pushes[count++] = (struct params_push){
			.table = trainer->dense_table,
			.slot = spans->spans[s].lanes.first,
			.count = dense_row_count(&trainer->dense),
			.examples = spans->pushes[s].examples,
			.ids = trainer->dense_ids,
			.gradients = trainer->dense_sums[s],
		};
	return count;
}

static uint32_t add_dense_pull(struct trainer *trainer, uint32_t count)
{
	trainer->pulls[count++] = (struct params_pull){
		.table = trainer->dense_table,
		.count = dense_row_count(&trainer->dense),
		.ids = trainer->dense_ids,
		.rows = trainer->dense.weights,
	};
	return count;
}

static void pack_dense_share(void *context, uint32_t member, uint32_t members)
{
	struct trainer *trainer = context;
	uint64_t begin, end;
	team_share(trainer->dense.size, member, members, &begin, &end);
	dense_pack(&trainer->dense, begin, end);
}

/* The exchange of everything that exchange_table has not done: all tables, or the dense one. */
static enum status exchange(struct trainer *trainer, const struct spans *push,
	const struct spans *pull, uint64_t pull_step, struct error *err)
{
	const bool tables = !trainer->params->operations->exchange_table;
	const bool dense = trainer->dense_table != UINT32_MAX;
	struct params_step step = {.push_step = trainer->step,
		.pull_step = pull_step,
		.has_push = push != NULL,
		.has_pull = pull != NULL,
		.pushes = trainer->pushes,
		.pulls = trainer->pulls};
	if (!tables && !dense)
		return STATUS_OK;
	if (push && tables) {
		step.push_count = push->count * push->table_count;
		memcpy(trainer->pushes, push->pushes, step.push_count * sizeof(*push->pushes));
	}
	if (push && dense)
		step.push_count = add_dense_pushes(trainer, push, step.push_count);
	if (pull && tables) {
		step.pull_count = pull->count * pull->table_count;
		memcpy(trainer->pulls, pull->pulls, step.pull_count * sizeof(*pull->pulls));
	}
	if (pull && dense)
		step.pull_count = add_dense_pull(trainer, step.pull_count);
	enum status status = trainer->params->operations->exchange(trainer->params, &step, err);
	if (status == STATUS_OK && pull && dense)
		team_run(trainer->team, pack_dense_share, trainer);
	return status;
}

/* The tables phase. Either of push and pull may be NULL. */
static enum status merge_tables(
	struct trainer *trainer, struct spans *push, struct spans *pull, struct error *err)
{
	struct tables_phase phase = {
		.trainer = trainer,
		.push = push,
		.pull = pull,
		.tables = model_table_count(trainer->model),
		.dense_shares = push ? DENSE_SHARES * team_members(trainer->team) : 0,
	};
	team_run(trainer->team, run_tables, &phase);
	for (uint32_t t = 0; t < phase.tables; t++)
		if (phase.status[t] != STATUS_OK)
			return error_set(err, phase.status[t], "%s", phase.errors[t].message);
	return STATUS_OK;
}

enum status trainer_pull(struct trainer *trainer, struct spans *spans, struct error *err)
{
	enum status status = merge_tables(trainer, NULL, spans, err);
	return status == STATUS_OK ? exchange(trainer, NULL, spans, trainer->step, err) : status;
}

/* ---- the dense step of several workers ---- */

static void apply_dense_share(void *context, uint32_t member, uint32_t members)
{
	struct trainer *trainer = context;
	uint64_t begin, end;
	team_share(trainer->dense.size, member, members, &begin, &end);
	dense_apply(&trainer->dense, begin, end, trainer->dense_sums[0], trainer->step + 1);
}

/* Whether the workers sum their dense gradients among themselves. */
static bool sums_dense(const struct trainer *trainer)
{
	return trainer->dense_table == UINT32_MAX && !steps_dense_alone(trainer);
}

static enum status start_dense_sum(struct trainer *trainer, struct error *err)
{
	const struct spans *spans = &trainer->spans[0];
	struct lane_span lanes[LANES_MAX];
	if (!sums_dense(trainer))
		return STATUS_OK;
	for (uint32_t s = 0; s < spans->count; s++)
		lanes[s] = spans->spans[s].lanes;
	return comm_sum_start(trainer->comm, (uint32_t)trainer->options.lanes, lanes,
		trainer->dense_sums, spans->count, trainer->dense.size, err);
}

static enum status finish_dense_step(struct trainer *trainer, struct error *err)
{
	if (!sums_dense(trainer))
		return STATUS_OK;
	enum status status = comm_sum_finish(trainer->comm, err);
	if (status == STATUS_OK)
		team_run(trainer->team, apply_dense_share, trainer);
	return status;
}

/* ---- the loop ---- */

/* Of this worker's lanes. */
static uint64_t own_examples(const struct trainer *trainer)
{
	uint64_t examples = 0;
	for (uint32_t i = 0; i < trainer->block.count; i++)
		examples += trainer->lanes[i].batches[trainer->turn].examples.example_count;
	return examples;
}

/* The mean over this worker's examples: for the progress line. */
static double own_cost(const struct trainer *trainer, uint64_t examples)
{
	double cost = 0;
	for (uint32_t i = 0; i < trainer->block.count; i++)
		cost += trainer->outcomes[i].cost;
	return examples ? cost / (double)examples : NAN;
}

static void count_step(struct trainer *trainer, const struct spans *current)
{
	const uint64_t examples = own_examples(trainer);
	trainer->examples_read += examples;
	const struct report_step done = {
		.step = trainer->step,
		.examples =
			trainer_step_examples(trainer, trainer->step % trainer->steps_per_epoch),
		.cost = own_cost(trainer, examples),
		.rows = spans_row_count(current),
		.staleness = trainer->params->staleness,
	};
	for (uint32_t i = 0; i < trainer->block.count; i++)
		hot_rows_count(&trainer->hot, &trainer->lanes[i].batches[trainer->turn]);
	if (event_log_is_due(trainer->events, trainer->step))
		event_log_sample(trainer->events, current);
	report_step(&trainer->report, &done);
}

static enum status run_step(struct trainer *trainer, bool last, struct error *err)
{
	struct spans *current = &trainer->spans[trainer->turn];
	struct spans *next = last ? NULL : &trainer->spans[1 - trainer->turn];
	const struct lane_pass passes[] = {{train, 0}, {load, trainer->step + 1}};
	enum status status = trainer_each_lane(trainer, passes, last ? 1 : 2, err);
	if (status != STATUS_OK)
		return status;
	count_step(trainer, current);
	status = merge_tables(trainer, current, next, err);
	if (status == STATUS_OK)
		status = start_dense_sum(trainer, err);
	if (status == STATUS_OK)
		status = exchange(trainer, current, next, trainer->step + 1, err);
	if (status == STATUS_OK)
		status = finish_dense_step(trainer, err);
	return status;
}

enum status trainer_run_steps(struct trainer *trainer, uint64_t end, struct error *err)
{
	if (trainer->step >= end)
		return STATUS_OK;
	const struct lane_pass first = {load, trainer->step};
	enum status status = trainer_each_lane(trainer, &first, 1, err);
	if (status == STATUS_OK)
		status = trainer_pull(trainer, &trainer->spans[trainer->turn], err);
	while (status == STATUS_OK && trainer->step < end) {
		status = run_step(trainer, trainer->step + 1 == end, err);
		if (status != STATUS_OK)
			break;
		trainer->step++;
		trainer->turn = 1 - trainer->turn;
		trainer_save_poll(trainer);
		/* Where the stretch ends, its end is saved. */
		if (trainer_save_is_due(trainer) && trainer->step < end)
			status = trainer_save(trainer, SAVE_PERIODIC, err);
	}
	return status == STATUS_OK
		       ? status
		       : error_wrap(err, status, "step %llu", (unsigned long long)trainer->step);
}
