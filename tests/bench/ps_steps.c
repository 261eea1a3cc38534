#include "tests/bench/ps_steps.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "tests/bench/ps_bare.h"
#include "worker/params_remote.h"

#include <math.h>
#include <stdlib.h>

#define BATCH_ROWS  ((size_t)1 << 17) /* over all batches that take turns */
#define BATCHES_MIN 8u
#define FILL_ROWS   4096u
#define GRADIENT    1e-3f
#define PHASES_MAX  2u

/* An exchange of a slot, for the parameter client. */
struct slot {
	struct params_pull pull;
	struct params_push push;
	struct params_step step;
	const float *rows; /* that came last */
	uint32_t phase;
	uint64_t started_ns;
};

struct steps {
	struct steps_options options;
	const struct clock *clock;
	struct params *params;
	struct bare *bare;
	uint32_t batches, next_batch;
	uint64_t *ids;	  /* [batches x rows] */
	float *gradients; /* [rows x dim] */
	struct slot slots[PARAMS_SLOTS];
	uint64_t pushed; /* steps */
	struct bare_shape shapes[PHASES_MAX];
	struct bench_samples latencies[STEPS_SIDES]; /* microseconds */
};

static uint32_t phases(const struct steps *steps)
{
	return steps->options.together ? 1 : 2;
}

static const uint64_t *batch_ids(const struct steps *steps, uint32_t batch)
{
	return steps->ids + (size_t)(batch % steps->batches) * steps->options.rows;
}

/* ---- steps, the same for both sides ---- */

static enum status start_exchange(
	struct steps *steps, enum steps_side side, uint32_t number, struct error *err)
{
	struct slot *slot = &steps->slots[number];
	if (side == STEPS_BARE)
		return bare_start(steps->bare, number, &steps->shapes[slot->phase], err);
	slot->step.has_pull = steps->options.together || slot->phase == 0;
	slot->step.has_push = steps->options.together || slot->phase == 1;
	slot->step.push_step = slot->step.pull_step = steps->pushed;
	slot->pull.ids = batch_ids(steps, steps->next_batch + slot->step.has_push);
	slot->push.ids = batch_ids(steps, steps->next_batch);
	if (slot->step.has_push) {
		steps->next_batch++;
		steps->pushed++;
	}
	return steps->params->operations->exchange_start(steps->params, number, &slot->step, err);
}

static enum status finish_exchange(
	struct steps *steps, enum steps_side side, uint32_t number, struct error *err)
{
	if (side == STEPS_BARE)
		return bare_finish(steps->bare, number, err);
	return steps->params->operations->exchange_finish(steps->params, number, err);
}

static enum status start_step(
	struct steps *steps, enum steps_side side, uint32_t number, struct error *err)
{
	steps->slots[number].phase = 0;
	steps->slots[number].started_ns = clock_now_ns(steps->clock);
	return start_exchange(steps, side, number, err);
}

/* Finishes the exchange of a slot and starts the step's next one, if any. */
static enum status advance(struct steps *steps, enum steps_side side, uint32_t number,
	bool *ret_done, struct error *err)
{
	struct slot *slot = &steps->slots[number];
	enum status status = finish_exchange(steps, side, number, err);
	*ret_done = ++slot->phase == phases(steps);
	if (status != STATUS_OK || !*ret_done)
		return status == STATUS_OK ? start_exchange(steps, side, number, err) : status;
	struct bench_samples *latencies = &steps->latencies[side];
	if (latencies->count < BENCH_SAMPLES_MAX)
		latencies->values[latencies->count++] =
			1e-3 * (double)(clock_now_ns(steps->clock) - slot->started_ns);
	return STATUS_OK;
}

enum status steps_run(struct steps *steps, enum steps_side side, double seconds,
	double *ret_rows_per_second, struct error *err)
{
	const uint32_t in_flight = steps->options.in_flight;
	const uint64_t start = clock_now_ns(steps->clock);
	const uint64_t end = start + (uint64_t)(seconds * 1e9);
	uint64_t done_steps = 0;
	uint32_t running = 0;
	bool busy[PARAMS_SLOTS] = {false};
	enum status status = STATUS_OK;
	for (; running < in_flight && status == STATUS_OK; running++) {
		status = start_step(steps, side, running, err);
		busy[running] = true;
	}
	for (uint32_t s = 0; running > 0 && status == STATUS_OK; s = (s + 1) % in_flight) {
		bool done = false;
		if (!busy[s])
			continue;
		status = advance(steps, side, s, &done, err);
		if (status != STATUS_OK || !done)
			continue;
		done_steps++;
		busy[s] = clock_now_ns(steps->clock) < end;
		if (busy[s])
			status = start_step(steps, side, s, err);
		else
			running--;
	}
	*ret_rows_per_second = (double)(done_steps * steps->options.rows) /
			       clock_seconds_since(steps->clock, start);
	return status;
}

/* ---- setting up ---- */

static enum status join(struct steps *steps, struct error *err)
{
	const struct table_spec table = {.name = "bench",
		.dim = steps->options.dim,
		.init_limit = 0.1f,
		.optimizer = optimizer_defaults(steps->options.optimizer)};
	const struct job_tables job = {
		.seed = 1, .lanes = 1, .mode = MODE_ASYNC, .tables = &table, .table_count = 1};
	const struct params_remote_options options = {
		.urls = &steps->options.server_url,
		.url_count = 1,
		.job = "bench",
		.workers = 1,
		.incarnation = steps->options.incarnation,
		.connect_timeout_s = 10,
		.deadline_s = 60,
		.clock = steps->clock,
	};
	return params_remote_new(&steps->params, &options, &job, err);
}

