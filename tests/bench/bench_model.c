/*
 * How many ratings a second one core takes through one lane's plan, forward and backward.
 *
 * The data are invented with ml-1m's sizes: 6,040 users and 3,883 movies drawn with popularity,
 * titles of 1 to 5 of 5,174 words (frequent ones more often), 1 to 3 of 18 genres. Rows are read
 * from whole tables through an index, as the embedded server hands them out; no optimizer runs.
 */
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/model/model.h"
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { USERS = 6040, MOVIES = 3883, WORDS = 5174, GENRES = 18, TABLES = 7, BATCHES = 128 };

struct world {
	struct user_entity users[USERS];
	struct movie_entity movies[MOVIES];
	uint32_t genres[MOVIES][3];
	uint32_t words[MOVIES][5];
};

/* A lane's batch of examples over distinct users and movies. */
struct lane_batch {
	struct model_batch batch;
	struct user_entity *users;
	struct movie_entity *movies;
	uint32_t *example_user, *example_movie;
	float *labels;
};

/* A rank below n whose frequency falls off like that of movies, words and active users. */
static uint32_t skewed(struct random_sequence *random, uint32_t n, double power)
{
	return (uint32_t)((double)n * pow(random_double(random), power));
}

static void world_init(struct world *world, struct random_sequence *random)
{
	for (uint32_t u = 0; u < USERS; u++)
		world->users[u] = (struct user_entity){.id = u + 1,
			.gender = random_below(random, 2),
			.age = random_below(random, 7),
			.occupation = random_below(random, 21)};
	for (uint32_t m = 0; m < MOVIES; m++) {
		struct movie_entity *movie = &world->movies[m];
		*movie = (struct movie_entity){.id = m + 1,
			.genres = world->genres[m],
			.genre_count = 1 + random_below(random, 3),
			.words = world->words[m],
			.word_count = 1 + random_below(random, 5)};
		for (uint32_t i = 0; i < 3; i++)
			world->genres[m][i] = random_below(random, GENRES);
		for (uint32_t i = 0; i < 5; i++)
			world->words[m][i] = skewed(random, WORDS, 2);
	}
}

static enum status lane_batch_init(struct lane_batch *lane, const struct world *world,
	struct random_sequence *random, uint32_t n, struct error *err)
{
	static uint32_t seen_user[USERS], seen_movie[MOVIES];
	enum status status = memory_alloc(&lane->users, n, sizeof(*lane->users), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->movies, n, sizeof(*lane->movies), "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->example_user, n, sizeof(uint32_t), "examples", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->example_movie, n, sizeof(uint32_t), "examples", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->labels, n, sizeof(float), "labels", err);
	if (status != STATUS_OK)
		return status;
	struct model_batch *batch = &lane->batch;
	*batch = (struct model_batch){.users = lane->users,
		.movies = lane->movies,
		.example_user = lane->example_user,
		.example_movie = lane->example_movie,
		.labels = lane->labels,
		.example_count = n,
		.scale = 1 / (float)n};
	for (uint32_t e = 0; e < n; e++) {
		uint32_t u = skewed(random, USERS, 1.5), m = skewed(random, MOVIES, 2);
		if (!seen_user[u]) {
			lane->users[batch->user_count++] = world->users[u];
			seen_user[u] = batch->user_count;
		}
		if (!seen_movie[m]) {
			lane->movies[batch->movie_count++] = world->movies[m];
			seen_movie[m] = batch->movie_count;
		}
		lane->example_user[e] = seen_user[u] - 1;
		lane->example_movie[e] = seen_movie[m] - 1;
		lane->labels[e] = 2 * (float)(1 + random_below(random, 5)) - 5;
	}
	for (uint32_t i = 0; i < batch->user_count; i++)
		seen_user[lane->users[i].id - 1] = 0;
	for (uint32_t i = 0; i < batch->movie_count; i++)
		seen_movie[lane->movies[i].id - 1] = 0;
	return STATUS_OK;
}

/* What was met on the way. */
struct totals {
	uint64_t users, movies, batches, plan_ns, ns;
};

struct lanes {
	struct lane_batch batches[BATCHES];
	uint32_t count;			       /* of batches */
	uint32_t index[TABLES][WORDS + USERS]; /* of the planned rows in their tables */
	struct model_rows rows[TABLES];
	float *dense, *packed;
	struct model_workspace *workspace;
};

/* Takes every batch once; adds their ratings a second to the samples. */
static enum status pass(struct lanes *lanes, struct bench_samples *samples, struct totals *totals,
	struct error *err)
{
	const struct clock *clock = bench_cpu_clock();
	const uint64_t start = clock_now_ns(clock);
	uint64_t examples = 0;
	const struct model_weights weights = {lanes->dense, lanes->packed};
	for (uint32_t b = 0; b < lanes->count; b++) {
		const struct model_batch *batch = &lanes->batches[b].batch;
		const uint64_t before = clock_now_ns(clock);
		enum status status = model_plan(lanes->workspace, batch, err);
		if (status != STATUS_OK)
			return status;
		totals->plan_ns += clock_now_ns(clock) - before;
		for (uint32_t t = 0; t < TABLES; t++) {
			uint32_t count;
			const uint64_t *ids = model_plan_ids(lanes->workspace, t, &count);
			for (uint32_t j = 0; j < count; j++)
				lanes->index[t][j] = (uint32_t)ids[j];
		}
		status = model_train(lanes->workspace, &weights, lanes->rows, err);
		if (status != STATUS_OK)
			return status;
		examples += batch->example_count;
		totals->users += batch->user_count;
		totals->movies += batch->movie_count;
		totals->batches++;
	}
	const uint64_t ns = clock_now_ns(clock) - start;
	totals->ns += ns;
	bench_samples_add(samples, 1e9 * (double)examples / (double)ns);
	return STATUS_OK;
}

static enum status report(const struct bench *bench, uint32_t lane_size,
	struct bench_samples *samples, const struct totals *totals, struct error *err)
{
	static const struct bench_case train = {
		.name = "train", .unit = "ratings/s of a core", .higher_is_better = true};
	const double batches = (double)totals->batches;
	fprintf(stderr,
		"lane batch %u: plan %.0f%% of the time; %.0f users and %.0f movies a batch\n",
		lane_size, 100 * (double)totals->plan_ns / (double)totals->ns,
		(double)totals->users / batches, (double)totals->movies / batches);
	return bench_report(bench, &train, samples,
		json_pack("{s:I}", "lane_batch", (json_int_t)lane_size), err);
}

static enum status measure(const struct bench *bench, uint32_t lane_size,
	struct bench_samples *samples, struct error *err)
{
	static struct world world;
	static struct lanes lanes;
	const struct model_sizes sizes = {USERS + 1, 2, 7, 21, MOVIES + 1, GENRES, WORDS};
	struct model_config config;
	struct model *model = NULL;
	struct totals totals = {0};
	float *tables[TABLES] = {NULL};
	struct random_sequence random;

