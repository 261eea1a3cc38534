/* marquee recommend: the movies that somebody would like best, or each of many users. */
#include "common/base/memory.h"
#include "inference/actual.h"
#include "inference/recommend.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"
#include "launcher/id_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USERS_AT_ONCE 1024u

static const char program[] = "marquee recommend";

struct arguments {
	const char *model, *users;
	struct who who;
	uint64_t top;
	struct filter_flags filter;
	const char *exclude_seen;
	const char *index;
	bool json;
};

/* What every answer needs; all zeros is closed. */
struct world {
	struct answer answer;
	struct movie_filter filter;
	struct seen seen;  /* of --users */
	uint8_t *excluded; /* of --user; the filter borrows it */
	size_t top;	   /* no more than there are */
};

static enum status world_open(
	struct world *world, const struct arguments *arguments, struct error *err)
{
	enum status status = answer_open(&world->answer, arguments->model, err);
	if (status == STATUS_OK)
		status = answer_use_index(&world->answer, program, arguments->index, err);
	if (status != STATUS_OK)
		return status;
	const struct catalog *catalog = &world->answer.directory.catalog;
	world->top = arguments->top < catalog->movie_count ? arguments->top : catalog->movie_count;
	return filter_flags_read(&arguments->filter, catalog, &world->filter, err);
}

static void world_close(struct world *world)
{
	movie_filter_fini(&world->filter);
	seen_fini(&world->seen);
	free(world->excluded);
	answer_close(&world->answer);
}

/* Leaves out what the one user has seen. */
static enum status exclude_seen(struct world *world, const struct arguments *arguments,
	const struct subject *subject, struct error *err)
{
	const struct model_directory *directory = &world->answer.directory;
	const struct data_options strict = {.former = &directory->changes.exported};
	enum status status = memory_zalloc(
		&world->excluded, directory->catalog.movie_count, 1, "seen movies", err);
	if (status == STATUS_OK)
		status = actual_seen(&directory->catalog, subject->user, arguments->exclude_seen,
			&strict, world->excluded, err);
	world->filter.excluded = world->excluded;
	return status;
}

static enum status print(const struct world *world, const struct arguments *arguments,
	const struct subject *subject, const struct top_k *top, struct error *err)
{
	if (arguments->json)
		return json_print(recommendations_to_json(world->answer.scorer, subject, top), err);
	subject_print(&world->answer, subject);
	return ranking_print(&world->answer.directory.catalog, top, "stars", stars_of, err);
}

static enum status run_one(
	struct world *world, const struct arguments *arguments, struct error *err)
{
	struct subject subject = {0};
	struct top_k top = {0};
	enum status status = subject_find(world->answer.scorer, &arguments->who, &subject, err);
	if (status == STATUS_OK && arguments->exclude_seen)
		status = exclude_seen(world, arguments, &subject, err);
	if (status == STATUS_OK)
		status = top_k_init(&top, world->top, err);
	if (status == STATUS_OK)
		status = recommend(world->answer.scorer, subject.vector, &world->filter, &top, err);
	if (status == STATUS_OK)
		status = print(world, arguments, &subject, &top, err);
	top_k_fini(&top);
	free(subject.vector);
	return status;
}

/* ---- many users ---- */

