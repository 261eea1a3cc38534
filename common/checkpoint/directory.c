#include "common/checkpoint/directory.h"

#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_PREFIX   "step-"
#define STEP_DIGITS   20
#define PARTIAL	      ".partial"  /* being written */
#define REPLACED      ".replaced" /* on its way out */
#define BEST_NAME     "best.json"
#define PROBE_NAME    "writable.tmp"
#define BEST_SIZE_MAX ((size_t)1 << 16)

void checkpoint_shard_name(uint32_t shard, char name[MANIFEST_FILE_NAME_SIZE])
{
	snprintf(name, MANIFEST_FILE_NAME_SIZE, CHECKPOINT_SHARD_PREFIX "%05" PRIu32 ".safetensors",
		shard);
}

bool checkpoint_is_shard(const char *name)
{
	return strncmp(name, CHECKPOINT_SHARD_PREFIX, strlen(CHECKPOINT_SHARD_PREFIX)) == 0;
}

/* Whether a name is step-<20 digits> and then `suffix`. */
static bool parse_step(const char *name, const char *suffix, uint64_t *ret_step)
{
	char digits[STEP_DIGITS + 1];
	if (strncmp(name, STEP_PREFIX, strlen(STEP_PREFIX)) != 0)
		return false;
	name += strlen(STEP_PREFIX);
	if (strlen(name) != STEP_DIGITS + strlen(suffix) || strcmp(name + STEP_DIGITS, suffix) != 0)
		return false;
	memcpy(digits, name, STEP_DIGITS);
	digits[STEP_DIGITS] = '\0';
	return parse_u64(digits, ret_step, NULL) == STATUS_OK;
}

static bool has_manifest(const char *path)
{
	char manifest[PATH_SIZE];
	return path_join(manifest, path, MANIFEST_NAME, NULL) == STATUS_OK && file_exists(manifest);
}

/* Unlinks the manifest first: a removal that is cut short leaves a half-written directory, not a
 * damaged checkpoint. */
static enum status remove_step(const char *path, struct error *err)
{
	char manifest[PATH_SIZE];
	enum status status = path_join(manifest, path, MANIFEST_NAME, err);
	if (status != STATUS_OK)
		return status;
	if (unlink(manifest) != 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "%s", manifest);
	return directory_remove(path, err);
}

static enum status step_path(const char *root, uint64_t step, const char *suffix,
	char path[PATH_SIZE], struct error *err)
{
	char name[64];
	snprintf(name, sizeof(name), STEP_PREFIX "%020" PRIu64 "%s", step, suffix);
	return path_join(path, root, name, err);
}

enum status checkpoint_path(
	const char *root, uint64_t step, char ret_path[PATH_SIZE], struct error *err)
{
	return step_path(root, step, "", ret_path, err);
}

/* Permissions do not tell (a full disk, a read-only one): a file does. */
static enum status try_to_write(const char *root, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, root, PROBE_NAME, err);
	if (status != STATUS_OK)
		return status;
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s: cannot write here", root);
	close(descriptor);
	unlink(path);
	return STATUS_OK;
}

enum status checkpoint_lock(const char *root, double wait_s, int *ret_descriptor, struct error *err)
{
	enum status status = directory_create(root, err);
	if (status == STATUS_OK)
		status = try_to_write(root, err);
	if (status != STATUS_OK)
		return status;
	status = directory_lock(root, wait_s, ret_descriptor, err);
	if (status == STATUS_FAILED_PRECONDITION)
		return error_set(err, status,
			"%s: another run is writing its checkpoints here: wait for it, end it, or "
			"choose another directory",
			root);
	return status;
}

enum status checkpoint_begin(
	const char *root, uint64_t step, char ret_path[PATH_SIZE], struct error *err)
{
	char path[PATH_SIZE];
	enum status status = step_path(root, step, PARTIAL, path, err);
	if (status == STATUS_OK)
		status = remove_step(path, err);
	if (status == STATUS_OK)
		status = directory_create(path, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "begin a checkpoint");
	memcpy(ret_path, path, sizeof(path));
	return STATUS_OK;
}

enum status checkpoint_commit(
	const char *root, const char *path, const struct manifest *manifest, struct error *err)
{
	char final[PATH_SIZE];
	enum status status = manifest_sync_files(manifest, path, err);
	if (status == STATUS_OK)
		status = manifest_write(manifest, path, err);
	if (status == STATUS_OK)
		status = checkpoint_path(root, manifest->step, final, err);
	if (status == STATUS_OK)
		status = directory_publish(path, final, err);
	return status == STATUS_OK ? status : error_wrap(err, status, "commit a checkpoint");
}

/* What ROOT holds that has to do with checkpoints. */
struct entry {
	uint64_t step;
	bool committed;
	char name[64];
};

struct entry_list {
	struct entry *entries; /* by step */
	size_t count, capacity;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	if (left->step != right->step)
		return left->step < right->step ? -1 : 1;
	return strcmp(left->name, right->name);
}

