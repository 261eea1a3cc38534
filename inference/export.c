#include "inference/export.h"

#include "common/base/memory.h"
#include "common/checkpoint/publish.h"
#include "common/checkpoint/sealed_json.h"
#include "common/model/model_record.h"
#include "inference/export_about.h"
#include "inference/export_movies.h"
#include "inference/export_onnx.h"
#include "inference/export_tables.h"
#include "inference/model_changes.h"
#include "inference/movie_changes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For a command that changes movies. */
#define LOCK_WAIT_S 10.0

/* An export on its way; everything in it is owned. */
struct export
{
	struct checkpoint from;
	struct catalog catalog;
	struct catalog_trained trained;
	struct model *model;
	struct shard_reader **shards;
	size_t shard_count;
	struct dense_file dense;
	struct export_unknown *unknown; /* [model_table_count] */
	enum row_type rows;
	char out[PATH_SIZE];	 /* without slashes at its end */
	char partial[PATH_SIZE]; /* what is written */
	char index[ERROR_MESSAGE_SIZE];
	struct manifest about;
	int lock; /* of the directory that is replaced; -1: none */
	size_t kept_changes;
};

static void export_fini(struct export *export)
{
	if (export->lock >= 0)
		close(export->lock);
	manifest_fini(&export->about);
	for (uint32_t t = 0; export->unknown && t < model_table_count(export->model); t++)
		free(export->unknown[t].row);
	free(export->unknown);
	dense_file_close(&export->dense);
	for (size_t s = 0; s < export->shard_count; s++)
		shard_reader_close(export->shards[s]);
	free(export->shards);
	model_free(export->model);
	catalog_trained_fini(&export->trained);
	catalog_fini(&export->catalog);
	checkpoint_fini(&export->from);
}

static bool directory_is_empty(const char *path)
{
	DIR *directory = opendir(path);
	if (!directory)
		return false;
	bool empty = true;
	const struct dirent *entry;
	while (empty && (entry = readdir(directory)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty;
}

/* A directory whose model.json says that export made it, of whatever version. */
static bool is_model_directory(const char *path)
{
	char file[PATH_SIZE];
	char *text;
	size_t size;
	if (path_join(file, path, MODEL_JSON_NAME, NULL) != STATUS_OK ||
		file_read_all(file, SEALED_JSON_SIZE_MAX, &text, &size, NULL) != STATUS_OK)
		return false;
	const bool ours = strstr(text, "\"" MODEL_DIRECTORY_FORMAT "\"") != NULL;
	free(text);
	return ours;
}

/* What stands at `out` may be replaced only when it is an export's own or nothing. */
static enum status open_out(struct export *export, const char *out, struct error *err)
{
	size_t length = strlen(out);
	while (length > 1 && out[length - 1] == '/')
		length--;
	if (length == 0 || length >= PATH_SIZE - sizeof(".partial"))
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "'%.80s': not a usable directory name", out);
	memcpy(export->out, out, length);
	export->out[length] = '\0';
	snprintf(export->partial, sizeof(export->partial), "%.*s.partial", (int)length, out);
	if (file_exists(export->out) ||
		(directory_exists(export->out) && !directory_is_empty(export->out) &&
			!is_model_directory(export->out)))
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: exists and is not a model directory: choose another --out",
			export->out);
	return STATUS_OK;
}

static enum status open_shards(struct export *export, struct error *err)
{
	const struct manifest *manifest = &export->from.manifest;
	enum status status = memory_zalloc(&export->shards, manifest->file_count,
		sizeof(struct shard_reader *), "shards", err);
	for (size_t i = 0; status == STATUS_OK && i < manifest->file_count; i++) {
		char path[PATH_SIZE];
		if (!checkpoint_is_shard(manifest->files[i].name))
			continue;
		status = path_join(path, export->from.path, manifest->files[i].name, err);
		if (status == STATUS_OK)
			status = shard_reader_open(&export->shards[export->shard_count], path, err);
		if (status == STATUS_OK)
			shard_reader_fetch(export->shards[export->shard_count++]);
	}
	return status;
}

