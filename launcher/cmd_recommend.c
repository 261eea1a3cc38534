/* marquee recommend: the movies that somebody would like best. */
#include "common/base/memory.h"
#include "inference/actual.h"
#include "inference/recommend.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <stdio.h>
#include <stdlib.h>

struct arguments {
	const char *model;
	struct who who;
	uint64_t top;
	struct filter_flags filter;
	const char *exclude_seen;
	const char *index;
	bool json;
};

/* *ret_seen is owned by the caller, for free(), and borrowed by the filter. */
static enum status make_filter(const struct answer *answer, const struct arguments *arguments,
	const struct subject *subject, struct movie_filter *ret, uint8_t **ret_seen,
	struct error *err)
{
	const struct catalog *catalog = &answer->directory.catalog;
	const struct data_options strict = {.former = &answer->directory.changes.exported};
	enum status status = filter_flags_read(&arguments->filter, catalog, ret, err);
	if (status != STATUS_OK || !arguments->exclude_seen)
		return status;
	status = memory_zalloc(ret_seen, catalog->movie_count, 1, "seen movies", err);
	if (status == STATUS_OK)
		status = actual_seen(
			catalog, subject->user, arguments->exclude_seen, &strict, *ret_seen, err);
	ret->excluded = *ret_seen;
	return status;
}

static enum status run(const struct arguments *arguments, struct error *err)
{
	struct answer answer = {0};
	struct subject subject = {0};
	struct movie_filter filter = {0};
	struct top_k top = {0};
	uint8_t *seen = NULL;
	enum status status = answer_open(&answer, arguments->model, err);
	if (status == STATUS_OK)
		status = answer_use_index(&answer, "marquee recommend", arguments->index, err);
	if (status == STATUS_OK)
		status = subject_find(answer.scorer, &arguments->who, &subject, err);
	if (status == STATUS_OK)
		status = make_filter(&answer, arguments, &subject, &filter, &seen, err);
	if (status != STATUS_OK)
		goto cleanup;
	const uint32_t movies = answer.directory.catalog.movie_count;
	status = top_k_init(&top, arguments->top < movies ? arguments->top : movies, err);
	if (status == STATUS_OK)
		status = recommend(answer.scorer, subject.vector, &filter, &top, err);
	if (status == STATUS_OK && arguments->json) {
		status = json_print(recommendations_to_json(answer.scorer, &subject, &top), err);
	} else if (status == STATUS_OK) {
		subject_print(&answer, &subject);
		status = ranking_print(&answer.directory.catalog, &top, "stars", stars_of, err);
	}
cleanup:
	top_k_fini(&top);
	movie_filter_fini(&filter);
	free(seen);
	free(subject.vector);
	answer_close(&answer);
	return status;
}

int cmd_recommend(int argc, char **argv)
{
	struct arguments arguments = {.who.dashes = "--", .top = TOP_DEFAULT, .index = "auto"};
	const struct flag flags[] = {
		model_flag(&arguments.model),
		user_flag(&arguments.who),
		age_flag(&arguments.who),
		gender_flag(&arguments.who),
		occupation_flag(&arguments.who),
		top_flag(&arguments.top),
		genre_flag(&arguments.filter),
		year_flag(&arguments.filter),
		ids_flag(&arguments.filter),
		{.name = "exclude-seen",
			.kind = FLAG_STRING,
			.target = &arguments.exclude_seen,
			.value_name = "FILE",
			.help = "leave out what --user rated in this ratings file"},
		include_untrained_flag(&arguments.filter),
		index_flag(&arguments.index),
		json_flag(&arguments.json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee recommend",
		.summary = "Names the movies with the highest predicted stars, by exact search "
			   "unless an index is used. Movies that no\ntraining rating was about are "
			   "left out: their rows are still "
			   "random. Ties go to the\nsmaller id.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = who_check(&arguments.who, &err);
	if (status == STATUS_OK && arguments.exclude_seen && !arguments.who.has_user)
		status = error_set(&err, STATUS_INVALID_ARGUMENT, "--exclude-seen needs --user");
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = run(&arguments, &err);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
