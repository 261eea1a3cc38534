#include "inference/answer.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "inference/lookup.h"

#include <stdlib.h>

enum status who_check(const struct who *who, struct error *err)
{
	const bool any = who->has_age || who->gender || who->occupation;
	const char *d = who->dashes;
	const bool all = who->has_age && who->gender && who->occupation;
	if (who->has_user && any)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%suser knows age, gender and occupation: give it alone", d);
	if (!who->has_user && !any)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"for whom: give %suser, or %sage, %sgender and %soccupation", d, d, d, d);
	if (any && !all)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a new person needs all three of %sage, %sgender and %soccupation", d, d,
			d);
	return STATUS_OK;
}

enum status subject_find(
	struct scorer *scorer, const struct who *who, struct subject *ret, struct error *err)
{
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	struct subject subject = {.known = who->has_user};
	enum status status = STATUS_OK;
	if (who->has_user)
		status = lookup_user(catalog, who->user_id, &subject.user, err);
	else
		status = lookup_person(catalog, who->age_years, who->gender, who->occupation,
			&subject.person, err);
	if (status == STATUS_OK)
		status = memory_alloc(&subject.vector, scorer_vector_dim(scorer), sizeof(float),
			"user vector", err);
	if (status != STATUS_OK)
		return status;
	if (subject.known) {
		const uint32_t u = subject.user;
		subject.person = (struct person){.gender = catalog->genders[u],
			.age = catalog->ages[u],
			.occupation = catalog->occupations[u]};
		subject.stands_in = scorer_user_is_unknown(scorer, u);
		status = scorer_user_vectors(scorer, &u, 1, subject.vector, err);
	} else {
		subject.stands_in = true;
		status = scorer_person_vector(scorer, &subject.person, subject.vector, err);
	}
	if (status != STATUS_OK)
		free(subject.vector);
	else
		*ret = subject;
	return status;
}

enum status predict(struct scorer *scorer, const struct subject *subject, uint64_t movie_id,
	struct prediction *ret, struct error *err)
{
	struct prediction prediction = {0};
	float *vector = NULL;
	enum status status =
		lookup_movie(&scorer_directory(scorer)->catalog, movie_id, &prediction.movie, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&vector, scorer_vector_dim(scorer), sizeof(float), "movie vector", err);
	if (status == STATUS_OK)
		status = scorer_movie_vectors(scorer, &prediction.movie, 1, vector, err);
	if (status == STATUS_OK)
		status = scorer_score(scorer, subject->vector, vector, &prediction.score, err);
	free(vector);
	if (status != STATUS_OK)
		return status;
	prediction.stands_in = scorer_movie_is_unknown(scorer, prediction.movie);
	*ret = prediction;
	return STATUS_OK;
}

static void subject_add_json(
	const struct catalog *catalog, const struct subject *subject, json_t *object)
{
	const struct person *person = &subject->person;
	json_object_set_new(object, "user",
		subject->known ? json_from_u64(catalog->user_ids[subject->user]) : json_null());
	json_object_set_new(object, "gender", json_string(person->gender ? "F" : "M"));
	json_object_set_new(object, "age", json_integer(age_buckets[person->age]));
	json_object_set_new(object, "occupation", json_integer(person->occupation));
	json_object_set_new(object, "unknown_user", json_boolean(subject->stands_in));
}

void movie_add_json(const struct catalog *catalog, uint32_t movie, const char *key, json_t *object)
{
	json_t *genres = json_array();
	for (uint32_t i = catalog->genre_offsets[movie]; i < catalog->genre_offsets[movie + 1]; i++)
		json_array_append_new(genres,
			json_string(vocabulary_entry(&catalog->genres, catalog->genre_values[i])));
	json_object_set_new(object, key, json_from_u64(catalog->movie_ids[movie]));
	json_object_set_new(object, "title", json_string(catalog_title(catalog, movie)));
	json_object_set_new(object, "genres", genres);
}

/* "rank", "id", "title" and "genres" of an entry. */
static json_t *ranked_to_json(
	const struct catalog *catalog, const struct top_k *top, size_t position)
{
	json_t *object = json_object();
	json_object_set_new(object, "rank", json_integer((json_int_t)position + 1));
	movie_add_json(catalog, top->entries[position].item, "id", object);
	return object;
}

json_t *prediction_to_json(const struct scorer *scorer, const struct subject *subject,
	const struct prediction *prediction)
{
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	json_t *object = json_object();
	subject_add_json(catalog, subject, object);
	movie_add_json(catalog, prediction->movie, "movie", object);
	json_object_set_new(object, "unknown_movie", json_boolean(prediction->stands_in));
	json_object_set_new(object, "stars", json_real(stars_of(prediction->score)));
	json_object_set_new(object, "score", json_real((double)prediction->score));
	return object;
}

json_t *recommendations_to_json(
	const struct scorer *scorer, const struct subject *subject, const struct top_k *top)
{
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	json_t *object = json_object(), *ranking = json_array();
	subject_add_json(catalog, subject, object);
	for (size_t i = 0; i < top->count; i++) {
		const struct scored *entry = &top->entries[i];
		json_t *movie = ranked_to_json(catalog, top, i);
		json_object_set_new(movie, "stars", json_real(stars_of(entry->score)));
		json_object_set_new(movie, "score", json_real((double)entry->score));
		json_object_set_new(movie, "unknown_movie",
			json_boolean(scorer_movie_is_unknown(scorer, entry->item)));
		json_array_append_new(ranking, movie);
	}
	json_object_set_new(object, "recommendations", ranking);
	return object;
}

json_t *similar_to_json(const struct catalog *catalog, uint32_t movie, const struct top_k *top)
{
	json_t *object = json_object(), *ranking = json_array();
	movie_add_json(catalog, movie, "movie", object);
	for (size_t i = 0; i < top->count; i++) {
		json_t *entry = ranked_to_json(catalog, top, i);
		json_object_set_new(entry, "similarity", json_real((double)top->entries[i].score));
		json_array_append_new(ranking, entry);
	}
	json_object_set_new(object, "similar", ranking);
	return object;
}
