/* marquee evaluate: RMSE and MAE of a model over given ratings. */
#include "inference/evaluate.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <stdio.h>

static void print_text(const struct evaluation *found)
{
	printf("rmse %.4f stars\nmae %.4f stars\nratings %" PRIu64 "\n", found->rmse, found->mae,
		found->ratings);
	if (found->unknown)
		printf("%" PRIu64 " of them of a user or movie that training never met\n",
			found->unknown);
}

int cmd_evaluate(int argc, char **argv)
{
	const char *model = NULL, *path = NULL;
	bool json = false;
	struct data_options data_options = {0};
	const struct flag flags[] = {
		model_flag(&model),
		{.name = "ratings",
			.kind = FLAG_STRING,
			.target = &path,
			.value_name = "FILE",
			.help = "ratings in either MovieLens layout",
			.required = true},
		{.name = "skip-bad-lines",
			.kind = FLAG_BOOL,
			.target = &data_options.skip_bad_lines,
			.help = "count and skip malformed lines instead of stopping"},
		json_flag(&json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee evaluate",
		.summary =
			"Compares predicted stars with those of a ratings file: root mean square "
			"and mean\nabsolute error. Users and movies that training never met are "
			"scored as marquee predict\nscores them.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct answer answer = {0};
	struct ratings ratings = {0};
	struct data_report report = {0};
	struct evaluation found;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = answer_open(&answer, model, &err);
	if (status == STATUS_OK)
		status = ratings_load(
			&ratings, &answer.directory.catalog, path, &data_options, &report, &err);
	if (status == STATUS_OK)
		status = evaluate(answer.scorer, &ratings, &found, &err);
	if (status == STATUS_OK && report.skipped_lines)
		fprintf(stderr, "%s: skipped %" PRIu64 " lines, the first: %s\n", line.program,
			report.skipped_lines, report.first_bad_line);
	if (status == STATUS_OK && json)
		status = json_print(json_pack("{s:f, s:f, s:I}", "rmse", found.rmse, "mae",
					    found.mae, "ratings", (json_int_t)found.ratings),
			&err);
	else if (status == STATUS_OK)
		print_text(&found);
	ratings_fini(&ratings);
	answer_close(&answer);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
