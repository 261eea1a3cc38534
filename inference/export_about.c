#include "inference/export_about.h"

#include "common/checkpoint/sealed_json.h"
#include "inference/model_directory.h"

#include <jansson.h>
#include <math.h>

static json_t *vocabulary_to_json(const struct vocabulary *vocabulary)
{
	json_t *words = json_array();
	for (uint32_t i = 0; i < vocabulary->count; i++)
		json_array_append_new(words, json_string(vocabulary_entry(vocabulary, i)));
	return words;
}

/* JSON has no infinities: a diverged training is told here at the latest. */
static enum status check_unknown(const struct export_about *about, struct error *err)
{
	for (uint32_t t = 0; t < model_table_count(about->model); t++) {
		const struct model_table *table = model_table(about->model, t);
		const float *row = about->unknown[t].row;
		for (uint32_t i = 0; row && i < table->dim; i++)
			if (!isfinite(row[i]))
				return error_set(err, STATUS_FAILED_PRECONDITION,
					"%s: table '%s' does not hold numbers: the training "
					"diverged, try a lower --learning-rate",
					about->checkpoint, table->name);
	}
	return STATUS_OK;
}

/* A float is exact as a double, and a double is written with all its digits. */
static json_t *row_to_json(const float *row, uint32_t dim)
{
	json_t *values = json_array();
	for (uint32_t i = 0; i < dim; i++)
		json_array_append_new(values, json_real((double)row[i]));
	return values;
}

static void add_unknown(json_t *json, const struct export_about *about)
{
	json_t *rows = json_object(), *marks = json_object();
	for (uint32_t t = 0; t < model_table_count(about->model); t++) {
		const struct model_table *table = model_table(about->model, t);
		if (!about->unknown[t].row)
			continue;
		json_object_set_new(
			rows, table->name, row_to_json(about->unknown[t].row, table->dim));
		json_object_set_new(marks, table->name, json_boolean(about->unknown[t].trained));
	}
	json_object_set_new(json, "unknown", rows);
	json_object_set_new(json, "unknown_trained", marks);
}

enum status export_about_write(
	const struct export_about *about, const char *path, struct error *err)
{
	enum status status = check_unknown(about, err);
	if (status != STATUS_OK)
		return status;
	json_t *json = manifest_to_json(about->manifest);
	json_t *ages = json_array();
	for (size_t i = 0; i < AGE_BUCKET_COUNT; i++)
		json_array_append_new(ages, json_integer(age_buckets[i]));
	json_object_set_new(json, "format", json_string(MODEL_DIRECTORY_FORMAT));
	json_object_set_new(json, "format_version", json_integer(MODEL_DIRECTORY_FORMAT_VERSION));
	json_object_set_new(json, "rows", json_string(row_type_name(about->rows)));
	json_object_set_new(json, "genders", json_pack("[s, s]", "M", "F"));
	json_object_set_new(json, "ages", ages);
	json_object_set_new(
		json, "occupations", vocabulary_to_json(&about->catalog->occupation_names));
	json_object_set_new(json, "genres", vocabulary_to_json(&about->catalog->genres));
	json_object_set_new(json, "words", vocabulary_to_json(&about->catalog->words));
	add_unknown(json, about);
	status = sealed_json_write(path, json, err);
	json_decref(json);
	return status;
}
