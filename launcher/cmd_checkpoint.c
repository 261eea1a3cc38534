/* marquee checkpoint: verify, inspect and compare checkpoints. */
#include "common/base/flags.h"
#include "common/base/text_table.h"
#include "common/checkpoint/checkpoint_diff.h"
#include "common/checkpoint/checkpoint_digest.h"
#include "common/checkpoint/dense_file.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/shard_file.h"
#include "launcher/answer.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char program[] = "marquee checkpoint";

/* ---- verify ---- */

/* Prints what was found, or adds it to `list`, {"path", "good", "step", "files" or "error"}. */
static bool verify_one(const char *path, json_t *list)
{
	struct error err = {0};
	struct manifest manifest;
	if (checkpoint_verify(path, &manifest, &err) != STATUS_OK) {
		if (list)
			json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "path", path,
							    "good", 0, "error", err.message));
		else
			printf("%s: damaged\n", path);
		program_failed(program, &err);
		return false;
	}
	if (list)
		json_array_append_new(list, json_pack("{s:s, s:b, s:o, s:I}", "path", path, "good",
						    1, "step", json_from_u64(manifest.step),
						    "files", (json_int_t)manifest.file_count));
	else
		printf("%s: ok, step %" PRIu64 ", %zu files\n", path, manifest.step,
			manifest.file_count);
	manifest_fini(&manifest);
	return true;
}

/* Every checkpoint of a directory of them; *ret_good says whether all verify. */
static enum status verify_root(const char *root, json_t *list, bool *ret_good, struct error *err)
{
	uint64_t *steps;
	size_t count;
	bool good = true;
	enum status status = checkpoint_list(root, &steps, &count, err);
	if (status != STATUS_OK)
		return status;
	if (count == 0)
		status = error_set(err, STATUS_NOT_FOUND, "%s: " CHECKPOINT_NONE, root);
	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		char path[PATH_SIZE];
		status = checkpoint_path(root, steps[i], path, err);
		if (status == STATUS_OK)
			good &= verify_one(path, list);
	}
	free(steps);
	if (status == STATUS_OK)
		*ret_good = good;
	return status;
}

static int run_verify(char **directories, bool json)
{
	struct error err = {0};
	bool good = false;
	char manifest[PATH_SIZE];
	if (!directory_exists(directories[0])) {
		error_set(&err, STATUS_NOT_FOUND, "%s: no such directory", directories[0]);
		return program_failed(program, &err);
	}
	json_t *list = json ? json_array() : NULL;
	enum status status = path_join(manifest, directories[0], MANIFEST_NAME, &err);
	if (status == STATUS_OK && file_exists(manifest))
		good = verify_one(directories[0], list);
	else if (status == STATUS_OK)
		status = verify_root(directories[0], list, &good, &err);
	if (status == STATUS_OK && json)
		status = json_print(
			json_pack("{s:b, s:O}", "good", (int)good, "checkpoints", list), &err);
	json_decref(list);
	if (status != STATUS_OK)
		return program_failed(program, &err);
	return good ? EXIT_OK : EXIT_FAILED;
}

/* ---- inspect ---- */

/* Adds a shard's tables to an array of {"name", "rows", "dim", "state"}. */
static enum status add_shard(json_t *tables, const char *path, struct error *err)
{
	struct shard_reader *shard;
	size_t count;
	enum status status = shard_reader_open(&shard, path, err);
	if (status != STATUS_OK)
		return status;
	const struct shard_table *table = shard_reader_tables(shard, &count);
	for (size_t t = 0; t < count; t++, table++) {
		json_t *found = NULL, *entry;
		size_t i;
		json_array_foreach(tables, i, entry)
		{
			if (strcmp(json_string_value(json_object_get(entry, "name")),
				    table->name) == 0)
				found = json_object_get(entry, "rows");
		}
		if (found)
			json_integer_set(
				found, json_integer_value(found) + (json_int_t)table->count);
		else
			json_array_append_new(tables,
				json_pack("{s:s, s:I, s:I, s:I}", "name", table->name, "rows",
					(json_int_t)table->count, "dim", (json_int_t)table->dim,
					"state", (json_int_t)table->slots));
	}
	shard_reader_close(shard);
	return STATUS_OK;
}

static enum status add_dense(json_t *tensors, const char *path, struct error *err)
{
	struct dense_file dense;
	enum status status = dense_file_open(&dense, path, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < dense.count; i++) {
		const struct named_tensor *tensor = &dense.tensors[i];
		json_t *shape = tensor->rank == 1 ? json_pack("[I]", (json_int_t)tensor->rows)
						  : json_pack("[I, I]", (json_int_t)tensor->rows,
							    (json_int_t)tensor->cols);
		json_array_append_new(
			tensors, json_pack("{s:s, s:o, s:I}", "name", tensor->name, "shape", shape,
					 "slots", (json_int_t)tensor->slot_count));
	}
	dense_file_close(&dense);
	return STATUS_OK;
}

