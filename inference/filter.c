#include "inference/filter.h"

#include "common/base/flags.h"
#include "common/base/memory.h"
#include "inference/lookup.h"

#include <stdlib.h>
#include <string.h>

#define YEAR_MAX     UINT32_C(9999)
#define SEPARATORS   " \t\r\n,"
#define NUMBER_CHARS 21 /* 2^64 - 1 has 20 digits */

uint32_t movie_year(const struct catalog *catalog, uint32_t movie)
{
	const char *title = catalog_title(catalog, movie);
	const size_t size = catalog->title_offsets[movie + 1] - catalog->title_offsets[movie] - 1;
	uint32_t year = 0;
	if (size < 6 || title[size - 1] != ')' || title[size - 6] != '(')
		return 0;
	for (const char *digit = title + size - 5; *digit != ')'; digit++) {
		if (*digit < '0' || *digit > '9')
			return 0;
		year = 10 * year + (uint32_t)(*digit - '0');
	}
	return year;
}

static bool has_genre(const struct catalog *catalog, uint32_t movie, uint32_t genre)
{
	for (uint32_t i = catalog->genre_offsets[movie]; i < catalog->genre_offsets[movie + 1]; i++)
		if (catalog->genre_values[i] == genre)
			return true;
	return false;
}

bool movie_filter_passes(
	const struct movie_filter *filter, const struct catalog *catalog, uint32_t movie)
{
	if (filter->excluded && filter->excluded[movie])
		return false;
	if (filter->only && !filter->only[movie])
		return false;
	if (filter->last_year > 0) {
		const uint32_t year = movie_year(catalog, movie);
		if (year == 0 || year < filter->first_year || year > filter->last_year)
			return false;
	}
	return filter->genre == GENRE_ANY || has_genre(catalog, movie, filter->genre);
}

/* The number in text[size]; false when it is none. */
static bool read_number(const char *text, size_t size, uint64_t *ret)
{
	char digits[NUMBER_CHARS];
	if (size == 0 || size >= sizeof(digits))
		return false;
	memcpy(digits, text, size);
	digits[size] = '\0';
	return parse_u64(digits, ret, NULL) == STATUS_OK;
}

static enum status read_years(struct movie_filter *filter, const char *text, struct error *err)
{
	const size_t size = strlen(text), dash = strcspn(text, "-");
	uint64_t first = 1, last = YEAR_MAX;
	bool good = size > 1 && (dash == 0 || read_number(text, dash, &first));
	if (dash == size)
		last = first;
	else if (dash + 1 < size)
		good = good && read_number(text + dash + 1, size - dash - 1, &last);
	if (!good || first < 1 || first > last || last > YEAR_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"years '%.40s' are not understood: expected such as 1995, 1990-1999, 1990- "
			"or -1999",
			text);
	filter->first_year = (uint32_t)first;
	filter->last_year = (uint32_t)last;
	return STATUS_OK;
}

enum status movie_years_check(const char *years, struct error *err)
{
	struct movie_filter filter;
	return read_years(&filter, years, err);
}

static enum status read_ids(struct movie_filter *filter, const struct catalog *catalog,
	const char *text, struct error *err)
{
	enum status status = memory_zalloc(&filter->only, catalog->movie_count, 1, "ids", err);
	text += strspn(text, SEPARATORS);
	while (status == STATUS_OK && *text) {
		const size_t size = strcspn(text, SEPARATORS);
		uint64_t id;
		uint32_t movie = 0;
		if (!read_number(text, size, &id))
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"'%.*s' among the ids is not a number", size < 40 ? (int)size : 40,
				text);
		status = lookup_movie(catalog, id, &movie, err);
		if (status == STATUS_OK)
			filter->only[movie] = 1;
		text += size;
		text += strspn(text, SEPARATORS);
	}
	return status;
}

enum status movie_filter_init(struct movie_filter *ret, const struct catalog *catalog,
	const struct filter_text *text, struct error *err)
{
	struct movie_filter filter = FILTER_NOTHING;
	enum status status = STATUS_OK;
	filter.include_untrained = text->include_untrained;
	if (text->genre)
		status = lookup_genre(catalog, text->genre, &filter.genre, err);
	if (status == STATUS_OK && text->years)
		status = read_years(&filter, text->years, err);
	if (status == STATUS_OK && text->ids)
		status = read_ids(&filter, catalog, text->ids, err);
	if (status != STATUS_OK)
		movie_filter_fini(&filter);
	else
		*ret = filter;
	return status;
}

void movie_filter_fini(struct movie_filter *filter)
{
	free(filter->only);
	*filter = (struct movie_filter){0};
}
