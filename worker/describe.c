/* What a run is, as one JSON object: its options, data and tables. */
#include "common/base/clock.h"
#include "worker/trainer_internal.h"

#include <string.h>

/* The last name in a path: where somebody keeps the data is nobody's business. */
static const char *last_name(const char *path)
{
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		length--;
	while (length > 0 && path[length - 1] != '/')
		length--;
	return path + length;
}

/* Rows that ids may have, and the bytes of their records if all exist. */
static json_t *describe_tables(const struct trainer *trainer)
{
	json_t *tables = json_array();
	for (uint32_t t = 0; t < model_table_count(trainer->model); t++) {
		const struct model_table *table = model_table(trainer->model, t);
		const uint64_t floats = trainer->params->record_floats[t];
		(void)!json_array_append_new(tables,
			json_pack("{s:s, s:I, s:I, s:I}", "name", table->name, "rows",
				(json_int_t)table->rows, "dim", (json_int_t)table->dim, "bytes",
				(json_int_t)(table->rows * floats * sizeof(float))));
	}
	return tables;
}

json_t *trainer_describe(const struct trainer *trainer)
{
	const struct train_options *options = &trainer->options;
	json_t *settings = train_options_to_json(options);
	if (settings && options->test_ratings)
		(void)!json_object_set_new(
			settings, "test_ratings", json_string(last_name(options->test_ratings)));
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:s, s:o*, s:o*, s:I, s:I, s:I, s:I, s:I, s:I, s:o*}",
		"started", (json_int_t)(clock_unix_ns() / 1000000000u), "first_step",
		(json_int_t)trainer->step, "epochs", (json_int_t)options->epochs, "steps_per_epoch",
		(json_int_t)trainer->steps_per_epoch, "data",
		options->data ? last_name(options->data) : "", "options", settings, "model",
		model_config_to_json(&options->model), "workers",
		(json_int_t)trainer->comm->workers, "threads",
		(json_int_t)team_members(trainer->team), "users",
		(json_int_t)trainer->dataset.catalog.user_count, "movies",
		(json_int_t)trainer->dataset.catalog.movie_count, "train_ratings",
		(json_int_t)trainer->dataset.train_count, "test_ratings",
		(json_int_t)trainer->dataset.test_count, "tables", describe_tables(trainer));
}
