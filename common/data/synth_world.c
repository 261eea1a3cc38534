#include "common/data/synth_world.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shares of variance. */
#define FEATURE_SHARE	 0.5  /* of vectors: features, the rest ids */
#define BIAS_FEATURES	 0.25 /* of biases */
#define INTERACTION	 0.22 /* of the dot product, in stars^2 */
#define USER_BIAS	 0.40 /* standard deviation, stars */
#define MOVIE_BIAS	 0.48
#define POPULARITY_BIAS	 0.25 /* stars between the least and the most popular movie */
#define WORDS_SHARE	 0.3  /* of a movie's features: words, the rest genres */
#define AGE_SHARE	 0.5  /* of a user's features */
#define OCCUPATION_SHARE 0.35

/* Percentages, roughly as in ml-1m. */
static const uint8_t gender_weights[GENDER_COUNT] = {72, 28};
static const uint8_t age_weights[AGE_BUCKET_COUNT] = {4, 18, 35, 20, 9, 8, 6};
static const uint8_t occupation_weights[OCCUPATIONS_ML_1M] = {
	12, 9, 5, 3, 12, 2, 4, 11, 1, 2, 3, 2, 6, 3, 5, 2, 4, 8, 1, 1, 4};
static const uint8_t genre_weights[SYNTH_GENRES] = {
	13, 7, 3, 6, 30, 5, 3, 40, 2, 1, 9, 3, 3, 12, 7, 12, 4, 2};
static const uint8_t genre_count_weights[SYNTH_GENRES_MAX] = {52, 33, 11, 2, 1, 1};
static const uint8_t word_count_weights[SYNTH_WORDS_MAX] = {15, 28, 27, 17, 9, 4};

/* The index that a random word chooses among weights. */
static uint32_t choose(const uint8_t *weights, uint32_t count, uint32_t word)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < count; i++)
		sum += weights[i];
	uint32_t left = (uint32_t)(((uint64_t)word * sum) >> 32);
	uint32_t chosen = 0;
	while (left >= weights[chosen])
		left -= weights[chosen++];
	return chosen;
}

double synth_noise(uint32_t word0, uint32_t word1)
{
	uint32_t sum = (word0 & 0xffff) + (word0 >> 16) + (word1 & 0xffff) + (word1 >> 16);
	/* Four uniform numbers have mean 2 and variance 1/3; the 2 is the halves of the steps. */
	return ((double)(sum + 2) * 0x1p-16 - 2.0) * sqrt(3.0);
}

/* The share of z's distribution below x. Irwin-Hall: 1/24 sum_k (-1)^k C(4,k) (t-k)^4. */
static double noise_below(double x)
{
	static const double binomials[4] = {1.0, -4.0, 6.0, -4.0};
	double t = x / sqrt(3.0) + 2.0;
	if (t <= 0.0)
		return 0.0;
	if (t >= 4.0)
		return 1.0;
	double sum = 0.0;
	for (int k = 0; k < 4 && t > (double)k; k++) {
		double d = t - (double)k;
		sum += binomials[k] * (d * d) * (d * d);
	}
	return sum / 24.0;
}

/* E[stars | score] = 1 + sum over the four thresholds of the chance to pass it. */
static void fill_grid(double *grid, double noise)
{
	for (size_t i = 0; i < SYNTH_GRID_SIZE; i++) {
		double score = SYNTH_GRID_FIRST + (double)i / SYNTH_GRID_STEPS;
		grid[i] = 1.0;
		for (int k = 0; k < 4; k++)
			grid[i] += 1.0 - noise_below((1.5 + (double)k - score) / noise);
	}
}

double synth_expected(const double *grid, double score)
{
	if (score <= SYNTH_GRID_FIRST)
		return grid[0];
	if (score >= SYNTH_GRID_LAST)
		return grid[SYNTH_GRID_SIZE - 1];
	double place = (score - SYNTH_GRID_FIRST) * SYNTH_GRID_STEPS;
	size_t i = (size_t)place;
	return grid[i] + (place - (double)i) * (grid[i + 1] - grid[i]);
}

