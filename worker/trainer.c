#include "worker/trainer.h"

#include "common/nn/fc.h"
#include "worker/trainer_internal.h"

#include <inttypes.h>
#include <math.h>

static void announce(const struct trainer *trainer)
{
	FILE *out = trainer->comm->rank == 0 ? trainer->setup->out : NULL;
	const struct dataset *dataset = &trainer->dataset;
	if (!out)
		return;
	for (int i = 0; i < DATASET_FILES; i++)
		if (dataset->notes[i][0])
			fprintf(out, "%s\n", dataset->notes[i]);
	if (dataset->report.skipped_lines)
		fprintf(out, "skipped %" PRIu64 " malformed lines, the first: %s\n",
			dataset->report.skipped_lines, dataset->report.first_bad_line);
	fprintf(out,
		"%" PRIu64 " ratings to train on, %" PRIu64
		" held out; %u users, %u movies, %u words\n",
		dataset->train_count, dataset->test_count, dataset->catalog.user_count,
		dataset->catalog.movie_count, dataset->catalog.words.count);
	fprintf(out,
		"%" PRIu64 " steps an epoch of %" PRIu64 " ratings; %" PRIu64
		" lanes on %u worker%s of %u thread%s; %s, %s, learning rate %g, seed %" PRIu64
		"\n",
		trainer->steps_per_epoch, trainer->options.batch_size, trainer->options.lanes,
		trainer->comm->workers, trainer->comm->workers == 1 ? "" : "s",
		team_members(trainer->team), team_members(trainer->team) == 1 ? "" : "s",
		train_mode_name(trainer->options.mode),
		optimizer_info(trainer->options.optimizer.kind)->name,
		(double)trainer->options.optimizer.learning_rate, trainer->options.seed);
	fprintf(out, TRAINING_BEGINS "%" PRIu64 "%s\n", trainer->step,
		trainer->step < trainer->last_step ? ""
						   : ": nothing is left to train, --epochs and "
						     "--max-steps end there or before");
	fflush(out);
}

static enum status epoch_cost(struct trainer *trainer, double *ret_cost, struct error *err)
{
	double values[LANES_MAX] = {0};
	for (uint32_t i = 0; i < trainer->block.count; i++) {
		values[trainer->block.first + i] = trainer->outcomes[i].epoch_cost;
		trainer->outcomes[i].epoch_cost = 0;
	}
	double sum;
	enum status status =
		comm_lane_sum(trainer->comm, values, (uint32_t)trainer->options.lanes, &sum, err);
	if (status == STATUS_OK)
		*ret_cost = sum / (double)trainer->dataset.train_count;
	return status;
}

/* What all workers together moved since the last call, per rating of an epoch. */
static enum status wire_traffic(
	struct trainer *trainer, struct report_epoch *line, struct error *err)
{
	struct params_traffic *traffic = &trainer->params->traffic;
	const double mine[2] = {
		(double)(traffic->bytes_sent + traffic->bytes_received), (double)traffic->messages};
	double all[LANES_MAX][2], bytes = 0, messages = 0;
	*traffic = (struct params_traffic){0};
	enum status status = comm_all_gather(trainer->comm, mine, sizeof(mine), all, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t w = 0; w < trainer->comm->workers; w++) {
		bytes += all[w][0];
		messages += all[w][1];
	}
	/* A run that resumed within the epoch has moved and trained only the rest of it. */
	uint64_t examples = report_epoch_examples(&trainer->report);
	line->wire_bytes_per_rating = examples ? bytes / (double)examples : NAN;
	line->wire_messages_per_rating = examples ? messages / (double)examples : NAN;
	return STATUS_OK;
}

/* The held-out error after the step at hand, and whether it is the best so far. */
static enum status measure(struct trainer *trainer, bool *ret_best, struct error *err)
{
	struct train_result *result = &trainer->result;
	enum status status = trainer_evaluate(trainer, &result->test_rmse, &result->test_mae, err);
	if (status != STATUS_OK)
		return status;
	trainer->measured_step = trainer->step;
	*ret_best = result->test_rmse < trainer->best_rmse;
	if (*ret_best)
		trainer->best_rmse = result->test_rmse;
	return STATUS_OK;
}

static bool reaches_target(const struct trainer *trainer)
{
	return trainer->options.target_rmse > 0 &&
	       trainer->result.test_rmse <= trainer->options.target_rmse;
}

static enum status end_epoch(struct trainer *trainer, struct error *err)
{
	struct train_result *result = &trainer->result;
	struct report_epoch line = {
		.epoch = trainer->step / trainer->steps_per_epoch, .step = trainer->step};
	enum status status = epoch_cost(trainer, &line.train_cost, err);
	if (status == STATUS_OK)
		status = wire_traffic(trainer, &line, err);
	if (status == STATUS_OK)
		status = measure(trainer, &line.best, err);
	if (status != STATUS_OK)
		return status;
	line.test_rmse = result->test_rmse;
	line.test_mae = result->test_mae;
	result->train_cost = line.train_cost;
	result->reached_target = reaches_target(trainer);
	/* Traffic of the evaluation is not the training's. */
	trainer->params->traffic = (struct params_traffic){0};
	if (trainer->options.checkpoint_dir)
		status = trainer_save(trainer, line.best ? SAVE_BEST : SAVE_EPOCH, err);
	if (trainer->hot.examples) {
		report_note(&trainer->report, "hot", hot_rows_to_json(&trainer->hot));
		hot_rows_fini(&trainer->hot);
	}
	if (status == STATUS_OK)
		status = report_epoch_end(&trainer->report, &line, err);
	return comm_agree(trainer->comm, status, err);
}

