#include "pserver/job.h"

#include "tests/support/suite.h"

static const struct job_place alone = {.shard_count = 1};

static struct job *new_job(enum job_mode mode)
{
	const struct job_spec spec = {.name = "job",
		.workers = 1,
		.lanes = 1,
		.mode = mode,
		.first_step = 5,
		.table_count = 1,
		.tables = {
			{.name = "t", .dim = 1, .optimizer = optimizer_defaults(OPTIMIZER_SGD)}}};
	struct job *job;
	struct error err;
	assert_ok(job_new(&job, &spec, &alone, 0, &err), &err);
	assert_ok(job_join(job, &spec, 0, 1, &err), &err);
	return job;
}

/* A call that restores may hang in the server while its repeat is answered and pushes begin. */
START_TEST(no_push_is_accepted_while_rows_are_restored)
{
	for (int mode = JOB_SYNC; mode <= JOB_ASYNC; mode++) {
		struct job *job = new_job((enum job_mode)mode);
		struct error err;
		assert_ok(job_begin_restore(job, &err), &err);
		assert_ok(job_begin_restore(job, &err), &err);
		job_end_restore(job);
		assert_fails(job_check_push(job, 0, 5, &err), STATUS_UNAVAILABLE, &err,
			"still being restored");
		job_end_restore(job);
		assert_ok(job_check_push(job, 0, 5, &err), &err);
		job_accept_push(job, 0, 1, 5);
		assert_fails(job_begin_restore(job, &err), STATUS_FAILED_PRECONDITION, &err,
			"step 5 has begun");
		job_free(job);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {no_push_is_accepted_while_rows_are_restored, NULL};
	return run_cases("job", cases);
}
