/*
 * Resuming: finding the checkpoint, taking its options, loading it.
 *
 * Only worker 0 reads the files; what the other workers need is broadcast.
 */
#include "common/base/memory.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/shard_file.h"
#include "worker/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Worker 0's text to everyone; *text is owned memory on return, NULL stays NULL. */
static enum status broadcast_text(struct comm *comm, char **text, struct error *err)
{
	uint64_t size = comm->rank == 0 && *text ? strlen(*text) + 1 : 0;
	enum status status = comm_broadcast(comm, &size, sizeof(size), err);
	if (status != STATUS_OK || size == 0)
		return status;
	if (comm->rank != 0)
		status = memory_alloc(text, size, 1, "manifest", err);
	if (status == STATUS_OK)
		status = comm_broadcast(comm, *text, size, err);
	return status;
}

/* Worker 0: the newest checkpoint, or none. */
static enum status look(struct resume *resume, const struct train_options *options, char **ret_text,
	FILE *out, struct error *err)
{
	const char *root = options->checkpoint_dir;
	if (options->restart)
		return checkpoint_discard(root, err);
	if (!options->resume) {
		uint64_t *steps;
		size_t count;
		enum status status = checkpoint_list(root, &steps, &count, err);
		if (status != STATUS_OK)
			return status;
		if (count > 0)
			status = error_set(err, STATUS_FAILED_PRECONDITION,
				"%s holds checkpoints up to step %" PRIu64
				": go on with --resume, discard them with --restart, or choose "
				"another --checkpoint-dir",
				root, steps[count - 1]);
		free(steps);
		return status;
	}
	struct checkpoint found = {0};
	enum status status = checkpoint_newest_verified(&found, root, err);
	if (status == STATUS_NOT_FOUND) {
		if (out)
			fprintf(out, "no checkpoint in %s yet: starting from the beginning\n",
				root);
		return STATUS_OK;
	}
	if (status != STATUS_OK)
		return status;
	if (out && found.notes[0])
		fprintf(out, "passed over, not usable:\n%s\n", found.notes);
	memcpy(resume->directory, found.path, sizeof(resume->directory));
	json_t *shared =
		json_pack("{s:I, s:O, s:O, s:O*, s:O*}", "step", (json_int_t)found.manifest.step,
			"training", found.manifest.training, "model", found.manifest.model,
			"cursors", found.manifest.cursors, "servers", found.manifest.servers);
	*ret_text = shared ? json_dumps(shared, JSON_COMPACT) : NULL;
	json_decref(shared);
	checkpoint_fini(&found);
	return *ret_text ? STATUS_OK
			 : error_set(err, STATUS_RESOURCE_EXHAUSTED, "manifest: no memory");
}

/* The model's configuration is the checkpoint's, and --model must agree with it. */
static enum status take_model(
	struct train_options *options, const json_t *manifest, struct error *err)
{
	const json_t *config = json_object_get(json_object_get(manifest, "model"), "config");
	struct model_config saved;
	enum status status = model_config_from_json(&saved, config, err);
	if (status != STATUS_OK)
		return status;
	if (options->given.model) {
		json_t *given = model_config_to_json(&options->model);
		bool same = given && json_equal(given, config);
		json_decref(given);
		if (!same)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"--model differs from the checkpoint's model; leave it out to go "
				"on as before");
	}
	options->model = saved;
	return STATUS_OK;
}

enum status resume_find(struct resume *resume, struct train_options *options, struct comm *comm,
	FILE *out, struct error *err)
{
	char *text = NULL;
	enum status status = STATUS_OK;
	*resume = (struct resume){0};
	if (!options->checkpoint_dir)
		return STATUS_OK;
	if (comm->rank == 0)
		status = look(resume, options, &text, out, err);
	status = comm_agree(comm, status, err);
	if (status == STATUS_OK)
		status = broadcast_text(comm, &text, err);
	if (status == STATUS_OK && text) {
		json_error_t failure;
		resume->manifest = json_loads(text, 0, &failure);
		if (!resume->manifest)
			status = error_set(err, STATUS_DATA_LOSS, "manifest: %s", failure.text);
	}
	free(text);
	if (status == STATUS_OK && resume->manifest) {
		status = train_options_from_json(
			options, json_object_get(resume->manifest, "training"), err);
		if (status == STATUS_OK)
			status = take_model(options, resume->manifest, err);
		if (status != STATUS_OK)
			status = error_wrap(err, status, "--resume");
	}
	return status;
}

