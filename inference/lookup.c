#include "inference/lookup.h"

#include "common/base/flags.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum status lookup_user(
	const struct catalog *catalog, uint64_t id, uint32_t *ret_user, struct error *err)
{
	const uint32_t user = catalog_find_user(catalog, id);
	if (user == UINT32_MAX)
		return error_set(err, STATUS_NOT_FOUND,
			"user %" PRIu64 " is not in this model (known: %u users, ids %" PRIu64
			"..%" PRIu64 "): a new person is described by age, gender and occupation",
			id, catalog->user_count, catalog->user_ids[0],
			catalog->user_ids[catalog->user_count - 1]);
	*ret_user = user;
	return STATUS_OK;
}

enum status lookup_movie(
	const struct catalog *catalog, uint64_t id, uint32_t *ret_movie, struct error *err)
{
	const uint32_t movie = catalog_find_movie(catalog, id);
	if (movie == UINT32_MAX)
		return error_set(err, STATUS_NOT_FOUND,
			"movie %" PRIu64 " is not in this model (known: %u movies, ids %" PRIu64
			"..%" PRIu64 ")",
			id, catalog->movie_count, catalog->movie_ids[0],
			catalog->movie_ids[catalog->movie_count - 1]);
	*ret_movie = movie;
	return STATUS_OK;
}

/* The number of a name, exact first, then without regard to capitals. UINT32_MAX when absent. */
static uint32_t find_name(const struct vocabulary *names, const char *name)
{
	uint32_t found = vocabulary_find(names, name);
	for (uint32_t i = 0; found == UINT32_MAX && i < names->count; i++)
		if (strcasecmp(vocabulary_entry(names, i), name) == 0)
			found = i;
	return found;
}

static enum status no_such_name(
	const char *what, const struct vocabulary *names, const char *name, struct error *err)
{
	char list[400] = "";
	size_t used = 0;
	for (uint32_t i = 0; i < names->count && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
			vocabulary_entry(names, i));
	return error_set(
		err, STATUS_NOT_FOUND, "%s '%.40s' is not known: one of %s", what, name, list);
}

enum status lookup_genre(
	const struct catalog *catalog, const char *name, uint32_t *ret_genre, struct error *err)
{
	const uint32_t genre = find_name(&catalog->genres, name);
	if (genre == UINT32_MAX)
		return no_such_name("genre", &catalog->genres, name, err);
	*ret_genre = genre;
	return STATUS_OK;
}

enum status lookup_occupation(const struct catalog *catalog, const char *text,
	uint16_t *ret_occupation, struct error *err)
{
	const struct vocabulary *names = &catalog->occupation_names;
	uint64_t number;
	if (parse_u64(text, &number, NULL) != STATUS_OK)
		number = find_name(names, text);
	else if (number >= names->count)
		return error_set(err, STATUS_NOT_FOUND,
			"occupation %.20s is not known: 0 to %u, or a name", text,
			names->count - 1);
	if (number >= names->count)
		return no_such_name("occupation", names, text, err);
	*ret_occupation = (uint16_t)number;
	return STATUS_OK;
}

enum status lookup_person(const struct catalog *catalog, uint64_t age_years, const char *gender,
	const char *occupation, struct person *ret, struct error *err)
{
	struct person person = {.age = age_bucket_of(age_years)};
	if (strcasecmp(gender, "F") != 0 && strcasecmp(gender, "M") != 0)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "gender '%.20s' is neither M nor F", gender);
	person.gender = strcasecmp(gender, "F") == 0;
	enum status status = lookup_occupation(catalog, occupation, &person.occupation, err);
	if (status == STATUS_OK)
		*ret = person;
	return status;
}

void genres_format(const struct catalog *catalog, uint32_t movie, char *text, size_t size)
{
	size_t used = 0;
	text[0] = '\0';
	const uint32_t first = catalog->genre_offsets[movie];
	for (uint32_t i = first; i < catalog->genre_offsets[movie + 1] && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i > first ? "|" : "",
			vocabulary_entry(&catalog->genres, catalog->genre_values[i]));
}
