/*
 * Questions and answers, the same for the commands and the HTTP server: who is asked about, what
 * they would give a movie, and the answers as JSON.
 *
 * JSON functions return owned objects; without memory they lack members or are NULL, which
 * json_dumps() then reports.
 *
 * Threads: as the scorer that is given; else pure functions.
 */
#ifndef MARQUEE_INFERENCE_ANSWER_H
#define MARQUEE_INFERENCE_ANSWER_H

#include "inference/scorer.h"
#include "inference/top_k.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Who is asked about: a user of the catalog, or somebody new described by the other three. */
struct who {
	uint64_t user_id, age_years;
	const char *gender, *occupation;
	bool has_user, has_age;
	const char *dashes; /* in front of the names of these in messages: "--" or "" */
};

/* INVALID_ARGUMENT unless the user stands alone or the three others stand together. */
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
	struct scorer *scorer, const struct who *who, struct subject *ret, struct error *err);

struct prediction {
	uint32_t movie;
	bool stands_in; /* the unknown movie row was used */
	float score;
};

MUST_CHECK enum status predict(struct scorer *scorer, const struct subject *subject,
	uint64_t movie_id, struct prediction *ret, struct error *err);

/* {"id": .., "title": .., "genres": [..]}, the id under `key`, added to an object. */
void movie_add_json(const struct catalog *catalog, uint32_t movie, const char *key, json_t *object);

/* {"user": .., "gender": .., "age": .., "occupation": .., "unknown_user": .., "movie": ..,
 * "title": .., "genres": [..], "unknown_movie": .., "stars": .., "score": ..} */
json_t *prediction_to_json(const struct scorer *scorer, const struct subject *subject,
	const struct prediction *prediction);
/* The subject as above, and "recommendations": [{"rank": .., "id": .., "title": .., "genres": ..,
 * "stars": .., "score": .., "unknown_movie": ..}] */
json_t *recommendations_to_json(
	const struct scorer *scorer, const struct subject *subject, const struct top_k *top);
/* {"movie": .., "title": .., "genres": .., "similar": [{"rank": .., "id": .., "title": ..,
 * "genres": .., "similarity": ..}]} */
json_t *similar_to_json(const struct catalog *catalog, uint32_t movie, const struct top_k *top);

#endif
