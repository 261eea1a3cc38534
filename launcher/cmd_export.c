/* marquee export: from a checkpoint to a model directory. */
#include "common/base/flags.h"
#include "common/checkpoint/json_field.h"
#include "inference/export.h"
#include "launcher/answer.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Takes one of the comma-separated names. */
static enum status take_format(
	struct export_options *options, const char *name, size_t length, struct error *err)
{
	const struct {
		const char *name;
		bool *wanted; /* NULL: always written */
	} formats[] = {
		{"safetensors", NULL},
		{"onnx", &options->onnx},
		{"npy", &options->npy},
		{"faiss", &options->faiss},
	};
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strlen(formats[i].name) == length &&
			memcmp(name, formats[i].name, length) == 0) {
			if (formats[i].wanted)
				*formats[i].wanted = true;
			return STATUS_OK;
		}
	return error_set(err, STATUS_INVALID_ARGUMENT,
		"--format: '%.*s' is none of safetensors, onnx, npy, faiss", (int)length, name);
}

static enum status take_formats(
	struct export_options *options, const char *formats, struct error *err)
{
	enum status status = STATUS_OK;
	for (const char *at = formats; status == STATUS_OK; at++) {
		const size_t length = strcspn(at, ",");
		status = take_format(options, at, length, err);
		at += length;
		if (*at == '\0')
			break;
	}
	return status;
}

static void print_notes(const char *program, const char *notes)
{
	while (*notes) {
		const size_t length = strcspn(notes, "\n");
		fprintf(stderr, "%s: passed over a damaged checkpoint: %.*s\n", program,
			(int)length, notes);
		notes += length;
		notes += *notes == '\n';
	}
}

static void print_report(const struct export_options *options, const struct export_report *report)
{
	printf("%s: step %" PRIu64, report->checkpoint, report->step);
	if (isfinite(report->test_rmse))
		printf(", test RMSE %.4f stars", report->test_rmse);
	printf("\n%s: %" PRIu64 " users (%" PRIu64 " trained), %" PRIu64 " movies (%" PRIu64
	       " trained)\n",
		options->out, report->users, report->trained_users, report->movies,
		report->trained_movies);
	if (report->kept_changes > 0)
		printf("%s: %" PRIu64 " changed movies stay changed: see marquee movies list\n",
			options->out, report->kept_changes);
	if (report->index[0])
		printf("%s: %s\n", options->out, report->index);
}

static enum status print_json(
	const struct export_options *options, const struct export_report *report, struct error *err)
{
	return json_print(
		json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s?}", "checkpoint",
			report->checkpoint, "step", json_from_u64(report->step), "test_rmse",
			json_from_optional_double(report->test_rmse), "model", options->out,
			"users", json_from_u64(report->users), "trained_users",
			json_from_u64(report->trained_users), "movies",
			json_from_u64(report->movies), "trained_movies",
			json_from_u64(report->trained_movies), "changed_movies",
			json_from_u64(report->kept_changes), "index",
			report->index[0] ? report->index : NULL),
		err);
}

int cmd_export(int argc, char **argv)
{
	struct export_options options = {0};
	bool json = false;
	const char *formats = "safetensors", *onnx_data = "inline", *rows = "f32", *index = "auto";
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const struct flag flags[] = {
		{.name = "checkpoint",
			.kind = FLAG_STRING,
			.target = &options.checkpoint,
			.value_name = "DIR",
			.help = "a checkpoint, or a directory of them (its newest)",
			.required = true},
		{.name = "out",
			.kind = FLAG_STRING,
			.target = &options.out,
			.value_name = "DIR",
			.help = "the model directory; one that is there is replaced",
			.required = true},
		{.name = "best",
			.kind = FLAG_BOOL,
			.target = &options.best,
			.help = "of a directory, the checkpoint with the lowest test RMSE"},
		{.name = "format",
			.kind = FLAG_STRING,
			.target = &formats,
			.value_name = "LIST",
			.help = "safetensors (always), onnx, npy (movie vectors), faiss (their "
				"index)"},
		{.name = "rows",
			.kind = FLAG_CHOICE,
			.target = &rows,
			.value_name = "TYPE",
			.choices = ROW_TYPE_CHOICES,
			.help = ROW_TYPE_CHOICES
			": how rows of tables are stored (default f32); int8 has a scale "
			"for each row"},
		index_flag(&index),
		{.name = "onnx-data",
			.kind = FLAG_CHOICE,
			.target = &onnx_data,
			.value_name = "WHERE",
			.choices = "inline|external",
			.help = "inline: ONNX files have the tables, up to 1 GiB; external: they "
				"point "
				"to model.safetensors"},
		json_flag(&json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee export",
		.summary =
			"Writes a model directory from a checkpoint: model.safetensors with every "
			"table and\nlayer, model.json, catalog.safetensors.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct export_report report;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = take_formats(&options, formats, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	(void)row_type_find(rows, &options.rows); /* one of the choices */
	options.index = index_choice_of(index);
	options.threads = cores > 0 ? (uint32_t)cores : 1;
	options.onnx_outside = strcmp(onnx_data, "external") == 0;
	status = export_model(&options, &report, &err);
	if (status != STATUS_OK)
		return program_failed(line.program, &err);
	print_notes(line.program, report.notes);
	if (!json) {
		print_report(&options, &report);
		return EXIT_OK;
	}
	status = print_json(&options, &report, &err);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
