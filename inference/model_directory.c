#include "inference/model_changes.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/sealed_json.h"
#include "common/model/model_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum table_entity table_entity_of(const struct model_table *table)
{
	if (!table->has_unknown)
		return ENTITY_FEATURE;
	return strcmp(table->name, "user") == 0 ? ENTITY_USER : ENTITY_MOVIE;
}

uint32_t table_entity_count(const struct model_table *table, const struct catalog *catalog)
{
	switch (table_entity_of(table)) {
	case ENTITY_USER:
		return catalog->user_count;
	case ENTITY_MOVIE:
		return catalog->movie_count;
	case ENTITY_FEATURE:
		break;
	}
	return 0;
}

uint32_t table_entity_find(
	const struct model_table *table, const struct catalog *catalog, uint64_t id)
{
	return table_entity_of(table) == ENTITY_USER ? catalog_find_user(catalog, id)
						     : catalog_find_movie(catalog, id);
}

bool table_is_compact(const struct model_table *table, const struct catalog *catalog)
{
	return table_entity_of(table) != ENTITY_FEATURE &&
	       table->rows > COMPACT_ROWS_FREE +
				     COMPACT_ROWS_PER_ENTITY * table_entity_count(table, catalog);
}

/* Every id and feature of the catalog has a row in the model's tables. */
static enum status check_sizes(
	const struct model_directory *directory, const struct model_sizes *sizes, struct error *err)
{
	const struct catalog *catalog = &directory->catalog;
	const struct {
		const char *what;
		uint64_t model, catalog;
	} pairs[] = {
		{"users", sizes->users, catalog_user_rows(catalog)},
		{"movies", sizes->movies, catalog_movie_rows(catalog)},
		{"genders", sizes->genders, GENDER_COUNT},
		{"ages", sizes->ages, AGE_BUCKET_COUNT},
		{"occupations", sizes->occupations, catalog_occupation_rows(catalog)},
		{"genres", sizes->genres, catalog->genres.count},
		{"words", sizes->words, catalog->words.count},
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].model < pairs[i].catalog)
			return error_set(err, STATUS_DATA_LOSS,
				"%s/" MODEL_JSON_NAME ": %" PRIu64
				" %s, the catalog needs %" PRIu64,
				directory->path, pairs[i].model, pairs[i].what, pairs[i].catalog);
	return STATUS_OK;
}

static enum status open_table(
	struct model_directory *directory, uint32_t t, size_t *tensors, struct error *err)
{
	const struct model_table *table = model_table(directory->model, t);
	struct model_directory_table *ret = &directory->tables[t];
	const struct tensor *ids;
	char name[TENSOR_NAME_SIZE];
	ret->compact = table_is_compact(table, &directory->catalog);
	const uint64_t rows =
		ret->compact ? table_entity_count(table, &directory->catalog) : table->rows;
	const uint64_t shape[2] = {rows, table->dim};
	snprintf(name, sizeof(name), "%s.weight", table->name);
	enum status status = safetensors_expect(&directory->weights, name,
		row_type_tensor(directory->rows), 2, shape, &ret->weight, err);
	if (status != STATUS_OK)
		return status;
	*tensors += 1;
	if (directory->rows == ROWS_INT8) {
		snprintf(name, sizeof(name), "%s.scale", table->name);
		status = safetensors_expect(
			&directory->weights, name, TENSOR_F32, 1, shape, &ret->scale, err);
		if (status != STATUS_OK)
			return status;
		*tensors += 1;
	}
	if (!ret->compact)
		return STATUS_OK;
	snprintf(name, sizeof(name), "%s.ids", table->name);
	status = safetensors_expect(&directory->weights, name, TENSOR_U64, 1, shape, &ids, err);
	if (status != STATUS_OK)
		return status;
	const uint64_t *wanted = table_entity_of(table) == ENTITY_USER
					 ? directory->catalog.user_ids
					 : directory->catalog.movie_ids;
	if (memcmp(ids->bytes, wanted, (size_t)ids->size) != 0)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: tensor '%s': its ids are not the catalog's", directory->weights.path,
			name);
	*tensors += 1;
	return STATUS_OK;
}

