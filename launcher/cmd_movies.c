/* marquee movies: add, update and remove movies of a model without training, and list what was
 * changed. */
#include "common/base/text_table.h"
#include "common/checkpoint/json_field.h"
#include "inference/model_changes.h"
#include "inference/movie_edit.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"
#include "launcher/id_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_WAIT_S    10.0
#define GENRES_IN_LINE (MOVIE_GENRES_MAX * MOVIE_GENRE_SIZE)

static const char program[] = "marquee movies";

struct arguments {
	const char *model, *title, *genres, *file, *ids;
	uint64_t movie;
	bool has_movie, accept_unknown_genres, json;
};

typedef enum status edit_fn(struct movie_edit *edit, uint64_t id, const char *title,
	const char *genres, struct error *err);

/* The title without blanks at its ends; owned. NULL: no memory. */
static char *trimmed(const char *title)
{
	static const char blanks[] = " \t\r\n";
	title += strspn(title, blanks);
	size_t size = strlen(title);
	while (size > 0 && strchr(blanks, title[size - 1]))
		size--;
	return strndup(title, size);
}

/* The movie of --movie, --title and --genres. */
static enum status edit_one(struct movie_edit *edit, const struct arguments *arguments,
	edit_fn *change, struct error *err)
{
	char *title = arguments->title ? trimmed(arguments->title) : NULL;
	enum status status =
		arguments->title && !title
			? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory")
			: change(edit, arguments->movie, title, arguments->genres, err);
	free(title);
	return status;
}

/* Every movie of --file. */
static enum status edit_file(struct movie_edit *edit, const struct arguments *arguments,
	edit_fn *change, struct error *err)
{
	const struct data_options strict = {0};
	struct catalog movies;
	enum status status = catalog_load_movies(&movies, arguments->file, &strict, NULL, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t m = 0; status == STATUS_OK && m < movies.movie_count; m++) {
		char genres[GENRES_IN_LINE];
		genres_format(&movies, m, genres, sizeof(genres));
		status = change(edit, movies.movie_ids[m], catalog_title(&movies, m), genres, err);
	}
	catalog_fini(&movies);
	return status == STATUS_OK ? status : error_wrap(err, status, "%s", arguments->file);
}

/* Every movie of --ids. */
static enum status remove_ids(
	struct movie_edit *edit, const struct arguments *arguments, struct error *err)
{
	uint64_t *ids;
	size_t count;
	enum status status = id_file_read(arguments->ids, &ids, &count, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = movie_edit_remove(edit, ids[i], err);
	free(ids);
	return status == STATUS_OK ? status : error_wrap(err, status, "%s", arguments->ids);
}

static enum status add_all(
	struct movie_edit *edit, const struct arguments *arguments, struct error *err)
{
	return arguments->file ? edit_file(edit, arguments, movie_edit_add, err)
			       : edit_one(edit, arguments, movie_edit_add, err);
}

static enum status update_all(
	struct movie_edit *edit, const struct arguments *arguments, struct error *err)
{
	return arguments->file ? edit_file(edit, arguments, movie_edit_update, err)
			       : edit_one(edit, arguments, movie_edit_update, err);
}

static enum status remove_all(
	struct movie_edit *edit, const struct arguments *arguments, struct error *err)
{
	return arguments->ids ? remove_ids(edit, arguments, err)
			      : movie_edit_remove(edit, arguments->movie, err);
}

/* What a new movie's vector is made of, as far as it may surprise. */
static void print_notes(const struct movie_edit *edit)
{
	const struct movie_edit_counts counts = movie_edit_counts(edit);
	const struct model_directory *directory = movie_edit_model(edit);
	if (counts.unknown_words > 0)
		fprintf(stderr,
			"%s: %" PRIu64 " words of the titles are not known to the model and count "
			"for nothing\n",
			program, counts.unknown_words);
	if (counts.unknown_genres > 0)
		fprintf(stderr,
			"%s: %" PRIu64 " genres are not known to the model and count for nothing\n",
			program, counts.unknown_genres);
	for (uint32_t t = 0; counts.added > 0 && t < model_table_count(directory->model); t++)
		if (table_entity_of(model_table(directory->model, t)) == ENTITY_MOVIE &&
			!directory->tables[t].unknown_trained)
			fprintf(stderr,
				"%s: the row for unknown movies was never trained: train with "
				"--unknown-rate above 0 for better vectors of new movies\n",
				program);
}

static enum status print_counts(
	const struct movie_edit *edit, const struct arguments *arguments, struct error *err)
{
	const struct movie_edit_counts counts = movie_edit_counts(edit);
	if (arguments->json)
		return json_print(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "added",
					  json_from_u64(counts.added), "updated",
					  json_from_u64(counts.updated), "removed",
					  json_from_u64(counts.removed), "unchanged",
					  json_from_u64(counts.unchanged), "unknown_words",
					  json_from_u64(counts.unknown_words), "unknown_genres",
					  json_from_u64(counts.unknown_genres)),
			err);
	printf("%s: added %" PRIu64 ", updated %" PRIu64 ", removed %" PRIu64
	       ", already as asked %" PRIu64 "\n",
		arguments->model, counts.added, counts.updated, counts.removed, counts.unchanged);
	print_notes(edit);
	return STATUS_OK;
}

