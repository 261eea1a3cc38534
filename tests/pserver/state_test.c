/* Snapshots, cuts, restored rows and counts, digest and statistics. */
#include "pserver/service.h"

#include "tests/pserver/ps_client.h"
#include "tests/support/suite.h"

#include <string.h>

#define WAIT_MS 10000u
#define DIM	PS_CLIENT_DIM
#define ROWS	50u
#define RECORD	(2 * DIM) /* adagrad: a row and its sums of squares */

static struct ps_server *server;
static struct ps_client client;

static void close_all(void)
{
	ps_client_close(&client);
	ps_server_close(server);
}

/* Reads table 0 in pieces: ids and records one after the other. Returns the number of rows. */
static uint32_t read_pieces(Marquee__Ps__V1__SnapshotRequest request, uint64_t *ids, float *records)
{
	struct error err;
	uint32_t n = 0;
	const uint32_t piece = request.max_records;
	for (bool done = false; !done;) {
		struct rpc_reply reply;
		assert_ok(ps_client_call(&client, "Snapshot", &request.base, WAIT_MS, &reply, &err),
			&err);
		const Marquee__Ps__V1__SnapshotReply *body = (const void *)reply.body;
		ck_assert_uint_le(body->count, piece);
		ck_assert_uint_eq(body->record_floats, RECORD);
		ck_assert_uint_le(n + body->count, ROWS);
		ck_assert_uint_eq(
			reply.raw.size, body->count * (sizeof(uint64_t) + RECORD * sizeof(float)));
		memcpy(ids + n, reply.raw.data, body->count * sizeof(uint64_t));
		memcpy(records + n * RECORD, reply.raw.data + body->count * sizeof(uint64_t),
			body->count * RECORD * sizeof(float));
		n += body->count;
		request.cursor = body->cursor;
		done = body->done;
	}
	return n;
}

static uint32_t snapshot(uint32_t piece, uint64_t *ids, float *records)
{
	Marquee__Ps__V1__SnapshotRequest request = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	request.max_records = piece;
	return read_pieces(request, ids, records);
}

static enum status cut(uint64_t step, bool end, struct error *err)
{
	Marquee__Ps__V1__CutRequest request = MARQUEE__PS__V1__CUT_REQUEST__INIT;
	request.step = step;
	request.end = end;
	return ps_client_call(&client, "Cut", &request.base, WAIT_MS, NULL, err);
}

static enum status restore(uint32_t n, const uint64_t *ids, const float *records, struct error *err)
{
	Marquee__Ps__V1__RestoreRequest request = MARQUEE__PS__V1__RESTORE_REQUEST__INIT;
	request.count = n;
	memcpy(client.raw, ids, n * sizeof(*ids));
	memcpy(client.raw + n * sizeof(*ids), records, n * RECORD * sizeof(*records));
	client.raw_bytes = n * (sizeof(*ids) + RECORD * sizeof(*records));
	return ps_client_call(&client, "Restore", &request.base, WAIT_MS, NULL, err);
}

START_TEST(a_snapshot_in_pieces_restores_the_same_tables)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.optimizer = "adagrad";
	server = ps_client_open_alone(&client, &job);
	ps_client_push_rows(&client, 0, ROWS);
	uint64_t ids[ROWS];
	float records[ROWS * RECORD];
	char before[33], after[33];
	ps_client_digest(&client, before);
	for (uint32_t piece = 1; piece <= ROWS + 1; piece += 7)
		ck_assert_uint_eq(snapshot(piece, ids, records), ROWS);
	assert_fails(restore(1, ids, records, &err), STATUS_FAILED_PRECONDITION, &err,
		"step 0 has begun");
	close_all();
	job.first_step = 1;
	server = ps_client_open_alone(&client, &job);
	assert_ok(restore(20, ids, records, &err), &err);
	assert_ok(restore(30, ids + 20, records + 20 * RECORD, &err), &err);
	ps_client_digest(&client, after);
	ck_assert_str_eq(before, after);
	ck_assert_uint_eq(ps_client_stats(&client)->tables[0]->rows, ROWS);
	close_all();
}
END_TEST