static enum status add_entry(
	struct entry_list *list, const char *root, const char *name, struct error *err)
{
	struct entry entry = {0};
	char path[PATH_SIZE];
	const bool step = parse_step(name, "", &entry.step);
	if (!step && !parse_step(name, PARTIAL, &entry.step) &&
		!parse_step(name, REPLACED, &entry.step))
		return STATUS_OK;
	enum status status = path_join(path, root, name, err);
	if (status == STATUS_OK)
		status = memory_grow(&list->entries, &list->capacity, list->count + 1,
			sizeof(entry), "checkpoints", err);
	if (status != STATUS_OK)
		return status;
	entry.committed = step && has_manifest(path);
	snprintf(entry.name, sizeof(entry.name), "%s", name);
	list->entries[list->count++] = entry;
	return STATUS_OK;
}

/* list->entries is for free(), also on failure. */
static enum status scan(struct entry_list *list, const char *root, struct error *err)
{
	enum status status = STATUS_OK;
	*list = (struct entry_list){0};
	DIR *directory = opendir(root);
	if (!directory)
		return errno == ENOENT ? STATUS_OK : error_set_errno(err, errno, "%s", root);
	const struct dirent *found;
	while (status == STATUS_OK && (found = readdir(directory)) != NULL)
		status = add_entry(list, root, found->d_name, err);
	closedir(directory);
	if (list->count)
		qsort(list->entries, list->count, sizeof(*list->entries), compare_entries);
	return status;
}

enum status checkpoint_list(
	const char *root, uint64_t **ret_steps, size_t *ret_count, struct error *err)
{
	struct entry_list list;
	uint64_t *steps;
	size_t count = 0;
	enum status status = scan(&list, root, err);
	if (status == STATUS_OK)
		status = memory_alloc(&steps, list.count, sizeof(*steps), "checkpoints", err);
	if (status != STATUS_OK)
		goto cleanup;
	for (size_t i = 0; i < list.count; i++)
		if (list.entries[i].committed)
			steps[count++] = list.entries[i].step;
	*ret_steps = steps;
	*ret_count = count;
cleanup:
	free(list.entries);
	return status;
}

/* A step directory that was renamed holds another step than its name says. */
static enum status check_name(const char *path, uint64_t step, struct error *err)
{
	uint64_t named;
	const char *slash = strrchr(path, '/');
	if (parse_step(slash ? slash + 1 : path, "", &named) && named != step)
		return error_set(
			err, STATUS_DATA_LOSS, "%s: its manifest is of step %" PRIu64, path, step);
	return STATUS_OK;
}

enum status checkpoint_verify(const char *path, struct manifest *ret, struct error *err)
{
	struct manifest manifest;
	enum status status = manifest_read(&manifest, path, err);
	if (status != STATUS_OK)
		return status;
	status = check_name(path, manifest.step, err);
	if (status == STATUS_OK)
		status = manifest_verify_files(&manifest, path, err);
	if (status != STATUS_OK || !ret)
		manifest_fini(&manifest);
	else
		*ret = manifest;
	return status;
}

void checkpoint_fini(struct checkpoint *checkpoint)
{
	manifest_fini(&checkpoint->manifest);
	*checkpoint = (struct checkpoint){0};
}

static void add_note(struct checkpoint *checkpoint, const char *text)
{
	size_t used = strlen(checkpoint->notes);
	snprintf(checkpoint->notes + used, sizeof(checkpoint->notes) - used, "%s%s",
		used ? "\n" : "", text);
}

/* Fills the zeroed checkpoint with ROOT's checkpoint of this step, verified. */
static enum status open_step(
	struct checkpoint *checkpoint, const char *root, uint64_t step, struct error *err)
{
	enum status status = checkpoint_path(root, step, checkpoint->path, err);
	if (status == STATUS_OK)
		status = checkpoint_verify(checkpoint->path, &checkpoint->manifest, err);
	return status;
}

enum status checkpoint_newest_verified(struct checkpoint *ret, const char *root, struct error *err)
{
	struct checkpoint found = {0};
	struct error newest = {0};
	uint64_t *steps;
	size_t count;
	enum status status = checkpoint_list(root, &steps, &count, err);
	if (status != STATUS_OK)
		return status;
	if (count == 0) {
		free(steps);
		return error_set(err, STATUS_NOT_FOUND, "%s: " CHECKPOINT_NONE, root);
	}
	for (size_t i = count; i > 0; i--) {
		struct error reason;
		status = open_step(&found, root, steps[i - 1], &reason);
		if (status == STATUS_OK)
			break;
		if (i == count)
			newest = reason;
		add_note(&found, reason.message);
	}
	free(steps);
	if (status != STATUS_OK)
		return error_set(err, newest.status,
			"%s: none of the %zu checkpoints can be used: %s", root, count,
			newest.message);
	*ret = found;
	return STATUS_OK;
}

