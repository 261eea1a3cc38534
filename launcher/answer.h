/*
 * What the commands that answer from a model directory share: opening it, and how movies are
 * printed.
 *
 * Threads: call from main.
 */
#ifndef MARQUEE_LAUNCHER_ANSWER_H
#define MARQUEE_LAUNCHER_ANSWER_H

#include "inference/lookup.h"
#include "inference/scorer.h"
#include "inference/top_k.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* An open model directory. All zeros is closed. */
struct answer {
	struct model_directory directory;
	struct scorer *scorer;
};

MUST_CHECK enum status answer_open(struct answer *answer, const char *path, struct error *err);
/* Takes half-opened ones. */
void answer_close(struct answer *answer);

/* Who is asked about: a user of the catalog, or somebody new described by the other three. */
struct who {
	uint64_t user_id, age_years;
	const char *gender, *occupation;
	bool has_user, has_age;
};

/* INVALID_ARGUMENT unless --user stands alone or the three others stand together. */
MUST_CHECK enum status who_check(const struct who *who, struct error *err);

/* The answer to `who`: a vector, and how it came about. */
struct subject {
	bool known;	/* in the catalog, at `user` */
	uint32_t user;	/* when known */
	bool stands_in; /* the unknown row was used */
	struct person person;
	float *vector; /* owned, for free() */
};

MUST_CHECK enum status subject_find(
	struct answer *answer, const struct who *who, struct subject *ret, struct error *err);
/* "user 1 (F, Under 18, K-12 student)" on stdout. */
void subject_print(const struct answer *answer, const struct subject *subject);
/* Adds "user", "gender", "age", "occupation" and "unknown_user" to an object. */
void subject_add_json(const struct answer *answer, const struct subject *subject, json_t *object);

#define GENRES_TEXT_SIZE 160
/* "Comedy|Drama", cut where it does not fit. */
void genres_format(const struct catalog *catalog, uint32_t movie, char text[GENRES_TEXT_SIZE]);
/* Adds the movie's id under `key`, "title" and "genres" to an object. */
void movie_add_json(const struct catalog *catalog, uint32_t movie, const char *key, json_t *object);
/* A new object with "rank" (position + 1), "id", "title" and "genres". */
json_t *ranked_to_json(const struct catalog *catalog, const struct top_k *top, size_t position);

/* Prints the best as a table: rank, id, title, genres and a value of the score under `heading`. */
MUST_CHECK enum status ranking_print(const struct catalog *catalog, const struct top_k *top,
	const char *heading, double (*value)(float score), struct error *err);

/* Prints the object on one line of stdout and releases it. */
MUST_CHECK enum status json_print(json_t *object, struct error *err);

#endif
