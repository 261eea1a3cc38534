/*
 * Writing a checkpoint of the step at hand, and the digest over all parameters.
 *
 * Only worker 0 touches the files, so only its machine needs to see the directory: the tables
 * stream through the parameter client. The cut is consistent since every worker waits between two
 * steps, with all of its gradients applied.
 */
#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/checkpoint/catalog_file.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/shard_file.h"
#include "worker/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
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
	for (size_t i = 0; i < count; i++) {
		if (ids[i] >= dense_row_count(sink->dense))
			return error_set(err, STATUS_DATA_LOSS,
				"the servers hold a dense row %" PRIu64 " of %u", ids[i],
				dense_row_count(sink->dense));
		dense_from_record(sink->dense, (uint32_t)ids[i], records + i * sink->record_floats);
	}
	return STATUS_OK;
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

/* ---- writing ---- */

struct shard_sink {
	struct shard_writer *writer;
};

static enum status append_records(void *context, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	const struct shard_sink *sink = context;
	return shard_writer_append(sink->writer, table, ids, records, count, err);
}

static enum status write_tables(
	struct trainer *trainer, const char *path, struct manifest *manifest, struct error *err)
{
	struct shard_table tables[MODEL_TABLES_MAX];
	uint32_t count = model_table_count(trainer->model);
	const struct params_operations *operations = trainer->params->operations;
	memset(tables, 0, sizeof(tables));
	for (uint32_t t = 0; t < count; t++) {
		const struct model_table *table = model_table(trainer->model, t);
		snprintf(tables[t].name, sizeof(tables[t].name), "%s", table->name);
		tables[t].dim = table->dim;
		tables[t].slots = trainer->params->record_floats[t] - table->dim;
		enum status status = operations->count(trainer->params, t, &tables[t].count, err);
		if (status != STATUS_OK)
			return status;
	}
	char name[MANIFEST_FILE_NAME_SIZE], file[PATH_SIZE];
	checkpoint_shard_name(0, name);
	enum status status = path_join(file, path, name, err);
	struct shard_sink sink = {0};
	if (status == STATUS_OK)
		status = shard_writer_open(&sink.writer, file, tables, count, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t t = 0; t < count && status == STATUS_OK; t++)
		status = operations->snapshot(trainer->params, t, append_records, &sink, err);
	if (status != STATUS_OK) {
		shard_writer_abandon(sink.writer);
		return status;
	}
	struct file_stamp stamp;
	status = shard_writer_close(sink.writer, &stamp, err);
	return status == STATUS_OK ? manifest_add_file(manifest, name, &stamp, err) : status;
}

static enum status write_dense(const struct trainer *trainer, const char *path,
	struct manifest *manifest, struct error *err)
{
	char file[PATH_SIZE];
	struct file_stamp stamp;
	struct named_tensor *tensors = NULL;
	enum status status = path_join(file, path, CHECKPOINT_DENSE_NAME, err);
	if (status == STATUS_OK)
		status = trainer_tensors(trainer, &tensors, err);
	if (status == STATUS_OK)
		status = dense_file_write(
			file, tensors, model_tensor_count(trainer->model), &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(manifest, CHECKPOINT_DENSE_NAME, &stamp, err);
	free(tensors);
	return status;
}

static enum status write_catalog(const struct trainer *trainer, const char *path,
	struct manifest *manifest, struct error *err)
{
	char file[PATH_SIZE];
	struct file_stamp stamp;
	enum status status = path_join(file, path, CHECKPOINT_CATALOG_NAME, err);
	if (status == STATUS_OK)
		status = catalog_file_write(file, &trainer->dataset.catalog, NULL, &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(manifest, CHECKPOINT_CATALOG_NAME, &stamp, err);
	return status;
}

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
	trainer_vocabulary_hash(&trainer->dataset.catalog, vocabulary);
	trainer_ratings_hash(&trainer->dataset, ratings);
	if (!manifest->model || !manifest->training || !manifest->cursors ||
		json_object_set_new(manifest->training, "train_examples",
			json_integer((json_int_t)trainer->dataset.train_count)) != 0 ||
		json_object_set_new(manifest->training, "vocabulary", json_string(vocabulary)) !=
			0 ||
		json_object_set_new(manifest->training, "ratings", json_string(ratings)) != 0)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "manifest: no memory");
	return data_source_init(&manifest->data, options->data, options->test_ratings,
		options->test_ratings ? 0 : options->holdout, options->seed, err);
}

static enum status write_checkpoint(struct trainer *trainer, const struct digest *digest,
	const double *costs, bool best, struct error *err)
{
	const char *root = trainer->options.checkpoint_dir;
	char path[PATH_SIZE];
	struct manifest manifest = {0};
	enum status status = checkpoint_begin(root, trainer->step, path, err);
	if (status == STATUS_OK)
		status = describe(trainer, costs, &manifest, err);
	digest_format(digest, manifest.digest);
	if (status == STATUS_OK)
		status = write_tables(trainer, path, &manifest, err);
	if (status == STATUS_OK)
		status = write_dense(trainer, path, &manifest, err);
	if (status == STATUS_OK)
		status = write_catalog(trainer, path, &manifest, err);
	if (status == STATUS_OK)
		status = checkpoint_commit(root, path, &manifest, err);
	/* Later ones were damaged, or this run would have gone on from them. */
	if (status == STATUS_OK)
		status = checkpoint_discard_after(root, trainer->step, err);
	if (status == STATUS_OK && best)
		status = checkpoint_mark_best(root, trainer->step, trainer->best_rmse, err);
	if (status == STATUS_OK)
		status = checkpoint_prune(root, trainer->options.keep, err);
	manifest_fini(&manifest);
	return status;
}

enum status trainer_save(struct trainer *trainer, bool best, struct error *err)
{
	struct digest digest;
	double costs[LANES_MAX] = {0};
	for (uint32_t i = 0; i < trainer->block.count; i++)
		costs[trainer->block.first + i] = trainer->outcomes[i].epoch_cost;
	enum status status = trainer_digest(trainer, &digest, err);
	if (status == STATUS_OK)
		status = comm_lane_gather(
			trainer->comm, costs, (uint32_t)trainer->options.lanes, err);
	if (status != STATUS_OK)
		return status;
	if (trainer->comm->rank == 0) {
		status = write_checkpoint(trainer, &digest, costs, best, err);
		if (status != STATUS_OK)
			status = error_wrap(
				err, status, "checkpoint of step %" PRIu64, trainer->step);
	}
	trainer->saved_step = trainer->step;
	return comm_agree(trainer->comm, status, err);
}
