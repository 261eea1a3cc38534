/* Predictions, recommendations, neighbours and errors against the formulas written plainly. */
#include "inference/scorer.h"

#include "inference/evaluate.h"
#include "inference/recommend.h"
#include "tests/inference/sample.h"
#include "tests/support/suite.h"

#include <math.h>
#include <string.h>

#define NEAR 1e-5

static struct sample sample;
static struct model_directory directory;
static struct scorer *scorer;

static void open_sample(const struct sample_options *options)
{
	struct error err;
	sample_open_model(&sample, options, &directory);
	assert_ok(scorer_new(&scorer, &directory, &err), &err);
}

static void close_sample(void)
{
	scorer_free(scorer);
	sample_close_model(&sample, &directory);
}

static double wanted_score(uint32_t u, uint32_t m, bool unknown_user, bool unknown_movie)
{
	const struct catalog *catalog = &directory.catalog;
	return sample_score(&directory, unknown_user ? UNKNOWN_ID : catalog->user_ids[u],
		catalog->genders[u], catalog->ages[u], catalog->occupations[u], m, unknown_movie);
}

static void check_every_pair(const struct sample_options *options, bool unknown_rows)
{
	struct error err;
	float user[7], movie[7], score;
	open_sample(options);
	for (uint32_t u = 0; u < SAMPLE_USERS; u++) {
		for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
			const bool unknown_user = unknown_rows && u == SAMPLE_UNTRAINED;
			const bool unknown_movie = unknown_rows && m == SAMPLE_STRANGER;
			ck_assert(scorer_user_is_unknown(scorer, u) == unknown_user);
			ck_assert(scorer_movie_is_unknown(scorer, m) == unknown_movie);
			assert_ok(scorer_user_vectors(scorer, &u, 1, user, &err), &err);
			assert_ok(scorer_movie_vectors(scorer, &m, 1, movie, &err), &err);
			assert_ok(scorer_score(scorer, user, movie, &score, &err), &err);
			ck_assert_double_eq_tol((double)score,
				wanted_score(u, m, unknown_user, unknown_movie), NEAR);
		}
	}
	close_sample();
}

START_TEST(every_pair_scores_as_the_formulas_say)
{
	check_every_pair(&(struct sample_options){0}, true);
	check_every_pair(&(struct sample_options){.max_pooling = true}, true);
	check_every_pair(&(struct sample_options){.far_ids = true}, true);
}
END_TEST

START_TEST(without_a_trained_unknown_row_an_untrained_one_keeps_its_initial_values)
{
	check_every_pair(&(struct sample_options){.without_unknown = true}, false);
	check_every_pair(&(struct sample_options){.nothing_trained = true}, false);
}
END_TEST

START_TEST(a_new_person_is_scored_by_features_and_the_unknown_row)
{
	struct error err;
	float user[7], movie[7], score;
	const uint32_t m = 1;
	const struct person person = {.gender = 1, .age = 3, .occupation = 12};
	open_sample(&(struct sample_options){0});
	assert_ok(scorer_person_vector(scorer, &person, user, &err), &err);
	assert_ok(scorer_movie_vectors(scorer, &m, 1, movie, &err), &err);
	assert_ok(scorer_score(scorer, user, movie, &score, &err), &err);
	ck_assert_double_eq_tol(
		(double)score, sample_score(&directory, UNKNOWN_ID, 1, 3, 12, m, false), NEAR);
	close_sample();
}
END_TEST

/* Recommends to user 0 and checks the answer against a search that tries every movie. */
static void check_recommend(const struct movie_filter *options, size_t k, bool stranger)
{
	struct error err;
	float user[7];
	struct top_k top;
	const uint32_t u = 0;
	bool taken[SAMPLE_MOVIES] = {false};
	const struct catalog *catalog = &directory.catalog;
	assert_ok(scorer_user_vectors(scorer, &u, 1, user, &err), &err);
	assert_ok(top_k_init(&top, k, &err), &err);
	assert_ok(recommend(scorer, user, options, &top, &err), &err);
	for (size_t i = 0; i < top.count; i++) {
		/* The score of the two vectors, to the last bit. */
		float score;
		const float *movies;
		assert_ok(scorer_all_movies(scorer, &movies, &err), &err);
		assert_ok(
			scorer_score(scorer, user, movies + 7 * top.entries[i].item, &score, &err),
			&err);
		ck_assert(top.entries[i].score == score);
	}
	for (size_t i = 0; i < k; i++) {
		double best = -100;
		uint32_t at = UINT32_MAX;
		for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
			bool in_genre = options->genre == GENRE_ANY;
			for (uint32_t g = catalog->genre_offsets[m];
				g < catalog->genre_offsets[m + 1]; g++)
				in_genre |= catalog->genre_values[g] == options->genre;
			const double score = wanted_score(u, m, false, m == SAMPLE_STRANGER);
			if (taken[m] || !in_genre || (options->excluded && options->excluded[m]) ||
				(m == SAMPLE_STRANGER && !stranger) || score <= best)
				continue;
			best = score;
			at = m;
		}
		if (at == UINT32_MAX) {
			ck_assert_uint_eq(top.count, i);
			break;
		}
		taken[at] = true;
		ck_assert_uint_lt(i, top.count);
		ck_assert_uint_eq(top.entries[i].item, at);
		ck_assert_double_eq_tol((double)top.entries[i].score, best, NEAR);
	}
	top_k_fini(&top);
}

