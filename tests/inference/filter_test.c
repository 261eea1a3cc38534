/* What people write to choose movies, and which pass. */
#include "inference/filter.h"

#include "inference/recommend.h"
#include "tests/inference/sample.h"
#include "tests/support/suite.h"

#include <string.h>

static struct sample sample;
static struct model_directory directory;

static void open_sample(void)
{
	sample_open_model(&sample, &(struct sample_options){0}, &directory);
}

static void close_sample(void)
{
	sample_close_model(&sample, &directory);
}

/* The movies that pass, as bits by their numbers. */
static unsigned int passing(const struct filter_text *text)
{
	struct error err;
	struct movie_filter filter;
	unsigned int bits = 0;
	assert_ok(movie_filter_init(&filter, &directory.catalog, text, &err), &err);
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++)
		if (movie_filter_passes(&filter, &directory.catalog, m))
			bits |= 1u << m;
	movie_filter_fini(&filter);
	return bits;
}

/* The same, from the catalog's own text. */
static unsigned int of_years(uint32_t first, uint32_t last)
{
	unsigned int bits = 0;
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
		const char *brace = strrchr(catalog_title(&directory.catalog, m), '(');
		uint32_t year = 0;
		if (brace && sscanf(brace, "(%4u)", &year) == 1 && first <= year && year <= last)
			bits |= 1u << m;
	}
	return bits;
}

START_TEST(years_ids_and_genres_choose)
{
	open_sample();
	ck_assert_uint_eq(passing(&(struct filter_text){0}), 31);
	uint32_t least = UINT32_MAX;
	for (uint32_t m = 0; m < SAMPLE_MOVIES; m++) {
		const uint32_t year = movie_year(&directory.catalog, m);
		least = year && year < least ? year : least;
	}
	char text[40];
	ck_assert_uint_lt(least, 2000);
	snprintf(text, sizeof(text), "%u", least);
	ck_assert_uint_ne(of_years(least, least), 31);
	ck_assert_uint_eq(passing(&(struct filter_text){.years = text}), of_years(least, least));
	snprintf(text, sizeof(text), "-%u", least);
	ck_assert_uint_eq(passing(&(struct filter_text){.years = text}), of_years(0, least));
	snprintf(text, sizeof(text), "%u-", least + 1);
	ck_assert_uint_eq(passing(&(struct filter_text){.years = text}), of_years(least + 1, 9999));
	ck_assert_uint_eq(
		passing(&(struct filter_text){.years = "1990-1996"}), of_years(1990, 1996));
	ck_assert_uint_eq(passing(&(struct filter_text){.years = "9000-9999"}), 0);
	ck_assert_uint_eq(passing(&(struct filter_text){.ids = "5"}), 2);
	ck_assert_uint_eq(passing(&(struct filter_text){.ids = " 30,\n1\t12 30"}), 1 | 8 | 16);
	ck_assert_uint_eq(passing(&(struct filter_text){.ids = ", \n"}), 0);
	const unsigned int drama = passing(&(struct filter_text){.genre = "drama"});
	ck_assert_uint_ne(drama, 0);
	ck_assert_uint_ne(drama, 31);
	ck_assert_uint_eq(
		passing(&(struct filter_text){.genre = "Drama", .ids = "1 5 9"}), drama & 7);
	close_sample();
}
END_TEST

static void refused(const struct filter_text *text, enum status status, const char *says)
{
	struct error err;
	struct movie_filter filter;
	assert_fails(
		movie_filter_init(&filter, &directory.catalog, text, &err), status, &err, says);
}

START_TEST(what_is_not_understood_is_said)
{
	static const char *const years[] = {"", "-", "x", "1999-1990", "0", "10000", "1990-10000",
		"1990-1991-1992", "-0", "1990 -1995", "99999999999999999999999-"};
	open_sample();
	for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++)
		refused(&(struct filter_text){.years = years[i]}, STATUS_INVALID_ARGUMENT,
			"are not understood: expected such as 1995");
	refused(&(struct filter_text){.ids = "1,x"}, STATUS_INVALID_ARGUMENT,
		"'x' among the ids is not a number");
	refused(&(struct filter_text){.ids = "1 184467440737095516150"}, STATUS_INVALID_ARGUMENT,
		"is not a number");
	refused(&(struct filter_text){.ids = "1,2"}, STATUS_NOT_FOUND, "movie 2 is not in");
	refused(&(struct filter_text){.genre = "x"}, STATUS_NOT_FOUND, "genre 'x' is not known");
	close_sample();
}
END_TEST

START_TEST(clones_answer_like_the_original)
{
	struct error err;
	struct scorer *original, *clone;
	struct top_k tops[2];
	struct movie_filter filter = FILTER_NOTHING;
	const float *vector;
	open_sample();
	filter.include_untrained = true;
	assert_ok(scorer_new(&original, &directory, &err), &err);
	assert_ok(scorer_prepare(original, &err), &err);
	assert_ok(scorer_clone(&clone, original, &err), &err);
	assert_ok(scorer_all_movies(clone, &vector, &err), &err);
	for (int i = 0; i < 2; i++) {
		assert_ok(top_k_init(&tops[i], SAMPLE_MOVIES, &err), &err);
		assert_ok(recommend(i ? clone : original, vector, &filter, &tops[i], &err), &err);
	}
	ck_assert_uint_eq(tops[0].count, SAMPLE_MOVIES);
	ck_assert_uint_eq(tops[1].count, SAMPLE_MOVIES);
	for (size_t i = 0; i < SAMPLE_MOVIES; i++) {
		ck_assert_uint_eq(tops[0].entries[i].item, tops[1].entries[i].item);
		ck_assert(tops[0].entries[i].score == tops[1].entries[i].score);
	}
	for (int i = 0; i < 2; i++)
		top_k_fini(&tops[i]);
	scorer_free(clone);
	scorer_free(original);
	close_sample();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {years_ids_and_genres_choose, what_is_not_understood_is_said,
		clones_answer_like_the_original, NULL};
	return run_cases("filter", cases);
}
