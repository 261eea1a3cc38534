/*
 * One training step.
 *
 *   load     each lane: its examples, the distinct users and movies, the model's plan   (team)
 *   collect  each table: unique ids of each span of lanes                               (team)
 *   exchange the gradients of the step before, the rows of this one                     (owner)
 *   train    each lane: forward, backward                                               (team)
 *   merge    shares of ids and of the dense vector: sums over lanes along the tree      (team)
 *   reduce   dense sums over the workers, and the dense step (sync)                     (owner,
 * team)
 *
 * Loading step t+1 comes before the exchange of step t, so that both travel in one message.
 */
#include "worker/trainer_internal.h"

#include <math.h>
#include <string.h>

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

struct lane_phase {
	struct trainer *trainer;
	lane_function *function;
	uint64_t argument;
};

static void run_lanes(void *context, uint32_t member, uint32_t members)
{
	const struct lane_phase *phase = context;
	struct trainer *trainer = phase->trainer;
	struct lane_span share = lane_block(trainer->block.count, member, members);
	for (uint32_t i = share.first; i < share.first + share.count; i++) {
		struct lane_outcome *outcome = &trainer->outcomes[i];
		outcome->status = phase->function(
			trainer, &trainer->lanes[i], outcome, phase->argument, &outcome->error);
	}
}

enum status trainer_each_lane(
	struct trainer *trainer, lane_function *function, uint64_t argument, struct error *err)
{
	struct lane_phase phase = {trainer, function, argument};
	team_run(trainer->team, run_lanes, &phase);
	for (uint32_t i = 0; i < trainer->block.count; i++) {
		const struct lane_outcome *outcome = &trainer->outcomes[i];
		if (outcome->status != STATUS_OK)
			return error_set(err, outcome->status, "lane %u: %s",
				trainer->lanes[i].index, outcome->error.message);
	}
	return STATUS_OK;
}

struct collect_phase {
	const struct trainer *trainer;
	struct spans *spans;
	enum status status[MODEL_TABLES_MAX];
	struct error errors[MODEL_TABLES_MAX];
};

static void collect_tables(void *context, uint32_t member, uint32_t members)
{
	struct collect_phase *phase = context;
	for (uint32_t t = member; t < phase->spans->table_count; t += members)
		phase->status[t] =
			spans_collect(phase->spans, phase->trainer->lanes, t, &phase->errors[t]);
}

enum status trainer_collect(struct trainer *trainer, struct spans *spans, struct error *err)
{
	struct collect_phase phase = {.trainer = trainer, .spans = spans};
	team_run(trainer->team, collect_tables, &phase);
	for (uint32_t t = 0; t < spans->table_count; t++)
		if (phase.status[t] != STATUS_OK)
			return error_set(err, phase.status[t], "%s", phase.errors[t].message);
	spans_requests(spans);
	return STATUS_OK;
}

void trainer_lane_rows(const struct trainer *trainer, const struct spans *spans,
	const struct lane *lane, struct model_rows *ret_rows)
{
	spans_lane_rows(spans, lane->index - trainer->block.first, ret_rows);
}

static enum status load_lane(struct trainer *trainer, struct lane *lane,
	struct lane_outcome *outcome, uint64_t step, struct error *err)
{
	(void)outcome;
	uint64_t in_epoch = step % trainer->steps_per_epoch;
	uint64_t examples = trainer_step_examples(trainer, in_epoch);
	return lane_load_train(lane, step / trainer->steps_per_epoch,
		in_epoch * trainer->lane_batch, trainer->lane_batch, 1.0f / (float)examples, err);
}

static enum status train_lane(struct trainer *trainer, struct lane *lane,
	struct lane_outcome *outcome, uint64_t step, struct error *err)
{
	struct model_rows rows[MODEL_TABLES_MAX];
	trainer_lane_rows(trainer, &trainer->spans[trainer->turn], lane, rows);
	enum status status = model_train(lane->workspace, trainer->dense.weights, rows, err);
	if (status != STATUS_OK)
		return status;
	outcome->cost = model_cost(lane->workspace);
	outcome->epoch_cost += outcome->cost;
	if (!isfinite(outcome->cost))
		return error_set(err, STATUS_DATA_LOSS,
			"the loss of step %llu is not finite: try a smaller --learning-rate",
			(unsigned long long)step);
	return STATUS_OK;
}

static void sum_dense_share(
	struct trainer *trainer, uint32_t span_index, uint64_t begin, uint64_t end)
{
	const struct lane_span *lanes = &trainer->spans[0].spans[span_index].lanes;
	const float *slots[LANES_MAX];
	for (uint32_t i = 0; i < lanes->count; i++) {
		const struct lane *lane = &trainer->lanes[lanes->first - trainer->block.first + i];
		slots[i] = model_dense_gradient(lane->workspace) + begin;
	}
	lane_tree_sum(trainer->dense_sums[span_index] + begin, slots, lanes->count, end - begin);
}

