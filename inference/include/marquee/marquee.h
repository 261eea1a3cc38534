/*
 * libmarquee: predictions and recommendations from a model directory that `marquee export` wrote.
 *
 *     cc program.c $(pkg-config --cflags --libs libmarquee)
 *
 * Statuses are gRPC's codes: 0 done, 3 invalid argument, 5 not found, 8 no memory, 9 not possible
 * with this model, 15 damaged files. A call that fails writes nothing, and marquee_error() says
 * what went wrong.
 *
 * A model that could not be opened is NULL, which every call takes: it fails again for the same
 * reason, so that a program may open, ask and look once.
 *
 * Threads: a model is used by one thread at a time; several models are independent. The error is
 * the thread's own.
 */
#ifndef MARQUEE_MARQUEE_H
#define MARQUEE_MARQUEE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct marquee_model;

/* Opens and checks a model directory, for marquee_close(); NULL when that fails. */
struct marquee_model *marquee_open(const char *directory);
/* Returns 0, of NULL the status why it could not be opened: what a program's main() may return. */
int marquee_close(struct marquee_model *model);

/* What the calling thread's last call said that failed, or found nothing: one line, valid until its
 * next call. */
const char *marquee_error(void);

/* Somebody: a user of the training data by id, or, with a gender, somebody new. */
struct marquee_who {
	uint64_t user;
	unsigned int age_years;
	const char *gender;	/* "M" or "F"; NULL: `user` counts, and neither of the others */
	const char *occupation; /* a number or a name of the model's */
};

/* The stars that somebody would give a movie; not cut to 1..5. Returns a status. */
int marquee_predict(struct marquee_model *model, const struct marquee_who *who, uint64_t movie,
	double *ret_stars);

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

/*
 * The movies that somebody would like best, the best first, into movies[capacity]. Returns how
 * many; a status times -1 when it fails. At most INT_MAX are named.
 */
int marquee_recommend(struct marquee_model *model, const struct marquee_who *who,
	const struct marquee_filter *filter, struct marquee_movie *movies, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
