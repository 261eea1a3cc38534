/* marquee plot: metrics of training runs as one HTML report. */
#include "common/base/flags.h"
#include "common/metrics/report_page.h"
#include "launcher/commands.h"

#include <stdio.h>

#define FILES_MAX 16

int cmd_plot(int argc, char **argv)
{
	const char *out = NULL;
	const struct flag flags[] = {
		{.name = "out",
			.kind = FLAG_STRING,
			.target = &out,
			.value_name = "FILE",
			.help = "the HTML file to write",
			.required = true},
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee plot",
		.summary =
			"Draws the metrics that training wrote with --dump-metrics: one HTML file "
			"with "
			"the curves, the\nthroughput, tables, hot rows and configuration. Several "
			"files are compared.",
		.operands = "METRICS...",
		.min_operands = 1,
		.max_operands = FILES_MAX,
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	int files = 0;
	enum status status = flags_parse(&line, argc, argv, &files, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = report_page_of_files(out, argv + 1, (size_t)files, false, MARQUEE_VERSION, &err);
	if (status != STATUS_OK)
		return program_failed(line.program, &err);
	printf("report in %s\n", out);
	return EXIT_OK;
}