enum status checkpoint_read_best(
	const char *root, uint64_t *ret_step, double *ret_test_rmse, struct error *err)
{
	char path[PATH_SIZE];
	json_t *json;
	uint64_t step;
	double test_rmse;
	enum status status = path_join(path, root, BEST_NAME, err);
	if (status == STATUS_OK)
		status = json_file_read(path, BEST_SIZE_MAX, &json, err);
	if (status != STATUS_OK)
		return status;
	status = json_field_u64(json, "step", &step, err);
	if (status == STATUS_OK)
		status = json_field_optional_double(json, "test_rmse", &test_rmse, err);
	json_decref(json);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s", path);
	*ret_step = step;
	*ret_test_rmse = test_rmse;
	return STATUS_OK;
}

enum status checkpoint_best(struct checkpoint *ret, const char *root, struct error *err)
{
	struct checkpoint found = {0};
	uint64_t step;
	double test_rmse;
	enum status status = checkpoint_read_best(root, &step, &test_rmse, err);
	if (status == STATUS_NOT_FOUND)
		return error_set(err, status,
			"%s: has no best checkpoint: no epoch has ended with ratings held out: "
			"take "
			"the newest",
			root);
	if (status == STATUS_OK)
		status = open_step(&found, root, step, err);
	if (status == STATUS_OK)
		*ret = found;
	return status;
}

enum status checkpoint_mark_best(
	const char *root, uint64_t step, double test_rmse, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = checkpoint_path(root, step, path, err);
	if (status != STATUS_OK)
		return status;
	if (!has_manifest(path))
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: is not committed and cannot be the best", path);
	status = path_join(path, root, BEST_NAME, err);
	if (status != STATUS_OK)
		return status;
	json_t *json = json_pack("{s:o, s:o}", "step", json_from_u64(step), "test_rmse",
		json_from_optional_double(test_rmse));
	status = json_file_write(path, json, err);
	json_decref(json);
	return status;
}

enum status checkpoint_resolve(
	struct checkpoint *ret, const char *path, bool best, struct error *err)
{
	if (!directory_exists(path))
		return error_set(err, STATUS_NOT_FOUND, "%s: no such directory", path);
	if (!has_manifest(path))
		return best ? checkpoint_best(ret, path, err)
			    : checkpoint_newest_verified(ret, path, err);
	struct checkpoint found = {0};
	if (strlen(path) >= sizeof(found.path))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", path);
	memcpy(found.path, path, strlen(path) + 1);
	enum status status = checkpoint_verify(path, &found.manifest, err);
	if (status == STATUS_OK)
		*ret = found;
	return status;
}

static enum status remove_entry(const char *root, const struct entry *entry, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, root, entry->name, err);
	return status == STATUS_OK ? remove_step(path, err) : status;
}

static enum status remove_best(const char *root, struct error *err)
{
	char best[PATH_SIZE];
	enum status status = path_join(best, root, BEST_NAME, err);
	return status == STATUS_OK ? directory_remove(best, err) : status;
}

enum status checkpoint_discard_after(const char *root, uint64_t step, struct error *err)
{
	struct entry_list list = {0};
	uint64_t best;
	double test_rmse;
	enum status status = checkpoint_read_best(root, &best, &test_rmse, err);
	if (status == STATUS_OK && best > step)
		status = remove_best(root, err);
	if (status == STATUS_OK || status == STATUS_NOT_FOUND)
		status = scan(&list, root, err);
	for (size_t i = 0; i < list.count && status == STATUS_OK; i++)
		if (list.entries[i].step > step)
			status = remove_entry(root, &list.entries[i], err);
	free(list.entries);
	return status == STATUS_OK
		       ? status
		       : error_wrap(err, status, "discard checkpoints after step %" PRIu64, step);
}

enum status checkpoint_prune(const char *root, uint64_t keep, struct error *err)
{
	struct entry_list list = {0};
	uint64_t best;
	double test_rmse;
	/* A best.json that cannot be read stops the removal: it might name what would go. */
	enum status status = checkpoint_read_best(root, &best, &test_rmse, err);
	const bool has_best = status == STATUS_OK;
	if (status == STATUS_OK || status == STATUS_NOT_FOUND)
		status = scan(&list, root, err);
	if (status != STATUS_OK)
		goto cleanup;
	uint64_t committed = 0; /* met so far, from the newest down */
	for (size_t i = list.count; status == STATUS_OK && i > 0; i--) {
		const struct entry *entry = &list.entries[i - 1];
		if (entry->committed) {
			const bool spared =
				keep == 0 || committed < keep || (has_best && entry->step == best);
			committed++;
			if (!spared)
				status = remove_entry(root, entry, err);
		} else if (committed > 0) {
			status = remove_entry(root, entry, err);
		}
	}
cleanup:
	free(list.entries);
	return status == STATUS_OK ? status : error_wrap(err, status, "prune checkpoints");
}

enum status checkpoint_discard(const char *root, struct error *err)
{
	struct entry_list list = {0};
	/* best.json goes first: it must not name what is gone. */
	enum status status = remove_best(root, err);
	if (status == STATUS_OK)
		status = scan(&list, root, err);
	for (size_t i = 0; i < list.count && status == STATUS_OK; i++)
		status = remove_entry(root, &list.entries[i], err);
	free(list.entries);
	return status == STATUS_OK ? status : error_wrap(err, status, "discard checkpoints");
}