	random_sequence_init(&random, 1, random_stream("bench"));
	world_init(&world, &random);
	model_config_init(&config);
	enum status status = model_new(&model, &config, &sizes, err);
	if (status == STATUS_OK)
		status = model_workspace_new(&lanes.workspace, model, NULL, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&lanes.dense, model_dense_size(model), sizeof(float), "dense", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&lanes.packed, model_packed_size(model), sizeof(float), "dense", err);
	for (uint32_t t = 0; t < TABLES && status == STATUS_OK; t++) {
		const struct model_table *table = model_table(model, t);
		status = memory_alloc(
			&tables[t], table->rows * table->dim, sizeof(float), "table", err);
		if (status == STATUS_OK)
			random_uniform_row(
				1, t, 0, table->init_limit, tables[t], table->rows * table->dim);
		lanes.rows[t] = (struct model_rows){tables[t], lanes.index[t]};
	}
	lanes.count = (uint32_t)bench_size(bench, BATCHES, BATCHES, 2);
	for (uint32_t b = 0; b < lanes.count && status == STATUS_OK; b++)
		status = lane_batch_init(&lanes.batches[b], &world, &random, lane_size, err);
	if (status == STATUS_OK) {
		model_dense_init(model, 1, lanes.dense);
		model_pack(model, lanes.packed, lanes.dense, 0, model_dense_size(model));
		bench_samples_start(samples, bench);
	}
	while (status == STATUS_OK && bench_samples_wanted(samples))
		status = pass(&lanes, samples, &totals, err);
	if (status == STATUS_OK)
		status = report(bench, lane_size, samples, &totals, err);

	for (uint32_t b = 0; b < BATCHES; b++) {
		free(lanes.batches[b].users);
		free(lanes.batches[b].movies);
		free(lanes.batches[b].example_user);
		free(lanes.batches[b].example_movie);
		free(lanes.batches[b].labels);
	}
	for (uint32_t t = 0; t < TABLES; t++)
		free(tables[t]);
	free(lanes.packed);
	free(lanes.dense);
	model_workspace_free(lanes.workspace);
	model_free(model);
	lanes = (struct lanes){0};
	return status;
}

int main(int argc, char **argv)
{
	uint64_t lane_size = 0;
	const struct flag flags[] = {
		{.name = "lane-batch",
			.kind = FLAG_U64,
			.target = &lane_size,
			.value_name = "N",
			.help = "examples of a lane's batch (32, then 512)",
			.min = 1,
			.max = 65536},
	};
	const struct flag_group group = {.title = "Options", .flags = flags, .count = 1};
	const struct command_line line = {.program = "bench_model",
		.summary = "Measures the model's training step on one core.",
		.groups = &group,
		.group_count = 1};
	const uint64_t usual[] = {32, 512};
	struct bench bench;
	struct bench_samples samples = {0};
	struct error err = {0};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = bench_samples_init(&samples, &err);
	for (size_t i = 0; i < 2 && status == STATUS_OK; i++)
		if (!lane_size || i == 0)
			status = measure(&bench, (uint32_t)(lane_size ? lane_size : usual[i]),
				&samples, &err);
	bench_samples_fini(&samples);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
