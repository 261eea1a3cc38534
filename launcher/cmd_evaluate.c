/* marquee evaluate: RMSE and MAE of a model over given ratings. */
#include "inference/evaluate.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <stdio.h>

/* What is asked for, the same of both models. */
struct question {
	const char *program, *ratings;
	struct data_options data;
};

static enum status evaluate_model(const struct question *question, const char *model,
	struct evaluation *ret, enum row_type *ret_rows, struct error *err)
{
	struct answer answer = {0};
	struct ratings ratings = {0};
	struct data_report report = {0};
	struct data_options options = question->data;
	options.former = &answer.directory.changes.exported;
	enum status status = answer_open(&answer, model, err);
	if (status == STATUS_OK)
		status = ratings_load(&ratings, &answer.directory.catalog, question->ratings,
			&options, &report, err);
	if (status == STATUS_OK)
		status = evaluate(answer.scorer, &ratings, ret, err);
	if (status == STATUS_OK && report.skipped_lines)
		fprintf(stderr, "%s: skipped %" PRIu64 " lines, the first: %s\n", question->program,
			report.skipped_lines, report.first_bad_line);
	if (status == STATUS_OK && report.former_lines)
		fprintf(stderr, "%s: %s: passed over %" PRIu64 " ratings of removed movies\n",
			question->program, model, report.former_lines);
	*ret_rows = answer.directory.rows;
	ratings_fini(&ratings);
	answer_close(&answer);
	return status;
}

static void print_text(const struct evaluation *found, enum row_type rows)
{
	printf("rmse %.4f stars\nmae %.4f stars\nratings %" PRIu64 "\n", found->rmse, found->mae,
		found->ratings);
	if (found->unknown)
		printf("%" PRIu64 " of them of a user or movie that training never met\n",
			found->unknown);
	if (rows != ROWS_F32)
		printf("rows %s\n", row_type_name(rows));
}

static enum status print_json(const struct evaluation *found, enum row_type rows,
	const struct evaluation *other, struct error *err)
{
	json_t *json = json_pack("{s:f, s:f, s:I}", "rmse", found->rmse, "mae", found->mae,
		"ratings", (json_int_t)found->ratings);
	if (rows != ROWS_F32)
		json_object_set_new(json, "rows", json_string(row_type_name(rows)));
	if (other)
		json_object_set_new(json, "rmse_cost", json_real(found->rmse - other->rmse));
	return json_print(json, err);
}

int cmd_evaluate(int argc, char **argv)
{
	const char *model = NULL, *against = NULL;
	bool json = false;
	struct question question = {.program = "marquee evaluate"};
	const struct flag flags[] = {
		model_flag(&model),
		{.name = "ratings",
			.kind = FLAG_STRING,
			.target = &question.ratings,
			.value_name = "FILE",
			.help = "ratings in either MovieLens layout",
			.required = true},
		{.name = "skip-bad-lines",
			.kind = FLAG_BOOL,
			.target = &question.data.skip_bad_lines,
			.help = "count and skip malformed lines instead of stopping"},
		{.name = "against",
			.kind = FLAG_STRING,
			.target = &against,
			.value_name = "DIR",
			.help = "also says how much larger the RMSE is than that of this model "
				"directory"},
		json_flag(&json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = question.program,
		.summary =
			"Compares predicted stars with those of a ratings file: root mean square "
			"and mean\nabsolute error. Users and movies that training never met are "
			"scored as marquee predict\nscores them.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct evaluation found, other;
	enum row_type rows, other_rows;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = evaluate_model(&question, model, &found, &rows, &err);
	if (status == STATUS_OK && against)
		status = evaluate_model(&question, against, &other, &other_rows, &err);
	if (status == STATUS_OK && json)
		status = print_json(&found, rows, against ? &other : NULL, &err);
	else if (status == STATUS_OK)
		print_text(&found, rows);
	if (status == STATUS_OK && against && !json)
		printf("rmse %+.6f stars against %s (rows %s)\n", found.rmse - other.rmse, against,
			row_type_name(other_rows));
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