static enum status open_weights(struct model_directory *directory, struct error *err)
{
	const struct model *model = directory->model;
	size_t tensors = 0;
	enum status status = memory_zalloc(
		&directory->dense, model_dense_size(model), sizeof(float), "parameters", err);
	for (uint32_t t = 0; status == STATUS_OK && t < model_table_count(model); t++)
		status = open_table(directory, t, &tensors, err);
	for (uint32_t i = 0; status == STATUS_OK && i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		const uint64_t shape[2] = {tensor->rows, tensor->cols};
		const struct tensor *found;
		status = safetensors_expect(&directory->weights, tensor->name, TENSOR_F32,
			tensor->rank, shape, &found, err);
		if (status == STATUS_OK)
			memcpy(directory->dense + tensor->offset, found->bytes,
				(size_t)found->size);
		tensors++;
	}
	if (status == STATUS_OK && tensors != directory->weights.count)
		status = error_set(err, STATUS_DATA_LOSS, "%s: has %zu tensors, the model has %zu",
			directory->weights.path, directory->weights.count, tensors);
	return status;
}

/* {"unknown": {"user": [...]}, "unknown_trained": {"user": true}} */
static enum status read_unknown(
	struct model_directory *directory, const json_t *json, uint32_t t, struct error *err)
{
	const struct model_table *table = model_table(directory->model, t);
	struct model_directory_table *ret = &directory->tables[t];
	json_t *rows, *row, *marks;
	if (!table->has_unknown)
		return STATUS_OK;
	enum status status = json_field_object(json, "unknown_trained", &marks, err);
	if (status == STATUS_OK)
		status = json_field_object(json, "unknown", &rows, err);
	if (status == STATUS_OK)
		status = json_field_array(rows, table->name, &row, err);
	if (status == STATUS_OK)
		status = memory_alloc(&ret->unknown, table->dim, sizeof(float), "unknown row", err);
	if (status != STATUS_OK)
		return status;
	bool good = json_array_size(row) == table->dim;
	for (uint32_t i = 0; good && i < table->dim; i++) {
		const json_t *value = json_array_get(row, i);
		good = json_is_number(value);
		ret->unknown[i] = (float)json_number_value(value);
	}
	const json_t *mark = json_object_get(marks, table->name);
	if (!good || !json_is_boolean(mark))
		return error_set(err, STATUS_DATA_LOSS,
			"'unknown': '%s' is not a row of %u numbers with a mark", table->name,
			table->dim);
	ret->unknown_trained = json_is_true(mark);
	return STATUS_OK;
}

static enum status check_vocabulary(
	const json_t *json, const char *name, const struct vocabulary *wanted, struct error *err)
{
	json_t *words;
	enum status status = json_field_array(json, name, &words, err);
	if (status != STATUS_OK)
		return status;
	bool same = json_array_size(words) == wanted->count;
	for (uint32_t i = 0; same && i < wanted->count; i++) {
		const char *word = json_string_value(json_array_get(words, i));
		same = word && strcmp(word, vocabulary_entry(wanted, i)) == 0;
	}
	return same ? STATUS_OK
		    : error_set(err, STATUS_DATA_LOSS, "'%s' are not those of the catalog", name);
}

/* How the rows are stored; directories of before there was a choice do not say. */
static enum status read_rows(
	struct model_directory *directory, const json_t *json, struct error *err)
{
	const char *rows;
	if (!json_object_get(json, "rows"))
		return STATUS_OK;
	enum status status = json_field_string(json, "rows", &rows, err);
	if (status == STATUS_OK && !row_type_find(rows, &directory->rows))
		status = error_set(err, STATUS_DATA_LOSS,
			"'rows' is '%.40s', none of " ROW_TYPE_CHOICES, rows);
	return status;
}

/* What model.json says, but for what needs the catalog and the model. */
static enum status read_about(
	struct model_directory *directory, const json_t *json, struct error *err)
{
	const char *format;
	enum status status = json_field_string(json, "format", &format, err);
	if (status == STATUS_OK && strcmp(format, MODEL_DIRECTORY_FORMAT) != 0)
		status = error_set(err, STATUS_DATA_LOSS,
			"'format' is '%.40s', not '" MODEL_DIRECTORY_FORMAT "'", format);
	if (status == STATUS_OK)
		status = read_rows(directory, json, err);
	if (status == STATUS_OK)
		status = manifest_from_json(&directory->about, json, err);
	if (status == STATUS_OK &&
		(!manifest_find_file(&directory->about, MODEL_WEIGHTS_NAME) ||
			!manifest_find_file(&directory->about, MODEL_CATALOG_NAME)))
		status = error_set(err, STATUS_DATA_LOSS,
			"'files' lacks " MODEL_WEIGHTS_NAME " or " MODEL_CATALOG_NAME);
	return status;
}

