/*
 * Checkpoints against plain writes of the same bytes to the same directory, and training steps
 * beside a checkpoint that is being written.
 *
 * The tables are the model's with many users; a step pushes and pulls rows of random ones. All of
 * it takes turns.
 */
#include "common/base/random.h"
#include "common/checkpoint/directory.h"
#include "tests/bench/checkpoint_world.h"

#define STEP_IDS      4096u
#define ROUNDS_FULL   3u
#define STEPS_BETWEEN 300u

enum { PLAIN, CHECKPOINT, BLOCKED, STEP, STEP_BESIDE, SAMPLES };

static enum status checkpoint(struct checkpoint_world *world, double *ret_rate, double *ret_blocked,
	uint64_t *ret_bytes, struct error *err)
{
	char path[PATH_SIZE];
	const uint64_t start = clock_now_ns(world->bench->clock);
	enum status status = world_begin(world, ret_blocked, err);
	if (status == STATUS_OK)
		status = saver_wait(world->saver, err);
	const double seconds = clock_seconds_since(world->bench->clock, start);
	if (status == STATUS_OK)
		status = checkpoint_path(world->root, world->step, path, err);
	if (status == STATUS_OK)
		status = directory_bytes(path, ret_bytes, err);
	*ret_rate = (double)*ret_bytes / seconds;
	return status;
}

static enum status add_steps(struct checkpoint_world *world, struct random_sequence *random,
	struct bench_samples *samples, bool beside, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t s = 0; status == STATUS_OK; s++) {
		if (beside ? saver_state(world->saver) != SAVER_WRITING : s == STEPS_BETWEEN)
			break;
		for (uint32_t i = 0; i < STEP_IDS; i++)
			world->ids[i] = 1 + random_next(random) % world->users;
		const uint64_t start = clock_now_ns(world->bench->clock);
		status = world_step(world, STEP_IDS, err);
		bench_samples_add(
			samples, 1e-6 * (double)(clock_now_ns(world->bench->clock) - start));
	}
	return status;
}

static enum status time_checkpoint(struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t *ret_bytes, struct error *err)
{
	double rate = 0, blocked = 0;
	enum status status = world_settle(world, err);
	if (status == STATUS_OK)
		status = checkpoint(world, &rate, &blocked, ret_bytes, err);
	bench_samples_add(&samples[CHECKPOINT], 1e-6 * rate);
	bench_samples_add(&samples[BLOCKED], 1e3 * blocked);
	return status;
}

static enum status time_plain(struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t bytes, struct error *err)
{
	double rate = 0;
	enum status status = world_write_plain(world, bytes, &rate, err);
	bench_samples_add(&samples[PLAIN], 1e-6 * rate);
	return status;
}

/* One turn of everything. A disk is busy for a while with what was removed, so removals do not
 * stand before the same one each time. */
static enum status run_round(struct checkpoint_world *world, struct random_sequence *random,
	uint64_t round, struct bench_samples *samples, uint64_t *bytes, struct error *err)
{
	double blocked = 0;
	enum status status = checkpoint_discard(world->root, err);
	if (status == STATUS_OK)
		status = add_steps(world, random, &samples[STEP], false, err);
	if (status == STATUS_OK && round % 2 && *bytes > 0)
		status = time_plain(world, samples, *bytes, err);
	if (status == STATUS_OK)
		status = time_checkpoint(world, samples, bytes, err);
	if (status == STATUS_OK && round % 2 == 0)
		status = time_plain(world, samples, *bytes, err);
	if (status == STATUS_OK)
		status = world_begin(world, &blocked, err);
	bench_samples_add(&samples[BLOCKED], 1e3 * blocked);
	if (status == STATUS_OK)
		status = add_steps(world, random, &samples[STEP_BESIDE], true, err);
	if (status == STATUS_OK)
		status = saver_wait(world->saver, err);
	return status;
}