static enum status open_checkpoint(
	struct export *export, const struct export_options *options, struct error *err)
{
	char path[PATH_SIZE];
	struct model_config config;
	struct model_sizes sizes;
	enum status status =
		checkpoint_resolve(&export->from, options->checkpoint, options->best, err);
	if (status != STATUS_OK)
		return status;
	const char *from = export->from.path;
	status = path_join(path, from, CHECKPOINT_CATALOG_NAME, err);
	if (status == STATUS_OK)
		status = catalog_file_read(&export->catalog, NULL, path, err);
	if (status == STATUS_OK)
		status = catalog_trained_init(&export->trained, &export->catalog, err);
	if (status == STATUS_OK)
		status = path_join(path, from, CHECKPOINT_DENSE_NAME, err);
	if (status == STATUS_OK)
		status = dense_file_open(&export->dense, path, err);
	if (status == STATUS_OK)
		status = open_shards(export, err);
	if (status != STATUS_OK)
		return status;
	status = model_record_from_json(&config, &sizes, export->from.manifest.model, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s/" MANIFEST_NAME ": 'model'", from);
	status = model_new(&export->model, &config, &sizes, err);
	if (status == STATUS_OK)
		status = memory_zalloc(&export->unknown, model_table_count(export->model),
			sizeof(*export->unknown), "unknown rows", err);
	return status;
}

static enum status write_weights(struct export *export, struct error *err)
{
	char path[PATH_SIZE];
	struct file_stamp stamp;
	const struct export_tables tables = {.model = export->model,
		.catalog = &export->catalog,
		.seed = export->from.manifest.seed,
		.shards = export->shards,
		.shard_count = export->shard_count,
		.dense = &export->dense,
		.rows = export->rows,
		.trained = &export->trained,
		.unknown = export->unknown};
	enum status status = path_join(path, export->partial, MODEL_WEIGHTS_NAME, err);
	if (status == STATUS_OK)
		status = export_tables_write(&tables, path, &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(&export->about, MODEL_WEIGHTS_NAME, &stamp, err);
	return status;
}

static enum status write_catalog(struct export *export, struct error *err)
{
	char path[PATH_SIZE];
	struct file_stamp stamp;
	enum status status = path_join(path, export->partial, MODEL_CATALOG_NAME, err);
	if (status == STATUS_OK)
		status = catalog_file_write(path, &export->catalog, &export->trained, &stamp, err);
	if (status == STATUS_OK)
		status = manifest_add_file(&export->about, MODEL_CATALOG_NAME, &stamp, err);
	return status;
}

static enum status write_about(struct export *export, struct error *err)
{
	char path[PATH_SIZE];
	const struct export_about about = {.manifest = &export->about,
		.checkpoint = export->from.path,
		.model = export->model,
		.catalog = &export->catalog,
		.unknown = export->unknown,
		.rows = export->rows};
	enum status status = path_join(path, export->partial, MODEL_JSON_NAME, err);
	return status == STATUS_OK ? export_about_write(&about, path, err) : status;
}

/* What the checkpoint's manifest says, without its files and what only training needs. */
static enum status describe(struct export *export, struct error *err)
{
	const struct manifest *from = &export->from.manifest;
	struct manifest *about = &export->about;
	about->step = from->step;
	about->epoch = from->epoch;
	about->seed = from->seed;
	about->test_rmse = from->test_rmse;
	memcpy(about->digest, from->digest, sizeof(about->digest));
	about->model = json_incref(from->model);
	about->training = json_incref(from->training);
	return data_source_init(&about->data, from->data.directory, from->data.test_ratings,
		from->data.holdout, from->data.seed, err);
}

/*
 * Changes of movies outlive the model that they were made to. Nobody else may change any until the
 * new directory has taken the old one's place.
 */
static enum status keep_changes(struct export *export, struct error *err)
{
	struct movie_changes changes;
	if (!is_model_directory(export->out))
		return STATUS_OK;
	enum status status = movie_changes_lock(export->out, LOCK_WAIT_S, &export->lock, err);
	if (status == STATUS_OK)
		status = movie_changes_read(&changes, export->out, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "the changed movies of the directory to replace");
	export->kept_changes = changes.count;
	if (changes.count > 0)
		status = movie_changes_write(&changes, export->partial, err);
	movie_changes_fini(&changes);
	return status;
}

static enum status write_index(struct export *export, const struct export_options *options,
	const struct model_directory *directory, struct error *err)
{
	struct scorer *scorer;
	struct movie_index *index = NULL;
	enum status status = scorer_new(&scorer, directory, err);
	if (status != STATUS_OK)
		return status;
	status = movie_index_open(
		&index, scorer, options->index, options->threads, export->index, err);
	movie_index_free(index);
	scorer_free(scorer);
	return status;
}

/* What is computed from the directory as it will be read. */
static enum status write_formats(
	struct export *export, const struct export_options *options, struct error *err)
{
	const bool index =
		index_choice_by_size(options->index, export->catalog.movie_count) != INDEX_FLAT;
	struct model_directory directory, exported;
	if (!options->npy && !options->faiss && !options->onnx && !index)
		return STATUS_OK;
	enum status status = model_directory_open(&directory, export->partial, err);
	if (status != STATUS_OK)
		return status;
	if (options->npy)
		status = export_movies_npy(&directory, err);
	if (status == STATUS_OK && options->faiss)
		status = export_movies_faiss(&directory, err);
	/* A movie that was added comes to the graphs as one that they do not know. */
	model_directory_as_exported(&directory, &exported);
	if (status == STATUS_OK && options->onnx)
		status = export_onnx(&exported, options->onnx_outside ? 0 : ONNX_INLINE_MAX, err);
	if (status == STATUS_OK && index)
		status = write_index(export, options, &directory, err);
	model_directory_close(&directory);
	return status;
}

static uint64_t count_marks(const uint8_t *marks, uint32_t count)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < count; i++)
		sum += marks[i];
	return sum;
}

