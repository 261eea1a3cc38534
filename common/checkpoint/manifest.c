#include "common/checkpoint/manifest.h"

#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/sealed_json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More would wait for the disk, or for memory. */
#define VERIFY_THREADS 4u

void manifest_fini(struct manifest *manifest)
{
	data_source_fini(&manifest->data);
	json_decref(manifest->model);
	json_decref(manifest->training);
	json_decref(manifest->cursors);
	json_decref(manifest->servers);
	free(manifest->files);
	*manifest = (struct manifest){0};
}

/* A name that stays inside the directory and is none of our own: no slash, no leading dot. */
static bool plain_name(const char *name)
{
	size_t length = strlen(name);
	return length > 0 && length < MANIFEST_FILE_NAME_SIZE && name[0] != '.' &&
	       !strchr(name, '/') && strcmp(name, MANIFEST_NAME) != 0;
}

enum status manifest_add_file(struct manifest *manifest, const char *name,
	const struct file_stamp *stamp, struct error *err)
{
	if (!plain_name(name))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"file name '%.80s' is not a plain name inside the directory", name);
	if (manifest_find_file(manifest, name))
		return error_set(err, STATUS_INVALID_ARGUMENT, "file '%s' is listed twice", name);
	enum status status = memory_grow(&manifest->files, &manifest->file_capacity,
		manifest->file_count + 1, sizeof(*manifest->files), "file list", err);
	if (status != STATUS_OK)
		return status;
	struct manifest_file *file = &manifest->files[manifest->file_count++];
	memset(file->name, 0, sizeof(file->name));
	memcpy(file->name, name, strlen(name));
	file->stamp = *stamp;
	return STATUS_OK;
}

const struct manifest_file *manifest_find_file(const struct manifest *manifest, const char *name)
{
	for (size_t i = 0; i < manifest->file_count; i++)
		if (strcmp(manifest->files[i].name, name) == 0)
			return &manifest->files[i];
	return NULL;
}

static json_t *files_to_json(const struct manifest *manifest)
{
	json_t *files = json_array();
	for (size_t i = 0; i < manifest->file_count; i++) {
		const struct manifest_file *file = &manifest->files[i];
		json_array_append_new(files, json_pack("{s:s, s:o, s:o}", "name", file->name,
						     "size", json_from_u64(file->stamp.size),
						     "xxh3", json_from_hash(file->stamp.xxh3)));
	}
	return files;
}

json_t *manifest_to_json(const struct manifest *manifest)
{
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:s, s:o, s:O, s:O, s:O*, s:O*, s:o}",
		"format_version", (int)MANIFEST_FORMAT_VERSION, "step",
		json_from_u64(manifest->step), "epoch", json_from_u64(manifest->epoch), "seed",
		json_from_u64(manifest->seed), "test_rmse",
		json_from_optional_double(manifest->test_rmse), "digest", manifest->digest, "data",
		data_source_to_json(&manifest->data), "model", manifest->model, "training",
		manifest->training, "cursors", manifest->cursors, "servers", manifest->servers,
		"files", files_to_json(manifest));
}

enum status manifest_write(
	const struct manifest *manifest, const char *directory, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, directory, MANIFEST_NAME, err);
	if (status != STATUS_OK)
		return status;
	json_t *json = manifest_to_json(manifest);
	status = sealed_json_write(path, json, err);
	json_decref(json);
	return status;
}

static enum status read_file(struct manifest *manifest, const json_t *entry, struct error *err)
{
	const char *name;
	struct file_stamp stamp;
	enum status status = json_field_string(entry, "name", &name, err);
	if (status == STATUS_OK)
		status = json_field_u64(entry, "size", &stamp.size, err);
	if (status == STATUS_OK)
		status = json_field_hash(entry, "xxh3", &stamp.xxh3, err);
	if (status == STATUS_OK)
		status = manifest_add_file(manifest, name, &stamp, err);
	return status == STATUS_INVALID_ARGUMENT ? STATUS_DATA_LOSS : status;
}

static enum status read_files(struct manifest *manifest, const json_t *json, struct error *err)
{
	json_t *files;
	enum status status = json_field_array(json, "files", &files, err);
	for (size_t i = 0; status == STATUS_OK && i < json_array_size(files); i++)
		status = read_file(manifest, json_array_get(files, i), err);
	return status;
}

/* A new reference; NULL for a missing member and for null. */
static json_t *optional_member(const json_t *json, const char *name)
{
	json_t *value = json_object_get(json, name);
	return json_is_null(value) ? NULL : json_incref(value);
}

