#include "inference/why.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "inference/lookup.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES_MAX = 8 };

/* An answer without one feature. */
struct part {
	const char *of, *feature;
	double without;
};

struct why {
	struct part parts[FEATURES_MAX];
	uint32_t count;
};

static void add(struct why *why, const char *of, const char *feature, double without)
{
	why->parts[why->count++] = (struct part){.of = of, .feature = feature, .without = without};
}

static int by_without(const void *a, const void *b)
{
	const double x = ((const struct part *)a)->without, y = ((const struct part *)b)->without;
	return (x > y) - (x < y);
}

/* What says most for the answer first: without it least is left. */
static json_t *features_to_json(struct why *why)
{
	json_t *list = json_array();
	qsort(why->parts, why->count, sizeof(why->parts[0]), by_without);
	for (uint32_t i = 0; i < why->count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:f}", "of", why->parts[i].of, "feature",
				      why->parts[i].feature, "without", why->parts[i].without));
	return list;
}

/* The movie, then the movie without each of its features, with the features' names. */
static uint32_t movie_variants(const struct scorer *scorer, uint32_t movie,
	struct movie_entity entities[FEATURES_MAX], const char *names[FEATURES_MAX])
{
	const struct movie_entity whole = scorer_movie_entity(scorer, movie);
	uint32_t count = 0;
	entities[count++] = whole;
	if (whole.id != UNKNOWN_ID && scorer_knows_unknown_movies(scorer)) {
		names[count] = "ratings";
		entities[count] = whole;
		entities[count++].id = UNKNOWN_ID;
	}
	if (whole.genre_count > 0) {
		names[count] = "genres";
		entities[count] = whole;
		entities[count++].genre_count = 0;
	}
	if (whole.word_count > 0) {
		names[count] = "title";
		entities[count] = whole;
		entities[count++].word_count = 0;
	}
	return count;
}

/* Adds what is left of the stars without each feature of the movie. *movie_vector is the whole
 * movie's, for free(). */
static enum status add_movie_features(struct scorer *scorer, const struct subject *subject,
	uint32_t movie, struct why *why, float **movie_vector, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	struct movie_entity entities[FEATURES_MAX];
	const char *names[FEATURES_MAX];
	const uint32_t count = movie_variants(scorer, movie, entities, names);
	enum status status =
		memory_alloc(movie_vector, count, dim * sizeof(float), "movie vectors", err);
	if (status == STATUS_OK)
		status = scorer_movie_entity_vectors(scorer, entities, count, *movie_vector, err);
	for (uint32_t i = 1; i < count && status == STATUS_OK; i++) {
		float score;
		status =
			scorer_score(scorer, subject->vector, *movie_vector + i * dim, &score, err);
		if (status == STATUS_OK)
			add(why, "movie", names[i], stars_of(score));
	}
	return status;
}

/* The mean of the stars over some users. */
static enum status mean_stars(struct scorer *scorer, const struct user_entity *users,
	uint32_t count, const float *movie, double *ret, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	float *vectors = NULL;
	double sum = 0;
	enum status status =
		memory_alloc(&vectors, count, dim * sizeof(float), "user vectors", err);
	if (status == STATUS_OK)
		status = scorer_user_entity_vectors(scorer, users, count, vectors, err);
	for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
		float score;
		status = scorer_score(scorer, vectors + i * dim, movie, &score, err);
		sum += status == STATUS_OK ? stars_of(score) : 0;
	}
	free(vectors);
	*ret = sum / count;
	return status;
}

static void set_gender(struct user_entity *user, uint32_t value)
{
	user->gender = value;
}

static void set_age(struct user_entity *user, uint32_t value)
{
	user->age = value;
}

static void set_occupation(struct user_entity *user, uint32_t value)
{
	user->occupation = value;
}

static enum status add_user_features(struct scorer *scorer, const struct subject *subject,
	const float *movie, struct why *why, struct error *err)
{
	const struct {
		const char *name;
		void (*set)(struct user_entity *user, uint32_t value);
		uint32_t values;
	} features[] = {{"gender", set_gender, GENDER_COUNT}, {"age", set_age, AGE_BUCKET_COUNT},
		{"occupation", set_occupation,
			scorer_directory(scorer)->catalog.occupation_names.count}};
	struct user_entity whole = {.id = UNKNOWN_ID,
		.gender = subject->person.gender,
		.age = subject->person.age,
		.occupation = subject->person.occupation};
	struct user_entity *users = NULL;
	double stars;
	enum status status =
		memory_alloc(&users, SCORER_ENTITIES_MAX, sizeof(*users), "users", err);
	if (status == STATUS_OK && !subject->stands_in && scorer_knows_unknown_users(scorer)) {
		status = mean_stars(scorer, &whole, 1, movie, &stars, err);
		add(why, "user", "ratings", stars);
	}
	if (subject->known)
		whole = scorer_user_entity(scorer, subject->user);
	for (size_t f = 0; f < sizeof(features) / sizeof(features[0]); f++) {
		if (status != STATUS_OK || features[f].values > SCORER_ENTITIES_MAX)
			continue;
		for (uint32_t value = 0; value < features[f].values; value++) {
			users[value] = whole;
			features[f].set(&users[value], value);
		}
		status = mean_stars(scorer, users, features[f].values, movie, &stars, err);
		add(why, "user", features[f].name, stars);
	}
	free(users);
	return status;
}

