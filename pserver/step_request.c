#include "pserver/step_request.h"

#define PULL_TABLES_MAX 1024u

/*
 * Adds one table's ids to the sums. They never exceed the bytes that are there, so that the sums
 * cannot overflow.
 */
static enum status count_ids(const struct job *job, uint32_t table, uint32_t count,
	uint64_t raw_bytes, uint64_t *ids, uint64_t *floats, struct error *err)
{
	if (table >= job->spec.table_count)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"there is no table %u, the job has %u", table, job->spec.table_count);
	*ids += count;
	if (*ids > raw_bytes / sizeof(uint64_t))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"table %u: %u ids, more than %llu bytes of raw data hold", table, count,
			(unsigned long long)raw_bytes);
	*floats += (uint64_t)count * job->spec.tables[table].dim;
	return STATUS_OK;
}

/* What a push's raw part holds. Checks tables and slots; ids are the aggregate's business. */
static enum status measure_push(const struct job *job, uint32_t worker,
	const Marquee__Ps__V1__PushRequest *push, uint64_t raw_bytes, uint64_t *ret_ids,
	uint64_t *ret_floats, struct error *err)
{
	struct lane_span block = lane_block(job->spec.lanes, worker, job->spec.workers);
	if (push->n_segments > (size_t)job->spec.table_count * block.count)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"push: %zu segments, but worker %u has %u lanes and there are %u tables",
			push->n_segments, worker, block.count, job->spec.table_count);
	uint64_t ids = 0, floats = 0;
	for (size_t i = 0; i < push->n_segments; i++) {
		const Marquee__Ps__V1__Segment *segment = push->segments[i];
		if (segment->slot < block.first || segment->slot - block.first >= block.count)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"push: lane %u is not worker %u's", segment->slot, worker);
		enum status status = count_ids(
			job, segment->table, segment->count, raw_bytes, &ids, &floats, err);
		if (status != STATUS_OK)
			return error_wrap(err, status, "push");
	}
	*ret_ids = ids;
	*ret_floats = floats;
	return STATUS_OK;
}

static enum status measure_pull(const struct job *job, const Marquee__Ps__V1__PullRequest *pull,
	uint64_t raw_bytes, uint64_t *ret_bytes, uint64_t *ret_reply_bytes, struct error *err)
{
	if (pull->n_tables > PULL_TABLES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "pull: %zu tables; at most %u",
			pull->n_tables, PULL_TABLES_MAX);
	uint64_t ids = 0, floats = 0;
	for (size_t i = 0; i < pull->n_tables; i++) {
		const Marquee__Ps__V1__TableIds *table = pull->tables[i];
		enum status status =
			count_ids(job, table->table, table->count, raw_bytes, &ids, &floats, err);
		if (status != STATUS_OK)
			return error_wrap(err, status, "pull");
	}
	*ret_bytes = ids * sizeof(uint64_t);
	*ret_reply_bytes = floats * dtype_bytes(pull->dtype);
	return STATUS_OK;
}

enum status step_request_measure(struct step_request *request, const struct job *job,
	uint32_t worker, struct rpc_bytes raw, size_t max_message_bytes, struct error *err)
{
	uint64_t ids = 0, floats = 0, push_bytes = 0, pull_bytes = 0, reply_bytes = 0;
	enum status status = STATUS_OK;
	if ((request->push && dtype_bytes(request->push->dtype) == 0) ||
		(request->pull && dtype_bytes(request->pull->dtype) == 0))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a dtype that this server does not know; it knows F32 and BF16");
	if (request->push) {
		status = measure_push(job, worker, request->push, raw.size, &ids, &floats, err);
		push_bytes = ids * sizeof(uint64_t) + floats * dtype_bytes(request->push->dtype);
	}
	if (status == STATUS_OK && request->pull)
		status = measure_pull(job, request->pull, raw.size, &pull_bytes, &reply_bytes, err);
	if (status != STATUS_OK)
		return status;
	if (push_bytes > raw.size || pull_bytes != raw.size - push_bytes)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"the counts need %llu bytes of raw data, there are %zu",
			(unsigned long long)(push_bytes + pull_bytes), raw.size);
	if (reply_bytes > max_message_bytes)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"pull: the rows take %llu bytes, a message at most %zu: pull fewer",
			(unsigned long long)reply_bytes, max_message_bytes);
	request->push_ids = raw.data;
	request->push_gradients = raw.data + ids * sizeof(uint64_t);
	request->push_floats = (size_t)floats;
	request->pull_ids = raw.data + push_bytes;
	request->reply_bytes = (size_t)reply_bytes;
	return STATUS_OK;
}