/* The manifest's members, what the files hold, and the digest computed from them. */
static enum status inspect(const struct checkpoint *checkpoint, json_t **ret, struct error *err)
{
	const struct manifest *manifest = &checkpoint->manifest;
	char text[DIGEST_TEXT_SIZE];
	struct digest digest;
	json_t *tables = json_array(), *tensors = json_array();
	enum status status = checkpoint_digest(checkpoint->path, manifest, &digest, err);
	for (size_t i = 0; status == STATUS_OK && i < manifest->file_count; i++) {
		const char *name = manifest->files[i].name;
		char path[PATH_SIZE];
		status = path_join(path, checkpoint->path, name, err);
		if (status == STATUS_OK && checkpoint_is_shard(name))
			status = add_shard(tables, path, err);
		else if (status == STATUS_OK && strcmp(name, CHECKPOINT_DENSE_NAME) == 0)
			status = add_dense(tensors, path, err);
	}
	if (status == STATUS_OK) {
		digest_format(&digest, text);
		if (strcmp(text, manifest->digest) != 0)
			status = error_set(err, STATUS_DATA_LOSS,
				"%s: digest %s computed from the files, the manifest says %s",
				checkpoint->path, text, manifest->digest);
	}
	json_t *object = status == STATUS_OK ? manifest_to_json(manifest) : NULL;
	if (status == STATUS_OK && !object)
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory");
	if (status != STATUS_OK) {
		json_decref(tables);
		json_decref(tensors);
		return status;
	}
	json_object_set_new(object, "path", json_string(checkpoint->path));
	json_object_set_new(object, "tables", tables);
	json_object_set_new(object, "tensors", tensors);
	*ret = object;
	return STATUS_OK;
}

static json_int_t integer_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static enum status print_parts(const json_t *object, struct error *err)
{
	static const struct text_column columns[] = {{.heading = "parameters"},
		{.heading = "rows", .right = true}, {.heading = "floats a row", .right = true},
		{.heading = "state a row", .right = true}};
	struct text_table table;
	size_t i;
	json_t *entry;
	text_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(json_object_get(object, "tables"), i, entry)
	{
		text_table_cell(&table, "%s", json_string_value(json_object_get(entry, "name")));
		text_table_cell(&table, "%lld", (long long)integer_of(entry, "rows"));
		text_table_cell(&table, "%lld", (long long)integer_of(entry, "dim"));
		text_table_cell(&table, "%lld", (long long)integer_of(entry, "state"));
	}
	json_array_foreach(json_object_get(object, "tensors"), i, entry)
	{
		const json_t *shape = json_object_get(entry, "shape");
		const bool matrix = json_array_size(shape) == 2;
		const long long width =
			(long long)json_integer_value(json_array_get(shape, matrix ? 1 : 0));
		text_table_cell(&table, "%s", json_string_value(json_object_get(entry, "name")));
		text_table_cell(&table, "%lld",
			matrix ? (long long)json_integer_value(json_array_get(shape, 0)) : 1LL);
		text_table_cell(&table, "%lld", width);
		text_table_cell(&table, "%lld", width * (long long)integer_of(entry, "slots"));
	}
	enum status status = text_table_print(&table, stdout, err);
	text_table_fini(&table);
	return status;
}

static enum status print_inspection(
	const struct checkpoint *checkpoint, const json_t *object, struct error *err)
{
	const struct manifest *manifest = &checkpoint->manifest;
	printf("%s\nstep %" PRIu64 ", epoch %" PRIu64 ", seed %" PRIu64, checkpoint->path,
		manifest->step, manifest->epoch, manifest->seed);
	if (isfinite(manifest->test_rmse))
		printf(", test RMSE %.4f stars", manifest->test_rmse);
	printf("\ndata %s, holdout %g%s%s\n", manifest->data.directory, manifest->data.holdout,
		manifest->data.test_ratings ? ", tested on " : "",
		manifest->data.test_ratings ? manifest->data.test_ratings : "");
	for (size_t i = 0; i < manifest->file_count; i++)
		printf("file %s, %" PRIu64 " bytes, xxh3 %016" PRIx64 "\n", manifest->files[i].name,
			manifest->files[i].stamp.size, manifest->files[i].stamp.xxh3);
	enum status status = print_parts(object, err);
	if (status == STATUS_OK)
		printf("digest %s\n", manifest->digest);
	return status;
}

/* Says which checkpoints were passed over for the one that was found. */
static void print_notes(const struct checkpoint *checkpoint)
{
	for (const char *at = checkpoint->notes; *at;) {
		const size_t length = strcspn(at, "\n");
		fprintf(stderr, "%s: passed over: %.*s\n", program, (int)length, at);
		at += length;
		at += *at == '\n';
	}
}

static int run_inspect(char **directories, bool json)
{
	struct error err = {0};
	struct checkpoint checkpoint = {0};
	json_t *object = NULL;
	enum status status = checkpoint_resolve(&checkpoint, directories[0], false, &err);
	if (status == STATUS_OK) {
		print_notes(&checkpoint);
		status = inspect(&checkpoint, &object, &err);
	}
	if (status == STATUS_OK && json)
		status = json_print(json_incref(object), &err);
	else if (status == STATUS_OK)
		status = print_inspection(&checkpoint, object, &err);
	json_decref(object);
	checkpoint_fini(&checkpoint);
	return status == STATUS_OK ? EXIT_OK : program_failed(program, &err);
}