static void merge_share(void *context, uint32_t member, uint32_t members)
{
	struct trainer *trainer = context;
	struct spans *spans = &trainer->spans[trainer->turn];
	uint64_t begin, end;
	spans_merge(spans, trainer->lanes, member, members);
	team_share(model_dense_size(trainer->model), member, members, &begin, &end);
	for (uint32_t s = 0; s < spans->count; s++)
		sum_dense_share(trainer, s, begin, end);
}

static void apply_dense_share(void *context, uint32_t member, uint32_t members)
{
	struct trainer *trainer = context;
	uint64_t begin, end;
	team_share(trainer->dense.size, member, members, &begin, &end);
	dense_apply(&trainer->dense, begin, end, trainer->dense_sums[0], trainer->step + 1);
}

static enum status reduce_dense(struct trainer *trainer, struct error *err)
{
	const struct spans *spans = &trainer->spans[0];
	struct lane_span lanes[LANES_MAX];
	for (uint32_t s = 0; s < spans->count; s++)
		lanes[s] = spans->spans[s].lanes;
	enum status status = comm_tree_sum(trainer->comm, (uint32_t)trainer->options.lanes, lanes,
		trainer->dense_sums, spans->count, trainer->dense.size, err);
	if (status == STATUS_OK)
		team_run(trainer->team, apply_dense_share, trainer);
	return status;
}

/* In ssp and async mode the dense parameters travel like a table: one more push a span, one pull.
 */
static uint32_t add_dense_pushes(struct trainer *trainer, uint32_t count)
{
	const struct spans *spans = &trainer->spans[0];
	for (uint32_t s = 0; s < spans->count; s++)
		trainer->pushes[count++] = (struct params_push){
			.table = trainer->dense_table,
			.slot = spans->spans[s].lanes.first,
			.count = dense_row_count(&trainer->dense),
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

/* push: the spans whose gradients to send as step `trainer->step`; pull: those to fill. Either may
 * be NULL. */
static enum status exchange(struct trainer *trainer, const struct spans *push,
	const struct spans *pull, uint64_t pull_step, struct error *err)
{
	struct params_step step = {.push_step = trainer->step,
		.pull_step = pull_step,
		.has_push = push != NULL,
		.has_pull = pull != NULL,
		.pushes = trainer->pushes,
		.pulls = trainer->pulls};
	if (push) {
		step.push_count = push->count * push->table_count;
		memcpy(trainer->pushes, push->pushes, step.push_count * sizeof(*push->pushes));
		if (trainer->dense_table != UINT32_MAX)
			step.push_count = add_dense_pushes(trainer, step.push_count);
	}
	if (pull) {
		step.pull_count = pull->count * pull->table_count;
		memcpy(trainer->pulls, pull->pulls, step.pull_count * sizeof(*pull->pulls));
		if (trainer->dense_table != UINT32_MAX)
			step.pull_count = add_dense_pull(trainer, step.pull_count);
	}
	return trainer->params->operations->exchange(trainer->params, &step, err);
}

static enum status load_step(
	struct trainer *trainer, uint64_t step, struct spans *spans, struct error *err)
{
	enum status status = trainer_each_lane(trainer, load_lane, step, err);
	if (status == STATUS_OK)
		status = trainer_collect(trainer, spans, err);
	return status;
}

static double own_cost(const struct trainer *trainer)
{
	double cost = 0;
	uint64_t examples = 0;
	for (uint32_t i = 0; i < trainer->block.count; i++) {
		cost += trainer->outcomes[i].cost;
		examples += trainer->lanes[i].batch.example_count;
	}
	return examples ? cost / (double)examples : NAN;
}

static enum status compute_step(struct trainer *trainer, struct error *err)
{
	enum status status = trainer_each_lane(trainer, train_lane, trainer->step, err);
	if (status != STATUS_OK)
		return status;
	report_step(&trainer->report, trainer->step,
		trainer_step_examples(trainer, trainer->step % trainer->steps_per_epoch),
		own_cost(trainer));
	team_run(trainer->team, merge_share, trainer);
	return trainer->dense_table == UINT32_MAX ? reduce_dense(trainer, err) : STATUS_OK;
}

enum status trainer_run_steps(struct trainer *trainer, uint64_t end, struct error *err)
{
	if (trainer->step >= end)
		return STATUS_OK;
	struct spans *current = &trainer->spans[trainer->turn];
	enum status status = load_step(trainer, trainer->step, current, err);
	if (status == STATUS_OK)
		status = exchange(trainer, NULL, current, trainer->step, err);
	while (status == STATUS_OK) {
		status = compute_step(trainer, err);
		if (status != STATUS_OK)
			break;
		struct spans *next = NULL;
		if (trainer->step + 1 < end) {
			next = &trainer->spans[1 - trainer->turn];
			status = load_step(trainer, trainer->step + 1, next, err);
			if (status != STATUS_OK)
				break;
		}
		status = exchange(trainer, current, next, trainer->step + 1, err);
		if (status != STATUS_OK)
			break;
		trainer->step++;
		if (!next)
			return STATUS_OK;
		trainer->turn = 1 - trainer->turn;
		current = next;
	}
	return error_wrap(err, status, "step %llu", (unsigned long long)trainer->step);
}
