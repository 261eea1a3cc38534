#include "worker/trainer.h"

#include "common/base/memory.h"
#include "common/checkpoint/directory.h"
#include "common/nn/fc.h"
#include "worker/trainer_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the run before this one may take to end and let go of its checkpoints. */
#define CHECKPOINT_LOCK_WAIT_S 5.0

/* What will be written must be writable before anybody waits for it. */
static enum status open_outputs(struct trainer *trainer, struct error *err)
{
	const struct train_options *options = &trainer->options;
	enum status status = STATUS_OK;
	if (trainer->comm->rank == 0 && options->checkpoint_dir) {
		status = checkpoint_lock(options->checkpoint_dir, CHECKPOINT_LOCK_WAIT_S,
			&trainer->checkpoint_lock, err);
		if (status != STATUS_OK)
			status = error_wrap(err, status, "--checkpoint-dir");
	}
	if (trainer->comm->rank == 0 && options->dump_metrics && status == STATUS_OK) {
		trainer->metrics = fopen(options->dump_metrics, "ae");
		if (!trainer->metrics)
			status = error_set_errno(
				err, errno, "--dump-metrics: %s", options->dump_metrics);
	}
	return comm_agree(trainer->comm, status, err);
}

static struct model_sizes sizes_of(const struct catalog *catalog)
{
	return (struct model_sizes){
		.users = catalog_user_rows(catalog),
		.genders = GENDER_COUNT,
		.ages = AGE_BUCKET_COUNT,
		.occupations = catalog_occupation_rows(catalog),
		.movies = catalog_movie_rows(catalog),
		.genres = catalog->genres.count,
		.words = catalog->words.count,
	};
}

static enum status open_data(struct trainer *trainer, struct error *err)
{
	const struct train_options *options = &trainer->options;
	struct dataset_options wanted = {
		.directory = options->data,
		.test_ratings = options->test_ratings,
		.holdout = options->holdout,
		.seed = options->seed,
		.lanes = (uint32_t)options->lanes,
		.own = trainer->block,
		.skip_bad_lines = options->skip_bad_lines,
	};
	enum status status = dataset_open(&trainer->dataset, &wanted, err);
	if (status != STATUS_OK)
		return status;
	const struct dataset *dataset = &trainer->dataset;
	uint64_t longest = 0;
	for (uint32_t l = 0; l < wanted.lanes; l++)
		if (dataset->train[l].count > longest)
			longest = dataset->train[l].count;
	trainer->lane_batch = (uint32_t)(options->batch_size / options->lanes);
	trainer->steps_per_epoch = (longest + trainer->lane_batch - 1) / trainer->lane_batch;
	if (__builtin_mul_overflow(trainer->steps_per_epoch, options->epochs, &trainer->last_step))
		trainer->last_step = UINT64_MAX;
	if (options->max_steps < trainer->last_step)
		trainer->last_step = options->max_steps;
	return STATUS_OK;
}

static enum status open_model(struct trainer *trainer, struct error *err)
{
	struct model_sizes sizes = sizes_of(&trainer->dataset.catalog);
	enum status status = model_new(&trainer->model, &trainer->options.model, &sizes, err);
	if (status != STATUS_OK)
		return status;
	trainer->model_json =
		json_pack("{s:o, s:o}", "config", model_config_to_json(&trainer->options.model),
			"sizes", model_sizes_to_json(&sizes));
	if (!trainer->model_json)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "model description: no memory");
	return dense_init(&trainer->dense, trainer->model, trainer->options.seed,
		&trainer->options.optimizer, err);
}

static enum status open_lanes(struct trainer *trainer, struct error *err)
{
	struct lane_options options = {
		.seed = trainer->options.seed,
		.unknown_rate = trainer->options.unknown_rate,
		.shuffle = trainer->options.shuffle,
	};
	uint32_t capacity = trainer->lane_batch > TEST_CHUNK ? trainer->lane_batch : TEST_CHUNK;
	uint32_t count = trainer->block.count;
	enum status status =
		memory_zalloc(&trainer->lanes, count, sizeof(*trainer->lanes), "lanes", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&trainer->outcomes, count, sizeof(*trainer->outcomes), "lanes", err);
	for (uint32_t i = 0; i < count && status == STATUS_OK; i++)
		status = lane_init(&trainer->lanes[i], trainer->block.first + i, &options,
			&trainer->dataset, trainer->model, capacity, err);
	for (int i = 0; i < 2 && status == STATUS_OK; i++)
		status = spans_init(&trainer->spans[i], (uint32_t)i, trainer->model,
			(uint32_t)trainer->options.lanes, trainer->block, err);
	return status;
}