static void report(const struct export *export, struct export_report *ret)
{
	*ret = (struct export_report){.step = export->about.step,
		.test_rmse = export->about.test_rmse,
		.users = export->catalog.user_count,
		.movies = export->catalog.movie_count,
		.trained_users = count_marks(export->trained.users, export->catalog.user_count),
		.trained_movies = count_marks(export->trained.movies, export->catalog.movie_count),
		.kept_changes = export->kept_changes};
	memcpy(ret->checkpoint, export->from.path, sizeof(ret->checkpoint));
	memcpy(ret->notes, export->from.notes, sizeof(ret->notes));
	memcpy(ret->index, export->index, sizeof(ret->index));
}

enum status export_model(
	const struct export_options *options, struct export_report *ret, struct error *err)
{
	struct export *export;
	enum status status = memory_zalloc(&export, 1, sizeof(*export), "export", err);
	if (status != STATUS_OK)
		return status;
	export->rows = options->rows;
	export->lock = -1;
	status = open_out(export, options->out, err);
	if (status == STATUS_OK)
		status = open_checkpoint(export, options, err);
	if (status != STATUS_OK)
		goto cleanup;
	status = directory_remove(export->partial, err);
	if (status == STATUS_OK)
		status = directory_create(export->partial, err);
	if (status != STATUS_OK)
		goto cleanup;
	status = describe(export, err);
	if (status == STATUS_OK)
		status = write_weights(export, err);
	if (status == STATUS_OK)
		status = write_catalog(export, err);
	if (status == STATUS_OK)
		status = write_about(export, err);
	if (status == STATUS_OK)
		status = keep_changes(export, err);
	if (status == STATUS_OK)
		status = write_formats(export, options, err);
	if (status == STATUS_OK)
		status = manifest_sync_files(&export->about, export->partial, err);
	if (status == STATUS_OK)
		status = directory_sync(export->partial, err);
	if (status == STATUS_OK)
		status = directory_publish(export->partial, export->out, err);
	if (status != STATUS_OK) {
		/* The first failure is the one to tell. */
		(void)!directory_remove(export->partial, NULL);
		goto cleanup;
	}
	report(export, ret);
cleanup:
	export_fini(export);
	free(export);
	return status;
}
