#include "common/data/ratings.h"

#include "common/base/memory.h"
#include "common/data/layout.h"

#include <stdlib.h>
#include <string.h>

/* Digits of a rating that can matter: 9 behind the point are beyond a float. */
#define STARS_DIGITS_MAX 9

/* The raw columns of a line. */
struct columns {
	uint64_t user;
	uint64_t movie;
	double stars;
};

/*
 * The parser proper: one pass over the bytes, nothing but success or failure; the reason of a
 * failure is looked for afterwards (explain()).
 */
struct scan {
	const unsigned char *at;
	const unsigned char *end;
};

static bool scan_u64(struct scan *scan, uint64_t *ret)
{
	const unsigned char *start = scan->at;
	uint64_t value = 0;
	/* 19 digits cannot overflow. */
	const unsigned char *safe = scan->end - start > 19 ? start + 19 : scan->end;
	while (scan->at < safe && (unsigned int)(*scan->at - '0') <= 9)
		value = value * 10 + (uint64_t)(*scan->at++ - '0');
	if (scan->at == start)
		return false;
	while (scan->at < scan->end && (unsigned int)(*scan->at - '0') <= 9)
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*scan->at++ - '0'), &value))
			return false;
	*ret = value;
	return true;
}

static bool scan_separator(struct scan *scan, bool tabs)
{
	ptrdiff_t left = scan->end - scan->at;
	if (tabs) {
		if (left < 1 || scan->at[0] != '\t')
			return false;
		scan->at += 1;
		return true;
	}
	if (left < 2 || scan->at[0] != ':' || scan->at[1] != ':')
		return false;
	scan->at += 2;
	return true;
}

/* digits[.digits]; "5." and ".5" are not numbers here. */
static bool scan_stars(struct scan *scan, double *ret)
{
	uint64_t whole;
	if (!scan_u64(scan, &whole))
		return false;
	uint64_t part = 0, unit = 1;
	if (scan->at < scan->end && *scan->at == '.') {
		const unsigned char *start = ++scan->at;
		while (scan->at < scan->end && (unsigned int)(*scan->at - '0') <= 9) {
			if (scan->at - start < STARS_DIGITS_MAX) {
				part = part * 10 + (uint64_t)(*scan->at - '0');
				unit *= 10;
			}
			scan->at++;
		}
		if (scan->at == start)
			return false;
	}
	*ret = (double)whole + (double)part / (double)unit;
	return true;
}

/* The time: an optional minus and digits, to the end of the line. */
static bool scan_time(struct scan *scan)
{
	if (scan->at < scan->end && *scan->at == '-')
		scan->at++;
	const unsigned char *start = scan->at;
	while (scan->at < scan->end && (unsigned int)(*scan->at - '0') <= 9)
		scan->at++;
	return scan->at > start && scan->at == scan->end;
}

static bool parse_columns(struct text line, bool tabs, struct columns *ret)
{
	struct scan scan = {.at = line.bytes, .end = line.bytes + line.size};
	return scan_u64(&scan, &ret->user) && scan_separator(&scan, tabs) &&
	       scan_u64(&scan, &ret->movie) && scan_separator(&scan, tabs) &&
	       scan_stars(&scan, &ret->stars) && scan_separator(&scan, tabs) && scan_time(&scan);
}

static bool stars_fit(double stars)
{
	return stars >= (double)STARS_MIN && stars <= (double)STARS_MAX;
}

/* Why this line is bad, as far as more can be said than what was expected. */
static void explain(const struct ratings_reader *reader, struct text line, struct error *ret_reason)
{
	const char *separator = reader->tabs ? "\t" : "::";
	const enum data_layout layout = reader->catalog->layout;
	struct columns columns;
	struct text user, movie, rest = line;
	*ret_reason = (struct error){0};
	if (!text_cut(&rest, separator, &user) || !text_cut(&rest, separator, &movie))
		return;
	if (catalog_parse_id(user, "user", &columns.user, ret_reason) != STATUS_OK ||
		catalog_parse_id(movie, "movie", &columns.movie, ret_reason) != STATUS_OK)
		return;
	if (!parse_columns(line, reader->tabs, &columns))
		return;
	if (!stars_fit(columns.stars))
		error_set(ret_reason, STATUS_DATA_LOSS, "rating is not between 0.5 and 5");
	else if (catalog_find_user(reader->catalog, columns.user) == UINT32_MAX)
		error_set(ret_reason, STATUS_DATA_LOSS, "user %llu is not in %s",
			(unsigned long long)columns.user, layout_users_file(layout));
	else if (catalog_find_movie(reader->catalog, columns.movie) == UINT32_MAX)
		error_set(ret_reason, STATUS_DATA_LOSS, "movie %llu is not in %s",
			(unsigned long long)columns.movie, layout_movies_file(layout));
}