static enum status check_same_data(
	const struct trainer *trainer, const struct resume *resume, struct error *err)
{
	const json_t *training = json_object_get(resume->manifest, "training");
	json_int_t examples = json_integer_value(json_object_get(training, "train_examples"));
	const char *saved = json_string_value(json_object_get(training, "vocabulary"));
	/* Checkpoints of earlier versions do not have it. */
	const char *saved_ratings = json_string_value(json_object_get(training, "ratings"));
	char vocabulary[DIGEST_TEXT_SIZE], ratings[RATINGS_HASH_SIZE];
	trainer_vocabulary_hash(&trainer->dataset.catalog, vocabulary);
	trainer_ratings_hash(&trainer->dataset, ratings);
	if ((uint64_t)examples != trainer->dataset.train_count || !saved ||
		strcmp(saved, vocabulary) != 0 ||
		(saved_ratings && strcmp(saved_ratings, ratings) != 0) ||
		!json_equal(trainer->model_json, json_object_get(resume->manifest, "model")))
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"--resume: %s is not the data of the checkpoint (%lld training ratings "
			"there, %" PRIu64 " here): users, movies, words or ratings differ",
			trainer->options.data, (long long)examples, trainer->dataset.train_count);
	return STATUS_OK;
}

static enum status load_dense(
	struct trainer *trainer, const struct resume *resume, struct error *err)
{
	enum status status = STATUS_OK;
	if (trainer->comm->rank == 0) {
		char file[PATH_SIZE];
		struct named_tensor *tensors = NULL;
		status = path_join(file, resume->directory, CHECKPOINT_DENSE_NAME, err);
		if (status == STATUS_OK)
			status = trainer_tensors(trainer, &tensors, err);
		if (status == STATUS_OK)
			status = dense_file_read(
				file, tensors, model_tensor_count(trainer->model), err);
		free(tensors);
	}
	status = comm_agree(trainer->comm, status, err);
	struct dense *dense = &trainer->dense;
	if (status == STATUS_OK)
		status = comm_broadcast(
			trainer->comm, dense->weights, dense->size * sizeof(float), err);
	if (status == STATUS_OK && dense->slot_count)
		status = comm_broadcast(trainer->comm, dense->slots,
			dense->slot_count * dense->size * sizeof(float), err);
	if (status == STATUS_OK)
		dense_pack(dense, 0, dense->size);
	return status;
}

static uint32_t table_by_name(const struct model *model, const char *name)
{
	for (uint32_t t = 0; t < model_table_count(model); t++)
		if (strcmp(model_table(model, t)->name, name) == 0)
			return t;
	return UINT32_MAX;
}

static enum status load_shard_table(struct trainer *trainer, const struct shard_reader *reader,
	size_t index, const struct shard_table *saved, struct error *err)
{
	uint32_t table = table_by_name(trainer->model, saved->name);
	if (table == UINT32_MAX)
		return error_set(
			err, STATUS_DATA_LOSS, "table %s is not one of the model's", saved->name);
	uint32_t floats = trainer->params->record_floats[table];
	if (saved->dim != model_table(trainer->model, table)->dim ||
		saved->dim + saved->slots != floats)
		return error_set(err, STATUS_DATA_LOSS,
			"table %s has records of %u + %u floats, expected %u", saved->name,
			saved->dim, saved->slots, floats);
	uint64_t *ids = NULL;
	float *records = NULL;
	enum status status = memory_alloc(&ids, PARAMS_CHUNK, sizeof(*ids), "records", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&records, (size_t)PARAMS_CHUNK * floats, sizeof(*records), "records", err);
	for (uint64_t at = 0; at < saved->count && status == STATUS_OK; at += PARAMS_CHUNK) {
		uint64_t left = saved->count - at;
		size_t n = left < PARAMS_CHUNK ? (size_t)left : PARAMS_CHUNK;
		status = shard_reader_read(reader, index, at, n, ids, records, err);
		if (status == STATUS_OK)
			status = trainer->params->operations->restore(
				trainer->params, table, ids, records, n, err);
	}
	free(records);
	free(ids);
	return status;
}

static enum status load_shard(struct trainer *trainer, const char *path, struct error *err)
{
	struct shard_reader *reader;
	enum status status = shard_reader_open(&reader, path, err);
	if (status != STATUS_OK)
		return status;
	size_t count;
	const struct shard_table *tables = shard_reader_tables(reader, &count);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = load_shard_table(trainer, reader, i, &tables[i], err);
	shard_reader_close(reader);
	return status == STATUS_OK ? status : error_wrap(err, status, "%s", path);
}

