/*
 * How many ratings a second one core takes through one lane's plan, forward and backward.
 *
 * usage: bench_model [LANE_BATCH] [SECONDS]
 *
 * The data are invented with ml-1m's sizes: 6,040 users and 3,883 movies drawn with popularity,
 * titles of 1 to 5 of 5,174 words (frequent ones more often), 1 to 3 of 18 genres. Rows are read
 * from whole tables through an index, as the embedded server hands them out; no optimizer runs.
 */
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The thread's processor time: neighbours on the machine do not count. */
static uint64_t cpu_time_ns(const struct clock *clock)
{
	struct timespec now;
	(void)clock;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static const struct clock cpu_clock = {.now_ns = cpu_time_ns};

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

static enum status measure(uint32_t lane_size, double limit_s, struct error *err)
{
	static struct world world;
	static struct lane_batch lanes[BATCHES];
	static uint32_t index[TABLES][WORDS + USERS];
	const struct model_sizes sizes = {USERS + 1, 2, 7, 21, MOVIES + 1, GENRES, WORDS};
	struct model_config config;
	struct model *model = NULL;
	struct model_workspace *workspace = NULL;
	struct model_rows rows[TABLES];
	float *dense = NULL, *tables[TABLES] = {NULL};
	struct random_sequence random;

	random_sequence_init(&random, 1, random_stream("bench"));
	world_init(&world, &random);
	model_config_init(&config);
	enum status status = model_new(&model, &config, &sizes, err);
	if (status == STATUS_OK)
		status = model_workspace_new(&workspace, model, err);
	if (status == STATUS_OK)
		status = memory_alloc(&dense, model_dense_size(model), sizeof(float), "dense", err);
	for (uint32_t t = 0; t < TABLES && status == STATUS_OK; t++) {
		const struct model_table *table = model_table(model, t);
		status = memory_alloc(
			&tables[t], table->rows * table->dim, sizeof(float), "table", err);
		if (status == STATUS_OK)
			random_uniform_row(
				1, t, 0, table->init_limit, tables[t], table->rows * table->dim);
		rows[t] = (struct model_rows){tables[t], index[t]};
	}
	for (uint32_t b = 0; b < BATCHES && status == STATUS_OK; b++)
		status = lane_batch_init(&lanes[b], &world, &random, lane_size, err);
	if (status != STATUS_OK)
		goto cleanup;
	model_dense_init(model, 1, dense);

	const struct clock *clock = &cpu_clock;
	uint64_t start = 0, users = 0, movies = 0, rounds = 0, plan_ns = 0;
	/* Round 0 warms up. */
	while (rounds < 2 || clock_seconds_since(clock, start) < limit_s) {
		if (rounds == 1)
			start = clock_now_ns(clock);
		for (uint32_t b = 0; b < BATCHES; b++) {
			uint64_t before = clock_now_ns(clock);
			status = model_plan(workspace, &lanes[b].batch, err);
			if (status != STATUS_OK)
				goto cleanup;
			if (rounds > 0)
				plan_ns += clock_now_ns(clock) - before;
			for (uint32_t t = 0; t < TABLES; t++) {
				uint32_t count;
				const uint64_t *ids = model_plan_ids(workspace, t, &count);
				for (uint32_t j = 0; j < count; j++)
					index[t][j] = (uint32_t)ids[j];
			}
			status = model_train(workspace, dense, rows, err);
			if (status != STATUS_OK)
				goto cleanup;
			users += lanes[b].batch.user_count;
			movies += lanes[b].batch.movie_count;
		}
		rounds++;
	}
	double seconds = clock_seconds_since(clock, start);
	double examples = (double)(rounds - 1) * BATCHES * lane_size;
	printf("lane batch %u: %.0f ratings/s on one core, plan %.0f%% of it; "
	       "%.0f users and %.0f movies a batch\n",
		lane_size, examples / seconds, 100e-9 * (double)plan_ns / seconds,
		(double)users / (double)(rounds * BATCHES),
		(double)movies / (double)(rounds * BATCHES));

cleanup:
	for (uint32_t b = 0; b < BATCHES; b++) {
		free(lanes[b].users);
		free(lanes[b].movies);
		free(lanes[b].example_user);
		free(lanes[b].example_movie);
		free(lanes[b].labels);
		lanes[b] = (struct lane_batch){0};
	}
	for (uint32_t t = 0; t < TABLES; t++)
		free(tables[t]);
	free(dense);
	model_workspace_free(workspace);
	model_free(model);
	return status;
}

int main(int argc, char **argv)
{
	static const uint32_t usual[] = {32, 512};
	struct error err;
	enum status status = STATUS_OK;
	uint64_t lane_size = 0;
	double seconds = 2;
	if (argc > 1)
		status = parse_u64(argv[1], &lane_size, &err);
	if (argc > 2 && status == STATUS_OK)
		status = parse_double(argv[2], &seconds, &err);
	if (status == STATUS_OK && lane_size > 0)
		status = measure((uint32_t)lane_size, seconds, &err);
	else
		for (size_t i = 0; i < 2 && status == STATUS_OK; i++)
			status = measure(usual[i], seconds, &err);
	return flags_exit("bench_model", status, &err);
}