START_TEST(a_cut_is_read_as_it_was_while_steps_are_applied)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	uint64_t ids[2][ROWS];
	float records[2][ROWS * RECORD];
	Marquee__Ps__V1__SnapshotRequest request = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	request.of_cut = true;
	job.optimizer = "adagrad";
	server = ps_client_open_alone(&client, &job);
	for (uint64_t step = 0; step < 6; step++) {
		ps_client_push_rows(&client, step, ROWS);
		assert_fails(
			cut(step, false, &err), STATUS_FAILED_PRECONDITION, &err, "applies step");
		assert_ok(cut(step + 1, false, &err), &err);
		ck_assert_uint_eq(snapshot(ROWS, ids[0], records[0]), ROWS);
		ps_client_push_rows(&client, ++step, ROWS);
		/* A repeat that comes late does no harm. */
		assert_ok(cut(step, false, &err), &err);
		request.cut_step = step;
		request.max_records = 1 + (uint32_t)step * 3;
		ck_assert_uint_eq(read_pieces(request, ids[1], records[1]), ROWS);
		ck_assert_mem_eq(ids[0], ids[1], sizeof(ids[0]));
		ck_assert_mem_eq(records[0], records[1], sizeof(records[0]));
		ck_assert_uint_eq(snapshot(ROWS, ids[1], records[1]), ROWS);
		ck_assert_mem_ne(records[0], records[1], sizeof(records[0]));
		/* Its beginning has been passed. */
		assert_fails(
			ps_client_call(&client, "Snapshot", &request.base, WAIT_MS, NULL, &err),
			STATUS_FAILED_PRECONDITION, &err, "read beyond");
		if (step == 3)
			continue; /* the next cut takes its place */
		assert_ok(cut(step, true, &err), &err);
		assert_ok(cut(step, true, &err), &err);
		assert_fails(
			ps_client_call(&client, "Snapshot", &request.base, WAIT_MS, NULL, &err),
			STATUS_FAILED_PRECONDITION, &err, "no cut before step");
		assert_fails(
			cut(step, false, &err), STATUS_FAILED_PRECONDITION, &err, "applies step");
	}
	close_all();
}
END_TEST

START_TEST(only_worker_zero_cuts)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	Marquee__Ps__V1__SnapshotRequest request = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	request.of_cut = true;
	request.max_records = 1;
	job.workers = 2;
	server = ps_client_open_alone(&client, &job);
	assert_ok(cut(0, false, &err), &err);
	ps_client_close(&client);
	ps_client_open(&client, ps_server_url(server), "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	assert_fails(cut(0, false, &err), STATUS_PERMISSION_DENIED, &err, "worker 0");
	assert_fails(cut(0, true, &err), STATUS_PERMISSION_DENIED, &err, "worker 0");
	assert_fails(ps_client_call(&client, "Snapshot", &request.base, WAIT_MS, NULL, &err),
		STATUS_PERMISSION_DENIED, &err, "worker 0");
	close_all();
}
END_TEST

/* Its number may be the same: what the one before has read is not there for the new one. */
START_TEST(a_worker_zero_that_starts_again_cuts_again)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	uint64_t ids[ROWS];
	float records[ROWS * RECORD];
	Marquee__Ps__V1__SnapshotRequest request = MARQUEE__PS__V1__SNAPSHOT_REQUEST__INIT;
	request.of_cut = true;
	request.cut_step = 1;
	request.max_records = ROWS + 1;
	job.optimizer = "adagrad";
	server = ps_client_open_alone(&client, &job);
	ps_client_push_rows(&client, 0, ROWS);
	for (uint64_t incarnation = 2; incarnation < 4; incarnation++) {
		assert_ok(cut(1, false, &err), &err);
		ck_assert_uint_eq(read_pieces(request, ids, records), ROWS);
		ps_client_close(&client);
		ps_client_open(&client, ps_server_url(server), "job", 0, incarnation);
		job.first_step = 1;
		assert_ok(ps_client_join(&client, &job, &err), &err);
		assert_fails(
			ps_client_call(&client, "Snapshot", &request.base, WAIT_MS, NULL, &err),
			STATUS_FAILED_PRECONDITION, &err, "no cut before step 1");
	}
	close_all();
}
END_TEST

