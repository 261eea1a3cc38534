/*
 * Collects users and movies in the order of their files and makes the catalog of them.
 *
 * INVALID_ARGUMENT says that the line is bad, and the message why ("user 7 came before"); nothing
 * was added and the next line may follow. Any other status is not the line's fault, and final.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_DATA_CATALOG_BUILDER_H
#define MARQUEE_DATA_CATALOG_BUILDER_H

#include "common/base/id_set.h"
#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/lines.h"

struct user_record {
	uint64_t id;
	uint8_t gender;
	uint8_t age;
	uint16_t occupation; /* provisional: a number of builder->occupations */
};

struct movie_record {
	uint64_t id;
	uint32_t title;	      /* offset into builder->titles */
	uint32_t genre_first; /* its genres end where the next movie's begin */
	uint32_t word_first;
};

struct catalog_builder {
	enum data_layout layout;
	struct id_set user_ids, movie_ids; /* to find repeated ids */
	struct user_record *users;
	struct movie_record *movies;
	uint32_t user_count, movie_count;
	char *titles; /* UTF-8, NUL-terminated */
	size_t titles_size;
	uint32_t *genre_values, *word_values; /* provisional numbers */
	size_t genre_count, word_count;
	char *scratch; /* one word or name in UTF-8 */
	size_t user_capacity, movie_capacity, titles_capacity, genre_capacity, word_capacity,
		scratch_capacity;
	struct vocabulary_builder genres, words, occupations;
	uint32_t genre_columns; /* ml-100k: genres named in u.genre, one flag each in u.item */
};

MUST_CHECK enum status catalog_builder_init(
	struct catalog_builder *builder, enum data_layout layout, struct error *err);
/* Takes half-built ones. */
void catalog_builder_fini(struct catalog_builder *builder);

/* Parses an id: INVALID_ARGUMENT "user id is not a number", "... does not fit 64 bits". */
MUST_CHECK enum status catalog_parse_id(
	struct text text, const char *what, uint64_t *ret, struct error *err);

MUST_CHECK enum status catalog_builder_user(
	struct catalog_builder *builder, const struct user_record *user, struct error *err);
/* The title in ISO-8859-1, with its year; words are cut from it. */
MUST_CHECK enum status catalog_builder_movie(
	struct catalog_builder *builder, uint64_t id, struct text title, struct error *err);
/* Gives the movie added last a genre by its number in builder->genres; a repeat is ignored. */
MUST_CHECK enum status catalog_builder_movie_genre(
	struct catalog_builder *builder, uint32_t genre, struct error *err);
/* The provisional number of a name in ISO-8859-1. */
MUST_CHECK enum status catalog_builder_name(struct catalog_builder *builder,
	struct vocabulary_builder *names, struct text name, uint32_t *ret_number,
	struct error *err);

/* Sorts everything into *ret, indexed. The builder is only good for fini afterwards. */
MUST_CHECK enum status catalog_builder_finish(
	struct catalog_builder *builder, struct catalog *ret, struct error *err);
/* The same without users. */
MUST_CHECK enum status catalog_builder_finish_movies(
	struct catalog_builder *builder, struct catalog *ret, struct error *err);

#endif