static enum status edit(const struct arguments *arguments,
	enum status (*change)(
		struct movie_edit *edit, const struct arguments *arguments, struct error *err),
	struct error *err)
{
	const struct movie_edit_options options = {
		.wait_s = LOCK_WAIT_S, .accept_unknown_genres = arguments->accept_unknown_genres};
	struct movie_edit *edit;
	enum status status = movie_edit_open(&edit, arguments->model, &options, err);
	if (status != STATUS_OK)
		return status;
	status = change(edit, arguments, err);
	if (status == STATUS_OK)
		status = movie_edit_commit(edit, err);
	if (status == STATUS_OK)
		status = print_counts(edit, arguments, err);
	movie_edit_close(edit);
	return status;
}

static enum status run_add(const struct arguments *arguments, struct error *err)
{
	struct arguments whole = *arguments;
	if (!whole.genres)
		whole.genres = "";
	return edit(&whole, add_all, err);
}

static enum status run_update(const struct arguments *arguments, struct error *err)
{
	return edit(arguments, update_all, err);
}

static enum status run_remove(const struct arguments *arguments, struct error *err)
{
	return edit(arguments, remove_all, err);
}

/* ---- list ---- */

static const char *kind_of(
	const struct model_directory *exported, const struct movie_change *change)
{
	if (!change->title)
		return "removed";
	return catalog_find_movie(&exported->catalog, change->id) == UINT32_MAX ? "added"
										: "updated";
}

static json_t *changes_to_json(
	const struct model_directory *exported, const struct movie_changes *changes)
{
	json_t *json = movie_changes_to_json(changes);
	json_t *list = json_object_get(json, "movies");
	for (size_t i = 0; i < changes->count; i++) {
		json_t *movie = json_array_get(list, i);
		json_object_del(movie, "removed");
		json_object_set_new(
			movie, "change", json_string(kind_of(exported, &changes->changes[i])));
	}
	json_t *object = json_pack("{s:O}", "changes", list);
	json_decref(json);
	return object;
}

static enum status print_changes(const struct model_directory *exported,
	const struct movie_changes *changes, struct error *err)
{
	static const struct text_column columns[] = {{.heading = "change"},
		{.heading = "id", .right = true}, {.heading = "title", .width_max = 60},
		{.heading = "genres"}};
	struct text_table table;
	text_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < changes->count; i++) {
		const struct movie_change *change = &changes->changes[i];
		text_table_cell(&table, "%s", kind_of(exported, change));
		text_table_cell(&table, "%" PRIu64, change->id);
		text_table_cell(&table, "%s", change->title ? change->title : "");
		text_table_cell(&table, "%s", change->title ? change->genres : "");
	}
	enum status status = text_table_print(&table, stdout, err);
	text_table_fini(&table);
	return status;
}

static enum status run_list(const struct arguments *arguments, struct error *err)
{
	struct model_directory directory, exported;
	struct movie_changes changes = {0};
	enum status status = model_directory_open(&directory, arguments->model, err);
	if (status != STATUS_OK)
		return status;
	model_directory_as_exported(&directory, &exported);
	status = movie_changes_read(&changes, arguments->model, err);
	if (status == STATUS_OK && arguments->json)
		status = json_print(changes_to_json(&exported, &changes), err);
	else if (status == STATUS_OK && changes.count == 0)
		printf("%s: as it was exported, no movie was changed\n", arguments->model);
	else if (status == STATUS_OK)
		status = print_changes(&exported, &changes, err);
	movie_changes_fini(&changes);
	model_directory_close(&directory);
	return status;
}

