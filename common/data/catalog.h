/*
 * The catalog: who may rate and what may be rated, with their features.
 *
 * Users and movies are numbered 0..count-1 in ascending order of their ids; ratings refer to these
 * numbers, tables and people to the ids. Ids are any 64-bit numbers but UINT64_MAX, which is the
 * id of the unknown row.
 *
 * Both MovieLens layouts are read, in ISO-8859-1 as GroupLens publishes them; everything in memory
 * is UTF-8.
 *
 *   ml-1m    users.dat  UserID::Gender::Age::Occupation::Zip-code     (age: one of AGE_BUCKETS)
 *            movies.dat MovieID::Title::Genre|Genre...
 *   ml-100k  u.user     id|age|gender|occupation|zip                  (age in years, name)
 *            u.item     id|title|release|video|URL|flag|flag...       (one flag per genre)
 *            u.genre    name|number
 *
 * Title words: what comes before the "(year)" at the title's end (the whole title when there is
 * none), split on blanks, lower-cased, punctuation kept.
 *
 * Threads: immutable after init.
 */
#ifndef MARQUEE_DATA_CATALOG_H
#define MARQUEE_DATA_CATALOG_H

#include "common/base/status.h"
#include "common/data/report.h"
#include "common/data/vocabulary.h"

#include <stdint.h>

#define GENDER_COUNT	  2u /* M 0, F 1 */
#define AGE_BUCKET_COUNT  7u
#define OCCUPATIONS_ML_1M 21u

/* The lower ends of the age buckets: 1, 18, 25, 35, 45, 50, 56 years. */
extern const uint8_t age_buckets[AGE_BUCKET_COUNT];
/* The bucket an age in years falls in; years below the first bucket belong to it. */
uint8_t age_bucket_of(uint64_t years);
/* "Under 18", "18-24", ... for a bucket < AGE_BUCKET_COUNT. Static. */
const char *age_bucket_name(uint8_t bucket);

enum data_layout { LAYOUT_ML_1M, LAYOUT_ML_100K };

/* Where an id stands among ascending ids: a direct table where ids are dense, else hashed. */
struct id_index {
	uint32_t *slots; /* number plus one, 0 empty */
	uint64_t size;	 /* slots; a power of two when hashed */
	bool direct;	 /* slot = id */
};

/*
 * All zeros is an empty catalog. Every array is an allocation of its own, for free(), so that
 * whoever restores a catalog may fill one in and call catalog_index().
 */
struct catalog {
	enum data_layout layout;

	uint32_t user_count;
	uint64_t *user_ids;    /* [user_count], ascending */
	uint8_t *genders;      /* [user_count], < GENDER_COUNT */
	uint8_t *ages;	       /* [user_count], < AGE_BUCKET_COUNT */
	uint16_t *occupations; /* [user_count], < occupation_names.count */

	uint32_t movie_count;
	uint64_t *movie_ids;	 /* [movie_count], ascending */
	uint32_t *title_offsets; /* [movie_count + 1]; the last is the size of titles */
	char *titles;		 /* UTF-8 with the year, each NUL-terminated */
	uint32_t *genre_offsets; /* [movie_count + 1], into genre_values */
	uint32_t *genre_values;	 /* < genres.count, in the order of the file, distinct in a movie */
	uint32_t *word_offsets;	 /* [movie_count + 1], into word_values */
	uint32_t *word_values;	 /* < words.count, in the order of the title */

	struct vocabulary genres; /* sorted */
	struct vocabulary words;  /* sorted */
	/* ml-1m: the 21 names of its README, by number; ml-100k: the names found, sorted. */
	struct vocabulary occupation_names;

	struct id_index user_index; /* made by catalog_index() */
	struct id_index movie_index;
};

/*
 * Reads the users and movies of a data directory; the layout is recognised from the files that are
 * there. Adds skipped lines to *report (may be NULL). NOT_FOUND: a file is missing; DATA_LOSS: a
 * line is bad ("DIR/users.dat:17: expected ..., found '...'") and options do not skip it;
 * FAILED_PRECONDITION: no users or no movies.
 */
MUST_CHECK enum status catalog_load(struct catalog *ret, const char *directory,
	const struct data_options *options, struct data_report *report, struct error *err);

/*
 * Reads a file of movies in ml-1m's layout alone: a catalog without users. FAILED_PRECONDITION: no
 * movies in it.
 */
MUST_CHECK enum status catalog_load_movies(struct catalog *ret, const char *path,
	const struct data_options *options, struct data_report *report, struct error *err);

/*
 * Checks every invariant stated above (DATA_LOSS names the first that does not hold) and makes the
 * indexes. catalog_load() has done it; a restored catalog needs it before anything else. Sizes are
 * those of the members: the arrays must be as long as the counts and last offsets say.
 */
MUST_CHECK enum status catalog_index(struct catalog *catalog, struct error *err);
/* The same for the movies alone, their genres and words. */
MUST_CHECK enum status catalog_index_movies(struct catalog *catalog, struct error *err);

/* Takes half-built catalogs; leaves an empty one. */
void catalog_fini(struct catalog *catalog);

/* The number of an id; UINT32_MAX when absent. Constant time. */
uint32_t catalog_find_user(const struct catalog *catalog, uint64_t id);
uint32_t catalog_find_movie(const struct catalog *catalog, uint64_t id);

/* Rows of the tables that ids and features select from: the largest id plus one. */
uint64_t catalog_user_rows(const struct catalog *catalog);
uint64_t catalog_movie_rows(const struct catalog *catalog);
uint64_t catalog_occupation_rows(const struct catalog *catalog);

/* Title of movie number m < movie_count, with its year; borrowed. */
static inline const char *catalog_title(const struct catalog *catalog, uint32_t m)
{
	return catalog->titles + catalog->title_offsets[m];
}

/* "users.dat", "u.user" and so on, for messages and paths. Static. */
const char *layout_users_file(enum data_layout layout);
const char *layout_movies_file(enum data_layout layout);
const char *layout_ratings_file(enum data_layout layout);
const char *layout_name(enum data_layout layout);

#endif
