/*
 * The world behind generated data: who there is, what there is, and what everyone thinks of it.
 *
 * Each user and movie has a bias and a vector of SYNTH_LATENT numbers; half of a vector's variance
 * comes from features, half from the id. The score of a pair, in stars before noise:
 *
 *     score = mean + bias(u) + bias(m) + sum_k scale_k * user_k * movie_k
 *     stars = score + SYNTH_NOISE * z, rounded to 1..5;  z: mean 0, variance 1
 *
 * z is the sum of four uniform numbers, centred and scaled, whose distribution function is a
 * polynomial, so that the expectation of the rounded stars is known without special functions.
 * Users and movies are numbered from 0 here; their ids are one more.
 *
 * Threads: immutable after init.
 */
#ifndef MARQUEE_DATA_SYNTH_WORLD_H
#define MARQUEE_DATA_SYNTH_WORLD_H

#include "common/base/status.h"
#include "common/data/alias.h"
#include "common/data/catalog.h"

#include <stddef.h>
#include <stdint.h>

#define SYNTH_LATENT	 8u
#define SYNTH_NOISE	 0.90 /* stars */
#define SYNTH_GENRES	 18u
#define SYNTH_GENRES_MAX 6u /* of a movie */
#define SYNTH_WORDS_MAX	 6u /* of a title */

/* Component SYNTH_LATENT is the bias. */
struct synth_latent {
	float v[SYNTH_LATENT + 1];
};

struct synth_user {
	uint8_t gender;
	uint8_t age; /* bucket */
	uint8_t occupation;
	uint32_t zip; /* five digits */
	struct synth_latent latent;
};

struct synth_movie {
	uint32_t year;
	uint32_t genre_count, word_count;
	uint8_t genres[SYNTH_GENRES_MAX]; /* ascending */
	uint32_t words[SYNTH_WORDS_MAX];
	struct synth_latent latent;
};

/* Expected stars by score, on a grid. */
#define SYNTH_GRID_FIRST (-5.0)
#define SYNTH_GRID_LAST	 11.0
#define SYNTH_GRID_STEPS 512 /* per star */
#define SYNTH_GRID_SIZE	 ((size_t)(16 * SYNTH_GRID_STEPS + 2))

struct synth_world {
	uint64_t seed;
	struct alias words; /* the title words by frequency */
	struct synth_latent genders[GENDER_COUNT];
	struct synth_latent ages[AGE_BUCKET_COUNT];
	struct synth_latent occupations[OCCUPATIONS_ML_1M];
	struct synth_latent genres[SYNTH_GENRES];
	float scales[SYNTH_LATENT];
	double *expected;      /* [SYNTH_GRID_SIZE] given the score */
	double *expected_bias; /* the same given only mean and biases */
};

MUST_CHECK enum status synth_world_init(
	struct synth_world *world, uint64_t seed, uint32_t movies, struct error *err);
/* Takes half-built ones. */
void synth_world_fini(struct synth_world *world);

/* Pure functions of the seed and the number. */
void synth_world_user(const struct synth_world *world, uint32_t number, struct synth_user *ret);
/* popularity: 0 the least popular to 1 the most; what is watched more is liked a little more. */
void synth_world_movie(const struct synth_world *world, uint32_t number, double popularity,
	struct synth_movie *ret);

const char *synth_genre_name(uint32_t genre);
/* A title word in ISO-8859-1, terminated, in lower case; distinct words for distinct numbers. */
#define SYNTH_WORD_SIZE ((size_t)24)
void synth_word(uint32_t number, char word[SYNTH_WORD_SIZE]);

/* The score without the dot product. */
static inline double synth_bias_score(
	const struct synth_latent *user, const struct synth_latent *movie)
{
	return 3.6 + (double)user->v[SYNTH_LATENT] + (double)movie->v[SYNTH_LATENT];
}

double synth_score(const struct synth_world *world, const struct synth_latent *user,
	const struct synth_latent *movie);

/* z from two random words: four 16-bit numbers. */
double synth_noise(uint32_t word0, uint32_t word1);

/* 1..5 for a score with its noise. */
static inline uint32_t synth_round(double score)
{
	return 1u + (score >= 1.5) + (score >= 2.5) + (score >= 3.5) + (score >= 4.5);
}

/* Linear between grid points; the ends beyond the grid. */
double synth_expected(const double *grid, double score);

#endif
