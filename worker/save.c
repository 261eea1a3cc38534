/*
 * Checkpoints: when, and of what; and the digest over all parameters.
 *
 * A cut is taken between two steps and written by worker 0's saver while training goes on. Only
 * worker 0 touches the files, so only its machine needs to see the directory: the tables stream
 * through the parameter client.
 */
#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/json_field.h"
#include "worker/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the dense parameters, where they live on the servers ---- */

struct dense_sink {
	struct dense *dense;
	uint32_t record_floats;
};

static enum status take_dense_records(void *context, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	const struct dense_sink *sink = context;
	(void)table;
	return dense_from_records(sink->dense, ids, records, sink->record_floats, count, err);
}

enum status trainer_download_dense(struct trainer *trainer, struct error *err)
{
	if (trainer->dense_table == UINT32_MAX)
		return STATUS_OK;
	struct dense_sink sink = {.dense = &trainer->dense,
		.record_floats = trainer->params->record_floats[trainer->dense_table]};
	return trainer->params->operations->snapshot(
		trainer->params, trainer->dense_table, take_dense_records, &sink, err);
}

enum status trainer_upload_dense(struct trainer *trainer, struct error *err)
{
	if (trainer->dense_table == UINT32_MAX || trainer->comm->rank != 0)
		return STATUS_OK;
	uint32_t rows = dense_row_count(&trainer->dense);
	uint32_t floats = trainer->params->record_floats[trainer->dense_table];
	float *records;
	enum status status =
		memory_alloc(&records, (size_t)rows * floats, sizeof(*records), "dense rows", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t r = 0; r < rows; r++)
		dense_to_record(&trainer->dense, r, records + (size_t)r * floats);
	status = trainer->params->operations->restore(
		trainer->params, trainer->dense_table, trainer->dense_ids, records, rows, err);
	free(records);
	return status;
}

enum status trainer_tensors(
	const struct trainer *trainer, struct named_tensor **ret, struct error *err)
{
	enum status status = memory_zalloc(
		ret, model_tensor_count(trainer->model), sizeof(**ret), "dense tensors", err);
	if (status == STATUS_OK)
		dense_tensors(&trainer->dense, trainer->model, *ret);
	return status;
}

/* ---- digest ---- */

/*
 * The servers digest all of their tables. Dense parameters count as tensors in every mode, so where
 * they are a table their records, which are here, are taken out again.
 */
static enum status tables_digest(struct trainer *trainer, struct digest *digest, struct error *err)
{
	struct digest tables;
	enum status status = trainer->params->operations->digest(trainer->params, &tables, err);
	if (status != STATUS_OK)
		return status;
	digest_merge(digest, &tables);
	if (trainer->dense_table == UINT32_MAX)
		return STATUS_OK;
	size_t floats = trainer->params->record_floats[trainer->dense_table];
	float *record;
	status = memory_alloc(&record, floats, sizeof(*record), "dense row", err);
	if (status != STATUS_OK)
		return status;
	struct digest dense = {0};
	for (uint32_t r = 0; r < dense_row_count(&trainer->dense); r++) {
		dense_to_record(&trainer->dense, r, record);
		digest_add(&dense, random_stream(DENSE_TABLE), r, record, floats * sizeof(*record));
	}
	digest_remove(digest, &dense);
	free(record);
	return STATUS_OK;
}

