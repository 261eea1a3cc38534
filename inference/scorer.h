/*
 * Scores from an open model directory: tower vectors of users, people and movies, and their scores.
 *
 * Vectors have scorer_vector_dim() floats. A score is in the label's scale, [-5, 5]; stars are
 * (score + 5) / 2.
 *
 * Who was never trained: a user or movie of the catalog whose own row training never touched is
 * scored with the unknown row, provided that one was trained (--unknown-rate above 0); else with
 * its own initial row. A movie that was added later has only the unknown row, trained or not.
 *
 * Threads: owner-thread only. Several scorers may share one directory, and clones of a prepared one
 * share its vectors too.
 */
#ifndef MARQUEE_INFERENCE_SCORER_H
#define MARQUEE_INFERENCE_SCORER_H

#include "inference/model_directory.h"
#include "inference/search.h"

struct scorer;

/* Borrows the directory for the scorer's life. */
MUST_CHECK enum status scorer_new(
	struct scorer **ret, const struct model_directory *directory, struct error *err);
/*
 * Another scorer over the same directory, for another thread. It borrows the original's parameters,
 * vectors and search items for its life: scorer_prepare() the original first.
 */
MUST_CHECK enum status scorer_clone(
	struct scorer **ret, const struct scorer *original, struct error *err);
/* NULL is fine. */
void scorer_free(struct scorer *scorer);

const struct model_directory *scorer_directory(const struct scorer *scorer);
uint32_t scorer_vector_dim(const struct scorer *scorer);

/* Someone who is not in the catalog. */
struct person {
	uint8_t gender;	     /* < GENDER_COUNT */
	uint8_t age;	     /* < AGE_BUCKET_COUNT */
	uint16_t occupation; /* < occupation_names.count */
};

/* Vectors [count x dim] of users, or movies, given by their numbers in the catalog. */
MUST_CHECK enum status scorer_user_vectors(struct scorer *scorer, const uint32_t *users,
	uint32_t count, float *vectors, struct error *err);
MUST_CHECK enum status scorer_movie_vectors(struct scorer *scorer, const uint32_t *movies,
	uint32_t count, float *vectors, struct error *err);
/* The vector [dim] of a new person, from the unknown row and the features. */
MUST_CHECK enum status scorer_person_vector(
	struct scorer *scorer, const struct person *person, float *vector, struct error *err);

/*
 * What the towers are given for a user, a movie of the catalog, and the vectors [count x dim] of
 * such, which need not be of the catalog: count is at most SCORER_ENTITIES_MAX. A movie's lists are
 * the catalog's.
 */
#define SCORER_ENTITIES_MAX 1024u
struct user_entity scorer_user_entity(const struct scorer *scorer, uint32_t user);
struct movie_entity scorer_movie_entity(const struct scorer *scorer, uint32_t movie);
MUST_CHECK enum status scorer_user_entity_vectors(struct scorer *scorer,
	const struct user_entity *users, uint32_t count, float *vectors, struct error *err);
MUST_CHECK enum status scorer_movie_entity_vectors(struct scorer *scorer,
	const struct movie_entity *movies, uint32_t count, float *vectors, struct error *err);

/* The vectors [movie_count x dim] of the whole catalog, computed at the first call; borrowed for
 * the scorer's life. */
MUST_CHECK enum status scorer_all_movies(
	struct scorer *scorer, const float **ret_vectors, struct error *err);

/* By what movies are searched: the score with a user's vector times its model_user_factor(), or the
 * cosine with a vector times its inverse length. */
enum measure { MEASURE_SCORE, MEASURE_COSINE, MEASURES };

/* The whole catalog's vectors, ready to be searched; made at the first call, borrowed likewise. */
MUST_CHECK enum status scorer_search_items(struct scorer *scorer, enum measure measure,
	const struct search_items **ret, struct error *err);

/* Makes what the first calls of the two functions above would make. */
MUST_CHECK enum status scorer_prepare(struct scorer *scorer, struct error *err);

/*
 * The index that recommend() and similar() search with, or NULL for exact search; borrowed for the
 * scorer's life, and by its later clones.
 */
struct movie_index;
void scorer_use_index(struct scorer *scorer, struct movie_index *index);
struct movie_index *scorer_index(const struct scorer *scorer);

/* 1 / |vector|, of a zero vector as of a very short one. */
double scorer_inverse_length(const struct scorer *scorer, const float *vector);

/* Whether training met the row for unknown users, unknown movies. */
bool scorer_knows_unknown_users(const struct scorer *scorer);
bool scorer_knows_unknown_movies(const struct scorer *scorer);
/* Whether the unknown row stands in for the user's, the movie's. */
bool scorer_user_is_unknown(const struct scorer *scorer, uint32_t user);
bool scorer_movie_is_unknown(const struct scorer *scorer, uint32_t movie);

/* FAILED_PRECONDITION when the score is not a number, as a diverged training leaves it. */
MUST_CHECK enum status scorer_score(const struct scorer *scorer, const float *user,
	const float *movie, float *ret_score, struct error *err);
/* That error, for who finds it otherwise. */
enum status scorer_diverged(const struct scorer *scorer, struct error *err);

static inline double stars_of(float score)
{
	return ((double)score + 5.0) / 2.0;
}

#endif
