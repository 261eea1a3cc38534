/* The remote parameter client against servers that fail. */
#include "common/base/clock.h"
#include "pserver/service.h"
#include "tests/support/suite.h"
#include "tests/support/thread_comm.h"
#include "worker/comm_shared.h"
#include "worker/params_remote.h"

#include <string.h>

#define SERVERS 2u
#define DIM	4u
#define IDS	64u

static struct params *join_as(const char *const *urls, uint32_t url_count, uint32_t worker,
	uint32_t workers, enum train_mode mode, double deadline_s, struct comm_shared *shared)
{
	const struct table_spec table = {.name = "t",
		.dim = DIM,
		.init_limit = 0.5f,
		.optimizer = optimizer_defaults(OPTIMIZER_SGD)};
	const struct job_tables job = {
		.seed = 1, .lanes = 2, .mode = mode, .tables = &table, .table_count = 1};
	const struct params_remote_options options = {
		.urls = urls,
		.url_count = url_count,
		.job = "remote-test",
		.worker = worker,
		.workers = workers,
		.incarnation = 1,
		.connect_timeout_s = 10,
		.deadline_s = deadline_s,
		.shared = shared,
		.clock = clock_real(),
	};
	struct params *params;
	struct error error;
	assert_ok(params_remote_new(&params, &options, &job, &error), &error);
	return params;
}

static struct params *join(const char *const *urls, uint32_t worker, double deadline_s)
{
	return join_as(urls, SERVERS, worker, 2, MODE_SYNC, deadline_s, NULL);
}

static void open_servers(struct ps_server **servers, const char **urls, uint32_t count)
{
	for (uint32_t s = 0; s < count; s++) {
		const struct ps_server_options options = {
			.listen_url = "tcp://127.0.0.1:0", .shard_index = s, .shard_count = count};
		struct error error;
		assert_ok(ps_server_open(&servers[s], &options, &error), &error);
		urls[s] = ps_server_url(servers[s]);
	}
}

START_TEST(a_dead_server_is_named_beside_one_that_only_waits_for_a_worker)
{
	struct ps_server *servers[SERVERS];
	const char *urls[SERVERS];
	struct error error;
	open_servers(servers, urls, SERVERS);
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

struct asking {
	const char *urls[SERVERS];
	struct ps_server *servers[SERVERS];
};

static void ask_a_server_that_is_gone(struct params *params)
{
	uint64_t ids[IDS];
	float rows[IDS * DIM];
	struct error error;
	for (uint64_t i = 0; i < IDS; i++)
		ids[i] = i;
	const struct params_pull pull = {.count = IDS, .ids = ids, .rows = rows};
	const struct params_step step = {.has_pull = true, .pulls = &pull, .pull_count = 1};
	assert_fails(params->operations->exchange(params, &step, &error), STATUS_UNAVAILABLE,
		&error, "no server answered within 3 s");
}

/* Worker 1 asks; worker 0 waits for it, again and again, until it hears whom that one waits for. */
static void wait_for_one_that_asks(void *context, struct comm *comm)
{
	struct asking *asking = context;
	struct error error = {0};
	if (comm->rank == 1) {
		struct params *params =
			join_as(asking->urls, SERVERS, 1, 2, MODE_SYNC, 3, comm->shared);
		ps_server_close(asking->servers[1]);
		ask_a_server_that_is_gone(params);
		params_free(params);
		return;
	}
	const uint64_t turn = comm->shared->turn;
	comm_shared_announce(comm->shared);
	do
		ck_assert_int_eq(comm_shared_wait(comm->shared, turn, 0.02, "push", &error),
			STATUS_DEADLINE_EXCEEDED);
	while (strcmp(error.message, "push: waited 0.02 s for worker 1: stopped, or hanging?") ==
		0);
	ck_assert_str_eq(error.message, "push: waited 0.02 s for worker 1 (waits for the shard of "
					"worker 1): stopped, or hanging?");
}

START_TEST(who_waits_for_a_worker_hears_which_shard_that_one_waits_for)
{
	struct asking asking;
	open_servers(asking.servers, asking.urls, SERVERS);
	thread_group_run(2, wait_for_one_that_asks, &asking);
	ps_server_close(asking.servers[0]);
}
END_TEST

/* The exchanges of one slot after the other, all under way together. */
struct flight {
	uint64_t ids[IDS];
	const float *found;
	struct params_pull pull;
	struct params_push push;
	struct params_step step;
};

static void prepare(struct flight *flight, uint32_t slot, const float *gradients)
{
	for (uint64_t i = 0; i < IDS; i++)
		flight->ids[i] = slot * IDS + i;
	flight->pull =
		(struct params_pull){.count = IDS, .ids = flight->ids, .found = &flight->found};
	flight->push =
		(struct params_push){.count = IDS, .ids = flight->ids, .gradients = gradients};
	flight->step = (struct params_step){.push_step = slot,
		.pull_step = slot + 1,
		.has_push = true,
		.has_pull = true,
		.pushes = &flight->push,
		.push_count = 1,
		.pulls = &flight->pull,
		.pull_count = 1};
}

/* Rows that were pushed once, pulled into memory of the test's own. */
static void check_rows(struct params *params, const struct flight *flight)
{
	float rows[IDS * DIM];
	const struct params_pull pull = {.count = IDS, .ids = flight->ids, .rows = rows};
	const struct params_step step = {
		.has_pull = true, .pulls = &pull, .pull_count = 1, .pull_step = 1};
	struct error error;
	assert_ok(params->operations->exchange(params, &step, &error), &error);
	ck_assert_mem_eq(rows, flight->found, sizeof(rows));
}

START_TEST(exchanges_in_flight_show_their_rows_where_they_arrived)
{
	float gradients[IDS * DIM];
	for (uint32_t i = 0; i < IDS * DIM; i++)
		gradients[i] = (float)i;
	for (uint32_t count = 1; count <= SERVERS; count++) {
		struct ps_server *servers[SERVERS];
		const char *urls[SERVERS];
		struct flight flights[PARAMS_SLOTS];
		struct error error;
		open_servers(servers, urls, count);
		struct params *params = join_as(urls, count, 0, 1, MODE_ASYNC, 10, NULL);
		const struct params_operations *operations = params->operations;
		for (uint32_t s = 0; s < PARAMS_SLOTS; s++) {
			prepare(&flights[s], s, gradients);
			assert_ok(operations->exchange_start(params, s, &flights[s].step, &error),
				&error);
		}
		for (uint32_t s = PARAMS_SLOTS; s-- > 0;)
			assert_ok(operations->exchange_finish(params, s, &error), &error);
		ck_assert_uint_eq(params->traffic.messages, 2 * count * PARAMS_SLOTS);
		/* All of them are still there. Slot 0 is the one that exchange uses. */
		for (uint32_t s = 1; s < PARAMS_SLOTS; s++)
			check_rows(params, &flights[s]);
		params_free(params);
		for (uint32_t s = 0; s < count; s++)
			ps_server_close(servers[s]);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {exchanges_in_flight_show_their_rows_where_they_arrived,
		a_dead_server_is_named_beside_one_that_only_waits_for_a_worker,
		who_waits_for_a_worker_hears_which_shard_that_one_waits_for, NULL};
	return run_cases("remote parameter client", cases);
}
