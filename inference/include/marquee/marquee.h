/*
 * libmarquee: predictions and recommendations from a model directory that `marquee export` wrote.
 *
 *     cc program.c $(pkg-config --cflags --libs libmarquee)
 *
 * Calls return 0, or the number of a status (gRPC's codes: 3 invalid argument, 5 not found, 8 no
 * memory, 9 not possible with this model, 15 damaged files); then `error`, which may be NULL, holds
 * what went wrong, and nothing else was written.
 *
 * Threads: a model is used by one thread at a time; several models are independent.
 */
#ifndef MARQUEE_MARQUEE_H
#define MARQUEE_MARQUEE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MARQUEE_ERROR_SIZE 512

struct marquee_model;

/* Opens and checks a model directory. On success the caller closes *ret. */
int marquee_open(struct marquee_model **ret, const char *directory, char error[MARQUEE_ERROR_SIZE]);
/* NULL is fine. */
void marquee_close(struct marquee_model *model);

/* Somebody: a user of the training data by id, or, with a gender, somebody new. */
struct marquee_who {
	uint64_t user;
	unsigned int age_years;
	const char *gender;	/* "M" or "F"; NULL: `user` counts, and neither of the others */
	const char *occupation; /* a number or a name of the model's */
};

/* The stars that somebody would give a movie; not cut to 1..5. */
int marquee_predict(struct marquee_model *model, const struct marquee_who *who, uint64_t movie,
	double *ret_stars, char error[MARQUEE_ERROR_SIZE]);

struct marquee_movie {
	uint64_t id;
	double stars;
	const char *title; /* UTF-8; borrowed until the model is closed */
};

/* Which movies may be named. NULL in its place, and NULL members, are any. */
struct marquee_filter {
	const char *genre; /* a name of the model's; capitals do not matter */
	const char *years; /* "1995", "1990-1999", "1990-" or "-1999" */
};

/* The movies that somebody would like best, the best first: into movies[capacity], *ret_count of
 * them. */
int marquee_recommend(struct marquee_model *model, const struct marquee_who *who,
	const struct marquee_filter *filter, struct marquee_movie *movies, size_t capacity,
	size_t *ret_count, char error[MARQUEE_ERROR_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