enum status why_recommended(struct scorer *scorer, const struct subject *subject, uint64_t movie_id,
	json_t **ret, struct error *err)
{
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	struct why why = {0};
	float *vectors = NULL, score;
	uint32_t movie;
	enum status status = lookup_movie(catalog, movie_id, &movie, err);
	if (status == STATUS_OK)
		status = add_movie_features(scorer, subject, movie, &why, &vectors, err);
	if (status == STATUS_OK)
		status = scorer_score(scorer, subject->vector, vectors, &score, err);
	if (status == STATUS_OK)
		status = add_user_features(scorer, subject, vectors, &why, err);
	free(vectors);
	if (status != STATUS_OK)
		return status;
	json_t *object = json_object();
	movie_add_json(catalog, movie, "movie", object);
	json_object_set_new(object, "stars", json_real(stars_of(score)));
	json_object_set_new(object, "features", features_to_json(&why));
	*ret = object;
	return STATUS_OK;
}

/* The names of the values that are in both lists, once each, in the first one's order. */
static json_t *shared_to_json(const struct vocabulary *names, const uint32_t *a, uint32_t a_count,
	const uint32_t *b, uint32_t b_count)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < a_count; i++) {
		bool shared = false;
		for (uint32_t j = 0; j < b_count && !shared; j++)
			shared = a[i] == b[j];
		for (uint32_t j = 0; j < i && shared; j++)
			shared = a[i] != a[j];
		if (shared)
			json_array_append_new(list, json_string(vocabulary_entry(names, a[i])));
	}
	return list;
}

static double cosine(const struct scorer *scorer, const float *a, const float *b)
{
	const size_t dim = scorer_vector_dim(scorer);
	double dot = 0;
	for (size_t i = 0; i < dim; i++)
		dot += (double)a[i] * (double)b[i];
	return dot * scorer_inverse_length(scorer, a) * scorer_inverse_length(scorer, b);
}

enum status why_similar(
	struct scorer *scorer, uint64_t movie_id, uint64_t like_id, json_t **ret, struct error *err)
{
	const struct catalog *catalog = &scorer_directory(scorer)->catalog;
	const size_t dim = scorer_vector_dim(scorer);
	struct movie_entity entities[FEATURES_MAX + 1];
	const char *names[FEATURES_MAX];
	struct why why = {0};
	float *vectors = NULL;
	uint32_t movie, like, count = 0;
	enum status status = lookup_movie(catalog, movie_id, &movie, err);
	if (status == STATUS_OK)
		status = lookup_movie(catalog, like_id, &like, err);
	if (status == STATUS_OK) {
		count = movie_variants(scorer, movie, entities, names);
		entities[count] = scorer_movie_entity(scorer, like);
		status = memory_alloc(
			&vectors, count + 1, dim * sizeof(float), "movie vectors", err);
	}
	if (status == STATUS_OK)
		status = scorer_movie_entity_vectors(scorer, entities, count + 1, vectors, err);
	if (status != STATUS_OK) {
		free(vectors);
		return status;
	}
	const struct movie_entity *a = &entities[0], *b = &entities[count];
	const float *other = vectors + count * dim;
	json_t *object = json_object();
	movie_add_json(catalog, movie, "movie", object);
	json_object_set_new(object, "like", json_from_u64(like_id));
	json_object_set_new(object, "similarity", json_real(cosine(scorer, vectors, other)));
	json_object_set_new(object, "shared_genres",
		shared_to_json(
			&catalog->genres, a->genres, a->genre_count, b->genres, b->genre_count));
	json_object_set_new(object, "shared_words",
		shared_to_json(&catalog->words, a->words, a->word_count, b->words, b->word_count));
	for (uint32_t i = 1; i < count; i++)
		add(&why, "movie", names[i], cosine(scorer, vectors + i * dim, other));
	json_object_set_new(object, "features", features_to_json(&why));
	free(vectors);
	*ret = object;
	return STATUS_OK;
}
