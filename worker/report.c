#include "worker/report.h"

#include "common/base/memory.h"
#include "common/base/text_table.h"
#include "worker/event_log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Weight of a new step in the progress line's loss: a mean over some hundred steps. */
#define SMOOTHING 0.01

void report_init(struct report *report, const struct report_options *options)
{
	*report = (struct report){.options = *options, .smooth_cost = NAN};
	report->examples = report->examples_at_epoch = report->examples_at_event =
		options->done_examples;
	progress_init(&report->progress, options->progress_descriptor, options->clock,
		options->total_examples, "ratings");
}

void report_fini(struct report *report)
{
	if (report->options.clock)
		progress_finish(&report->progress);
	json_decref(report->notes);
	free(report->epochs);
	*report = (struct report){0};
}

static double training_seconds(const struct report *report)
{
	double seconds = report->training_seconds;
	if (report->running_since_ns)
		seconds += clock_seconds_since(report->options.clock, report->running_since_ns);
	return seconds;
}

void report_start(struct report *report, uint64_t epoch)
{
	char label[32];
	report->epoch = epoch + 1;
	snprintf(label, sizeof(label), "epoch %llu/%llu", (unsigned long long)epoch + 1,
		(unsigned long long)report->options.epochs);
	progress_label(&report->progress, label);
	if (report->training_seconds == 0)
		progress_start(&report->progress, report->examples);
	report->running_since_ns = clock_now_ns(report->options.clock);
}

void report_stop(struct report *report)
{
	report->training_seconds = training_seconds(report);
	report->running_since_ns = 0;
}

/* JSON has no NAN: what was not measured is null. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static enum status write_line(
	struct report *report, const struct report_epoch *epoch, struct error *err)
{
	json_t *line = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "epoch",
		(json_int_t)epoch->epoch, "step", (json_int_t)epoch->step, "seconds",
		number(epoch->seconds), "ratings_per_second", number(epoch->ratings_per_second),
		"train_cost", number(epoch->train_cost), "test_rmse", number(epoch->test_rmse),
		"test_mae", number(epoch->test_mae), "wire_bytes_per_rating",
		number(epoch->wire_bytes_per_rating), "wire_messages_per_rating",
		number(epoch->wire_messages_per_rating), "checkpoint_blocked_seconds",
		number(epoch->checkpoint_blocked_seconds), "restarts",
		(json_int_t)report->options.restarts);
	if (!line)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "metrics: no memory");
	if (report->notes)
		(void)!json_object_update(line, report->notes);
	int failed =
		json_dumpf(line, report->options.metrics, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(line);
	if (failed || fputc('\n', report->options.metrics) == EOF ||
		fflush(report->options.metrics) != 0)
		return error_set_errno(
			err, errno, "--dump-metrics: %s", report->options.metrics_path);
	json_decref(report->notes);
	report->notes = NULL;
	return STATUS_OK;
}

void report_note(struct report *report, const char *name, json_t *value)
{
	if (!report->notes)
		report->notes = json_object();
	/* What there was no memory for is not told. */
	if (value)
		(void)!json_object_set_new(report->notes, name, value);
}

static double rate(uint64_t count, double seconds)
{
	return seconds > 0 ? (double)count / seconds : NAN;
}

static enum status write_step_events(
	struct report *report, const struct report_step *step, struct error *err)
{
	const double seconds = training_seconds(report);
	const double spent = seconds - report->seconds_at_event;
	const struct event_log_step events = {
		.step = step->step + 1,
		.cost = step->cost,
		.ratings_per_second = rate(report->examples - report->examples_at_event, spent),
		.rows_per_second = rate(report->rows - report->rows_at_event, spent),
		.staleness = step->staleness,
	};
	report->seconds_at_event = seconds;
	report->examples_at_event = report->examples;
	report->rows_at_event = report->rows;
	return event_log_step(report->options.events, &events, err);
}

static enum status write_step_line(
	struct report *report, const struct report_step *step, struct error *err)
{
	const double seconds = training_seconds(report);
	/* What is measured once an epoch is null here. */
	const struct report_epoch line = {.epoch = report->epoch,
		.step = step->step + 1,
		.seconds = seconds,
		.ratings_per_second =
			rate(report->examples - report->options.done_examples, seconds),
		.train_cost = step->cost,
		.test_rmse = NAN,
		.test_mae = NAN,
		.wire_bytes_per_rating = NAN,
		.wire_messages_per_rating = NAN,
		.checkpoint_blocked_seconds = NAN};
	return write_line(report, &line, err);
}

