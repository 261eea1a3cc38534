/* The remote parameter client against servers that fail. */
#include "common/base/clock.h"
#include "pserver/service.h"
#include "tests/support/suite.h"
#include "worker/params_remote.h"

#include <string.h>

#define SERVERS 2u
#define DIM	4u
#define IDS	64u

static struct params *join(const char *const *urls, uint32_t worker, double deadline_s)
{
	const struct table_spec table = {.name = "t",
		.dim = DIM,
		.init_limit = 0.5f,
		.optimizer = optimizer_defaults(OPTIMIZER_SGD)};
	const struct job_tables job = {
		.seed = 1, .lanes = 2, .mode = MODE_SYNC, .tables = &table, .table_count = 1};
	const struct params_remote_options options = {
		.urls = urls,
		.url_count = SERVERS,
		.job = "remote-test",
		.worker = worker,
		.workers = 2,
		.incarnation = 1,
		.connect_timeout_s = 10,
		.deadline_s = deadline_s,
		.clock = clock_real(),
	};
	struct params *params;
	struct error error;
	assert_ok(params_remote_new(&params, &options, &job, &error), &error);
	return params;
}

START_TEST(a_dead_server_is_named_beside_one_that_only_waits_for_a_worker)
{
	struct ps_server *servers[SERVERS];
	const char *urls[SERVERS];
	struct error error;
	for (uint32_t s = 0; s < SERVERS; s++) {
		const struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0",
			.shard_index = s,
			.shard_count = SERVERS};
		assert_ok(ps_server_open(&servers[s], &options, &error), &error);
		urls[s] = ps_server_url(servers[s]);
	}
	char dead[128];
	snprintf(dead, sizeof(dead), "%s", urls[1]);
	struct params *first = join(urls, 0, 1.0), *second = join(urls, 1, 1.0);
	ps_server_close(servers[1]);

	uint64_t ids[IDS];
	float gradients[IDS * DIM] = {0};
	for (uint64_t i = 0; i < IDS; i++)
		ids[i] = i;
	const struct params_push push = {.count = IDS, .ids = ids, .gradients = gradients};
	const struct params_step step = {.has_push = true, .pushes = &push, .push_count = 1};
	enum status status = first->operations->exchange(first, &step, &error);
	ck_assert_int_ne(status, STATUS_OK);
	ck_assert_msg(strstr(error.message, "waiting for the push of worker 1") != NULL, "%s",
		error.message);
	ck_assert_msg(strstr(error.message, dead) != NULL, "%s", error.message);
	params_free(second);
	params_free(first);
	ps_server_close(servers[0]);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		a_dead_server_is_named_beside_one_that_only_waits_for_a_worker, NULL};
	return run_cases("remote parameter client", cases);
}