enum status trainer_digest(struct trainer *trainer, struct digest *ret, struct error *err)
{
	struct digest digest = {0};
	enum status status = trainer_download_dense(trainer, err);
	if (status == STATUS_OK && trainer->comm->rank == 0) {
		struct named_tensor *tensors = NULL;
		status = trainer_tensors(trainer, &tensors, err);
		if (status == STATUS_OK)
			status = dense_digest(
				&digest, tensors, model_tensor_count(trainer->model), err);
		free(tensors);
		if (status == STATUS_OK)
			status = tables_digest(trainer, &digest, err);
	}
	status = comm_agree(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = comm_broadcast(trainer->comm, &digest, sizeof(digest), err);
	if (status == STATUS_OK)
		*ret = digest;
	return status;
}

/* ---- what a checkpoint says beside the parameters ---- */

/* Where every lane stands: the epoch, its next example, and the cost of the epoch so far. */
static json_t *cursors_to_json(const struct trainer *trainer, const double *costs)
{
	json_t *cursors = json_array();
	uint64_t epoch = trainer->step / trainer->steps_per_epoch;
	uint64_t begin = trainer->step % trainer->steps_per_epoch * trainer->lane_batch;
	for (uint32_t l = 0; l < trainer->options.lanes; l++) {
		uint64_t count = trainer->dataset.train[l].count;
		json_array_append_new(
			cursors, json_pack("{s:I, s:I, s:I, s:f}", "epoch", (json_int_t)epoch,
					 "position", (json_int_t)(begin < count ? begin : count),
					 "examples", (json_int_t)count, "cost", costs[l]));
	}
	return cursors;
}

void trainer_vocabulary_hash(const struct catalog *catalog, char text[DIGEST_TEXT_SIZE])
{
	struct digest digest = {0};
	const struct vocabulary *all[] = {&catalog->words, &catalog->genres};
	for (size_t i = 0; i < 2; i++)
		digest_add(&digest, i, all[i]->count, all[i]->text,
			all[i]->count ? all[i]->offsets[all[i]->count] : 0);
	digest_format(&digest, text);
}

void trainer_ratings_hash(const struct dataset *dataset, char text[RATINGS_HASH_SIZE])
{
	const struct ratings_file *file = &dataset->files[DATASET_RATINGS];
	const uint64_t both[] = {file->content, file->origin.catalog};
	snprintf(text, RATINGS_HASH_SIZE, "%016" PRIx64, hash_bytes(both, sizeof(both), 0));
}

static enum status describe(const struct trainer *trainer, const double *costs,
	struct manifest *manifest, struct error *err)
{
	const struct train_options *options = &trainer->options;
	char vocabulary[DIGEST_TEXT_SIZE], ratings[RATINGS_HASH_SIZE];
	manifest->step = trainer->step;
	manifest->epoch = trainer->step / trainer->steps_per_epoch;
	manifest->seed = options->seed;
	manifest->test_rmse =
		trainer->measured_step == trainer->step ? trainer->result.test_rmse : NAN;
	manifest->model = json_deep_copy(trainer->model_json);
	manifest->training = train_options_to_json(options);
	manifest->cursors = cursors_to_json(trainer, costs);
	manifest->servers =
		json_pack("{s:I, s:o}", "examples", (json_int_t)trainer->audited_examples,
			"incarnation", json_from_u64(trainer->incarnations));
	trainer_vocabulary_hash(&trainer->dataset.catalog, vocabulary);
	trainer_ratings_hash(&trainer->dataset, ratings);
	if (!manifest->model || !manifest->training || !manifest->cursors || !manifest->servers ||
		json_object_set_new(manifest->training, "train_examples",
			json_integer((json_int_t)trainer->dataset.train_count)) != 0 ||
		json_object_set_new(manifest->training, "vocabulary", json_string(vocabulary)) !=
			0 ||
		json_object_set_new(manifest->training, "ratings", json_string(ratings)) != 0)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "manifest: no memory");
	return data_source_init(&manifest->data, options->data, options->test_ratings,
		options->test_ratings ? 0 : options->holdout, options->seed, err);
}

/* ---- saving ---- */

static void warn(struct trainer *trainer, const char *format, ...) PRINTF_LIKE(2, 3);
static void warn(struct trainer *trainer, const char *format, ...)
{
	char text[ERROR_MESSAGE_SIZE + 128];
	va_list args;
	if (!trainer->setup->on_warning)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_interrupt(&trainer->report);
	trainer->setup->on_warning(trainer->setup->warning_context, text);
}

/* Worker 0: a checkpoint has failed. Training goes on; if none is written any more, its end fails.
 */
static void save_failed(struct trainer *trainer, const struct error *err)
{
	trainer->save_failure = *err;
	/* The best one so far is still the one that is kept. */
	trainer->best_rmse = trainer->kept_best_rmse;
	warn(trainer, "%s; training goes on", err->message);
}

