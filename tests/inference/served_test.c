/* The model that is answered from, its leases, and its successors. */
#include "inference/served.h"

#include "tests/inference/sample.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>

static struct sample sample;

static struct served *open_served(uint32_t leases, const char *ratings)
{
	struct served *served;
	struct error err;
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	assert_ok(served_new(&served,
			  &(struct served_options){
				  .path = sample.model, .ratings = ratings, .leases = leases},
			  &err),
		&err);
	return served;
}

static void export_step(uint64_t step)
{
	sample_checkpoint(&sample, &(struct sample_options){0}, step);
	sample_export(&sample);
}

static uint64_t step_of(const struct lease *lease)
{
	return scorer_directory(lease->scorer)->about.step;
}

START_TEST(a_lease_keeps_the_model_it_began_with)
{
	struct served *served = open_served(2, NULL);
	struct lease before, after;
	struct error err;
	served_take(served, &before);
	const uint64_t step = step_of(&before);
	ck_assert(!served_is_outdated(served));
	export_step(step + 1);
	ck_assert(served_is_outdated(served));
	assert_ok(served_reload(served, &err), &err);
	ck_assert(!served_is_outdated(served));
	served_take(served, &after);
	ck_assert_uint_eq(step_of(&after), step + 1);
	ck_assert_uint_eq(step_of(&before), step);
	ck_assert_uint_eq(served_count(served).open_models, 2);
	served_return(served, &before);
	ck_assert_uint_eq(served_count(served).open_models, 1);
	served_return(served, &after);
	ck_assert_uint_eq(served_count(served).reloads, 1);
	served_free(served);
	sample_close(&sample);
}
END_TEST

START_TEST(what_cannot_be_opened_changes_nothing)
{
	struct served *served = open_served(1, NULL);
	struct lease lease;
	struct error err;
	char path[PATH_SIZE];
	served_take(served, &lease);
	const uint64_t step = step_of(&lease);
	served_return(served, &lease);
	export_step(step + 1);
	scratch_flip(scratch_path(path, sample.model, MODEL_CATALOG_NAME), 40, 1);
	assert_fails(served_reload(served, &err), STATUS_DATA_LOSS, &err, MODEL_CATALOG_NAME);
	ck_assert(!served_is_outdated(served)); /* it is not tried again until it changes */
	served_take(served, &lease);
	ck_assert_uint_eq(step_of(&lease), step);
	served_return(served, &lease);
	const struct served_counts counts = served_count(served);
	ck_assert(counts.reloads == 0 && counts.refusals == 1 && counts.open_models == 1);
	scratch_flip(path, 40, 1);
	ck_assert(served_is_outdated(served));
	assert_ok(served_reload(served, &err), &err);
	served_free(served);
	sample_close(&sample);
}
END_TEST

static void *take_and_return(void *served)
{
	struct lease lease;
	served_take(served, &lease);
	served_return(served, &lease);
	return NULL;
}

START_TEST(who_finds_all_leases_out_gets_the_next_that_comes_back)
{
	struct served *served = open_served(1, NULL);
	struct lease lease;
	pthread_t thread;
	for (int i = 0; i < 50; i++) {
		served_take(served, &lease);
		ck_assert_int_eq(pthread_create(&thread, NULL, take_and_return, served), 0);
		served_return(served, &lease);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	served_free(served);
	sample_close(&sample);
}
END_TEST

START_TEST(seen_movies_come_from_the_file_as_far_as_the_model_knows_them)
{
	static const char text[] = "1::5::4::0\n40::30::1::0\n1::9::4::0\n1::5::3::0\n"
				   "9999::1::5::0\n3::9999::5::0\nnonsense\n";
	char root[PATH_SIZE], path[PATH_SIZE];
	struct lease lease;
	scratch_open(root);
	scratch_write(scratch_path(path, root, "ratings.dat"), text, strlen(text));
	struct served *served = open_served(1, path);
	served_take(served, &lease);
	ck_assert_ptr_nonnull(lease.seen);
	static const uint8_t wanted[SAMPLE_USERS][SAMPLE_MOVIES] = {
		{0, 1, 1, 0, 0}, {0}, {0}, {0, 0, 0, 0, 1}};
	for (uint32_t u = 0; u < SAMPLE_USERS; u++) {
		uint8_t marks[SAMPLE_MOVIES] = {0};
		seen_mark(lease.seen, u, marks);
		ck_assert_mem_eq(marks, wanted[u], SAMPLE_MOVIES);
	}
	served_return(served, &lease);
	served_free(served);
	sample_close(&sample);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_lease_keeps_the_model_it_began_with,
		what_cannot_be_opened_changes_nothing,
		who_finds_all_leases_out_gets_the_next_that_comes_back,
		seen_movies_come_from_the_file_as_far_as_the_model_knows_them, NULL};
	return run_cases("served", cases);
}
