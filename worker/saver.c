#include "worker/saver.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/checkpoint/catalog_file.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/shard_stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct saver {
	struct saver_options options;
	bool running; /* the thread is to be joined */
	pthread_t thread;
	atomic_bool ended;
	atomic_bool cancelled;
	/* the thread's, until it has ended */
	struct saver_job job;
	struct digest digest;
	enum status status;
	struct error error;
};

void saver_job_fini(struct saver_job *job)
{
	manifest_fini(&job->manifest);
	dense_fini(&job->dense);
	*job = (struct saver_job){0};
}

enum status saver_new(struct saver **ret, const struct saver_options *options, struct error *err)
{
	enum status status = memory_zalloc(ret, 1, sizeof(**ret), "saver", err);
	if (status == STATUS_OK)
		(*ret)->options = *options;
	return status;
}

void saver_free(struct saver *saver)
{
	if (!saver)
		return;
	if (saver->running)
		(void)!saver_wait(saver, NULL);
	free(saver);
}

/* ---- the files ---- */

struct table_sink {
	struct saver *saver;
	struct shard_stream *stream;
	uint64_t name_hash;
};

static enum status check_cancelled(const struct saver *saver, struct error *err)
{
	if (!atomic_load_explicit(&saver->cancelled, memory_order_relaxed))
		return STATUS_OK;
	return error_set(err, STATUS_CANCELLED, "the training has ended");
}

static enum status take_records(void *context, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	const struct table_sink *sink = context;
	struct saver *saver = sink->saver;
	const size_t floats = saver->options.params->record_floats[table];
	enum status status = check_cancelled(saver, err);
	if (status == STATUS_OK)
		status = shard_stream_append(sink->stream, table, ids, records, count, err);
	for (size_t i = 0; status == STATUS_OK && i < count; i++)
		digest_add(&saver->digest, sink->name_hash, ids[i], records + i * floats,
			floats * sizeof(*records));
	return status;
}

/* Opens a stream of the model's tables and reads the cut into it. */
static enum status gather_tables(
	struct saver *saver, const char *path, struct shard_stream **ret, struct error *err)
{
	struct shard_table tables[MODEL_TABLES_MAX] = {0};
	struct params *params = saver->options.params;
	const uint32_t count = model_table_count(saver->options.model);
	struct table_sink sink = {.saver = saver};
	for (uint32_t t = 0; t < count; t++) {
		const struct model_table *table = model_table(saver->options.model, t);
		snprintf(tables[t].name, sizeof(tables[t].name), "%s", table->name);
		tables[t].dim = table->dim;
		tables[t].slots = params->record_floats[t] - table->dim;
	}
	enum status status = shard_stream_open(&sink.stream, path, tables, count, 0, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t t = 0; t < count && status == STATUS_OK; t++) {
		sink.name_hash = random_stream(tables[t].name);
		status = params->operations->read_cut(params, t, take_records, &sink, err);
	}
	if (status == STATUS_OK)
		*ret = sink.stream;
	else
		shard_stream_abandon(sink.stream);
	return status;
}

static enum status take_dense(void *context, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	struct saver *saver = context;
	const size_t floats = saver->options.params->record_floats[table];
	return dense_from_records(&saver->job.dense, ids, records, floats, count, err);
}