START_TEST(only_worker_zero_restores)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	job.workers = 2;
	job.optimizer = "adagrad";
	server = ps_client_open_alone(&client, &job);
	ps_client_close(&client);
	ps_client_open(&client, ps_server_url(server), "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	const uint64_t id = 1;
	const float record[RECORD] = {0};
	assert_fails(restore(1, &id, record, &err), STATUS_PERMISSION_DENIED, &err, "worker 0");
	close_all();
}
END_TEST

static enum status audit(bool restored, uint64_t examples, uint64_t *ret, struct error *err)
{
	Marquee__Ps__V1__AuditRequest request = MARQUEE__PS__V1__AUDIT_REQUEST__INIT;
	struct rpc_reply reply;
	request.restore = restored;
	request.examples = examples;
	enum status status = ps_client_call(&client, "Audit", &request.base, WAIT_MS, &reply, err);
	if (status == STATUS_OK) {
		const Marquee__Ps__V1__AuditReply *body = (const void *)reply.body;
		ck_assert_uint_eq(body->n_examples, 2);
		ck_assert_uint_eq(body->examples[1], body->examples[0]);
		*ret = body->examples[0];
	}
	return status;
}

START_TEST(the_tables_counts_are_restored_before_the_first_push_only)
{
	struct error err;
	struct ps_job job = ps_job_defaults();
	uint64_t found;
	server = ps_client_open_alone(&client, &job);
	assert_ok(audit(false, 7, &found, &err), &err);
	ck_assert_uint_eq(found, 0);
	assert_ok(audit(true, UINT64_C(1) << 40, &found, &err), &err);
	ck_assert_uint_eq(found, UINT64_C(1) << 40);
	ps_client_push_rows(&client, 0, ROWS);
	assert_fails(audit(true, 7, &found, &err), STATUS_FAILED_PRECONDITION, &err,
		"before the first push");
	assert_ok(audit(false, 0, &found, &err), &err);
	ck_assert_uint_eq(found, UINT64_C(1) << 40);
	close_all();
	job.workers = 2;
	server = ps_client_open_alone(&client, &job);
	ps_client_close(&client);
	ps_client_open(&client, ps_server_url(server), "job", 1, 1);
	assert_ok(ps_client_join(&client, &job, &err), &err);
	assert_fails(audit(true, 7, &found, &err), STATUS_PERMISSION_DENIED, &err, "worker 0");
	assert_ok(audit(false, 0, &found, &err), &err);
	close_all();
}
END_TEST

START_TEST(statistics_count_rows_steps_and_bytes)
{
	struct ps_job job = ps_job_defaults();
	server = ps_client_open_alone(&client, &job);
	ps_client_push_rows(&client, 0, ROWS);
	const Marquee__Ps__V1__StatsReply *stats = ps_client_stats(&client);
	ck_assert_str_eq(stats->job, "job");
	ck_assert_uint_eq(stats->next_step, 1);
	ck_assert_uint_eq(stats->pushes_applied, 1);
	ck_assert_uint_gt(stats->bytes_received, ROWS * (sizeof(uint64_t) + DIM * sizeof(float)));
	ck_assert_uint_gt(stats->bytes_sent, 0);
	ck_assert_uint_eq(stats->n_tables, 2);
	ck_assert_str_eq(stats->tables[0]->name, "user");
	ck_assert_uint_eq(stats->tables[0]->rows, ROWS);
	ck_assert_uint_eq(stats->tables[1]->rows, 0);
	ck_assert_uint_eq(stats->n_workers, 1);
	ck_assert_uint_eq(stats->workers[0]->clock, 1);
	ck_assert_uint_gt(stats->workers[0]->sequence, 0);
	close_all();
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_snapshot_in_pieces_restores_the_same_tables,
		a_cut_is_read_as_it_was_while_steps_are_applied, only_worker_zero_cuts,
		a_worker_zero_that_starts_again_cuts_again, only_worker_zero_restores,
		the_tables_counts_are_restored_before_the_first_push_only,
		statistics_count_rows_steps_and_bytes, NULL};
	return run_cases("state", cases);
}
