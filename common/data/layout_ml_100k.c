#include "common/data/layout.h"

/* Names that do not fit struct catalog's 16 bits are refused. */
#define OCCUPATIONS_MAX ((uint32_t)UINT16_MAX)

/* "name|number": the numbers count up from 0, as the flag columns of u.item do. */
static enum status parse_genre(struct catalog_builder *builder, struct text line, struct error *err)
{
	struct text name, rest = line;
	uint64_t number = 0;
	uint32_t provisional;
	if (!text_cut(&rest, "|", &name) || name.size == 0 ||
		text_to_u64(rest, &number) != NUMBER_OK)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s", "");
	if (number != builder->genre_columns)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "number %u is next", builder->genre_columns);
	enum status status =
		catalog_builder_name(builder, &builder->genres, name, &provisional, err);
	if (status != STATUS_OK)
		return status;
	if (provisional != builder->genre_columns)
		return error_set(err, STATUS_INVALID_ARGUMENT, "this genre came before");
	builder->genre_columns++;
	return STATUS_OK;
}

static enum status parse_user(struct catalog_builder *builder, struct text line, struct error *err)
{
	struct text id, age, gender, occupation, zip = line;
	uint64_t years = 0;
	uint32_t number;
	struct user_record user;
	if (!text_cut(&zip, "|", &id) || !text_cut(&zip, "|", &age) ||
		!text_cut(&zip, "|", &gender) || !text_cut(&zip, "|", &occupation))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s", "");
	enum status status = catalog_parse_id(id, "user", &user.id, err);
	if (status == STATUS_OK)
		status = layout_parse_gender(gender, &user.gender, err);
	if (status != STATUS_OK)
		return status;
	if (text_to_u64(age, &years) != NUMBER_OK)
		return error_set(err, STATUS_INVALID_ARGUMENT, "age is not a number of years");
	if (occupation.size == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "no occupation");
	user.age = age_bucket_of(years);
	status = catalog_builder_name(builder, &builder->occupations, occupation, &number, err);
	if (status != STATUS_OK)
		return status;
	if (number >= OCCUPATIONS_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "more than %u occupations",
			OCCUPATIONS_MAX);
	user.occupation = (uint16_t)number;
	return catalog_builder_user(builder, &user, err);
}

/* As many flags as there are genres, each "0" or "1". */
static enum status check_flags(
	const struct catalog_builder *builder, struct text flags, struct error *err)
{
	bool shaped = flags.size == (size_t)builder->genre_columns * 2 - 1;
	for (size_t i = 0; shaped && i < flags.size; i++) {
		unsigned char byte = flags.bytes[i];
		shaped = i % 2 == 1 ? byte == '|' : byte == '0' || byte == '1';
	}
	if (!shaped)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"not %u genre flags at the end, as u.genre has genres",
			builder->genre_columns);
	return STATUS_OK;
}

static enum status parse_movie(struct catalog_builder *builder, struct text line, struct error *err)
{
	struct text id, title, release, video, url, flags = line;
	uint64_t movie_id;
	if (!text_cut(&flags, "|", &id) || !text_cut(&flags, "|", &title) ||
		!text_cut(&flags, "|", &release) || !text_cut(&flags, "|", &video) ||
		!text_cut(&flags, "|", &url))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s", "");
	enum status status = catalog_parse_id(id, "movie", &movie_id, err);
	if (status == STATUS_OK)
		status = check_flags(builder, flags, err);
	if (status == STATUS_OK)
		status = catalog_builder_movie(builder, movie_id, title, err);
	for (uint32_t i = 0; status == STATUS_OK && i < builder->genre_columns; i++)
		if (flags.bytes[(size_t)i * 2] == '1')
			status = catalog_builder_movie_genre(builder, i, err);
	return status;
}

const struct layout layout_ml_100k = {
	.name = "ml-100k",
	.genres = {"u.genre", "name|number", parse_genre},
	.users = {"u.user", "id|age|gender|occupation|zip code", parse_user},
	.movies = {"u.item", "id|title|release date|video release date|URL|genre flags",
		parse_movie},
	.ratings_name = "u.data",
	.ratings_expected = "UserID<tab>MovieID<tab>Rating<tab>Timestamp",
	.separator = '\t',
};