static enum status open_buffers(struct trainer *trainer, struct error *err)
{
	uint32_t spans = trainer->spans[0].count;
	uint32_t rows = dense_row_count(&trainer->dense);
	size_t requests = (size_t)spans * (model_table_count(trainer->model) + 1);
	enum status status = memory_zalloc(
		&trainer->dense_sums, spans, sizeof(*trainer->dense_sums), "gradient sums", err);
	for (uint32_t s = 0; s < spans && status == STATUS_OK; s++)
		status = memory_zalloc(&trainer->dense_sums[s], trainer->dense.size, sizeof(float),
			"gradient sums", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&trainer->pushes, requests, sizeof(*trainer->pushes), "requests", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&trainer->pulls, requests, sizeof(*trainer->pulls), "requests", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&trainer->dense_ids, rows, sizeof(*trainer->dense_ids), "requests", err);
	for (uint32_t r = 0; r < rows && status == STATUS_OK; r++)
		trainer->dense_ids[r] = r;
	return status;
}

static enum status open_tables(struct trainer *trainer, struct error *err)
{
	struct table_spec specs[MODEL_TABLES_MAX + 1];
	uint32_t count = model_table_count(trainer->model);
	memset(specs, 0, sizeof(specs));
	for (uint32_t t = 0; t < count; t++) {
		const struct model_table *table = model_table(trainer->model, t);
		snprintf(specs[t].name, sizeof(specs[t].name), "%s", table->name);
		specs[t].dim = table->dim;
		specs[t].init_limit = table->init_limit;
		specs[t].optimizer = trainer->options.optimizer;
	}
	trainer->dense_table = UINT32_MAX;
	if (trainer->options.mode != MODE_SYNC) {
		trainer->dense_table = count;
		specs[count++] = dense_table_spec(&trainer->dense);
	}
	const struct job_tables job = {
		.seed = trainer->options.seed,
		.lanes = (uint32_t)trainer->options.lanes,
		.mode = trainer->options.mode,
		.staleness = trainer->options.staleness,
		.first_step = trainer->step,
		.tables = specs,
		.table_count = count,
	};
	return trainer->setup->connect(
		trainer->setup->connect_context, &job, &trainer->params, err);
}

/* Examples of the job's first `steps` steps. */
static uint64_t examples_of(const struct trainer *trainer, uint64_t steps)
{
	uint64_t examples = steps / trainer->steps_per_epoch * trainer->dataset.train_count;
	for (uint64_t s = 0; s < steps % trainer->steps_per_epoch; s++)
		examples += trainer_step_examples(trainer, s);
	return examples;
}

static void open_report(struct trainer *trainer)
{
	bool first = trainer->comm->rank == 0;
	struct report_options options = {
		.clock = trainer->setup->clock,
		.out = first ? trainer->setup->out : NULL,
		.progress_descriptor = first ? trainer->setup->progress_descriptor : -1,
		.metrics = trainer->metrics,
		.metrics_path = trainer->options.dump_metrics,
		.metrics_every = trainer->options.metrics_every,
		.epochs = trainer->options.epochs,
		.total_examples = examples_of(trainer, trainer->last_step),
		.done_examples = examples_of(trainer, trainer->step),
	};
	report_init(&trainer->report, &options);
}

static void announce(const struct trainer *trainer)
{
	FILE *out = trainer->comm->rank == 0 ? trainer->setup->out : NULL;
	const struct dataset *dataset = &trainer->dataset;
	if (!out)
		return;
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
	if (trainer->step)
		fprintf(out, "resuming after step %" PRIu64 "%s\n", trainer->step,
			trainer->step < trainer->last_step
				? ""
				: ": nothing is left to train, --epochs and --max-steps end there "
				  "or before");
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

/* Bytes that all workers together moved since the last call, per rating of an epoch. */
static enum status wire_bytes(struct trainer *trainer, double *ret_bytes, struct error *err)
{
	double mine = (double)(trainer->params->traffic.bytes_sent +
			       trainer->params->traffic.bytes_received);
	double all[LANES_MAX], sum = 0;
	trainer->params->traffic = (struct params_traffic){0};
	enum status status = comm_all_gather(trainer->comm, &mine, sizeof(mine), all, err);
	for (uint32_t w = 0; w < trainer->comm->workers && status == STATUS_OK; w++)
		sum += all[w];
	/* A run that resumed within the epoch has moved and trained only the rest of it. */
	uint64_t examples = report_epoch_examples(&trainer->report);
	if (status == STATUS_OK)
		*ret_bytes = examples ? sum / (double)examples : NAN;
	return status;
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
		status = wire_bytes(trainer, &line.wire_bytes_per_rating, err);
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
	/* Saved before it is told: who reads of an epoch can rely on its checkpoint. */
	if (trainer->options.checkpoint_dir)
		status = trainer_save(trainer, line.best, err);
	if (status == STATUS_OK)
		status = report_epoch_end(&trainer->report, &line, err);
	return comm_agree(trainer->comm, status, err);
}

/* Where the running stretch of steps ends: an epoch, a checkpoint or the last step. */
static uint64_t next_stop(const struct trainer *trainer)
{
	uint64_t every = trainer->options.checkpoint_every;
	uint64_t stop = (trainer->step / trainer->steps_per_epoch + 1) * trainer->steps_per_epoch;
	if (trainer->options.checkpoint_dir && every && (trainer->step / every + 1) * every < stop)
		stop = (trainer->step / every + 1) * every;
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
		if (status != STATUS_OK)
			break;
		if (trainer->step % trainer->steps_per_epoch == 0)
			status = end_epoch(trainer, err);
		else if (trainer->options.checkpoint_dir && trainer->step < trainer->last_step)
			status = trainer_save(trainer, false, err);
	}
	return status;
}