static enum status read_model(struct model_directory *directory, const json_t *json,
	struct model_sizes *ret_sizes, struct error *err)
{
	const struct catalog *catalog = &directory->catalog;
	struct model_config config;
	enum status status =
		model_record_from_json(&config, ret_sizes, directory->about.model, err);
	if (status == STATUS_OK)
		status = model_new(&directory->model, &config, ret_sizes, err);
	if (status == STATUS_OK)
		status = memory_zalloc(&directory->tables, model_table_count(directory->model),
			sizeof(*directory->tables), "tables", err);
	for (uint32_t t = 0; status == STATUS_OK && t < model_table_count(directory->model); t++)
		status = read_unknown(directory, json, t, err);
	if (status == STATUS_OK)
		status = check_vocabulary(json, "words", &catalog->words, err);
	if (status == STATUS_OK)
		status = check_vocabulary(json, "genres", &catalog->genres, err);
	if (status == STATUS_OK)
		status = check_vocabulary(json, "occupations", &catalog->occupation_names, err);
	return status;
}

static enum status open_parts(struct model_directory *directory, const char *json_path,
	const json_t *json, struct error *err)
{
	char path[PATH_SIZE];
	struct model_sizes sizes;
	enum status status = read_about(directory, json, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s", json_path);
	status = manifest_verify_files(&directory->about, directory->path, err);
	if (status == STATUS_OK)
		status = path_join(path, directory->path, MODEL_CATALOG_NAME, err);
	if (status == STATUS_OK)
		status = catalog_file_read(&directory->catalog, &directory->trained, path, err);
	if (status != STATUS_OK)
		return status;
	status = read_model(directory, json, &sizes, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s", json_path);
	status = check_sizes(directory, &sizes, err);
	if (status == STATUS_OK)
		status = path_join(path, directory->path, MODEL_WEIGHTS_NAME, err);
	if (status == STATUS_OK)
		status = safetensors_open(&directory->weights, path, err);
	return status == STATUS_OK ? open_weights(directory, err) : status;
}

/* Says what to do about a directory that is not as it was exported. */
static enum status advise(enum status status, struct error *err)
{
	if (status != STATUS_DATA_LOSS || !err)
		return status;
	const size_t used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used,
		": export the model again (marquee export)");
	return status;
}

enum status model_directory_open(struct model_directory *ret, const char *path, struct error *err)
{
	struct model_directory directory = {0};
	char json_path[PATH_SIZE];
	json_t *json;
	if (!directory_exists(path))
		return error_set(err, STATUS_NOT_FOUND, "%s: no such directory", path);
	enum status status = path_join(json_path, path, MODEL_JSON_NAME, err);
	if (status != STATUS_OK)
		return status;
	if (!file_exists(json_path))
		return error_set(err, STATUS_NOT_FOUND,
			"%s: not a model directory (no " MODEL_JSON_NAME "): make one with "
			"'marquee export'",
			path);
	status = sealed_json_read(json_path, MODEL_DIRECTORY_FORMAT_VERSION, &json, err);
	if (status != STATUS_OK)
		return advise(status, err);
	memcpy(directory.path, path, strlen(path) + 1);
	status = advise(open_parts(&directory, json_path, json, err), err);
	json_decref(json);
	if (status == STATUS_OK)
		status = model_changes_apply(&directory, err);
	if (status != STATUS_OK)
		model_directory_close(&directory);
	else
		*ret = directory;
	return status;
}

void model_directory_close(struct model_directory *directory)
{
	for (uint32_t t = 0; directory->tables && t < model_table_count(directory->model); t++)
		free(directory->tables[t].unknown);
	free(directory->tables);
	free(directory->dense);
	safetensors_close(&directory->weights);
	model_changes_fini(&directory->changes);
	catalog_trained_fini(&directory->trained);
	catalog_fini(&directory->catalog);
	model_free(directory->model);
	manifest_fini(&directory->about);
	*directory = (struct model_directory){0};
}

/* The row of an id that has one. */
static uint32_t compact_row(
	const struct model_directory *directory, const struct model_table *table, uint64_t id)
{
	const uint32_t number = table_entity_find(table, &directory->catalog, id);
	const uint32_t *before = directory->changes.numbers.before;
	return before && table_entity_of(table) == ENTITY_MOVIE ? before[number] : number;
}

void model_directory_row(
	const struct model_directory *directory, uint32_t table, uint64_t id, float *row)
{
	const struct model_directory_table *from = &directory->tables[table];
	const struct model_table *shape = model_table(directory->model, table);
	if (id == UNKNOWN_ID && shape->has_unknown) {
		memcpy(row, from->unknown, shape->dim * sizeof(*row));
		return;
	}
	if (from->compact)
		id = compact_row(directory, shape, id);
	const size_t row_bytes = shape->dim * tensor_type_size(from->weight->type);
	const float *scales = from->scale ? from->scale->bytes : NULL;
	row_decode(directory->rows, (const unsigned char *)from->weight->bytes + id * row_bytes,
		scales ? scales[id] : 1, shape->dim, row);
}
