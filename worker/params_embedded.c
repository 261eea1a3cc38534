#include "worker/params.h"

#include "common/base/memory.h"
#include "pserver/store.h"

#include <stdlib.h>
#include <string.h>

struct embedded {
	struct params params; /* first: the interface */
	struct store *store;
};

static struct embedded *embedded_of(struct params *params)
{
	return (struct embedded *)params;
}

static enum status exchange_table(struct params *params, const struct params_push *push,
	uint64_t push_step, const struct params_pull *pull, struct error *err)
{
	struct store *store = embedded_of(params)->store;
	enum status status = STATUS_OK;
	if (push)
		status = store_apply(store, push->table, push->ids, push->count, push->gradients,
			push_step + 1, err);
	if (push && status == STATUS_OK)
		store_count_examples(store, push->table, push->examples);
	if (pull && status == STATUS_OK)
		status = store_pull(store, pull->table, pull->ids, pull->count, pull->rows, err);
	return status;
}

/* The only worker owns all lanes, which are one span: there is one push a table, and it is the sum.
 */
static enum status exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t i = 0; step->has_push && i < step->push_count && status == STATUS_OK; i++)
		status = exchange_table(params, &step->pushes[i], step->push_step, NULL, err);
	for (uint32_t i = 0; step->has_pull && i < step->pull_count && status == STATUS_OK; i++)
		status = exchange_table(params, NULL, 0, &step->pulls[i], err);
	return status;
}

/* store_snapshot() or store_cut_read(). */
typedef enum status read_store(struct store *store, uint32_t table, struct store_cursor *cursor,
	size_t max, void *ids, float *records, size_t *ret_n, struct error *err);

static enum status read_table(struct params *params, uint32_t table, read_store *read,
	params_sink *sink, void *context, struct error *err)
{
	struct embedded *embedded = embedded_of(params);
	struct store_cursor cursor = {0};
	uint64_t *ids = NULL;
	float *records = NULL;
	enum status status = memory_alloc(&ids, PARAMS_CHUNK, sizeof(*ids), "snapshot", err);
	if (status == STATUS_OK)
		status = memory_alloc(&records, (size_t)PARAMS_CHUNK * params->record_floats[table],
			sizeof(*records), "snapshot", err);
	while (status == STATUS_OK) {
		size_t count;
		status = read(
			embedded->store, table, &cursor, PARAMS_CHUNK, ids, records, &count, err);
		if (status != STATUS_OK || count == 0)
			break;
		status = sink(context, table, ids, records, count, err);
	}
	free(records);
	free(ids);
	return status;
}

static enum status snapshot(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	return read_table(params, table, store_snapshot, sink, context, err);
}

static enum status cut(struct params *params, uint64_t step, struct error *err)
{
	(void)step, (void)err;
	store_cut(embedded_of(params)->store);
	return STATUS_OK;
}

static enum status read_cut(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	return read_table(params, table, store_cut_read, sink, context, err);
}

static enum status uncut(struct params *params, struct error *err)
{
	(void)err;
	store_uncut(embedded_of(params)->store);
	return STATUS_OK;
}

static enum status restore(struct params *params, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	return store_restore(embedded_of(params)->store, table, ids, count, records, err);
}

static enum status audit(struct params *params, uint64_t examples, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t t = 0; t < params->table_count && status == STATUS_OK; t++)
		status = params_audit_table(params, t, NULL,
			store_examples(embedded_of(params)->store, t), examples, err);
	return status;
}

static enum status restore_examples(struct params *params, uint64_t examples, struct error *err)
{
	(void)err;
	for (uint32_t t = 0; t < params->table_count; t++)
		store_set_examples(embedded_of(params)->store, t, examples);
	return STATUS_OK;
}

static enum status leave(struct params *params, bool failed, struct error *err)
{
	(void)params, (void)failed, (void)err;
	return STATUS_OK;
}

static void embedded_free(struct params *params)
{
	struct embedded *embedded = embedded_of(params);
	store_free(embedded->store);
	free(embedded);
}

static enum status digest(struct params *params, struct digest *ret, struct error *err)
{
	(void)err;
	*ret = (struct digest){0};
	store_digest(embedded_of(params)->store, ret);
	return STATUS_OK;
}

enum status params_embedded_new(struct params **ret, uint64_t seed, const struct table_spec *tables,
	uint32_t table_count, struct error *err)
{
	static const struct params_operations operations = {
		.exchange = exchange,
		.exchange_table = exchange_table,
		.snapshot = snapshot,
		.cut = cut,
		.read_cut = read_cut,
		.uncut = uncut,
		.restore = restore,
		.digest = digest,
		.audit = audit,
		.restore_examples = restore_examples,
		.leave = leave,
		.free = embedded_free,
	};
	struct embedded *embedded;
	enum status status = memory_zalloc(&embedded, 1, sizeof(*embedded), "tables", err);
	if (status != STATUS_OK)
		return status;
	embedded->params.operations = &operations;
	status = params_set_tables(&embedded->params, tables, table_count, err);
	/* A table's exchange is one call of one thread. */
	struct store_options options = {
		.seed = seed, .shard_count = 1, .one_thread_per_table = true};
	if (status == STATUS_OK)
		status = store_new(&embedded->store, &options, err);
	for (uint32_t t = 0; t < table_count && status == STATUS_OK; t++) {
		uint32_t number;
		status = store_create_table(embedded->store, &tables[t], &number, err);
	}
	if (status != STATUS_OK) {
		embedded_free(&embedded->params);
		return status;
	}
	*ret = &embedded->params;
	return STATUS_OK;
}