/* Makes every row of the universe, so that none is made later. */
static enum status fill(struct steps *steps, struct error *err)
{
	uint64_t ids[FILL_ROWS];
	float *gradients;
	enum status status = memory_zalloc(
		&gradients, FILL_ROWS * steps->options.dim, sizeof(*gradients), "gradients", err);
	for (uint64_t id = 0; id < steps->options.universe && status == STATUS_OK;) {
		struct params_push push = {.ids = ids, .gradients = gradients};
		const struct params_step step = {.has_push = true,
			.push_step = steps->pushed++,
			.pushes = &push,
			.push_count = 1};
		while (push.count < FILL_ROWS && id < steps->options.universe)
			ids[push.count++] = id++;
		status = steps->params->operations->exchange(steps->params, &step, err);
	}
	free(gradients);
	return status;
}

/* One batch: ids that it has already are drawn again. */
static void draw_batch(const struct steps *steps, struct random_sequence *random, uint64_t *ids,
	uint32_t *last_seen, uint32_t batch)
{
	for (size_t i = 0; i < steps->options.rows;) {
		double u = pow(random_double(random), steps->options.skew);
		uint64_t id = (uint64_t)((double)steps->options.universe * u);
		if (last_seen[id] == batch + 1)
			continue;
		last_seen[id] = batch + 1;
		ids[i++] = id;
	}
}

static enum status draw(struct steps *steps, struct error *err)
{
	const size_t rows = steps->options.rows, dim = steps->options.dim;
	uint32_t *last_seen;
	struct random_sequence random;
	random_sequence_init(&random, 1, random_stream("bench_ps"));
	steps->batches = (uint32_t)(BATCH_ROWS / rows);
	if (steps->batches < BATCHES_MIN)
		steps->batches = BATCHES_MIN;
	enum status status = memory_zalloc(
		&last_seen, steps->options.universe, sizeof(*last_seen), "universe", err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(
		&steps->ids, steps->batches * rows, sizeof(*steps->ids), "batches", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&steps->gradients, rows * dim, sizeof(*steps->gradients), "gradients", err);
	for (uint32_t b = 0; b < steps->batches && status == STATUS_OK; b++)
		draw_batch(steps, &random, steps->ids + b * rows, last_seen, b);
	for (size_t i = 0; i < rows * dim && status == STATUS_OK; i++)
		steps->gradients[i] = i % 2 ? GRADIENT : -GRADIENT;
	free(last_seen);
	return status;
}

static void make_slots(struct steps *steps)
{
	for (uint32_t s = 0; s < PARAMS_SLOTS; s++) {
		struct slot *slot = &steps->slots[s];
		*slot = (struct slot){
			.pull = {.count = steps->options.rows, .found = &slot->rows},
			.push = {.count = steps->options.rows, .gradients = steps->gradients},
			.step = {.pulls = &slot->pull,
				.pull_count = 1,
				.pushes = &slot->push,
				.push_count = 1},
		};
	}
}

/* A step of ours whose messages are measured: the shapes of the bare side's. */
static enum status measure_shapes(struct steps *steps, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t phase = 0; phase < phases(steps) && status == STATUS_OK; phase++) {
		struct params_traffic *traffic = &steps->params->traffic;
		*traffic = (struct params_traffic){0};
		steps->slots[0].phase = phase;
		status = start_exchange(steps, STEPS_MARQUEE, 0, err);
		if (status == STATUS_OK)
			status = finish_exchange(steps, STEPS_MARQUEE, 0, err);
		steps->shapes[phase] =
			(struct bare_shape){traffic->bytes_sent, traffic->bytes_received};
	}
	return status;
}

enum status steps_open(struct steps **ret, const struct steps_options *options, struct error *err)
{
	struct steps *steps;
	enum status status = memory_zalloc(&steps, 1, sizeof(*steps), "steps", err);
	if (status != STATUS_OK)
		return status;
	steps->options = *options;
	steps->clock = options->clock;
	for (uint32_t side = 0; side < STEPS_SIDES && status == STATUS_OK; side++)
		status = bench_samples_init(&steps->latencies[side], err);
	if (status == STATUS_OK)
		status = join(steps, err);
	if (status == STATUS_OK)
		status = draw(steps, err);
	if (status == STATUS_OK)
		status = fill(steps, err);
	make_slots(steps);
	if (status == STATUS_OK)
		status = measure_shapes(steps, err);
	if (status == STATUS_OK)
		status = bare_open(&steps->bare, options->bare_url, options->in_flight, err);
	if (status != STATUS_OK) {
		(void)!steps_close(steps, NULL);
		return status;
	}
	*ret = steps;
	return STATUS_OK;
}

enum status steps_close(struct steps *steps, struct error *err)
{
	enum status status = STATUS_OK;
	if (steps->params)
		status = steps->params->operations->leave(steps->params, false, err);
	bare_close(steps->bare);
	params_free(steps->params);
	for (uint32_t side = 0; side < STEPS_SIDES; side++)
		bench_samples_fini(&steps->latencies[side]);
	free(steps->ids);
	free(steps->gradients);
	free(steps);
	return status;
}

struct bench_samples *steps_latencies(struct steps *steps, enum steps_side side)
{
	return &steps->latencies[side];
}

double steps_wire_bytes(const struct steps *steps)
{
	double bytes = 0;
	for (uint32_t p = 0; p < phases(steps); p++)
		bytes += (double)(steps->shapes[p].request_bytes + steps->shapes[p].reply_bytes);
	return bytes;
}