static enum status report_one(const struct checkpoint_world *world, struct bench_samples *samples,
	const char *name, const char *unit, bool higher, const char *limit_name, double limit,
	uint64_t bytes, struct error *err)
{
	const struct bench_case one = {.name = name,
		.unit = unit,
		.higher_is_better = higher,
		.limit_name = limit_name,
		.limit = limit};
	if (samples->count == 0)
		return STATUS_OK;
	return bench_report(world->bench, &one, samples,
		json_pack("{s:I, s:s, s:I}", "users", (json_int_t)world->users, "tables",
			world->server ? "tcp" : "embedded", "bytes", (json_int_t)bytes),
		err);
}

/* The samples have been sorted for their median. */
static enum status report_longest(const struct checkpoint_world *world,
	const struct bench_samples *samples, const char *name, struct error *err)
{
	const struct bench_case one = {.name = name, .unit = "ms"};
	if (samples->count == 0)
		return STATUS_OK;
	return bench_report_value(world->bench, &one, samples->values[samples->count - 1],
		json_pack("{s:I, s:s}", "users", (json_int_t)world->users, "tables",
			world->server ? "tcp" : "embedded"),
		err);
}

static enum status report(const struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t bytes, struct error *err)
{
	const double step = bench_samples_median(&samples[STEP]);
	enum status status =
		report_one(world, &samples[PLAIN], "plain", "MB/s", true, NULL, 0, bytes, err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[CHECKPOINT], "checkpoint", "MB/s", true,
			SAME_BYTES_LIMIT, SAME_BYTES_SHARE * bench_samples_median(&samples[PLAIN]),
			bytes, err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[BLOCKED], "blocked", "ms", false, "a step",
			step, bytes, err);
	if (status == STATUS_OK)
		status =
			report_one(world, &samples[STEP], "step", "ms", false, NULL, 0, bytes, err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[STEP_BESIDE], "step_beside", "ms", false, NULL,
			0, bytes, err);
	if (status == STATUS_OK)
		status = report_longest(world, &samples[STEP], "longest_step", err);
	if (status == STATUS_OK)
		status = report_longest(world, &samples[STEP_BESIDE], "longest_step_beside", err);
	return status;
}

/* All of one kind of tables. */
static enum status run_tables(
	struct checkpoint_world *world, const char *listen_url, struct error *err)
{
	const uint64_t rounds = bench_size(world->bench, ROUNDS_FULL, 3, 3) + 1;
	struct bench_samples samples[SAMPLES] = {0};
	uint64_t bytes = 0;
	struct random_sequence random;
	random_sequence_init(&random, 1, random_stream("steps"));
	enum status status = world_open_tables(world, listen_url, err);
	for (int i = 0; i < SAMPLES && status == STATUS_OK; i++) {
		status = bench_samples_init(&samples[i], err);
		if (status == STATUS_OK)
			bench_samples_start(&samples[i], world->bench);
	}
	for (uint64_t r = 0; r < rounds && status == STATUS_OK; r++)
		status = run_round(world, &random, r, samples, &bytes, err);
	if (status == STATUS_OK)
		status = report(world, samples, bytes, err);
	for (int i = 0; i < SAMPLES; i++)
		bench_samples_fini(&samples[i]);
	world_close_tables(world);
	return status;
}

static enum status run(struct checkpoint_world *world, struct error *err)
{
	enum status status = STATUS_OK;
	if (bench_wants(world->bench, "embedded"))
		status = run_tables(world, NULL, err);
	if (status == STATUS_OK && bench_wants(world->bench, "tcp"))
		status = run_tables(world, "tcp://127.0.0.1:0", err);
	return status;
}

int main(int argc, char **argv)
{
	return world_main("bench_checkpoint",
		"Measures checkpoints beside plain writes, and training beside a checkpoint. "
		"Cases: embedded, tcp.",
		run, argc, argv);
}
