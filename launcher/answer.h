/*
 * What the commands that answer from a model directory share: opening it, and how movies are
 * printed.
 *
 * Threads: call from main.
 */
#ifndef MARQUEE_LAUNCHER_ANSWER_H
#define MARQUEE_LAUNCHER_ANSWER_H

#include "inference/answer.h"
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
	struct movie_index *index; /* or NULL */
};

MUST_CHECK enum status answer_open(struct answer *answer, const char *path, struct error *err);
/* Search with an index from now on: one of INDEX_CHOICES. Says on stderr when one is made. */
MUST_CHECK enum status answer_use_index(
	struct answer *answer, const char *program, const char *choice, struct error *err);
/* Takes half-opened ones. */
void answer_close(struct answer *answer);

/* "user 1 (F, Under 18, K-12 student)" on stdout. */
void subject_print(const struct answer *answer, const struct subject *subject);
#define GENRES_TEXT_SIZE 160

/* Prints the best as a table: rank, id, title, genres and a value of the score under `heading`. */
MUST_CHECK enum status ranking_print(const struct catalog *catalog, const struct top_k *top,
	const char *heading, double (*value)(float score), struct error *err);

/* Prints the object on one line of stdout and releases it. */
MUST_CHECK enum status json_print(json_t *object, struct error *err);

#endif