/* Independent values of variance 1 for (name, number). */
static struct synth_latent draw_latent(uint64_t seed, uint64_t stream, uint64_t number)
{
	struct synth_latent latent;
	uint64_t substream = random_substream(stream, number);
	for (uint32_t k = 0; k <= SYNTH_LATENT; k += 2) {
		uint32_t words[4];
		random_block(seed, substream, k, words);
		latent.v[k] = (float)synth_noise(words[0], words[1]);
		if (k < SYNTH_LATENT)
			latent.v[k + 1] = (float)synth_noise(words[2], words[3]);
	}
	return latent;
}

static void draw_table(uint64_t seed, const char *name, struct synth_latent *table, uint32_t count)
{
	uint64_t stream = random_stream(name);
	for (uint32_t i = 0; i < count; i++)
		table[i] = draw_latent(seed, stream, i);
}

/* The words' frequencies fall with their rank r as 1/(r + 3). */
static enum status init_words(struct synth_world *world, uint32_t movies, struct error *err)
{
	uint32_t count = movies * 2 + 64;
	double *weights = NULL;
	enum status status = memory_alloc(&weights, count, sizeof(*weights), "words", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < count; i++)
		weights[i] = 1.0 / ((double)i + 3.0);
	status = alias_init(&world->words, weights, count, err);
	free(weights);
	return status;
}

enum status synth_world_init(
	struct synth_world *world, uint64_t seed, uint32_t movies, struct error *err)
{
	*world = (struct synth_world){.seed = seed};
	draw_table(seed, "synth.gender", world->genders, GENDER_COUNT);
	draw_table(seed, "synth.age", world->ages, AGE_BUCKET_COUNT);
	draw_table(seed, "synth.occupation", world->occupations, OCCUPATIONS_ML_1M);
	draw_table(seed, "synth.genre", world->genres, SYNTH_GENRES);
	/* The first dimensions weigh most, which a model of few factors can learn. */
	double sum = 0.0;
	for (uint32_t k = 0; k < SYNTH_LATENT; k++)
		sum += 1.0 / (k + 1.0);
	for (uint32_t k = 0; k < SYNTH_LATENT; k++)
		world->scales[k] = (float)sqrt(INTERACTION / (k + 1.0) / sum);
	enum status status = init_words(world, movies, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&world->expected, SYNTH_GRID_SIZE, sizeof(*world->expected), "grid", err);
	if (status == STATUS_OK)
		status = memory_alloc(&world->expected_bias, SYNTH_GRID_SIZE,
			sizeof(*world->expected_bias), "grid", err);
	if (status != STATUS_OK)
		return status;
	fill_grid(world->expected, SYNTH_NOISE);
	fill_grid(world->expected_bias, sqrt(SYNTH_NOISE * SYNTH_NOISE + INTERACTION));
	return STATUS_OK;
}

void synth_world_fini(struct synth_world *world)
{
	alias_fini(&world->words);
	free(world->expected);
	free(world->expected_bias);
	*world = (struct synth_world){0};
}

static void add_latent(struct synth_latent *sum, const struct synth_latent *term, double weight)
{
	for (uint32_t k = 0; k <= SYNTH_LATENT; k++)
		sum->v[k] += (float)weight * term->v[k];
}

/* Features and the id's own part, each of variance 1, mixed; the bias scaled to its deviation. */
static struct synth_latent mix(
	const struct synth_latent *features, const struct synth_latent *own, double bias)
{
	struct synth_latent mixed = {0};
	add_latent(&mixed, features, sqrt(FEATURE_SHARE));
	add_latent(&mixed, own, sqrt(1.0 - FEATURE_SHARE));
	mixed.v[SYNTH_LATENT] =
		(float)(bias * (sqrt(BIAS_FEATURES) * (double)features->v[SYNTH_LATENT] +
				       sqrt(1.0 - BIAS_FEATURES) * (double)own->v[SYNTH_LATENT]));
	return mixed;
}

