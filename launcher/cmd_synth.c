/* marquee synth: generated data in ml-1m's layout, with a known truth behind it. */
#include "common/base/flags.h"
#include "common/base/progress.h"
#include "common/data/synth.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static void show_progress(void *context, uint64_t done, uint64_t total)
{
	(void)total;
	progress_update(context, done, NAN);
}

static void print_report(const char *out, const struct synth_report *report)
{
	printf("%s: %" PRIu64 " ratings, %.1f MB, mean %.3f stars\n", out, report->ratings,
		(double)report->bytes * 1e-6, report->mean);
	printf("rmse in stars: %.4f for the mean, %.4f for the true biases, %.4f at best\n",
		report->mean_rmse, report->bias_rmse, report->best_rmse);
}

static void print_json(const struct synth_report *report)
{
	printf("{\"ratings\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"mean\": %.17g, \"mean_rmse\": %.17g, \"bias_rmse\": %.17g"
	       ", \"best_rmse\": %.17g}\n",
		report->ratings, report->bytes, report->mean, report->mean_rmse, report->bias_rmse,
		report->best_rmse);
}

int cmd_synth(int argc, char **argv)
{
	struct synth_options options = {.users = SYNTH_USERS_DEFAULT,
		.movies = SYNTH_MOVIES_DEFAULT,
		.ratings = SYNTH_RATINGS_DEFAULT,
		.seed = SYNTH_SEED_DEFAULT};
	bool json = false;
	const struct flag flags[] = {
		{.name = "out",
			.kind = FLAG_STRING,
			.target = &options.out,
			.value_name = "DIR",
			.help = "where users.dat, movies.dat and ratings.dat go",
			.required = true},
		{.name = "users",
			.kind = FLAG_U64,
			.target = &options.users,
			.value_name = "N",
			.help = "users (default 6000)",
			.min = 1,
			.max = (double)SYNTH_USERS_MAX},
		{.name = "movies",
			.kind = FLAG_U64,
			.target = &options.movies,
			.value_name = "N",
			.help = "movies (default 4000)",
			.min = 2,
			.max = (double)SYNTH_MOVIES_MAX},
		{.name = "ratings",
			.kind = FLAG_U64,
			.target = &options.ratings,
			.value_name = "N",
			.help = "ratings, at most users * movies / 2 (default 1000000)",
			.min = 1},
		{.name = "seed",
			.kind = FLAG_U64,
			.target = &options.seed,
			.value_name = "N",
			.help = "another seed, other data (default 1)"},
		{.name = "json",
			.kind = FLAG_BOOL,
			.target = &json,
			.help = "print the result as JSON"},
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee synth",
		.summary =
			"Generates ratings, users and movies in the layout of MovieLens ml-1m. A "
			"hidden model\nstands behind the stars, so the best error that training "
			"can "
			"reach is known.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct synth_report report;
	struct progress progress;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	progress_init(&progress, STDERR_FILENO, clock_real(), options.ratings, "ratings");
	options.progress = show_progress;
	options.progress_context = &progress;
	status = synth_generate(&options, &report, &err);
	progress_finish(&progress);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	if (json)
		print_json(&report);
	else
		print_report(options.out, &report);
	return EXIT_OK;
}
