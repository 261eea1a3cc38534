/* What a training run needs before its first step: data, model, lanes, buffers, tables. */
#include "common/base/memory.h"
#include "common/checkpoint/directory.h"
#include "common/model/model_record.h"
#include "worker/event_log.h"
#include "worker/trainer_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the run before this one may take to end and let go of its checkpoints. */
#define CHECKPOINT_LOCK_WAIT_S 5.0
/* Parsing may take another process that much longer than a server takes to answer. */
#define CACHE_WAIT_FACTOR 10

enum status trainer_open_outputs(struct trainer *trainer, struct error *err)
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
	if (trainer->comm->rank == 0 && options->log_dir && status == STATUS_OK)
		status = event_log_open(&trainer->events, options->log_dir, err);
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
		.skip_bad_lines = options->skip_bad_lines,
		.cache = {.off = options->no_cache,
			.directory = options->cache_dir,
			.threads = (uint32_t)options->threads,
			.wait_s = options->deadline_s * CACHE_WAIT_FACTOR},
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
	trainer->model_json = model_record_to_json(&trainer->options.model, &sizes);
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
		.after_incarnation = trainer->incarnations,
		.wire_dtype = trainer->options.wire_dtype,
		.tables = specs,
		.table_count = count,
	};
	return trainer->setup->connect(
		trainer->setup->connect_context, &job, &trainer->params, err);
}

/* From here on checkpoints may hold pushes of the incarnations that have just joined. */
static enum status gather_incarnations(struct trainer *trainer, struct error *err)
{
	uint64_t all[LANES_MAX];
	enum status status = comm_all_gather(trainer->comm, &trainer->params->incarnation,
		sizeof(trainer->params->incarnation), all, err);
	for (uint32_t w = 0; w < trainer->comm->workers && status == STATUS_OK; w++)
		if (all[w] > trainer->incarnations)
			trainer->incarnations = all[w];
	return status;
}

/* What any worker noted of a cache is what worker 0 tells. */
static enum status gather_notes(struct trainer *trainer, struct error *err)
{
	struct dataset *dataset = &trainer->dataset;
	const size_t size = sizeof(dataset->notes[0]);
	char(*all)[ERROR_MESSAGE_SIZE];
	enum status status = memory_alloc(&all, trainer->comm->workers, size, "notes", err);
	if (status != STATUS_OK)
		return status;
	for (int file = 0; file < DATASET_FILES && status == STATUS_OK; file++) {
		status = comm_all_gather(trainer->comm, dataset->notes[file], size, all, err);
		for (uint32_t w = trainer->comm->workers; w-- > 0 && status == STATUS_OK;)
			if (all[w][0])
				memcpy(dataset->notes[file], all[w], size);
	}
	free(all);
	return status;
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
		.events = trainer->events,
		.metrics_every = trainer->options.metrics_every,
		.restarts = trainer->setup->restarts,
		.epochs = trainer->options.epochs,
		.total_examples = trainer_examples(trainer, trainer->last_step),
		.done_examples = trainer_examples(trainer, trainer->step),
	};
	report_init(&trainer->report, &options);
	if (trainer->metrics)
		report_note(&trainer->report, "run", trainer_describe(trainer));
}

static enum status open_saver(struct trainer *trainer, struct error *err)
{
	const struct saver_options options = {
		.root = trainer->options.checkpoint_dir,
		.keep = trainer->options.keep,
		.params = trainer->params,
		.model = trainer->model,
		.catalog = &trainer->dataset.catalog,
		.dense_table = trainer->dense_table,
	};
	if (trainer->comm->rank != 0 || !options.root)
		return STATUS_OK;
	return saver_new(&trainer->saver, &options, err);
}

enum status trainer_open(struct trainer *trainer, const struct resume *resume, struct error *err)
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
	if (status == STATUS_OK && resume->manifest) {
		trainer->step =
			(uint64_t)json_integer_value(json_object_get(resume->manifest, "step"));
		status = resume_incarnations(resume, &trainer->incarnations, err);
	}
	/* Nobody opens tables for a worker that could not read its data. */
	status = comm_agree_all(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = comm_agree_all(trainer->comm, gather_notes(trainer, err), err);
	if (status == STATUS_OK)
		status = comm_agree_all(trainer->comm, open_tables(trainer, err), err);
	if (status == STATUS_OK)
		status = gather_incarnations(trainer, err);
	if (status == STATUS_OK && resume->manifest)
		status = resume_load(trainer, resume, err);
	else if (status == STATUS_OK)
		status = trainer_upload_dense(trainer, err);
	if (status == STATUS_OK)
		status = open_saver(trainer, err);
	if (status == STATUS_OK)
		status = event_log_begin(
			trainer->events, trainer->model, &trainer->options, trainer->step, err);
	if (status == STATUS_OK && trainer->metrics)
		status = hot_rows_init(&trainer->hot, &trainer->dataset.catalog, err);
	if (status == STATUS_OK)
		open_report(trainer);
	return comm_agree_all(trainer->comm, status, err);
}

void trainer_fini(struct trainer *trainer)
{
	saver_free(trainer->saver);
	report_fini(&trainer->report);
	event_log_close(trainer->events);
	hot_rows_fini(&trainer->hot);
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
