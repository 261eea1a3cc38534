#include "common/base/file.h"
#include "common/data/catalog.h"
#include "common/data/catalog_builder.h"
#include "common/data/layout.h"
#include "common/data/lines.h"

#include <string.h>

const struct layout *layout_of(enum data_layout layout)
{
	return layout == LAYOUT_ML_100K ? &layout_ml_100k : &layout_ml_1m;
}

const char *layout_name(enum data_layout layout)
{
	return layout_of(layout)->name;
}

const char *layout_users_file(enum data_layout layout)
{
	return layout_of(layout)->users.name;
}

const char *layout_movies_file(enum data_layout layout)
{
	return layout_of(layout)->movies.name;
}

const char *layout_ratings_file(enum data_layout layout)
{
	return layout_of(layout)->ratings_name;
}

enum status layout_parse_gender(struct text text, uint8_t *ret, struct error *err)
{
	bool female = text_equals(text, "F");
	if (!female && !text_equals(text, "M"))
		return error_set(err, STATUS_INVALID_ARGUMENT, "gender is neither M nor F");
	*ret = female;
	return STATUS_OK;
}

/* How many of a layout's files are there. */
static enum status count_files(
	const struct layout *layout, const char *directory, int *ret, struct error *err)
{
	const char *const names[] = {layout->users.name, layout->movies.name, layout->ratings_name};
	int count = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PATH_SIZE];
		enum status status = path_join(path, directory, names[i], err);
		if (status != STATUS_OK)
			return status;
		count += file_exists(path);
	}
	*ret = count;
	return STATUS_OK;
}

static enum status recognise(const char *directory, enum data_layout *ret, struct error *err)
{
	int dat = 0, u = 0;
	if (!directory_exists(directory))
		return error_set(err, STATUS_NOT_FOUND, "%s: no such directory", directory);
	enum status status = count_files(&layout_ml_1m, directory, &dat, err);
	if (status == STATUS_OK)
		status = count_files(&layout_ml_100k, directory, &u, err);
	if (status != STATUS_OK)
		return status;
	if (dat == 0 && u == 0)
		return error_set(err, STATUS_NOT_FOUND,
			"%s: no MovieLens data in it: expected users.dat, movies.dat and "
			"ratings.dat, "
			"or u.user, u.item, u.genre and u.data",
			directory);
	*ret = u > dat ? LAYOUT_ML_100K : LAYOUT_ML_1M;
	return STATUS_OK;
}

static enum status parse_lines(struct catalog_builder *builder, const struct layout_file *file,
	struct line_reader *lines, const struct data_options *options, struct data_report *report,
	struct error *err)
{
	struct text line;
	while (line_reader_next(lines, &line)) {
		struct error reason = {0};
		enum status status;
		/* A zero byte would end the strings we make of it too early. */
		if (line.size > 0 && memchr(line.bytes, '\0', line.size))
			status = error_set(&reason, STATUS_INVALID_ARGUMENT, "a zero byte");
		else
			status = file->parse(builder, line, &reason);
		if (status == STATUS_INVALID_ARGUMENT)
			status = line_reader_reject(
				lines, line, reason.message, file->expected, options, report, err);
		else if (status != STATUS_OK)
			error_set(err, status, "%s: %s", lines->path, reason.message);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static enum status read_path(struct catalog_builder *builder, const struct layout_file *file,
	const char *path, const struct data_options *options, struct data_report *report,
	struct error *err)
{
	struct file_map map;
	struct line_reader lines;
	enum status status = file_map_open(&map, path, err);
	if (status != STATUS_OK)
		return status;
	line_reader_init(&lines, path, (struct text){.bytes = map.bytes, .size = map.size});
	status = parse_lines(builder, file, &lines, options, report, err);
	file_map_close(&map);
	return status;
}

static enum status read_file(struct catalog_builder *builder, const struct layout_file *file,
	const char *directory, const struct data_options *options, struct data_report *report,
	struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, directory, file->name, err);
	return status == STATUS_OK ? read_path(builder, file, path, options, report, err) : status;
}

enum status catalog_load(struct catalog *ret, const char *directory,
	const struct data_options *options, struct data_report *report, struct error *err)
{
	enum data_layout found;
	struct catalog_builder builder = {0};
	enum status status = recognise(directory, &found, err);
	if (status != STATUS_OK)
		return status;
	const struct layout *layout = layout_of(found);
	status = catalog_builder_init(&builder, found, err);
	if (status == STATUS_OK && layout->genres.parse)
		status = read_file(&builder, &layout->genres, directory, options, report, err);
	if (status == STATUS_OK)
		status = read_file(&builder, &layout->users, directory, options, report, err);
	if (status == STATUS_OK && builder.user_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s/%s: no users", directory,
			layout->users.name);
	if (status == STATUS_OK)
		status = read_file(&builder, &layout->movies, directory, options, report, err);
	if (status == STATUS_OK && builder.movie_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s/%s: no movies", directory,
			layout->movies.name);
	if (status == STATUS_OK)
		status = catalog_builder_finish(&builder, ret, err);
	catalog_builder_fini(&builder);
	return status;
}

enum status catalog_load_movies(struct catalog *ret, const char *path,
	const struct data_options *options, struct data_report *report, struct error *err)
{
	struct catalog_builder builder = {0};
	enum status status = catalog_builder_init(&builder, LAYOUT_ML_1M, err);
	if (status == STATUS_OK)
		status = read_path(&builder, &layout_ml_1m.movies, path, options, report, err);
	if (status == STATUS_OK && builder.movie_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s: no movies", path);
	if (status == STATUS_OK)
		status = catalog_builder_finish_movies(&builder, ret, err);
	catalog_builder_fini(&builder);
	return status;
}
