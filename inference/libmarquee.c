#include "inference/answer.h"
#include "inference/recommend.h"

#include "common/base/memory.h"

#include <marquee/marquee.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

_Static_assert(MARQUEE_ERROR_SIZE == ERROR_MESSAGE_SIZE, "messages fit");

struct marquee_model {
	struct model_directory directory;
	struct scorer *scorer;
};

/* The status as callers get it, with its message. */
static int result(enum status status, const struct error *err, char error[MARQUEE_ERROR_SIZE])
{
	if (status != STATUS_OK && error)
		memcpy(error, err->message, MARQUEE_ERROR_SIZE);
	return (int)status;
}

PUBLIC int marquee_open(
	struct marquee_model **ret, const char *directory, char error[MARQUEE_ERROR_SIZE])
{
	struct error err;
	struct marquee_model *model;
	enum status status = memory_zalloc(&model, 1, sizeof(*model), "model", &err);
	if (status != STATUS_OK)
		return result(status, &err, error);
	status = model_directory_open(&model->directory, directory, &err);
	if (status == STATUS_OK)
		status = scorer_new(&model->scorer, &model->directory, &err);
	if (status == STATUS_OK)
		*ret = model;
	else
		marquee_close(model);
	return result(status, &err, error);
}

PUBLIC void marquee_close(struct marquee_model *model)
{
	if (!model)
		return;
	scorer_free(model->scorer);
	model_directory_close(&model->directory);
	free(model);
}

/* The vector of somebody: the caller frees subject->vector. */
static enum status find(struct marquee_model *model, const struct marquee_who *from,
	struct subject *ret, struct error *err)
{
	const struct who who = {.user_id = from->user,
		.has_user = from->gender == NULL,
		.age_years = from->age_years,
		.has_age = from->gender != NULL,
		.gender = from->gender,
		.occupation = from->gender ? from->occupation : NULL,
		.dashes = ""};
	enum status status = who_check(&who, err);
	return status == STATUS_OK ? subject_find(model->scorer, &who, ret, err) : status;
}

PUBLIC int marquee_predict(struct marquee_model *model, const struct marquee_who *who,
	uint64_t movie, double *ret_stars, char error[MARQUEE_ERROR_SIZE])
{
	struct error err;
	struct subject subject = {0};
	struct prediction prediction;
	enum status status = find(model, who, &subject, &err);
	if (status == STATUS_OK)
		status = predict(model->scorer, &subject, movie, &prediction, &err);
	if (status == STATUS_OK)
		*ret_stars = stars_of(prediction.score);
	free(subject.vector);
	return result(status, &err, error);
}

static void copy_movies(
	const struct catalog *catalog, const struct top_k *top, struct marquee_movie *movies)
{
	for (size_t i = 0; i < top->count; i++) {
		const uint32_t movie = top->entries[i].item;
		movies[i] = (struct marquee_movie){.id = catalog->movie_ids[movie],
			.stars = stars_of(top->entries[i].score),
			.title = catalog_title(catalog, movie)};
	}
}

PUBLIC int marquee_recommend(struct marquee_model *model, const struct marquee_who *who,
	const struct marquee_filter *filter, struct marquee_movie *movies, size_t capacity,
	size_t *ret_count, char error[MARQUEE_ERROR_SIZE])
{
	const struct catalog *catalog = &model->directory.catalog;
	const struct filter_text text = {
		.genre = filter ? filter->genre : NULL, .years = filter ? filter->years : NULL};
	struct error err;
	struct subject subject = {0};
	struct movie_filter passing = {0};
	struct top_k top = {0};
	enum status status = find(model, who, &subject, &err);
	if (status == STATUS_OK)
		status = movie_filter_init(&passing, catalog, &text, &err);
	if (status == STATUS_OK)
		status = top_k_init(&top,
			capacity < catalog->movie_count ? capacity : catalog->movie_count, &err);
	if (status == STATUS_OK)
		status = recommend(model->scorer, subject.vector, &passing, &top, &err);
	if (status == STATUS_OK) {
		copy_movies(catalog, &top, movies);
		*ret_count = top.count;
	}
	top_k_fini(&top);
	movie_filter_fini(&passing);
	free(subject.vector);
	return result(status, &err, error);
}
