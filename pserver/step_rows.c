#include "pserver/step_rows.h"

#include "common/base/memory.h"

#include <stdlib.h>

/* Rows are read as floats so many at a time before they are rounded, but at least one. */
#define ROUNDED_FLOATS ((size_t)16 << 10)

enum status step_rows_widen(struct step_request *request, struct error *err)
{
	if (!request->push || request->push->dtype == MARQUEE__PS__V1__DTYPE__F32)
		return STATUS_OK;
	enum status status = memory_alloc(&request->widened, request->push_floats,
		sizeof(*request->widened), "gradients", err);
	if (status != STATUS_OK)
		return status;
	bf16_widen(request->widened, request->push_gradients, request->push_floats);
	request->push_gradients = (const unsigned char *)request->widened;
	return STATUS_OK;
}

/* One table's rows, as they are. The raw part lies at a multiple of 4, and so does everything in
 * it. */
static enum status pull_floats(struct job *job, const Marquee__Ps__V1__TableIds *table,
	const unsigned char *ids, unsigned char *out, struct error *err)
{
	return store_pull(job->store, table->table, ids, table->count, (float *)(void *)out, err);
}

static enum status pull_rounded(struct job *job, const Marquee__Ps__V1__TableIds *table,
	const unsigned char *ids, unsigned char *out, float *floats, struct error *err)
{
	const size_t dim = job->spec.tables[table->table].dim;
	const size_t part = dim < ROUNDED_FLOATS ? ROUNDED_FLOATS / dim : 1;
	enum status status = STATUS_OK;
	for (size_t at = 0; at < table->count && status == STATUS_OK; at += part) {
		size_t n = table->count - at < part ? table->count - at : part;
		status = store_pull(
			job->store, table->table, ids + at * sizeof(uint64_t), n, floats, err);
		if (status == STATUS_OK)
			bf16_round(out + at * dim * BF16_BYTES, floats, n * dim);
	}
	return status;
}

enum status step_rows_pull(struct job *job, const struct step_call *step, struct error *err)
{
	unsigned char *raw;
	float *floats = NULL;
	const bool rounded = step->pull->dtype == MARQUEE__PS__V1__DTYPE__BF16;
	enum status status = rpc_server_call_reserve(step->call, step->reply_bytes, &raw, err);
	if (status == STATUS_OK && rounded)
		status = memory_alloc(&floats,
			ROUNDED_FLOATS > TABLE_DIM_MAX ? ROUNDED_FLOATS : TABLE_DIM_MAX,
			sizeof(*floats), "rows", err);
	const unsigned char *ids = step->pull_ids;
	for (size_t i = 0; status == STATUS_OK && i < step->pull->n_tables; i++) {
		const Marquee__Ps__V1__TableIds *table = step->pull->tables[i];
		status = rounded ? pull_rounded(job, table, ids, raw, floats, err)
				 : pull_floats(job, table, ids, raw, err);
		ids += table->count * sizeof(uint64_t);
		raw += (size_t)table->count * job->spec.tables[table->table].dim *
		       dtype_bytes(step->pull->dtype);
	}
	free(floats);
	return status;
}