enum status ratings_reader_reject(const struct ratings_reader *reader, struct text line,
	const char *reason, struct error *err)
{
	struct error found;
	if (!reason) {
		explain(reader, line, &found);
		reason = found.message;
	}
	const struct layout *layout = reader->tabs ? &layout_ml_100k : &layout_ml_1m;
	return line_reader_reject(&reader->lines, line, reason, layout->ratings_expected,
		reader->options, reader->report, err);
}

bool ratings_parse_line(
	const struct catalog *catalog, struct text line, bool tabs, struct rating *ret)
{
	struct columns columns;
	if (!parse_columns(line, tabs, &columns) || !stars_fit(columns.stars))
		return false;
	uint32_t user = catalog_find_user(catalog, columns.user);
	uint32_t movie = catalog_find_movie(catalog, columns.movie);
	if (user == UINT32_MAX || movie == UINT32_MAX)
		return false;
	*ret = (struct rating){.user = user, .movie = movie, .stars = (float)columns.stars};
	return true;
}

/* Whether a line would be good, were its movie still there. */
static bool is_former(const struct ratings_reader *reader, struct text line)
{
	const struct catalog *former = reader->options->former;
	struct columns columns;
	return former && parse_columns(line, reader->tabs, &columns) && stars_fit(columns.stars) &&
	       catalog_find_user(reader->catalog, columns.user) != UINT32_MAX &&
	       catalog_find_movie(former, columns.movie) != UINT32_MAX;
}

enum status ratings_reader_next(
	struct ratings_reader *reader, struct rating *ret, bool *ret_done, struct error *err)
{
	struct text line;
	while (line_reader_next(&reader->lines, &line)) {
		if (ratings_parse_line(reader->catalog, line, reader->tabs, ret)) {
			*ret_done = false;
			return STATUS_OK;
		}
		if (is_former(reader, line)) {
			if (reader->report)
				reader->report->former_lines++;
			continue;
		}
		enum status status = ratings_reader_reject(reader, line, NULL, err);
		if (status != STATUS_OK)
			return status;
	}
	*ret_done = true;
	return STATUS_OK;
}

bool ratings_has_tabs(const struct catalog *catalog, struct text beginning)
{
	struct line_reader lines;
	struct text line;
	if (beginning.size > RATINGS_LAYOUT_BYTES)
		beginning.size = RATINGS_LAYOUT_BYTES;
	line_reader_init(&lines, "", beginning);
	while (line_reader_next(&lines, &line)) {
		struct text field;
		struct text rest = line;
		if (text_cut(&rest, "::", &field))
			return false;
		if (text_cut(&rest, "\t", &field))
			return true;
	}
	return layout_of(catalog->layout)->separator == '\t';
}

enum status ratings_reader_open(struct ratings_reader *ret, const struct catalog *catalog,
	const char *path, const struct data_options *options, struct data_report *report,
	struct error *err)
{
	struct ratings_reader reader = {.catalog = catalog, .options = options, .report = report};
	enum status status = file_map_open(&reader.map, path, err);
	if (status != STATUS_OK)
		return status;
	line_reader_init(&reader.lines, path,
		(struct text){.bytes = reader.map.bytes, .size = reader.map.size});
	reader.tabs = ratings_has_tabs(
		catalog, (struct text){.bytes = reader.map.bytes, .size = reader.map.size});
	*ret = reader;
	return STATUS_OK;
}

void ratings_reader_close(struct ratings_reader *reader)
{
	file_map_close(&reader->map);
}

enum status ratings_load(struct ratings *ret, const struct catalog *catalog, const char *path,
	const struct data_options *options, struct data_report *report, struct error *err)
{
	struct ratings_reader reader;
	struct ratings made = {0};
	size_t capacity = 0;
	enum status status = ratings_reader_open(&reader, catalog, path, options, report, err);
	if (status != STATUS_OK)
		return status;
	for (;;) {
		struct rating rating;
		bool done;
		status = ratings_reader_next(&reader, &rating, &done, err);
		if (status != STATUS_OK || done)
			break;
		status = memory_grow(&made.examples, &capacity, made.count + 1,
			sizeof(*made.examples), "ratings", err);
		if (status != STATUS_OK)
			break;
		made.examples[made.count++] = rating;
	}
	ratings_reader_close(&reader);
	if (status == STATUS_OK && made.count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s: no ratings", path);
	if (status != STATUS_OK) {
		ratings_fini(&made);
		return status;
	}
	*ret = made;
	return STATUS_OK;
}

void ratings_fini(struct ratings *ratings)
{
	free(ratings->examples);
	*ratings = (struct ratings){0};
}
