#include "launcher/answer_flags.h"

#include "common/base/file.h"
#include "inference/movie_index.h"

#include <stdlib.h>
#include <string.h>

#define TOP_MAX	     1e9
#define IDS_FILE_MAX ((size_t)1 << 30) /* bytes */

struct flag model_flag(const char **model)
{
	return (struct flag){.name = "model",
		.kind = FLAG_STRING,
		.target = model,
		.value_name = "DIR",
		.help = "a model directory, from marquee export",
		.required = true};
}

struct flag json_flag(bool *json)
{
	return (struct flag){.name = "json",
		.kind = FLAG_BOOL,
		.target = json,
		.help = "print the result as JSON, in full precision"};
}

struct flag movie_flag(uint64_t *id)
{
	return (struct flag){.name = "movie",
		.kind = FLAG_U64,
		.target = id,
		.value_name = "ID",
		.help = "a movie of the training data",
		.required = true};
}

struct flag top_flag(uint64_t *count)
{
	return (struct flag){.name = "top",
		.kind = FLAG_U64,
		.target = count,
		.value_name = "K",
		.help = "movies to name (default 10)",
		.min = 1,
		.max = TOP_MAX};
}

struct flag index_flag(const char **index)
{
	return (struct flag){.name = "index",
		.kind = FLAG_CHOICE,
		.target = index,
		.value_name = "KIND",
		.help = "auto (default): by the number of movies; flat: exact search; hnsw, ivf: "
			"an index, made if need be",
		.choices = INDEX_CHOICES};
}

struct flag genre_flag(struct filter_flags *filter)
{
	return (struct flag){.name = "genre",
		.kind = FLAG_STRING,
		.target = &filter->genre,
		.value_name = "G",
		.help = "only movies of this genre"};
}

struct flag year_flag(struct filter_flags *filter)
{
	return (struct flag){.name = "year",
		.kind = FLAG_STRING,
		.target = &filter->years,
		.value_name = "FROM-TO",
		.help = "only movies of these years: 1995, 1990-1999, 1990- or -1999"};
}

struct flag ids_flag(struct filter_flags *filter)
{
	return (struct flag){.name = "ids",
		.kind = FLAG_STRING,
		.target = &filter->ids_file,
		.value_name = "FILE",
		.help = "only movies whose ids stand in this file"};
}

struct flag include_untrained_flag(struct filter_flags *filter)
{
	return (struct flag){.name = "include-untrained",
		.kind = FLAG_BOOL,
		.target = &filter->include_untrained,
		.help = "also movies that training never met"};
}

enum status filter_flags_check(const struct filter_flags *flags, struct error *err)
{
	if (flags->years && movie_years_check(flags->years, err) != STATUS_OK)
		return error_wrap(err, STATUS_INVALID_ARGUMENT, "--year");
	return STATUS_OK;
}

enum status filter_flags_read(const struct filter_flags *flags, const struct catalog *catalog,
	struct movie_filter *ret, struct error *err)
{
	struct filter_text text = {.genre = flags->genre,
		.years = flags->years,
		.include_untrained = flags->include_untrained};
	char *ids = NULL;
	size_t size = 0;
	enum status status = STATUS_OK;
	if (flags->ids_file)
		status = file_read_all(flags->ids_file, IDS_FILE_MAX, &ids, &size, err);
	if (status == STATUS_OK && ids && strlen(ids) != size)
		status = error_set(err, STATUS_INVALID_ARGUMENT,
			"%s: a zero byte among the ids: this is no text", flags->ids_file);
	text.ids = ids;
	if (status == STATUS_OK)
		status = movie_filter_init(ret, catalog, &text, err);
	free(ids);
	return status;
}

struct flag user_flag(struct who *who)
{
	return (struct flag){.name = "user",
		.kind = FLAG_U64,
		.target = &who->user_id,
		.value_name = "ID",
		.help = "a user of the training data",
		.given = &who->has_user};
}

struct flag age_flag(struct who *who)
{
	return (struct flag){.name = "age",
		.kind = FLAG_U64,
		.target = &who->age_years,
		.value_name = "YEARS",
		.help = "or somebody new, by age,",
		.max = 200,
		.given = &who->has_age};
}

struct flag gender_flag(struct who *who)
{
	return (struct flag){.name = "gender",
		.kind = FLAG_CHOICE,
		.target = &who->gender,
		.value_name = "M|F",
		.help = "gender",
		.choices = "M|F"};
}

struct flag occupation_flag(struct who *who)
{
	return (struct flag){.name = "occupation",
		.kind = FLAG_STRING,
		.target = &who->occupation,
		.value_name = "J",
		.help = "and occupation, by number or name"};
}