/* Numbers of the users whose ids stand in a file; owned. */
static enum status read_users(const struct catalog *catalog, const char *path, uint32_t **ret,
	size_t *ret_count, struct error *err)
{
	uint64_t *ids;
	uint32_t *users = NULL;
	size_t count;
	enum status status = id_file_read(path, &ids, &count, err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(&users, count, sizeof(*users), "users", err);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = lookup_user(catalog, ids[i], &users[i], err);
	free(ids);
	if (status != STATUS_OK) {
		free(users);
		return error_wrap(err, status, "%s", path);
	}
	*ret = users;
	*ret_count = count;
	return STATUS_OK;
}

/* tops[count] and vectors[count x dim] are room. */
static enum status answer_block(struct world *world, const struct arguments *arguments,
	const uint32_t *users, uint32_t count, float *vectors, struct top_k *tops,
	struct error *err)
{
	struct scorer *scorer = world->answer.scorer;
	const struct catalog *catalog = &world->answer.directory.catalog;
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const struct recommend_options options = {.filter = &world->filter,
		.seen = world->seen.ends ? &world->seen : NULL,
		.users = users,
		.threads = cores > 0 ? (uint32_t)cores : 1};
	for (uint32_t u = 0; u < count; u++)
		tops[u].count = 0;
	enum status status = scorer_user_vectors(scorer, users, count, vectors, err);
	if (status == STATUS_OK)
		status = recommend_all(scorer, vectors, count, &options, tops, err);
	for (uint32_t u = 0; u < count && status == STATUS_OK; u++) {
		const struct subject subject = {.known = true,
			.user = users[u],
			.stands_in = scorer_user_is_unknown(scorer, users[u]),
			.person = {.gender = catalog->genders[users[u]],
				.age = catalog->ages[users[u]],
				.occupation = catalog->occupations[users[u]]}};
		status = print(world, arguments, &subject, &tops[u], err);
	}
	return status;
}

static enum status run_many(
	struct world *world, const struct arguments *arguments, struct error *err)
{
	uint32_t *users = NULL, made = 0;
	size_t count = 0;
	float *vectors = NULL;
	struct top_k *tops = NULL;
	const struct catalog *catalog = &world->answer.directory.catalog;
	const struct data_options strict = {.former = &world->answer.directory.changes.exported};
	enum status status = read_users(catalog, arguments->users, &users, &count, err);
	if (status == STATUS_OK && arguments->exclude_seen)
		status = seen_read(&world->seen, catalog, arguments->exclude_seen, &strict, err);
	const uint32_t at_once = count < USERS_AT_ONCE ? (uint32_t)count : USERS_AT_ONCE;
	if (status == STATUS_OK)
		status = memory_alloc(&vectors, at_once,
			scorer_vector_dim(world->answer.scorer) * sizeof(float), "user vectors",
			err);
	if (status == STATUS_OK)
		status = memory_zalloc(&tops, at_once, sizeof(*tops), "results", err);
	for (; status == STATUS_OK && made < at_once; made += status == STATUS_OK)
		status = top_k_init(&tops[made], world->top, err);
	for (size_t u = 0, n; status == STATUS_OK && u < count; u += n) {
		n = count - u < at_once ? count - u : at_once;
		status = answer_block(world, arguments, users + u, (uint32_t)n, vectors, tops, err);
	}
	while (made > 0)
		top_k_fini(&tops[--made]);
	free(tops);
	free(vectors);
	free(users);
	return status;
}

/* ---- the command line ---- */

static enum status check(const struct arguments *arguments, struct error *err)
{
	const struct who *who = &arguments->who;
	if (!arguments->users) {
		enum status status = who_check(who, err);
		if (status == STATUS_OK && arguments->exclude_seen && !who->has_user)
			status = error_set(err, STATUS_INVALID_ARGUMENT,
				"--exclude-seen needs --user or --users");
		return status;
	}
	if (who->has_user || who->has_age || who->gender || who->occupation)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--users says for whom: leave out --user, --age, --gender and "
			"--occupation");
	return STATUS_OK;
}

int cmd_recommend(int argc, char **argv)
{
	struct arguments arguments = {.who.dashes = "--", .top = TOP_DEFAULT, .index = "auto"};
	const struct flag flags[] = {
		model_flag(&arguments.model),
		user_flag(&arguments.who),
		age_flag(&arguments.who),
		gender_flag(&arguments.who),
		occupation_flag(&arguments.who),
		{.name = "users",
			.kind = FLAG_STRING,
			.target = &arguments.users,
			.value_name = "FILE",
			.help = "or every user whose id stands in this file, at once"},
		top_flag(&arguments.top),
		genre_flag(&arguments.filter),
		year_flag(&arguments.filter),
		ids_flag(&arguments.filter),
		{.name = "exclude-seen",
			.kind = FLAG_STRING,
			.target = &arguments.exclude_seen,
			.value_name = "FILE",
			.help = "leave out what each user rated in this ratings file"},
		include_untrained_flag(&arguments.filter),
		index_flag(&arguments.index),
		json_flag(&arguments.json),
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = program,
		.summary =
			"Names the movies with the highest predicted stars, by exact search unless "
			"an index\nis used. Movies that no training rating was about are left out: "
			"their rows are still\nrandom. Ties go to the smaller id. With --users "
			"--json there is a line for each user.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	struct world world = {0};
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = check(&arguments, &err);
	if (status == STATUS_OK)
		status = filter_flags_check(&arguments.filter, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = world_open(&world, &arguments, &err);
	if (status == STATUS_OK)
		status = arguments.users ? run_many(&world, &arguments, &err)
					 : run_one(&world, &arguments, &err);
	world_close(&world);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