START_TEST(recommendations_are_those_of_a_search_through_everything)
{
	const uint8_t seen[SAMPLE_MOVIES] = {0, 1, 0, 0, 1};
	open_sample(&(struct sample_options){0});
	const uint32_t genres = directory.catalog.genres.count;
	for (size_t k = 0; k <= 6; k++) {
		check_recommend(&(struct movie_filter){.genre = GENRE_ANY}, k, false);
		check_recommend(
			&(struct movie_filter){.genre = GENRE_ANY, .include_untrained = true}, k,
			true);
		check_recommend(
			&(struct movie_filter){.genre = GENRE_ANY, .excluded = seen}, k, false);
		for (uint32_t g = 0; g < genres; g++)
			check_recommend(
				&(struct movie_filter){.genre = g, .excluded = seen}, k, false);
	}
	close_sample();
	open_sample(&(struct sample_options){.nothing_trained = true});
	struct error err;
	struct top_k top;
	float user[7];
	assert_ok(scorer_user_vectors(scorer, &(uint32_t){0}, 1, user, &err), &err);
	assert_ok(top_k_init(&top, 10, &err), &err);
	assert_ok(recommend(scorer, user, &(struct movie_filter){.genre = GENRE_ANY}, &top, &err),
		&err);
	ck_assert_uint_eq(top.count, SAMPLE_MOVIES);
	top_k_fini(&top);
	close_sample();
}
END_TEST

START_TEST(neighbours_are_the_nearest_by_cosine_without_the_movie_itself)
{
	struct error err;
	struct top_k top;
	open_sample(&(struct sample_options){0});
	for (uint32_t movie = 0; movie < SAMPLE_MOVIES; movie++) {
		for (int all = 0; all < 2; all++) {
			assert_ok(top_k_init(&top, 10, &err), &err);
			assert_ok(similar(scorer, movie,
					  &(struct movie_filter){
						  .genre = GENRE_ANY, .include_untrained = all},
					  &top, &err),
				&err);
			size_t wanted = SAMPLE_MOVIES - 1;
			if (!all && movie != SAMPLE_STRANGER)
				wanted--;
			ck_assert_uint_eq(top.count, wanted);
			for (size_t i = 0; i < top.count; i++) {
				const uint32_t m = top.entries[i].item;
				ck_assert_uint_ne(m, movie);
				ck_assert_double_eq_tol((double)top.entries[i].score,
					sample_similarity(&directory, movie, m,
						movie == SAMPLE_STRANGER, m == SAMPLE_STRANGER),
					NEAR);
				ck_assert(
					i == 0 || top.entries[i - 1].score >= top.entries[i].score);
			}
			top_k_fini(&top);
		}
	}
	close_sample();
}
END_TEST

START_TEST(errors_in_stars_are_those_of_every_rating)
{
	struct error err;
	struct evaluation found;
	struct rating examples[60];
	struct ratings ratings = {.examples = examples};
	double squares = 0, absolutes = 0;
	open_sample(&(struct sample_options){0});
	assert_fails(evaluate(scorer, &ratings, &found, &err), STATUS_FAILED_PRECONDITION, &err,
		"no ratings");
	for (uint32_t i = 0; i < 60; i++) {
		const uint32_t u = (i * 7 + 3) % SAMPLE_USERS, m = (i * 11) % SAMPLE_MOVIES;
		examples[i] = (struct rating){.user = u, .movie = m, .stars = (float)(i % 5 + 1)};
		const double stars =
			(wanted_score(u, m, u == SAMPLE_UNTRAINED, m == SAMPLE_STRANGER) + 5) / 2;
		squares += (stars - (i % 5 + 1)) * (stars - (i % 5 + 1));
		absolutes += fabs(stars - (i % 5 + 1));
	}
	ratings.count = 60;
	assert_ok(evaluate(scorer, &ratings, &found, &err), &err);
	ck_assert_uint_eq(found.ratings, 60);
	ck_assert_double_eq_tol(found.rmse, sqrt(squares / 60), NEAR);
	ck_assert_double_eq_tol(found.mae, absolutes / 60, NEAR);
	close_sample();
}
END_TEST

START_TEST(a_diverged_model_says_so)
{
	struct error err;
	float user[7], movie[7], score;
	open_sample(&(struct sample_options){.scale = NAN, .without_unknown = true});
	assert_ok(scorer_user_vectors(scorer, &(uint32_t){0}, 1, user, &err), &err);
	assert_ok(scorer_movie_vectors(scorer, &(uint32_t){0}, 1, movie, &err), &err);
	assert_fails(scorer_score(scorer, user, movie, &score, &err), STATUS_FAILED_PRECONDITION,
		&err, "the training diverged");
	struct top_k top;
	assert_ok(top_k_init(&top, 3, &err), &err);
	assert_fails(
		recommend(scorer, user, &(struct movie_filter){.genre = GENRE_ANY}, &top, &err),
		STATUS_FAILED_PRECONDITION, &err, "the training diverged");
	assert_fails(similar(scorer, 1,
			     &(struct movie_filter){.genre = GENRE_ANY, .include_untrained = true},
			     &top, &err),
		STATUS_FAILED_PRECONDITION, &err, "the training diverged");
	top_k_fini(&top);
	close_sample();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {every_pair_scores_as_the_formulas_say,
		without_a_trained_unknown_row_an_untrained_one_keeps_its_initial_values,
		a_new_person_is_scored_by_features_and_the_unknown_row,
		recommendations_are_those_of_a_search_through_everything,
		neighbours_are_the_nearest_by_cosine_without_the_movie_itself,
		errors_in_stars_are_those_of_every_rating, a_diverged_model_says_so, NULL};
	return run_cases("scorer", cases);
}