static enum status open_all(struct trainer *trainer, const struct resume *resume, struct error *err)
{
	enum status status = open_data(trainer, err);
	if (status == STATUS_OK)
		status = open_model(trainer, err);
	if (status == STATUS_OK)
		status = open_lanes(trainer, err);
	if (status == STATUS_OK)
		status = open_buffers(trainer, err);
	uint64_t threads = trainer->options.threads;
	if (threads > trainer->block.count)
		threads = trainer->block.count; /* a lane is the unit of work */
	if (status == STATUS_OK && trainer->options.target_rmse > 0 &&
		trainer->dataset.test_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"--target-rmse: no ratings are held out to measure it on: use --holdout or "
			"--test-ratings");
	if (status == STATUS_OK)
		status = team_new(&trainer->team, (uint32_t)threads, err);
	if (status == STATUS_OK && resume->manifest)
		trainer->step =
			(uint64_t)json_integer_value(json_object_get(resume->manifest, "step"));
	/* Nobody opens tables for a worker that could not read its data. */
	status = comm_agree_all(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = comm_agree_all(trainer->comm, open_tables(trainer, err), err);
	if (status == STATUS_OK && resume->manifest)
		status = resume_load(trainer, resume, err);
	else if (status == STATUS_OK)
		status = trainer_upload_dense(trainer, err);
	if (status == STATUS_OK)
		open_report(trainer);
	return comm_agree_all(trainer->comm, status, err);
}

static enum status finish(struct trainer *trainer, struct error *err)
{
	enum status status = STATUS_OK;
	bool best; /* epochs alone compete for that */
	if (trainer->measured_step != trainer->step)
		status = measure(trainer, &best, err);
	if (status == STATUS_OK && trainer->options.checkpoint_dir &&
		trainer->saved_step != trainer->step)
		status = trainer_save(trainer, false, err);
	if (status == STATUS_OK)
		status = trainer_digest(trainer, &trainer->result.digest, err);
	if (status == STATUS_OK)
		status = report_table(&trainer->report, err);
	trainer->result.steps = trainer->step;
	trainer->result.epochs = trainer->step / trainer->steps_per_epoch;
	if (status == STATUS_OK)
		status = trainer->params->operations->leave(trainer->params, false, err);
	return status;
}

static void trainer_fini(struct trainer *trainer)
{
	report_fini(&trainer->report);
	if (trainer->metrics)
		fclose(trainer->metrics);
	if (trainer->checkpoint_lock >= 0)
		close(trainer->checkpoint_lock);
	team_free(trainer->team);
	params_free(trainer->params);
	for (uint32_t s = 0; trainer->dense_sums && s < trainer->spans[0].count; s++)
		free(trainer->dense_sums[s]);
	free(trainer->dense_sums);
	free(trainer->dense_ids);
	free(trainer->pushes);
	free(trainer->pulls);
	spans_fini(&trainer->spans[0]);
	spans_fini(&trainer->spans[1]);
	for (uint32_t i = 0; trainer->lanes && i < trainer->block.count; i++)
		lane_fini(&trainer->lanes[i]);
	free(trainer->lanes);
	free(trainer->outcomes);
	dense_fini(&trainer->dense);
	json_decref(trainer->model_json);
	model_free(trainer->model);
	dataset_fini(&trainer->dataset);
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
		.saved_step = UINT64_MAX,
		.measured_step = UINT64_MAX,
		.checkpoint_lock = -1,
		.result = {.test_rmse = NAN, .test_mae = NAN, .train_cost = NAN},
	};
	struct resume resume = {0};
	nn_init();
	enum status status = open_outputs(&trainer, err);
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
		status = open_all(&trainer, &resume, err);
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
	if (status != STATUS_OK && trainer.params)
		(void)!trainer.params->operations->leave(trainer.params, true, NULL);
	trainer_fini(&trainer);
	resume_fini(&resume);
	return status;
}
