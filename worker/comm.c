#include "worker/comm.h"

#include <string.h>

/* In the local job a span's sums are added up by hand: a worker may own several spans. */
static enum status local_sum_start(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
	float *const *sums, uint32_t span_count, size_t n, struct error *err)
{
	(void)comm, (void)err;
	const float *slots[LANES_MAX] = {NULL};
	if (span_count == 1)
		return STATUS_OK;
	for (uint32_t i = 0; i < span_count; i++)
		slots[spans[i].first] = sums[i];
	lane_tree_sum(sums[0], slots, lanes, n);
	return STATUS_OK;
}

static enum status local_sum_finish(struct comm *comm, struct error *err)
{
	(void)comm, (void)err;
	return STATUS_OK;
}

static enum status local_all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err)
{
	(void)comm, (void)err;
	memcpy(out, bytes, size);
	return STATUS_OK;
}

static enum status local_broadcast(struct comm *comm, void *bytes, size_t size, struct error *err)
{
	(void)comm, (void)bytes, (void)size, (void)err;
	return STATUS_OK;
}

void comm_local_init(struct comm *comm)
{
	static const struct comm_operations operations = {.all_gather = local_all_gather,
		.broadcast = local_broadcast,
		.sum_start = local_sum_start,
		.sum_finish = local_sum_finish};
	*comm = (struct comm){.rank = 0, .workers = 1, .operations = &operations};
}

/* What a call after the job's failure returns. */
static enum status failed_already(const struct comm *comm, struct error *err)
{
	return error_set(err, STATUS_ABORTED, "worker %u failed: see its message", comm->speaker);
}

enum status comm_all_gather(
	struct comm *comm, const void *bytes, size_t size, void *out, struct error *err)
{
	if (comm->failed)
		return failed_already(comm, err);
	return comm->operations->all_gather(comm, bytes, size, out, err);
}

enum status comm_broadcast(struct comm *comm, void *bytes, size_t size, struct error *err)
{
	if (comm->failed)
		return failed_already(comm, err);
	return comm->operations->broadcast(comm, bytes, size, err);
}

enum status comm_sum_start(struct comm *comm, uint32_t lanes, const struct lane_span *spans,
	float *const *sums, uint32_t span_count, size_t n, struct error *err)
{
	if (comm->failed)
		return failed_already(comm, err);
	return comm->operations->sum_start(comm, lanes, spans, sums, span_count, n, err);
}

enum status comm_sum_finish(struct comm *comm, struct error *err)
{
	if (comm->failed)
		return failed_already(comm, err);
	return comm->operations->sum_finish(comm, err);
}

enum status comm_barrier(struct comm *comm, struct error *err)
{
	uint8_t mine = 0, all[LANES_MAX];
	return comm_all_gather(comm, &mine, sizeof(mine), all, err);
}

enum status comm_lane_gather(struct comm *comm, double *values, uint32_t lanes, struct error *err)
{
	uint32_t widest = (lanes + comm->workers - 1) / comm->workers;
	double mine[LANES_MAX] = {0}, gathered[2 * LANES_MAX];
	struct lane_span own = lane_block(lanes, comm->rank, comm->workers);
	memcpy(mine, values + own.first, own.count * sizeof(*mine));
	enum status status = comm_all_gather(comm, mine, widest * sizeof(*mine), gathered, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t worker = 0; worker < comm->workers; worker++) {
		struct lane_span block = lane_block(lanes, worker, comm->workers);
		memcpy(values + block.first, gathered + (size_t)worker * widest,
			block.count * sizeof(*values));
	}
	return STATUS_OK;
}

enum status comm_lane_sum(
	struct comm *comm, const double *values, uint32_t lanes, double *ret_sum, struct error *err)
{
	double all[LANES_MAX];
	memcpy(all, values, lanes * sizeof(*all));
	enum status status = comm_lane_gather(comm, all, lanes, err);
	if (status == STATUS_OK)
		*ret_sum = lane_tree_sum_double(all, lanes);
	return status;
}

enum status comm_agree(struct comm *comm, enum status mine, struct error *err)
{
	struct error first = {.status = mine};
	if (comm->failed)
		return mine != STATUS_OK ? mine : failed_already(comm, err);
	if (mine != STATUS_OK && err)
		first = *err;
	enum status status = comm_broadcast(comm, &first, sizeof(first), err);
	if (status != STATUS_OK)
		return status;
	if (first.status == STATUS_OK)
		return STATUS_OK;
	comm->failed = true;
	comm->speaker = 0;
	if (err)
		*err = first;
	return first.status;
}

enum status comm_agree_all(struct comm *comm, enum status mine, struct error *err)
{
	uint32_t number = (uint32_t)mine, all[LANES_MAX];
	if (comm->failed)
		return mine != STATUS_OK ? mine : failed_already(comm, err);
	if (comm->workers > LANES_MAX) { /* seen alike by all of them */
		comm->failed = true;
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%u workers, at most %u are possible", comm->workers, LANES_MAX);
	}
	enum status status = comm_all_gather(comm, &number, sizeof(number), all, err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t worker = 0; worker < comm->workers; worker++) {
		if (all[worker] == STATUS_OK)
			continue;
		comm->failed = true;
		comm->speaker = worker;
		if (mine != STATUS_OK)
			return mine;
		return error_set(err, status_from_wire(all[worker]),
			"worker %u failed: see its message", worker);
	}
	return STATUS_OK;
}
