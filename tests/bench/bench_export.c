/*
 * Exports of a checkpoint against plain writes of the same bytes to the same directory.
 *
 * The model has many users; the checkpoint is in the page cache. Both take turns.
 */
#include "common/checkpoint/directory.h"
#include "inference/export.h"
#include "tests/bench/checkpoint_world.h"

#define ROUNDS_FULL 5u

enum { PLAIN, EXPORT, SAMPLES };

static enum status time_export(struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t *ret_bytes, struct error *err)
{
	char out[PATH_SIZE];
	struct export_report report;
	enum status status = path_join(out, world->root, "model", err);
	const struct export_options options = {.checkpoint = world->root, .out = out};
	if (status == STATUS_OK)
		status = world_settle(world, err);
	const uint64_t start = clock_now_ns(world->bench->clock);
	if (status == STATUS_OK)
		status = export_model(&options, &report, err);
	const double seconds = clock_seconds_since(world->bench->clock, start);
	if (status == STATUS_OK)
		status = directory_bytes(out, ret_bytes, err);
	if (status != STATUS_OK)
		return status;
	bench_samples_add(samples, 1e-6 * (double)*ret_bytes / seconds);
	return directory_remove(out, err);
}

static enum status time_plain(struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t bytes, struct error *err)
{
	double rate = 0;
	enum status status = world_write_plain(world, bytes, &rate, err);
	bench_samples_add(samples, 1e-6 * rate);
	return status;
}

static enum status report(const struct checkpoint_world *world, struct bench_samples *samples,
	uint64_t bytes, struct error *err)
{
	const struct bench_case plain = {.name = "plain", .unit = "MB/s", .higher_is_better = true};
	const struct bench_case export = {.name = "export",
		.unit = "MB/s",
		.higher_is_better = true,
		.limit_name = SAME_BYTES_LIMIT,
		.limit = SAME_BYTES_SHARE * bench_samples_median(&samples[PLAIN])};
	enum status status = bench_report(world->bench, &plain, &samples[PLAIN],
		json_pack("{s:I, s:I}", "users", (json_int_t)world->users, "bytes",
			(json_int_t)bytes),
		err);
	if (status == STATUS_OK)
		status = bench_report(world->bench, &export, &samples[EXPORT],
			json_pack("{s:I, s:I}", "users", (json_int_t)world->users, "bytes",
				(json_int_t)bytes),
			err);
	return status;
}

static enum status write_checkpoint(struct checkpoint_world *world, struct error *err)
{
	double seconds;
	enum status status = world_open_tables(world, NULL, err);
	if (status == STATUS_OK)
		status = world_begin(world, &seconds, err);
	if (status == STATUS_OK)
		status = saver_wait(world->saver, err);
	world_close_tables(world);
	return status;
}

/* The first export warms up and says how many bytes a plain writer has to write. */
static enum status run(struct checkpoint_world *world, struct error *err)
{
	const uint64_t rounds = bench_size(world->bench, ROUNDS_FULL, 3, 3);
	struct bench_samples samples[SAMPLES] = {0};
	uint64_t bytes = 0;
	enum status status = write_checkpoint(world, err);
	for (int i = 0; i < SAMPLES && status == STATUS_OK; i++) {
		status = bench_samples_init(&samples[i], err);
		if (status == STATUS_OK)
			bench_samples_start(&samples[i], world->bench);
	}
	for (uint64_t r = 0; r < rounds + 1 && status == STATUS_OK; r++) {
		status = time_export(world, &samples[EXPORT], &bytes, err);
		if (status == STATUS_OK)
			status = time_plain(world, &samples[PLAIN], bytes, err);
	}
	if (status == STATUS_OK)
		status = report(world, samples, bytes, err);
	for (int i = 0; i < SAMPLES; i++)
		bench_samples_fini(&samples[i]);
	return status;
}

int main(int argc, char **argv)
{
	return world_main("bench_export",
		"Measures exports of a checkpoint beside plain writes of the same bytes.", run,
		argc, argv);
}