static enum status write_dense(
	struct saver *saver, const char *path, struct manifest *manifest, struct error *err)
{
	char file[PATH_SIZE];
	struct file_stamp stamp;
	const struct saver_options *options = &saver->options;
	const size_t count = model_tensor_count(options->model);
	struct named_tensor *tensors;
	enum status status = memory_zalloc(&tensors, count, sizeof(*tensors), "dense tensors", err);
	if (status != STATUS_OK)
		return status;
	if (options->dense_table != UINT32_MAX)
		status = options->params->operations->read_cut(
			options->params, options->dense_table, take_dense, saver, err);
	dense_tensors(&saver->job.dense, options->model, tensors);
	if (status == STATUS_OK)
		status = dense_digest(&saver->digest, tensors, count, err);
	if (status == STATUS_OK)
		status = path_join(file, path, CHECKPOINT_DENSE_NAME, err);
	if (status == STATUS_OK)
		status = dense_file_write(file, tensors, count, &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(manifest, CHECKPOINT_DENSE_NAME, &stamp, err);
	free(tensors);
	return status;
}

static enum status write_catalog(
	const struct saver *saver, const char *path, struct manifest *manifest, struct error *err)
{
	char file[PATH_SIZE];
	struct file_stamp stamp;
	enum status status = path_join(file, path, CHECKPOINT_CATALOG_NAME, err);
	if (status == STATUS_OK)
		status = catalog_file_write(file, saver->options.catalog, NULL, &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(manifest, CHECKPOINT_CATALOG_NAME, &stamp, err);
	return status;
}

/* Reads the cut; the last of its files are on their way when the others are written. */
static enum status write_files(
	struct saver *saver, const char *path, struct manifest *manifest, struct error *err)
{
	struct params *params = saver->options.params;
	struct shard_stream *stream = NULL;
	enum status status = gather_tables(saver, path, &stream, err);
	if (status == STATUS_OK)
		status = write_dense(saver, path, manifest, err);
	if (status == STATUS_OK)
		status = params->operations->uncut(params, err);
	else if (check_cancelled(saver, NULL) == STATUS_OK)
		(void)!params->operations->uncut(params, NULL);
	if (status == STATUS_OK)
		status = write_catalog(saver, path, manifest, err);
	if (status == STATUS_OK)
		return shard_stream_close(stream, manifest, err);
	shard_stream_abandon(stream);
	return status;
}

/* Up to the commit; on failure the directory is removed, whose space others may need. */
static enum status write_checkpoint(struct saver *saver, struct error *err)
{
	char path[PATH_SIZE];
	struct manifest *manifest = &saver->job.manifest;
	const char *root = saver->options.root;
	enum status status = checkpoint_begin(root, manifest->step, path, err);
	if (status != STATUS_OK)
		return status;
	status = write_files(saver, path, manifest, err);
	digest_format(&saver->digest, manifest->digest);
	if (status == STATUS_OK)
		status = checkpoint_commit(root, path, manifest, err);
	if (status != STATUS_OK)
		(void)!directory_remove(path, NULL);
	return status;
}

static enum status save(struct saver *saver, struct error *err)
{
	const char *root = saver->options.root;
	const uint64_t step = saver->job.manifest.step;
	enum status status = write_checkpoint(saver, err);
	/* Later ones were damaged, or this run would have gone on from them. */
	if (status == STATUS_OK)
		status = checkpoint_discard_after(root, step, err);
	if (status == STATUS_OK && saver->job.best)
		status = checkpoint_mark_best(root, step, saver->job.best_rmse, err);
	if (status == STATUS_OK)
		status = checkpoint_prune(root, saver->options.keep, err);
	return status == STATUS_OK ? status
				   : error_wrap(err, status, "checkpoint of step %" PRIu64, step);
}

/* ---- the thread ---- */

static void *run(void *context)
{
	struct saver *saver = context;
	saver->status = save(saver, &saver->error);
	atomic_store_explicit(&saver->ended, true, memory_order_release);
	return NULL;
}

enum status saver_start(struct saver *saver, struct saver_job *job, struct error *err)
{
	saver->job = *job;
	*job = (struct saver_job){0};
	saver->digest = (struct digest){0};
	atomic_store(&saver->ended, false);
	atomic_store(&saver->cancelled, false);
	int rv = pthread_create(&saver->thread, NULL, run, saver);
	if (rv != 0) {
		saver_job_fini(&saver->job);
		return error_set_errno(err, rv, "checkpoint: cannot start a thread");
	}
	saver->running = true;
	return STATUS_OK;
}

enum saver_state saver_state(const struct saver *saver)
{
	if (!saver->running)
		return SAVER_IDLE;
	return atomic_load_explicit(&saver->ended, memory_order_acquire) ? SAVER_ENDED
									 : SAVER_WRITING;
}

enum status saver_wait(struct saver *saver, struct error *err)
{
	pthread_join(saver->thread, NULL);
	saver->running = false;
	saver_job_fini(&saver->job);
	if (saver->status != STATUS_OK && err)
		*err = saver->error;
	return saver->status;
}

void saver_cancel(struct saver *saver)
{
	atomic_store_explicit(&saver->cancelled, true, memory_order_relaxed);
}
