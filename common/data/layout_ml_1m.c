#include "common/data/layout.h"

/* Genres a line may name; MovieLens has at most 6. */
#define LINE_GENRES_MAX 64u

static enum status parse_age(struct text text, uint8_t *ret, struct error *err)
{
	uint64_t years = 0;
	if (text_to_u64(text, &years) == NUMBER_OK)
		for (uint8_t bucket = 0; bucket < AGE_BUCKET_COUNT; bucket++)
			if (age_buckets[bucket] == years) {
				*ret = bucket;
				return STATUS_OK;
			}
	return error_set(err, STATUS_INVALID_ARGUMENT, "age is none of 1, 18, 25, 35, 45, 50, 56");
}

static enum status parse_user(struct catalog_builder *builder, struct text line, struct error *err)
{
	struct text id, gender, age, occupation, zip = line;
	uint64_t number = 0;
	struct user_record user;
	if (!text_cut(&zip, "::", &id) || !text_cut(&zip, "::", &gender) ||
		!text_cut(&zip, "::", &age) || !text_cut(&zip, "::", &occupation))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s", "");
	enum status status = catalog_parse_id(id, "user", &user.id, err);
	if (status == STATUS_OK)
		status = layout_parse_gender(gender, &user.gender, err);
	if (status == STATUS_OK)
		status = parse_age(age, &user.age, err);
	if (status != STATUS_OK)
		return status;
	if (text_to_u64(occupation, &number) != NUMBER_OK || number >= OCCUPATIONS_ML_1M)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "occupation is not a number from 0 to 20");
	user.occupation = (uint16_t)number;
	return catalog_builder_user(builder, &user, err);
}

/* Numbers the genres of "Genre|Genre..."; an empty text has none. */
static enum status parse_genres(struct catalog_builder *builder, struct text text,
	uint32_t genres[LINE_GENRES_MAX], uint32_t *ret_count, struct error *err)
{
	uint32_t count = 0;
	bool more = text.size > 0;
	while (more) {
		struct text genre;
		more = text_cut(&text, "|", &genre);
		if (!more)
			genre = text;
		if (genre.size == 0)
			return error_set(err, STATUS_INVALID_ARGUMENT, "a genre without a name");
		if (count == LINE_GENRES_MAX)
			return error_set(err, STATUS_INVALID_ARGUMENT, "more than %u genres",
				LINE_GENRES_MAX);
		enum status status =
			catalog_builder_name(builder, &builder->genres, genre, &genres[count], err);
		if (status != STATUS_OK)
			return status;
		count++;
	}
	*ret_count = count;
	return STATUS_OK;
}

/* The genres stand behind the last "::", so a title may have one inside. */
static bool cut_last(struct text *rest, struct text *ret_title)
{
	for (size_t at = rest->size; at >= 2; at--)
		if (rest->bytes[at - 1] == ':' && rest->bytes[at - 2] == ':') {
			*ret_title = (struct text){.bytes = rest->bytes, .size = at - 2};
			*rest = (struct text){.bytes = rest->bytes + at, .size = rest->size - at};
			return true;
		}
	return false;
}

static enum status parse_movie(struct catalog_builder *builder, struct text line, struct error *err)
{
	struct text id, title, genre_names = line;
	uint64_t movie_id;
	uint32_t genres[LINE_GENRES_MAX], genre_count;
	if (!text_cut(&genre_names, "::", &id) || !cut_last(&genre_names, &title))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s", "");
	enum status status = catalog_parse_id(id, "movie", &movie_id, err);
	if (status == STATUS_OK)
		status = parse_genres(builder, genre_names, genres, &genre_count, err);
	if (status == STATUS_OK)
		status = catalog_builder_movie(builder, movie_id, title, err);
	for (uint32_t i = 0; status == STATUS_OK && i < genre_count; i++)
		status = catalog_builder_movie_genre(builder, genres[i], err);
	return status;
}

const struct layout layout_ml_1m = {
	.name = "ml-1m",
	.users = {"users.dat", "UserID::Gender::Age::Occupation::Zip-code", parse_user},
	.movies = {"movies.dat", "MovieID::Title::Genres", parse_movie},
	.ratings_name = "ratings.dat",
	.ratings_expected = "UserID::MovieID::Rating::Timestamp",
	.separator = ':',
};