/* Worker 0: takes note of how the checkpoint that was under way has ended, waiting for that. */
static void settle(struct trainer *trainer)
{
	struct error err;
	if (saver_wait(trainer->saver, &err) != STATUS_OK) {
		save_failed(trainer, &err);
		return;
	}
	trainer->save_failure.status = STATUS_OK;
	trainer->kept_best_rmse = trainer->saving_best_rmse;
}

void trainer_save_poll(struct trainer *trainer)
{
	if (trainer->saver && saver_state(trainer->saver) == SAVER_ENDED)
		settle(trainer);
}

/* Worker 0, between two steps of all workers: the cut, and everything else that changes. */
static enum status start(struct trainer *trainer, const double *costs, bool best, struct error *err)
{
	struct saver_job job = {.best = best, .best_rmse = trainer->saving_best_rmse};
	enum status status = describe(trainer, costs, &job.manifest, err);
	if (status == STATUS_OK)
		status = dense_copy(&job.dense, &trainer->dense, err);
	if (status == STATUS_OK)
		status = trainer->params->operations->cut(trainer->params, trainer->step, err);
	if (status == STATUS_OK)
		return saver_start(trainer->saver, &job, err);
	saver_job_fini(&job);
	return error_wrap(err, status, "checkpoint of step %" PRIu64, trainer->step);
}

/* Worker 0. What fails here costs the checkpoint, not the training. */
static void save(struct trainer *trainer, const double *costs, enum save_kind kind)
{
	struct error err;
	if (saver_state(trainer->saver) == SAVER_WRITING && kind == SAVE_PERIODIC) {
		warn(trainer,
			"no checkpoint of step %" PRIu64
			": the one before is still being written; consider a larger "
			"--checkpoint-every",
			trainer->step);
		return;
	}
	if (saver_state(trainer->saver) != SAVER_IDLE)
		settle(trainer);
	trainer->saving_best_rmse = trainer->kept_best_rmse;
	if (kind == SAVE_BEST)
		trainer->best_rmse = trainer->saving_best_rmse = trainer->result.test_rmse;
	if (start(trainer, costs, kind == SAVE_BEST, &err) != STATUS_OK)
		save_failed(trainer, &err);
}

enum status trainer_save(struct trainer *trainer, enum save_kind kind, struct error *err)
{
	const struct clock *clock = trainer->setup->clock;
	const uint64_t since = clock_now_ns(clock);
	double costs[LANES_MAX] = {0};
	for (uint32_t i = 0; i < trainer->block.count; i++)
		costs[trainer->block.first + i] = trainer->outcomes[i].epoch_cost;
	/* From here on everybody stands between the same two steps. Nothing wrong is ever saved. */
	enum status status = trainer_audit(trainer, err);
	if (status == STATUS_OK)
		status = comm_lane_gather(
			trainer->comm, costs, (uint32_t)trainer->options.lanes, err);
	if (status == STATUS_OK && trainer->comm->rank == 0)
		save(trainer, costs, kind);
	/* In sync mode no step is applied without worker 0's push. */
	if (status == STATUS_OK && trainer->options.mode != MODE_SYNC)
		status = comm_barrier(trainer->comm, err);
	trainer->saved_step = trainer->step;
	report_blocked(&trainer->report, clock_seconds_since(clock, since));
	return status;
}

bool trainer_save_is_due(const struct trainer *trainer)
{
	const uint64_t every = trainer->options.checkpoint_every;
	return trainer->options.checkpoint_dir && every && trainer->step % every == 0;
}

enum status trainer_save_finish(struct trainer *trainer, struct error *err)
{
	enum status status = STATUS_OK;
	if (trainer->saver && saver_state(trainer->saver) != SAVER_IDLE)
		settle(trainer);
	if (trainer->save_failure.status != STATUS_OK)
		status = error_set(
			err, trainer->save_failure.status, "%s", trainer->save_failure.message);
	return comm_agree(trainer->comm, status, err);
}
