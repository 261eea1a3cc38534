#include "inference/answer.h"
#include "inference/recommend.h"

#include "common/base/memory.h"

#include <limits.h>
#include <marquee/marquee.h>
#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default")))

struct marquee_model {
	struct model_directory directory;
	struct scorer *scorer;
};

/* The calling thread's last failure; a model that could not be opened fails with it again. */
static _Thread_local struct error last_error = {
	.status = STATUS_FAILED_PRECONDITION, .message = "no model is open"};

static int failed(enum status status, const struct error *err)
{
	last_error = *err;
	return (int)status;
}

PUBLIC const char *marquee_error(void)
{
	return last_error.message;
}

PUBLIC struct marquee_model *marquee_open(const char *directory)
{
	struct error err;
	struct marquee_model *model = NULL;
	enum status status = memory_zalloc(&model, 1, sizeof(*model), "model", &err);
	if (status == STATUS_OK)
		status = model_directory_open(&model->directory, directory, &err);
	if (status == STATUS_OK)
		status = scorer_new(&model->scorer, &model->directory, &err);
	if (status == STATUS_OK)
		return model;
	if (model)
		(void)marquee_close(model);
	(void)failed(status, &err);
	return NULL;
}

PUBLIC int marquee_close(struct marquee_model *model)
{
	if (!model)
		return (int)last_error.status;
	scorer_free(model->scorer);
	model_directory_close(&model->directory);
	free(model);
	return STATUS_OK;
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
	uint64_t movie, double *ret_stars)
{
	struct error err;
	struct subject subject = {0};
	struct prediction prediction;
	if (!model)
		return (int)last_error.status;
	enum status status = find(model, who, &subject, &err);
	if (status == STATUS_OK)
		status = predict(model->scorer, &subject, movie, &prediction, &err);
	if (status == STATUS_OK)
		*ret_stars = stars_of(prediction.score);
	free(subject.vector);
	return status == STATUS_OK ? STATUS_OK : failed(status, &err);
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
	const struct marquee_filter *filter, struct marquee_movie *movies, size_t capacity)
{
	if (!model)
		return -(int)last_error.status;
	const struct catalog *catalog = &model->directory.catalog;
	const size_t most = catalog->movie_count < INT_MAX ? catalog->movie_count : INT_MAX;
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
		status = top_k_init(&top, capacity < most ? capacity : most, &err);
	if (status == STATUS_OK)
		status = recommend(model->scorer, subject.vector, &passing, &top, &err);
	if (status == STATUS_OK)
		copy_movies(catalog, &top, movies);
	const int count = status == STATUS_OK ? (int)top.count : -failed(status, &err);
	if (count == 0)
		(void)error_set(&last_error, STATUS_NOT_FOUND, "no movie passes the filter");
	top_k_fini(&top);
	movie_filter_fini(&passing);
	free(subject.vector);
	return count;
}