void report_step(struct report *report, const struct report_step *step)
{
	report->examples += step->examples;
	report->rows += step->rows;
	if (isfinite(step->cost))
		report->smooth_cost =
			isfinite(report->smooth_cost)
				? report->smooth_cost +
					  SMOOTHING * (step->cost - report->smooth_cost)
				: step->cost;
	if (report->options.progress_descriptor >= 0)
		progress_update(&report->progress, report->examples, report->smooth_cost);
	/* A full disk must not end the training here: what is written of the epoch reports it. */
	struct error ignored;
	if (event_log_is_due(report->options.events, step->step))
		(void)!write_step_events(report, step, &ignored);
	if (!report->options.metrics || !report->options.metrics_every ||
		(step->step + 1) % report->options.metrics_every != 0)
		return;
	if (write_step_line(report, step, &ignored) != STATUS_OK)
		clearerr(report->options.metrics);
}

static void print_epoch(struct report *report, const struct report_epoch *epoch)
{
	FILE *out = report->options.out;
	progress_finish(&report->progress);
	fprintf(out, "epoch %llu/%llu: train cost %.4f, ", (unsigned long long)epoch->epoch,
		(unsigned long long)report->options.epochs, epoch->train_cost);
	if (isfinite(epoch->test_rmse))
		fprintf(out, "held-out RMSE %.4f MAE %.4f stars, ", epoch->test_rmse,
			epoch->test_mae);
	fprintf(out, "%.0f ratings/s%s\n", epoch->ratings_per_second,
		epoch->best ? " (best so far)" : "");
	fflush(out);
}

void report_blocked(struct report *report, double seconds)
{
	report->blocked_seconds += seconds;
}

void report_interrupt(struct report *report)
{
	if (report->options.progress_descriptor >= 0)
		progress_finish(&report->progress);
}

uint64_t report_epoch_examples(const struct report *report)
{
	return report->examples - report->examples_at_epoch;
}

enum status report_epoch_end(struct report *report, struct report_epoch *epoch, struct error *err)
{
	double seconds = training_seconds(report);
	double spent = seconds - report->seconds_at_epoch;
	epoch->seconds = seconds;
	epoch->ratings_per_second = rate(report->examples - report->examples_at_epoch, spent);
	epoch->checkpoint_blocked_seconds = report->blocked_seconds;
	report->blocked_seconds = 0;
	report->seconds_at_epoch = seconds;
	report->examples_at_epoch = report->examples;
	enum status status = memory_grow(&report->epochs, &report->epoch_capacity,
		report->epoch_count + 1, sizeof(*report->epochs), "epoch table", err);
	if (status != STATUS_OK)
		return status;
	report->epochs[report->epoch_count++] = *epoch;
	if (report->options.out && report->options.progress_descriptor >= 0)
		print_epoch(report, epoch);
	status = event_log_epoch(report->options.events, epoch, err);
	if (status != STATUS_OK || !report->options.metrics)
		return status;
	return write_line(report, epoch, err);
}

static void real_cell(struct text_table *table, int digits, double value)
{
	if (isfinite(value))
		text_table_cell(table, "%.*f", digits, value);
	else
		text_table_cell(table, "-");
}

enum status report_table(const struct report *report, struct error *err)
{
	static const struct text_column columns[] = {
		{.heading = "epoch", .right = true},
		{.heading = "step", .right = true},
		{.heading = "train RMSE", .right = true},
		{.heading = "test RMSE", .right = true},
		{.heading = "test MAE", .right = true},
		{.heading = "ratings/s", .right = true},
		{.heading = "seconds", .right = true},
		{.heading = ""},
	};
	struct text_table table;
	if (!report->options.out || report->epoch_count == 0)
		return STATUS_OK;
	text_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	size_t best = 0;
	for (size_t i = 0; i < report->epoch_count; i++)
		if (report->epochs[i].test_rmse < report->epochs[best].test_rmse)
			best = i;
	for (size_t i = 0; i < report->epoch_count; i++) {
		const struct report_epoch *epoch = &report->epochs[i];
		text_table_cell(&table, "%llu", (unsigned long long)epoch->epoch);
		text_table_cell(&table, "%llu", (unsigned long long)epoch->step);
		real_cell(&table, 4, 0.5 * sqrt(epoch->train_cost));
		real_cell(&table, 4, epoch->test_rmse);
		real_cell(&table, 4, epoch->test_mae);
		real_cell(&table, 0, epoch->ratings_per_second);
		text_table_cell(&table, "%.1f", epoch->seconds);
		text_table_cell(
			&table, "%s", i == best && isfinite(epoch->test_rmse) ? "best" : "");
	}
	enum status status = text_table_print(&table, report->options.out, err);
	text_table_fini(&table);
	return status;
}
