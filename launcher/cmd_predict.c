/* marquee predict: the stars that somebody would give a movie. */
#include "inference/actual.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void print_text(const struct answer *answer, const struct subject *subject,
	const struct prediction *prediction, const struct actual *actual)
{
	static const char *const splits[] = {[ACTUAL_NOT_KNOWN] = "",
		[ACTUAL_TRAINED] = " (trained on)",
		[ACTUAL_HELD_OUT] = " (held out of training)"};
	const struct catalog *catalog = &answer->directory.catalog;
	char genres[GENRES_TEXT_SIZE];
	genres_format(catalog, prediction->movie, genres, sizeof(genres));
	subject_print(answer, subject);
	printf("movie %" PRIu64 " %s, %s%s\n", catalog->movie_ids[prediction->movie],
		catalog_title(catalog, prediction->movie), genres,
		prediction->stands_in ? ": never trained, scored as an unknown movie" : "");
	printf("predicted %.3f stars\n", stars_of(prediction->score));
	if (actual->found)
		printf("actual %g stars%s\n", actual->stars, splits[actual->split]);
}

static enum status print_json(const struct answer *answer, const struct subject *subject,
	const struct prediction *prediction, const struct actual *actual, struct error *err)
{
	static const char *const splits[] = {[ACTUAL_NOT_KNOWN] = NULL,
		[ACTUAL_TRAINED] = "trained",
		[ACTUAL_HELD_OUT] = "held out"};
	json_t *object = prediction_to_json(answer->scorer, subject, prediction);
	json_object_set_new(
		object, "actual", actual->found ? json_real(actual->stars) : json_null());
	json_object_set_new(object, "split",
		actual->found && splits[actual->split] ? json_string(splits[actual->split])
						       : json_null());
	return json_print(object, err);
}

int cmd_predict(int argc, char **argv)
{
	const char *model = NULL, *ratings = NULL;
	struct who who = {.dashes = "--"};
	uint64_t movie_id = 0;
	bool json = false;
	const struct flag flags[] = {
		model_flag(&model),
		user_flag(&who),
		age_flag(&who),
		gender_flag(&who),
		occupation_flag(&who),
		movie_flag(&movie_id),
		{.name = "ratings",
			.kind = FLAG_STRING,
			.target = &ratings,
			.value_name = "FILE",
			.help = "where to look for the actual stars (default: the training data)"},
		json_flag(&json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee predict",
		.summary =
			"Predicts the stars that a user would give a movie, and shows those given "
			"where they\nare known. A user or movie that training never met is scored "
			"with the model's unknown\nrow in place of its own (and this is said), "
			"provided that row was trained.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct answer answer = {0};
	struct subject subject = {0};
	struct prediction prediction;
	struct actual actual = {0};
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = who_check(&who, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = answer_open(&answer, model, &err);
	if (status == STATUS_OK)
		status = subject_find(answer.scorer, &who, &subject, &err);
	if (status == STATUS_OK)
		status = predict(answer.scorer, &subject, movie_id, &prediction, &err);
	if (status == STATUS_OK && subject.known)
		status = actual_find(
			&answer.directory, subject.user, prediction.movie, ratings, &actual, &err);
	if (status == STATUS_OK && json)
		status = print_json(&answer, &subject, &prediction, &actual, &err);
	else if (status == STATUS_OK)
		print_text(&answer, &subject, &prediction, &actual);
	free(subject.vector);
	answer_close(&answer);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