/* Where the running stretch of steps ends: with the epoch, or with the training. */
static uint64_t next_stop(const struct trainer *trainer)
{
	uint64_t stop = (trainer->step / trainer->steps_per_epoch + 1) * trainer->steps_per_epoch;
	return stop < trainer->last_step ? stop : trainer->last_step;
}

static enum status run_epochs(struct trainer *trainer, struct error *err)
{
	enum status status = STATUS_OK;
	/* A run that had stopped at its target is not to go on because it is resumed. */
	if (trainer->options.target_rmse > 0 && trainer->step > 0 &&
		trainer->step % trainer->steps_per_epoch == 0) {
		bool best;
		const double best_rmse = trainer->best_rmse;
		status = measure(trainer, &best, err);
		trainer->best_rmse = best_rmse; /* nothing is saved here that could be the best */
		trainer->result.reached_target = status == STATUS_OK && reaches_target(trainer);
	}
	while (status == STATUS_OK && trainer->step < trainer->last_step &&
		!trainer->result.reached_target) {
		report_start(&trainer->report, trainer->step / trainer->steps_per_epoch);
		status = trainer_run_steps(trainer, next_stop(trainer), err);
		if (status == STATUS_OK)
			status = comm_barrier(trainer->comm, err);
		report_stop(&trainer->report);
		if (status == STATUS_OK)
			status = trainer_audit(trainer, err);
		if (status != STATUS_OK)
			break;
		if (trainer->step % trainer->steps_per_epoch == 0)
			status = end_epoch(trainer, err);
	}
	return status;
}

static enum status finish(struct trainer *trainer, struct error *err)
{
	enum status status = STATUS_OK;
	bool best; /* epochs alone compete for that */
	if (trainer->measured_step != trainer->step)
		status = measure(trainer, &best, err);
	if (status == STATUS_OK && trainer->options.checkpoint_dir &&
		trainer->saved_step != trainer->step)
		status = trainer_save(trainer, SAVE_EPOCH, err);
	if (status == STATUS_OK)
		status = trainer_digest(trainer, &trainer->result.digest, err);
	if (status == STATUS_OK)
		status = trainer_save_finish(trainer, err);
	if (status == STATUS_OK)
		status = report_table(&trainer->report, err);
	trainer->result.steps = trainer->step;
	trainer->result.epochs = trainer->step / trainer->steps_per_epoch;
	if (status == STATUS_OK)
		status = trainer->params->operations->leave(trainer->params, false, err);
	return status;
}

/*
 * A run that failed: a checkpoint that is under way is a good one and is waited for, unless it
 * depends on servers that may be what failed.
 */
static void end_saver(struct trainer *trainer, enum status status)
{
	if (!trainer->saver)
		return;
	if (status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED ||
		status == STATUS_ABORTED || status == STATUS_FAILED_PRECONDITION)
		saver_cancel(trainer->saver);
	saver_free(trainer->saver);
	trainer->saver = NULL;
}

enum status trainer_run(const struct train_options *options, const struct trainer_setup *setup,
	struct train_result *ret, struct error *err)
{
	struct trainer trainer = {
		.options = *options,
		.setup = setup,
		.comm = setup->comm,
		.dense_table = UINT32_MAX,
		.best_rmse = INFINITY,
		.kept_best_rmse = INFINITY,
		.saved_step = UINT64_MAX,
		.measured_step = UINT64_MAX,
		.audited_step = UINT64_MAX,
		.checkpoint_lock = -1,
		.result = {.test_rmse = NAN, .test_mae = NAN, .train_cost = NAN},
	};
	struct resume resume = {0};
	nn_init();
	enum status status = trainer_open_outputs(&trainer, err);
	if (status == STATUS_OK)
		status = resume_find(&resume, &trainer.options, setup->comm, setup->out, err);
	if (status == STATUS_OK && setup->comm->workers > trainer.options.lanes)
		status = error_set(err, STATUS_INVALID_ARGUMENT,
			"%u workers for %" PRIu64 " lanes: a worker needs at least one lane; use "
			"fewer workers or more --lanes",
			setup->comm->workers, trainer.options.lanes);
	status = comm_agree_all(setup->comm, status, err);
	if (status == STATUS_OK) {
		trainer.block = lane_block(
			(uint32_t)trainer.options.lanes, setup->comm->rank, setup->comm->workers);
		status = trainer_open(&trainer, &resume, err);
	}
	if (status == STATUS_OK) {
		announce(&trainer);
		status = run_epochs(&trainer, err);
	}
	if (status == STATUS_OK)
		status = finish(&trainer, err);
	if (status == STATUS_OK)
		*ret = trainer.result;
	else if (setup->on_failure && !setup->comm->failed)
		setup->on_failure(setup->failure_context, status, err);
	if (status != STATUS_OK)
		end_saver(&trainer, status);
	if (status != STATUS_OK && trainer.params)
		(void)!trainer.params->operations->leave(trainer.params, true, NULL);
	trainer_fini(&trainer);
	resume_fini(&resume);
	return status;
}
