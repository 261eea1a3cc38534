#include "common/metrics/run_file.h"

#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

static const char *const number_members[] = {"seconds", "ratings_per_second", "train_cost",
	"test_rmse", "test_mae", "wire_bytes_per_rating", "wire_messages_per_rating",
	"checkpoint_blocked_seconds"};
#define NUMBER_MEMBERS (sizeof(number_members) / sizeof(number_members[0]))

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Copies what is known of a line; *ret is owned. */
static enum status take_line(json_t **ret, const json_t *line, struct error *err)
{
	json_t *taken = json_object();
	enum status status = STATUS_OK;
	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		const char *name = i ? "step" : "epoch";
		json_t *value = json_object_get(line, name);
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			status = error_set(err, STATUS_DATA_LOSS, "'%s' is not a count", name);
		else
			(void)!json_object_set(taken, name, value);
	}
	for (size_t i = 0; i < NUMBER_MEMBERS && status == STATUS_OK; i++) {
		json_t *value = json_object_get(line, number_members[i]);
		if (value && !json_is_number(value) && !json_is_null(value))
			status = error_set(
				err, STATUS_DATA_LOSS, "'%s' is not a number", number_members[i]);
		else if (json_is_number(value))
			(void)!json_object_set(taken, number_members[i], value);
	}
	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		const char *name = i ? "hot" : "run";
		json_t *value = json_object_get(line, name);
		if (value && !json_is_object(value))
			status = error_set(err, STATUS_DATA_LOSS, "'%s' is not an object", name);
		else if (value)
			(void)!json_object_set(taken, name, value);
	}
	if (status != STATUS_OK)
		json_decref(taken);
	else
		*ret = taken;
	return status;
}

static json_int_t step_of(const json_t *line)
{
	return json_integer_value(json_object_get(line, "step"));
}

/* A line that says its run was begun at step 0; or, of older files, one whose step is not behind
 * the last. */
static bool begins_run(const json_t *line, const json_t *lines)
{
	const json_t *run = json_object_get(line, "run");
	if (run)
		return json_integer_value(json_object_get(run, "first_step")) == 0;
	const size_t n = json_array_size(lines);
	/* An epoch's line stands behind that of its last step. */
	return n > 0 && step_of(line) < step_of(json_array_get(lines, n - 1)) &&
	       json_integer_value(json_object_get(line, "epoch")) <= 1;
}

static bool is_step_line(const json_t *line)
{
	return !json_object_get(line, "wire_bytes_per_rating") &&
	       !json_object_get(line, "test_rmse") && !json_object_get(line, "run") &&
	       !json_object_get(line, "hot");
}

/* Keeps a page small: of many lines between epochs every so many stay. */
static void thin(json_t *lines)
{
	size_t index, steps = 0, kept = 0;
	json_t *line;
	json_array_foreach(lines, index, line)
	{
		steps += is_step_line(line);
	}
	if (steps <= RUN_STEP_LINES)
		return;
	const size_t stride = (steps + RUN_STEP_LINES - 1) / RUN_STEP_LINES;
	json_t *left = json_array();
	json_array_foreach(lines, index, line)
	{
		if (!is_step_line(line) || kept++ % stride == 0)
			(void)!json_array_append(left, line);
	}
	(void)!json_array_clear(lines);
	(void)!json_array_extend(lines, left);
	json_decref(left);
}

/* One line's text, [size]. */
static enum status read_line(
	json_t *runs, const char *name, const char *text, size_t size, struct error *err)
{
	json_error_t failure;
	json_t *line = json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure), *taken = NULL;
	if (!json_is_object(line)) {
		json_decref(line);
		return error_set(err, STATUS_DATA_LOSS, "not a JSON object of --dump-metrics");
	}
	enum status status = take_line(&taken, line, err);
	json_decref(line);
	if (status != STATUS_OK)
		return status;
	const size_t count = json_array_size(runs);
	json_t *lines = count ? json_object_get(json_array_get(runs, count - 1), "lines") : NULL;
	if (!lines || begins_run(taken, lines)) {
		if (count >= RUN_FILE_RUNS)
			status = error_set(
				err, STATUS_OUT_OF_RANGE, "more than %u runs", RUN_FILE_RUNS);
		/* A file's name need not be UTF-8. */
		json_t *title = json_string(name);
		lines = json_array();
		(void)!json_array_append_new(
			runs, json_pack("{s:o, s:o}", "name",
				      title ? title : json_string("metrics"), "lines", lines));
	}
	if (json_array_append_new(lines, taken) != 0 && status == STATUS_OK)
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory");
	return status;
}

static enum status read_lines(
	json_t *runs, const char *path, const char *text, size_t size, struct error *err)
{
	size_t number = 0;
	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		if (!end)
			break; /* cut */
		const size_t length = (size_t)(end - text) - at;
		number++;
		if (length > 0 &&
			read_line(runs, base_name(path), text + at, length, err) != STATUS_OK)
			return error_wrap(err, err->status, "%s:%zu", path, number);
		at += length + 1;
	}
	if (json_array_size(runs) == 0)
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"%s has no metrics: --dump-metrics writes them", path);
	return STATUS_OK;
}

enum status run_file_read(json_t *runs, const char *path, bool last_only, struct error *err)
{
	char *text;
	size_t size, index;
	json_t *mine = json_array(), *run;
	struct error own;
	enum status status = file_read_all(path, RUN_FILE_LIMIT, &text, &size, &own);
	if (status == STATUS_OK) {
		status = read_lines(mine, path, text, size, &own);
		free(text);
	}
	while (last_only && json_array_size(mine) > 1)
		(void)!json_array_remove(mine, 0);
	json_array_foreach(mine, index, run)
	{
		thin(json_object_get(run, "lines"));
		if (status == STATUS_OK && json_array_append(runs, run) != 0)
			status = error_set(&own, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", path);
	}
	json_decref(mine);
	return status == STATUS_OK ? status : error_set(err, status, "%s", own.message);
}
