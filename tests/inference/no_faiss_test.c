/* A build without FAISS: linked with no_faiss.c, whose functions come before the library's. */
#include "inference/movie_index.h"
#include "tests/inference/sample.h"
#include "tests/support/suite.h"

static const char *const says = "built without FAISS";

START_TEST(search_is_exact_however_many_movies_there_are)
{
	ck_assert_int_eq(index_choice_by_size(INDEX_AUTO, UINT32_MAX), INDEX_FLAT);
	ck_assert_int_eq(index_choice_by_size(INDEX_THERE, UINT32_MAX), INDEX_FLAT);
	ck_assert_int_eq(index_choice_by_size(INDEX_HNSW, 1), INDEX_HNSW);
}
END_TEST

START_TEST(an_index_that_is_asked_for_says_what_is_missing)
{
	struct sample sample;
	struct model_directory directory;
	struct scorer *scorer;
	struct movie_index *index;
	char made[ERROR_MESSAGE_SIZE];
	struct error err;
	sample_open_model(&sample, &(struct sample_options){0}, &directory);
	assert_ok(scorer_new(&scorer, &directory, &err), &err);
	assert_ok(movie_index_open(&index, scorer, INDEX_AUTO, 1, made, &err), &err);
	ck_assert_ptr_null(index);
	assert_fails(movie_index_open(&index, scorer, INDEX_HNSW, 1, made, &err),
		STATUS_UNIMPLEMENTED, &err, says);
	assert_fails(movie_index_open(&index, scorer, INDEX_IVF, 1, made, &err),
		STATUS_UNIMPLEMENTED, &err, says);
	scorer_free(scorer);
	sample_close_model(&sample, &directory);
}
END_TEST

START_TEST(an_export_with_faiss_says_what_is_missing_and_leaves_nothing)
{
	struct sample sample;
	struct export_report report;
	struct error err;
	sample_open(&sample, &(struct sample_options){0});
	const struct export_options options = {
		.checkpoint = sample.checkpoints, .out = sample.model, .faiss = true};
	assert_fails(export_model(&options, &report, &err), STATUS_UNIMPLEMENTED, &err, says);
	ck_assert(!directory_exists(sample.model));
	sample_close(&sample);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {search_is_exact_however_many_movies_there_are,
		an_index_that_is_asked_for_says_what_is_missing,
		an_export_with_faiss_says_what_is_missing_and_leaves_nothing, NULL};
	return run_cases("no_faiss", cases);
}
