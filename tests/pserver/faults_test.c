/*
 * Exactly once: workers whose messages are lost, doubled and reordered leave the same tables as
 * workers whose messages are not.
 */
#include "common/base/clock.h"
#include "pserver/service.h"
#include "tests/common/rpc/relay.h"
#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS	   30000u
#define ATTEMPT_MS 30u
#define WORKERS	   3
#define STEPS	   60
#define IDS	   3
#define DIM	   PS_CLIENT_DIM

struct worker {
	pthread_t thread;
	const char *url;
	struct ps_job job;
	uint32_t number;
	struct ps_client client;
	uint64_t repeats;
};

/* Sums of such values are exact in any order, also in async mode. */
static float gradient_of(uint32_t worker, uint32_t step, uint32_t id)
{
	return (float)(1 + (worker * 5 + step * 3 + id) % 8) * 0x1p-10f;
}

static void *work(void *context)
{
	struct worker *worker = context;
	struct error err;
	struct ps_client *client = &worker->client;
	ps_client_open_impatient(client, worker->url, "job", worker->number, 1, ATTEMPT_MS);
	assert_ok(ps_client_join(client, &worker->job, &err), &err);
	for (uint32_t step = 0; step < STEPS; step++) {
		const uint64_t ids[IDS] = {1, 2, 10 + worker->number};
		float values[IDS], rows[IDS * DIM];
		for (uint32_t i = 0; i < IDS; i++)
			values[i] = gradient_of(worker->number, step, i);
		if (step % 3 == 0) {
			ps_client_start_push(
				client, step, worker->number, ids, values, IDS, WAIT_MS);
			assert_ok(ps_client_finish(client, NULL, IDS, &err), &err);
			ps_client_start_pull(client, step + 1, ids, IDS, WAIT_MS);
		} else {
			ps_client_start_push_pull(
				client, step, worker->number, ids, values, IDS, WAIT_MS);
		}
		assert_ok(ps_client_finish(client, rows, IDS, &err), &err);
	}
	/* Everybody has pushed everything when a pull of the step behind the last is answered. */
	struct rpc_channel_stats stats;
	rpc_channel_stats(client->channel, &stats);
	worker->repeats = stats.attempts - stats.calls;
	return NULL;
}

/* Runs the job and returns its digest; with faults NULL on a clean connection. */
static void run_job(Marquee__Ps__V1__Mode mode, const struct relay_faults *faults, uint64_t seed,
	char digest[33])
{
	struct error err;
	struct ps_server *server;
	struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0"};
	assert_ok(ps_server_open(&server, &options, &err), &err);
	struct relay *relay = faults ? relay_open(ps_server_url(server), faults, seed) : NULL;
	struct worker workers[WORKERS];
	for (uint32_t w = 0; w < WORKERS; w++) {
		workers[w] = (struct worker){
			.url = relay ? relay_url(relay) : ps_server_url(server),
			.job = ps_job_defaults(),
			.number = w,
		};
		workers[w].job.workers = workers[w].job.lanes = WORKERS;
		workers[w].job.mode = mode;
		workers[w].job.staleness = 2;
		pthread_create(&workers[w].thread, NULL, work, &workers[w]);
	}
	uint64_t repeats = 0;
	for (uint32_t w = 0; w < WORKERS; w++) {
		pthread_join(workers[w].thread, NULL);
		repeats += workers[w].repeats;
	}
	struct ps_client client;
	ps_client_open(&client, ps_server_url(server), "job", 0, 1);
	ps_client_digest(&client, digest);
	ps_client_close(&client);
	if (relay) {
		struct relay_faults counts;
		relay_counts(relay, &counts);
		printf("mode %d seed %llu: %u lost, %u doubled, %u delayed, %llu repeats\n",
			(int)mode, (unsigned long long)seed, counts.drop, counts.duplicate,
			counts.delay, (unsigned long long)repeats);
		ck_assert_uint_gt(counts.drop + counts.duplicate + counts.delay, 0);
		relay_close(relay);
	}
	for (uint32_t w = 0; w < WORKERS; w++)
		ps_client_close(&workers[w].client);
	ps_server_close(server);
}

static void compare(Marquee__Ps__V1__Mode mode)
{
	uint64_t seed = clock_now_ns(clock_real());
	const struct relay_faults faults = {.drop = 8, .duplicate = 15, .delay = 15};
	char clean[33], faulty[33];
	run_job(mode, NULL, 0, clean);
	run_job(mode, &faults, seed, faulty);
	ck_assert_str_eq(clean, faulty);
}

START_TEST(lost_doubled_and_late_messages_change_nothing_in_sync)
{
	compare(MARQUEE__PS__V1__MODE__SYNC);
}
END_TEST

START_TEST(lost_doubled_and_late_messages_change_nothing_in_ssp)
{
	compare(MARQUEE__PS__V1__MODE__SSP);
}
END_TEST

START_TEST(lost_doubled_and_late_messages_change_nothing_in_async)
{
	compare(MARQUEE__PS__V1__MODE__ASYNC);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {lost_doubled_and_late_messages_change_nothing_in_sync,
		lost_doubled_and_late_messages_change_nothing_in_ssp,
		lost_doubled_and_late_messages_change_nothing_in_async, NULL};
	return run_cases("faults", cases);
}
