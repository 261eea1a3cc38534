#include "tests/support/late_params.h"

#include "tests/support/suite.h"

#include <stdlib.h>
#include <time.h>

#define BEHIND_STEPS 3u /* that are pushed before a cut is read */
#define PATIENCE_S   30

struct late {
	struct params params; /* first: the interface */
	struct params_operations operations;
	struct params *inner;
	struct params_step started[PARAMS_SLOTS];
	struct late_gate *gate;
};

static struct late *late_of(struct params *params)
{
	return (struct late *)params;
}

static void note_push(struct late_gate *gate, uint64_t step)
{
	pthread_mutex_lock(&gate->lock);
	if (step + 1 > gate->pushed)
		gate->pushed = step + 1;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static enum status exchange(
	struct params *params, const struct params_step *step, struct error *err)
{
	struct late *late = late_of(params);
	enum status status = late->inner->operations->exchange(late->inner, step, err);
	if (step->has_push && status == STATUS_OK)
		note_push(late->gate, step->push_step);
	return status;
}

static enum status exchange_start(
	struct params *params, uint32_t slot, const struct params_step *step, struct error *err)
{
	struct late *late = late_of(params);
	late->started[slot] = *step;
	return late->inner->operations->exchange_start(late->inner, slot, step, err);
}

static enum status exchange_finish(struct params *params, uint32_t slot, struct error *err)
{
	struct late *late = late_of(params);
	enum status status = late->inner->operations->exchange_finish(late->inner, slot, err);
	if (late->started[slot].has_push && status == STATUS_OK)
		note_push(late->gate, late->started[slot].push_step);
	return status;
}

static enum status exchange_table(struct params *params, const struct params_push *push,
	uint64_t push_step, const struct params_pull *pull, struct error *err)
{
	struct late *late = late_of(params);
	enum status status =
		late->inner->operations->exchange_table(late->inner, push, push_step, pull, err);
	if (push)
		note_push(late->gate, push_step);
	return status;
}

static enum status snapshot(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->snapshot(inner, table, sink, context, err);
}

static enum status cut(struct params *params, uint64_t step, struct error *err)
{
	struct late *late = late_of(params);
	late->gate->cut_step = step; /* read by the saver's thread, which is started later */
	return late->inner->operations->cut(late->inner, step, err);
}

/* Waits until training has gone on. When it does not, the test fails by the checkpoint's failure.
 */
static enum status wait_at(struct late_gate *gate, struct error *err)
{
	uint64_t wanted = gate->cut_step + BEHIND_STEPS;
	struct timespec until;
	enum status status = STATUS_OK;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&gate->lock);
	/* The end of an epoch waits for the checkpoint that is under way. */
	const uint64_t epoch_end = (gate->cut_step / LATE_EPOCH_STEPS + 1) * LATE_EPOCH_STEPS;
	if (wanted > epoch_end)
		wanted = epoch_end;
	if (wanted > gate->last_step)
		wanted = gate->last_step;
	while (status == STATUS_OK && gate->pushed < wanted)
		if (pthread_cond_timedwait(&gate->changed, &gate->lock, &until) != 0)
			status = error_set(err, STATUS_DEADLINE_EXCEEDED,
				"training has not gone on beside the checkpoint");
	gate->late_reads += gate->pushed > gate->cut_step;
	pthread_mutex_unlock(&gate->lock);
	return status;
}

static enum status read_cut(
	struct params *params, uint32_t table, params_sink *sink, void *context, struct error *err)
{
	struct late *late = late_of(params);
	enum status status = wait_at(late->gate, err);
	if (late->gate->cut_step >= late->gate->fail_from &&
		late->gate->cut_step < late->gate->fail_until)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the tables cannot be read");
	if (status == STATUS_OK)
		status = late->inner->operations->read_cut(late->inner, table, sink, context, err);
	return status;
}

static enum status uncut(struct params *params, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->uncut(inner, err);
}

static enum status restore(struct params *params, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->restore(inner, table, ids, records, count, err);
}

static enum status digest(struct params *params, struct digest *ret, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->digest(inner, ret, err);
}

static enum status audit(struct params *params, uint64_t examples, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->audit(inner, examples, err);
}

static enum status restore_examples(struct params *params, uint64_t examples, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->restore_examples(inner, examples, err);
}

static enum status leave(struct params *params, bool failed, struct error *err)
{
	struct params *inner = late_of(params)->inner;
	return inner->operations->leave(inner, failed, err);
}

static void late_free(struct params *params)
{
	params_free(late_of(params)->inner);
	free(params);
}

struct params *late_params_wrap(void *context, struct params *inner)
{
	struct late *late = calloc(1, sizeof(*late));
	ck_assert(late != NULL);
	late->params = *inner;
	late->operations = (struct params_operations){
		.exchange = exchange,
		.snapshot = snapshot,
		.cut = cut,
		.read_cut = read_cut,
		.uncut = uncut,
		.restore = restore,
		.digest = digest,
		.audit = audit,
		.restore_examples = restore_examples,
		.leave = leave,
		.free = late_free,
	};
	/* Which of these there are decides how a trainer exchanges its steps. */
	if (inner->operations->exchange_table)
		late->operations.exchange_table = exchange_table;
	if (inner->operations->exchange_start) {
		late->operations.exchange_start = exchange_start;
		late->operations.exchange_finish = exchange_finish;
	}
	late->params.operations = &late->operations;
	late->inner = inner;
	late->gate = context;
	return &late->params;
}

void late_gate_init(struct late_gate *gate, uint64_t last_step)
{
	*gate = (struct late_gate){.last_step = last_step, .fail_from = UINT64_MAX};
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
}