static enum status read_members(struct manifest *manifest, const json_t *json, struct error *err)
{
	json_t *data;
	const char *digest;
	enum status status = json_field_u64(json, "step", &manifest->step, err);
	if (status == STATUS_OK)
		status = json_field_u64(json, "epoch", &manifest->epoch, err);
	if (status == STATUS_OK)
		status = json_field_u64(json, "seed", &manifest->seed, err);
	if (status == STATUS_OK)
		status = json_field_optional_double(json, "test_rmse", &manifest->test_rmse, err);
	if (status == STATUS_OK)
		status = json_field_string(json, "digest", &digest, err);
	if (status != STATUS_OK)
		return status;
	if (strlen(digest) >= sizeof(manifest->digest))
		return error_set(err, STATUS_DATA_LOSS, "'digest' is longer than 32 hex digits");
	memcpy(manifest->digest, digest, strlen(digest) + 1);
	status = json_field_object(json, "data", &data, err);
	if (status == STATUS_OK)
		status = data_source_from_json(&manifest->data, data, err);
	if (status == STATUS_OK)
		status = json_field_object(json, "model", &manifest->model, err);
	json_incref(manifest->model);
	if (status == STATUS_OK)
		status = json_field_object(json, "training", &manifest->training, err);
	json_incref(manifest->training);
	manifest->cursors = optional_member(json, "cursors");
	manifest->servers = optional_member(json, "servers");
	return status;
}

enum status manifest_from_json(struct manifest *ret, const json_t *json, struct error *err)
{
	struct manifest manifest = {.test_rmse = NAN};
	enum status status = read_files(&manifest, json, err);
	if (status == STATUS_OK)
		status = read_members(&manifest, json, err);
	if (status != STATUS_OK)
		manifest_fini(&manifest);
	else
		*ret = manifest;
	return status;
}

enum status manifest_read(struct manifest *ret, const char *directory, struct error *err)
{
	char path[PATH_SIZE];
	json_t *json;
	enum status status = path_join(path, directory, MANIFEST_NAME, err);
	if (status == STATUS_OK)
		status = sealed_json_read(path, MANIFEST_FORMAT_VERSION, &json, err);
	if (status != STATUS_OK)
		return status;
	status = manifest_from_json(ret, json, err);
	json_decref(json);
	return status == STATUS_OK ? status : error_wrap(err, status, "%s", path);
}

static enum status verify_file(
	const char *directory, const struct manifest_file *file, struct error *err)
{
	char path[PATH_SIZE];
	struct file_stamp found;
	enum status status = path_join(path, directory, file->name, err);
	if (status == STATUS_OK)
		status = file_digest(path, &found.xxh3, &found.size, err);
	/* A listed file that is not there is damage, not a wrong name of the caller's. */
	if (status == STATUS_NOT_FOUND)
		return error_set(err, STATUS_DATA_LOSS, "%s: is missing", path);
	if (status != STATUS_OK)
		return status;
	if (found.size != file->stamp.size)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: has %" PRIu64 " bytes, the manifest says %" PRIu64, path, found.size,
			file->stamp.size);
	if (found.xxh3 != file->stamp.xxh3)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: damaged: its XXH3 is %016" PRIx64 ", the manifest says %016" PRIx64,
			path, found.xxh3, file->stamp.xxh3);
	return STATUS_OK;
}

/* A check of all files by several threads. */
struct verification {
	const struct manifest *manifest;
	const char *directory;
	atomic_size_t next;
	pthread_mutex_t lock;
	/* guarded by lock: the first file in the manifest's order that is not as listed */
	size_t failed;
	enum status status;
	struct error error;
};

static void verify_some(void *context)
{
	struct verification *all = context;
	const size_t count = all->manifest->file_count;
	struct error err;
	size_t i;
	while ((i = atomic_fetch_add(&all->next, 1)) < count) {
		enum status status = verify_file(all->directory, &all->manifest->files[i], &err);
		if (status == STATUS_OK)
			continue;
		/* The files before it have been taken, so one of them may still come first. */
		atomic_store(&all->next, count);
		pthread_mutex_lock(&all->lock);
		if (i < all->failed) {
			all->failed = i;
			all->status = status;
			all->error = err;
		}
		pthread_mutex_unlock(&all->lock);
	}
}

enum status manifest_verify_files(
	const struct manifest *manifest, const char *directory, struct error *err)
{
	const size_t count = manifest->file_count;
	struct verification all = {.manifest = manifest,
		.directory = directory,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.failed = count,
		.status = STATUS_OK};
	parallel_run(count < VERIFY_THREADS ? (uint32_t)count : VERIFY_THREADS, verify_some, &all);
	if (all.status != STATUS_OK && err)
		*err = all.error;
	return all.status;
}

static enum status sync_file(const char *path, uint64_t size, struct error *err)
{
	enum status status = STATUS_OK;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	off_t end = lseek(descriptor, 0, SEEK_END);
	if (end < 0 || (uint64_t)end != size)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: has %lld bytes, the manifest says %" PRIu64, path, (long long)end,
			size);
	else if (fsync(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", path);
	close(descriptor);
	return status;
}

enum status manifest_sync_files(
	const struct manifest *manifest, const char *directory, struct error *err)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; status == STATUS_OK && i < manifest->file_count; i++) {
		char path[PATH_SIZE];
		status = path_join(path, directory, manifest->files[i].name, err);
		if (status == STATUS_OK)
			status = sync_file(path, manifest->files[i].stamp.size, err);
	}
	return status;
}