void synth_world_user(const struct synth_world *world, uint32_t number, struct synth_user *ret)
{
	uint32_t words[4];
	random_block(world->seed, random_stream("synth.user"), number, words);
	*ret = (struct synth_user){
		.gender = (uint8_t)choose(gender_weights, GENDER_COUNT, words[0]),
		.age = (uint8_t)choose(age_weights, AGE_BUCKET_COUNT, words[1]),
		.occupation = (uint8_t)choose(occupation_weights, OCCUPATIONS_ML_1M, words[2]),
		.zip = (uint32_t)(((uint64_t)words[3] * 100000) >> 32)};
	struct synth_latent features = {0};
	add_latent(&features, &world->ages[ret->age], sqrt(AGE_SHARE));
	add_latent(&features, &world->occupations[ret->occupation], sqrt(OCCUPATION_SHARE));
	add_latent(
		&features, &world->genders[ret->gender], sqrt(1.0 - AGE_SHARE - OCCUPATION_SHARE));
	struct synth_latent own = draw_latent(world->seed, random_stream("synth.user.own"), number);
	ret->latent = mix(&features, &own, USER_BIAS);
}

static void draw_genres(struct random_sequence *sequence, struct synth_movie *movie)
{
	bool taken[SYNTH_GENRES] = {false};
	movie->genre_count =
		1 + choose(genre_count_weights, SYNTH_GENRES_MAX, random_next(sequence));
	for (uint32_t i = 0; i < movie->genre_count;) {
		uint32_t genre = choose(genre_weights, SYNTH_GENRES, random_next(sequence));
		i += !taken[genre];
		taken[genre] = true;
	}
	uint32_t count = 0;
	for (uint32_t genre = 0; genre < SYNTH_GENRES; genre++)
		if (taken[genre])
			movie->genres[count++] = (uint8_t)genre;
}

static void draw_title(const struct synth_world *world, struct random_sequence *sequence,
	struct synth_movie *movie)
{
	uint32_t age0 = random_below(sequence, 80), age1 = random_below(sequence, 80);
	movie->year = 2000 - (age0 < age1 ? age0 : age1);
	movie->word_count = 1 + choose(word_count_weights, SYNTH_WORDS_MAX, random_next(sequence));
	for (uint32_t i = 0; i < movie->word_count; i++) {
		uint32_t word0 = random_next(sequence), word1 = random_next(sequence);
		movie->words[i] = alias_draw(&world->words, word0, word1);
	}
}

void synth_world_movie(const struct synth_world *world, uint32_t number, double popularity,
	struct synth_movie *ret)
{
	const uint64_t word_stream = random_stream("synth.word");
	struct random_sequence sequence;
	random_sequence_init(
		&sequence, world->seed, random_substream(random_stream("synth.movie"), number));
	*ret = (struct synth_movie){0};
	draw_genres(&sequence, ret);
	draw_title(world, &sequence, ret);
	struct synth_latent features = {0};
	for (uint32_t i = 0; i < ret->genre_count; i++)
		add_latent(&features, &world->genres[ret->genres[i]],
			sqrt((1.0 - WORDS_SHARE) / ret->genre_count));
	for (uint32_t i = 0; i < ret->word_count; i++) {
		struct synth_latent word = draw_latent(world->seed, word_stream, ret->words[i]);
		add_latent(&features, &word, sqrt(WORDS_SHARE / ret->word_count));
	}
	struct synth_latent own =
		draw_latent(world->seed, random_stream("synth.movie.own"), number);
	ret->latent = mix(&features, &own, MOVIE_BIAS);
	ret->latent.v[SYNTH_LATENT] += (float)(POPULARITY_BIAS * (popularity - 0.5));
}

double synth_score(const struct synth_world *world, const struct synth_latent *user,
	const struct synth_latent *movie)
{
	float dot = 0.0f;
	for (uint32_t k = 0; k < SYNTH_LATENT; k++)
		dot += world->scales[k] * user->v[k] * movie->v[k];
	return synth_bias_score(user, movie) + (double)dot;
}
