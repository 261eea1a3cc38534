#include "launcher/answer_flags.h"

#define TOP_MAX 1e9

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

struct flag include_untrained_flag(bool *include)
{
	return (struct flag){.name = "include-untrained",
		.kind = FLAG_BOOL,
		.target = include,
		.help = "also movies that training never met"};
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