static enum status load_tables(
	struct trainer *trainer, const struct resume *resume, struct error *err)
{
	struct manifest manifest = {0};
	enum status status = manifest_read(&manifest, resume->directory, err);
	for (size_t i = 0; status == STATUS_OK && i < manifest.file_count; i++) {
		char file[PATH_SIZE];
		if (!checkpoint_is_shard(manifest.files[i].name))
			continue;
		status = path_join(file, resume->directory, manifest.files[i].name, err);
		if (status == STATUS_OK)
			status = load_shard(trainer, file, err);
	}
	manifest_fini(&manifest);
	return status;
}

static uint64_t member(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* What the lanes have read, and what they summed up of an epoch that the checkpoint cuts. */
static void load_cursors(struct trainer *trainer, const struct resume *resume)
{
	const json_t *cursors = json_object_get(resume->manifest, "cursors");
	for (uint32_t i = 0; i < trainer->block.count; i++) {
		const json_t *cursor = json_array_get(cursors, trainer->block.first + i);
		trainer->outcomes[i].epoch_cost =
			json_number_value(json_object_get(cursor, "cost"));
		trainer->examples_read += member(cursor, "epoch") * member(cursor, "examples") +
					  member(cursor, "position");
	}
}

/* What the tables had applied, as they counted it. Earlier versions did not write that. */
static enum status load_examples(
	struct trainer *trainer, const struct resume *resume, struct error *err)
{
	const json_t *servers = json_object_get(resume->manifest, "servers");
	const uint64_t examples = json_object_get(servers, "examples")
					  ? member(servers, "examples")
					  : trainer_examples(trainer, trainer->step);
	return trainer->params->operations->restore_examples(trainer->params, examples, err);
}

enum status resume_incarnations(const struct resume *resume, uint64_t *ret, struct error *err)
{
	const json_t *servers = json_object_get(resume->manifest, "servers");
	uint64_t largest = 0;
	enum status status = STATUS_OK;
	if (json_object_get(servers, "incarnation"))
		status = json_field_u64(servers, "incarnation", &largest, err);
	if (status == STATUS_OK && largest > UINT64_MAX / 2)
		status = error_set(err, STATUS_DATA_LOSS, "'incarnation' is too large");
	if (status != STATUS_OK)
		return error_wrap(
			err, status, "--resume: %s: " MANIFEST_NAME ": servers", resume->directory);
	*ret = largest;
	return STATUS_OK;
}

/* The best so far counts on: a worse epoch after the resume must not take its place. */
static enum status load_best(struct trainer *trainer, struct error *err)
{
	enum status status = STATUS_OK;
	if (trainer->comm->rank == 0) {
		uint64_t step;
		double best;
		status = checkpoint_read_best(trainer->options.checkpoint_dir, &step, &best, err);
		/* One behind the checkpoint at hand is damaged, or that would be at hand. */
		if (status == STATUS_OK && step <= trainer->step && isfinite(best))
			trainer->best_rmse = best;
		if (status == STATUS_NOT_FOUND)
			status = STATUS_OK;
	}
	status = comm_agree(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = comm_broadcast(
			trainer->comm, &trainer->best_rmse, sizeof(trainer->best_rmse), err);
	trainer->kept_best_rmse = trainer->best_rmse;
	return status;
}

enum status resume_load(struct trainer *trainer, const struct resume *resume, struct error *err)
{
	enum status status = check_same_data(trainer, resume, err);
	status = comm_agree_all(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = load_dense(trainer, resume, err);
	if (status != STATUS_OK)
		return status;
	if (trainer->comm->rank == 0)
		status = load_tables(trainer, resume, err);
	if (status == STATUS_OK && trainer->comm->rank == 0)
		status = load_examples(trainer, resume, err);
	status = comm_agree(trainer->comm, status, err);
	if (status == STATUS_OK)
		status = trainer_upload_dense(trainer, err);
	if (status == STATUS_OK)
		status = load_best(trainer, err);
	load_cursors(trainer, resume);
	trainer->saved_step = trainer->step;
	return status;
}

void resume_fini(struct resume *resume)
{
	json_decref(resume->manifest);
	*resume = (struct resume){0};
}
