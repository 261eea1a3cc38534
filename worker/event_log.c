#include "worker/event_log.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/metrics/event_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_SIZE	    64
#define EPOCH_VALUES	    7u
#define CONFIGURATION_BYTES ((size_t)1 << 14)

struct event_log {
	const char *directory;
	struct event_file file;
	const struct model *model;
	const struct train_options *options;
	uint64_t every;
	struct event_histogram norms[MODEL_TABLES_MAX];
};

static double now_s(void)
{
	return (double)clock_unix_ns() * 1e-9;
}

static enum status write_values(struct event_log *log, uint64_t step,
	const struct event_value *values, size_t count, struct error *err)
{
	enum status status = event_file_write(&log->file, now_s(), step, values, count, err);
	return status == STATUS_OK ? status : error_wrap(err, status, "--log-dir");
}

enum status event_log_open(struct event_log **ret, const char *directory, struct error *err)
{
	struct event_log *log;
	enum status status = memory_zalloc(&log, 1, sizeof(*log), "event log", err);
	if (status != STATUS_OK)
		return status;
	log->directory = directory;
	status = event_file_open(&log->file, directory, now_s(), err);
	if (status != STATUS_OK) {
		free(log);
		return error_wrap(err, status, "--log-dir");
	}
	*ret = log;
	return STATUS_OK;
}

void event_log_close(struct event_log *log)
{
	if (!log)
		return;
	event_file_close(&log->file);
	free(log);
}

/* A Markdown table of the options that decide the result; cut where there is no more room. */
static void describe(const struct event_log *log, FILE *out)
{
	json_t *options = train_options_to_json(log->options);
	const char *name;
	json_t *value;
	fprintf(out, "| option | value |\n|---|---|\n| data | %s |\n| model | %s |\n",
		log->options->data ? log->options->data : "", model_name(log->model));
	/* jansson iterates over what it does not change; NULL, without memory, has nothing. */
	json_object_foreach(options, name, value)
	{
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
		fprintf(out, "| %s | %s |\n", name, text ? text : "");
		free(text);
	}
	json_decref(options);
}

enum status event_log_begin(struct event_log *log, const struct model *model,
	const struct train_options *options, uint64_t step, struct error *err)
{
	if (!log)
		return STATUS_OK;
	log->model = model;
	log->options = options;
	log->every = options->metrics_every ? options->metrics_every : EVENT_LOG_EVERY_DEFAULT;
	char *text;
	enum status status = memory_zalloc(&text, CONFIGURATION_BYTES, 1, "event log", err);
	if (status != STATUS_OK)
		return status;
	FILE *out = fmemopen(text, CONFIGURATION_BYTES - 1, "w");
	if (out) {
		describe(log, out);
		fclose(out);
	}
	const struct event_value value = {.tag = "configuration/text_summary", .text = text};
	status = event_file_restart(&log->file, now_s(), step + 1, err);
	if (status == STATUS_OK)
		status = write_values(log, step, &value, 1, err);
	free(text);
	return status;
}

bool event_log_is_due(const struct event_log *log, uint64_t step)
{
	return log && (step + 1) % log->every == 0;
}

static void sample_table(
	struct event_histogram *norms, const struct params_pull *pull, uint32_t dim)
{
	const float *row = pull->rows ? pull->rows : *pull->found;
	for (uint32_t i = 0; i < pull->count; i++, row += dim) {
		double sum = 0;
		for (uint32_t c = 0; c < dim; c++)
			sum += (double)row[c] * (double)row[c];
		event_histogram_add(norms, sqrt(sum));
	}
}

void event_log_sample(struct event_log *log, const struct spans *spans)
{
	for (uint32_t i = 0; log && i < spans->table_count * spans->count; i++) {
		const uint32_t table = spans->pulls[i].table;
		sample_table(
			&log->norms[table], &spans->pulls[i], model_table(log->model, table)->dim);
	}
}

enum status event_log_step(
	struct event_log *log, const struct event_log_step *step, struct error *err)
{
	if (!log)
		return STATUS_OK;
	const struct event_value values[] = {
		{.tag = "train/loss", .number = step->cost},
		{.tag = "train/rmse", .number = 0.5 * sqrt(step->cost)},
		{.tag = "train/learning_rate",
			.number = (double)log->options->optimizer.learning_rate},
		{.tag = "train/staleness", .number = (double)step->staleness},
		{.tag = "throughput/ratings_per_second", .number = step->ratings_per_second},
		{.tag = "throughput/rows_per_second", .number = step->rows_per_second},
	};
	return write_values(log, step->step, values, sizeof(values) / sizeof(values[0]), err);
}

enum status event_log_epoch(
	struct event_log *log, const struct report_epoch *epoch, struct error *err)
{
	if (!log)
		return STATUS_OK;
	char tags[MODEL_TABLES_MAX][TAG_SIZE];
	struct event_value values[EPOCH_VALUES + MODEL_TABLES_MAX] = {
		{.tag = "epoch/train_loss", .number = epoch->train_cost},
		{.tag = "epoch/test_rmse", .number = epoch->test_rmse},
		{.tag = "epoch/test_mae", .number = epoch->test_mae},
		{.tag = "epoch/ratings_per_second", .number = epoch->ratings_per_second},
		{.tag = "wire/bytes_per_rating", .number = epoch->wire_bytes_per_rating},
		{.tag = "wire/messages_per_rating", .number = epoch->wire_messages_per_rating},
		{.tag = "checkpoint/blocked_seconds", .number = epoch->checkpoint_blocked_seconds},
	};
	const uint32_t tables = model_table_count(log->model);
	for (uint32_t t = 0; t < tables; t++) {
		snprintf(tags[t], sizeof(tags[t]), "row_norm/%s", model_table(log->model, t)->name);
		values[EPOCH_VALUES + t] =
			(struct event_value){.tag = tags[t], .histogram = &log->norms[t]};
	}
	enum status status = write_values(log, epoch->step, values, EPOCH_VALUES + tables, err);
	memset(log->norms, 0, sizeof(log->norms));
	return status;
}
