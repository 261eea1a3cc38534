/*
 * From what people type to what the catalog numbers: ids, names of genres and occupations, ages.
 *
 * NOT_FOUND messages say what there is. Threads: pure functions.
 */
#ifndef MARQUEE_INFERENCE_LOOKUP_H
#define MARQUEE_INFERENCE_LOOKUP_H

#include "common/data/catalog.h"
#include "inference/scorer.h"

/* The number in the catalog of a user's, a movie's id. */
MUST_CHECK enum status lookup_user(
	const struct catalog *catalog, uint64_t id, uint32_t *ret_user, struct error *err);
MUST_CHECK enum status lookup_movie(
	const struct catalog *catalog, uint64_t id, uint32_t *ret_movie, struct error *err);

/* A genre by its name; capitals do not matter. */
MUST_CHECK enum status lookup_genre(
	const struct catalog *catalog, const char *name, uint32_t *ret_genre, struct error *err);
/* An occupation by its number or its name; capitals do not matter. */
MUST_CHECK enum status lookup_occupation(const struct catalog *catalog, const char *text,
	uint16_t *ret_occupation, struct error *err);

/* age_years may also be the number of a bucket (1, 18, 25, ...); gender is "M" or "F". */
MUST_CHECK enum status lookup_person(const struct catalog *catalog, uint64_t age_years,
	const char *gender, const char *occupation, struct person *ret, struct error *err);

/* "Comedy|Drama", the genres of a movie; cut where it does not fit. */
void genres_format(const struct catalog *catalog, uint32_t movie, char *text, size_t size);

#endif