/* ---- the command line ---- */

/* Which options an action takes, and needs. */
static const struct action {
	const char *name;
	enum status (*run)(const struct arguments *arguments, struct error *err);
	bool one, title, needs_title, file, ids;
} actions[] = {
	{.name = "add",
		.run = run_add,
		.one = true,
		.title = true,
		.needs_title = true,
		.file = true},
	{.name = "update", .run = run_update, .one = true, .title = true, .file = true},
	{.name = "remove", .run = run_remove, .one = true, .ids = true},
	{.name = "list", .run = run_list},
};

static enum status check(
	const struct action *action, const struct arguments *arguments, struct error *err)
{
	const char *many = action->file ? "--file" : "--ids";
	const bool has_title = arguments->title || arguments->genres;
	const bool has_many = arguments->file || arguments->ids;
	if ((arguments->has_movie && !action->one) || (has_title && !action->title) ||
		(arguments->file && !action->file) || (arguments->ids && !action->ids))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s takes %s", action->name,
			action->title ? "--movie with --title and --genres, or --file"
			: action->one ? "--movie, or --ids"
				      : "none of --movie, --title, --genres, --file, --ids");
	if (!action->one)
		return STATUS_OK;
	if (arguments->has_movie == has_many)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s needs either --movie or %s",
			action->name, many);
	if (has_many && has_title)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--file has the titles and genres: give it alone");
	if (arguments->has_movie && action->needs_title && !arguments->title)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s needs --title", action->name);
	if (arguments->has_movie && action->title && !has_title)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s needs --title, --genres or both",
			action->name);
	return STATUS_OK;
}

static const struct action *find_action(const char *name, struct error *err)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(name, actions[i].name) == 0)
			return &actions[i];
	error_set(
		err, STATUS_INVALID_ARGUMENT, "'%.40s' is none of add, update, remove, list", name);
	return NULL;
}

int cmd_movies(int argc, char **argv)
{
	struct arguments arguments = {0};
	const struct flag flags[] = {
		model_flag(&arguments.model),
		{.name = "movie",
			.kind = FLAG_U64,
			.target = &arguments.movie,
			.value_name = "ID",
			.help = "the movie to add, update or remove",
			.given = &arguments.has_movie},
		{.name = "title",
			.kind = FLAG_STRING,
			.target = &arguments.title,
			.value_name = "TEXT",
			.help = "its title, with the year: 'Toy Story (1995)'"},
		{.name = "genres",
			.kind = FLAG_STRING,
			.target = &arguments.genres,
			.value_name = "LIST",
			.help = "its genres, of those that the model knows: 'Comedy|Drama'"},
		{.name = "file",
			.kind = FLAG_STRING,
			.target = &arguments.file,
			.value_name = "FILE",
			.help = "add, update: many at once, as in ml-1m's movies.dat"},
		{.name = "ids",
			.kind = FLAG_STRING,
			.target = &arguments.ids,
			.value_name = "FILE",
			.help = "remove: the movies whose ids stand in this file"},
		{.name = "accept-unknown-genres",
			.kind = FLAG_BOOL,
			.target = &arguments.accept_unknown_genres,
			.help = "keep genres that the model does not know; they count for nothing"},
		json_flag(&arguments.json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = program,
		.summary = "Changes the movies of a model without training. A new movie's vector "
			   "comes from its genres\nand the words of its title; an updated one "
			   "keeps what ratings taught about it; a removed\none is not found any "
			   "more. All of a command is done, or nothing. Its model may be served\n"
			   "meanwhile: the server takes the changes over. list shows what was "
			   "changed.",
		.operands = "add|update|remove|list",
		.min_operands = 1,
		.max_operands = 1,
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	int operands;
	const struct action *action = NULL;
	enum status status = flags_parse(&line, argc, argv, &operands, &err);
	if (status == STATUS_OK && !(action = find_action(argv[1], &err)))
		status = STATUS_INVALID_ARGUMENT;
	if (status == STATUS_OK)
		status = check(action, &arguments, &err);
	if (status != STATUS_OK)
		return flags_exit(program, status, &err);
	status = action->run(&arguments, &err);
	return status == STATUS_OK ? EXIT_OK : program_failed(program, &err);
}
