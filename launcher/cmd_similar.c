/* marquee similar: the movies most like one. */
#include "inference/recommend.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <stdio.h>

static double as_it_is(float score)
{
	return (double)score;
}

static enum status print_text(
	const struct catalog *catalog, uint32_t movie, const struct top_k *top, struct error *err)
{
	char genres[GENRES_TEXT_SIZE];
	genres_format(catalog, movie, genres, sizeof(genres));
	printf("like %s, %s\n", catalog_title(catalog, movie), genres);
	return ranking_print(catalog, top, "cosine", as_it_is, err);
}

int cmd_similar(int argc, char **argv)
{
	const char *model = NULL, *index = "auto";
	uint64_t movie_id = 0, count = TOP_DEFAULT;
	bool json = false;
	struct filter_flags filter_flags = {0};
	const struct flag flags[] = {
		model_flag(&model),
		movie_flag(&movie_id),
		top_flag(&count),
		genre_flag(&filter_flags),
		year_flag(&filter_flags),
		ids_flag(&filter_flags),
		include_untrained_flag(&filter_flags),
		index_flag(&index),
		json_flag(&json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee similar",
		.summary = "Names the movies whose vectors have the largest cosine with a movie's.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct answer answer = {0};
	struct top_k top = {0};
	struct movie_filter filter = {0};
	uint32_t movie;
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = filter_flags_check(&filter_flags, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = answer_open(&answer, model, &err);
	if (status == STATUS_OK)
		status = answer_use_index(&answer, line.program, index, &err);
	const struct catalog *catalog = &answer.directory.catalog;
	if (status == STATUS_OK)
		status = lookup_movie(catalog, movie_id, &movie, &err);
	if (status == STATUS_OK)
		status = filter_flags_read(&filter_flags, catalog, &filter, &err);
	if (status == STATUS_OK)
		status = top_k_init(
			&top, count < catalog->movie_count ? count : catalog->movie_count, &err);
	if (status == STATUS_OK)
		status = similar(answer.scorer, movie, &filter, &top, &err);
	if (status == STATUS_OK)
		status = json ? json_print(similar_to_json(catalog, movie, &top), &err)
			      : print_text(catalog, movie, &top, &err);
	top_k_fini(&top);
	movie_filter_fini(&filter);
	answer_close(&answer);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