/* ---- diff ---- */

static bool is_same(const struct checkpoint_difference *entry)
{
	return entry->different == 0 && entry->only_left == 0 && entry->only_right == 0;
}

static enum status print_differences(
	const struct checkpoint_difference *entries, size_t count, struct error *err)
{
	static const struct text_column columns[] = {{.heading = "parameters"},
		{.heading = "same", .right = true}, {.heading = "different", .right = true},
		{.heading = "only left", .right = true}, {.heading = "only right", .right = true},
		{.heading = "largest difference", .right = true},
		{.heading = "of state", .right = true}};
	struct text_table table;
	text_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < count; i++) {
		const struct checkpoint_difference *entry = &entries[i];
		text_table_cell(&table, "%s", entry->name);
		text_table_cell(&table, "%" PRIu64, entry->same);
		text_table_cell(&table, "%" PRIu64, entry->different);
		text_table_cell(&table, "%" PRIu64, entry->only_left);
		text_table_cell(&table, "%" PRIu64, entry->only_right);
		if (entry->other_shape)
			text_table_cell(&table, "other shape");
		else
			text_table_cell(&table, "%g", entry->largest);
		text_table_cell(&table, "%g", entry->largest_state);
	}
	enum status status = text_table_print(&table, stdout, err);
	text_table_fini(&table);
	return status;
}

static json_t *differences_to_json(
	const struct checkpoint_difference *entries, size_t count, bool same)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		const struct checkpoint_difference *entry = &entries[i];
		json_array_append_new(
			list, json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "name",
				      entry->name, "table", (int)entry->table, "same",
				      json_from_u64(entry->same), "different",
				      json_from_u64(entry->different), "only_left",
				      json_from_u64(entry->only_left), "only_right",
				      json_from_u64(entry->only_right), "other_shape",
				      (int)entry->other_shape, "largest",
				      json_from_optional_double(entry->largest), "largest_state",
				      json_from_optional_double(entry->largest_state)));
	}
	return json_pack("{s:b, s:o}", "same", (int)same, "parameters", list);
}

static int run_diff(char **directories, bool json)
{
	struct error err = {0};
	struct checkpoint left = {0}, right = {0};
	struct checkpoint_difference *entries = NULL;
	size_t count = 0;
	bool same = true;
	enum status status = checkpoint_resolve(&left, directories[0], false, &err);
	if (status == STATUS_OK)
		status = checkpoint_resolve(&right, directories[1], false, &err);
	if (status == STATUS_OK)
		status = checkpoint_diff(&left, &right, &entries, &count, &err);
	if (status == STATUS_OK) {
		print_notes(&left);
		print_notes(&right);
	}
	for (size_t i = 0; status == STATUS_OK && i < count; i++)
		same &= is_same(&entries[i]);
	if (status == STATUS_OK && json) {
		status = json_print(differences_to_json(entries, count, same), &err);
	} else if (status == STATUS_OK) {
		printf("left  %s, step %" PRIu64 "\nright %s, step %" PRIu64 "\n", left.path,
			left.manifest.step, right.path, right.manifest.step);
		status = print_differences(entries, count, &err);
		printf("%s\n", same ? "the same parameters" : "different parameters");
	}
	free(entries);
	checkpoint_fini(&left);
	checkpoint_fini(&right);
	if (status != STATUS_OK)
		return program_failed(program, &err);
	return same ? EXIT_OK : EXIT_FAILED;
}

static const struct action {
	const char *name;
	int directories;
	int (*run)(char **directories, bool json);
} actions[] = {
	{"verify", 1, run_verify},
	{"inspect", 1, run_inspect},
	{"diff", 2, run_diff},
};

int cmd_checkpoint(int argc, char **argv)
{
	bool json = false;
	const struct flag flags[] = {
		{.name = "json",
			.kind = FLAG_BOOL,
			.target = &json,
			.help = "print the result as JSON"},
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = program,
		.summary = "verify checks every file of a checkpoint, or of all in a directory, "
			   "against "
			   "its manifest.\ninspect shows what the newest holds and computes its "
			   "digest "
			   "from the files: the one that\ntraining prints. diff compares the "
			   "parameters "
			   "of two; it exits with 1 when they differ.",
		.operands = "verify|inspect|diff DIR [DIR]",
		.min_operands = 2,
		.max_operands = 3,
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	int operands = 0;
	enum status status = flags_parse(&line, argc, argv, &operands, &err);
	if (status != STATUS_OK)
		return flags_exit(program, status, &err);
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		if (operands == 1 + actions[i].directories)
			return actions[i].run(argv + 2, json);
		status = error_set(&err, STATUS_INVALID_ARGUMENT, "%s takes %d director%s",
			actions[i].name, actions[i].directories,
			actions[i].directories == 1 ? "y" : "ies");
		return flags_exit(program, status, &err);
	}
	status = error_set(
		&err, STATUS_INVALID_ARGUMENT, "'%.40s' is none of verify, inspect, diff", argv[1]);
	return flags_exit(program, status, &err);
}
