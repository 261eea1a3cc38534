/*
 * Checkpoints and exports against plain writes of the same bytes to the same directory, and
 * training steps beside a checkpoint that is being written.
 *
 * The tables are the model's with many users; a step pushes and pulls rows of random ones. The
 * plain writer writes a file of as many bytes in pieces of a megabyte and syncs it. All of them
 * take turns.
 */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/checkpoint/directory.h"
#include "common/model/model_record.h"
#include "inference/export.h"
#include "pserver/service.h"
#include "tests/bench/bench.h"
#include "worker/params_remote.h"
#include "worker/saver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN_PIECE   ((size_t)1 << 20)
#define STEP_IDS      4096u
#define SHARE	      0.7 /* of what plain writes reach */
#define FILL_IDS      65536u
#define USERS_FULL    2000000u
#define USERS_QUICK   500000u
#define USERS_SMOKE   2000u
#define ROUNDS_FULL   3u
#define STEPS_BETWEEN 300u

struct world {
	const struct bench *bench;
	char root[PATH_SIZE];
	uint64_t users;
	struct catalog catalog;
	struct model *model;
	json_t *model_json;
	struct dense dense;
	struct ps_server *server; /* NULL: tables are embedded */
	struct params *params;
	struct saver *saver;
	uint64_t step;	      /* applied */
	uint64_t *ids;	      /* [FILL_IDS] */
	float *rows;	      /* [FILL_IDS x dim] */
	unsigned char *piece; /* [PLAIN_PIECE] */
	struct random_sequence random;
};

/* ---- the world ---- */

/* Users 1 to n and a few movies, in ml-1m's layout. */
static enum status write_data(const char *directory, uint64_t users, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, directory, "users.dat", err);
	FILE *file = status == STATUS_OK ? fopen(path, "we") : NULL;
	for (uint64_t u = 1; file && u <= users; u++)
		fprintf(file, "%" PRIu64 "::%c::25::%u::00000\n", u, u % 2 ? 'F' : 'M',
			(unsigned int)(u % OCCUPATIONS_ML_1M));
	bool failed = !file || fclose(file) != 0;
	if (status == STATUS_OK)
		status = path_join(path, directory, "movies.dat", err);
	file = status == STATUS_OK && !failed ? fopen(path, "we") : NULL;
	for (unsigned int m = 1; file && m <= 100; m++)
		fprintf(file, "%u::Number %u (1999)::Drama\n", m, m);
	failed = failed || !file || fclose(file) != 0;
	return status == STATUS_OK && failed ? error_set_errno(err, errno, "%s", path) : status;
}

static enum status open_model(struct world *world, struct error *err)
{
	const struct catalog *catalog = &world->catalog;
	struct model_config config;
	const struct optimizer_config optimizer = optimizer_defaults(OPTIMIZER_SGD);
	const struct model_sizes sizes = {.users = catalog_user_rows(catalog),
		.genders = GENDER_COUNT,
		.ages = AGE_BUCKET_COUNT,
		.occupations = catalog_occupation_rows(catalog),
		.movies = catalog_movie_rows(catalog),
		.genres = catalog->genres.count,
		.words = catalog->words.count};
	model_config_init(&config);
	enum status status = model_new(&world->model, &config, &sizes, err);
	if (status == STATUS_OK)
		status = dense_init(&world->dense, world->model, 1, &optimizer, err);
	world->model_json = model_record_to_json(&config, &sizes);
	return status;
}

static enum status connect(struct world *world, const char *listen_url, struct error *err)
{
	struct table_spec specs[MODEL_TABLES_MAX] = {0};
	const uint32_t count = model_table_count(world->model);
	for (uint32_t t = 0; t < count; t++) {
		const struct model_table *table = model_table(world->model, t);
		snprintf(specs[t].name, sizeof(specs[t].name), "%s", table->name);
		specs[t].dim = table->dim;
		specs[t].init_limit = table->init_limit;
		specs[t].optimizer = optimizer_defaults(OPTIMIZER_SGD);
	}
	if (!listen_url)
		return params_embedded_new(&world->params, 1, specs, count, err);
	const struct ps_server_options server = {.listen_url = listen_url};
	enum status status = ps_server_open(&world->server, &server, err);
	if (status != STATUS_OK)
		return status;
	const char *url = ps_server_url(world->server);
	const struct params_remote_options options = {
		.urls = &url,
		.url_count = 1,
		.job = "bench_checkpoint",
		.workers = 1,
		.incarnation = 1,
		.connect_timeout_s = 10,
		.deadline_s = 60,
		.clock = world->bench->clock,
	};
	const struct job_tables job = {
		.seed = 1, .lanes = 1, .tables = specs, .table_count = count};
	return params_remote_new(&world->params, &options, &job, err);
}

/* One step: pushes n gradients to the users and pulls the same rows. */
static enum status run_step(struct world *world, uint32_t n, struct error *err)
{
	const struct params_push push = {
		.table = 0, .count = n, .ids = world->ids, .gradients = world->rows};
	struct params_pull pull = {.table = 0, .count = n, .ids = world->ids, .rows = world->rows};
	const struct params_step step = {.has_push = true,
		.push_step = world->step,
		.pushes = &push,
		.push_count = 1,
		.has_pull = true,
		.pull_step = world->step + 1,
		.pulls = &pull,
		.pull_count = 1};
	world->step++;
	return world->params->operations->exchange(world->params, &step, err);
}

static enum status fill(struct world *world, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint64_t u = 1; u <= world->users && status == STATUS_OK; u += FILL_IDS) {
		uint64_t left = world->users - u + 1;
		uint32_t n = left < FILL_IDS ? (uint32_t)left : FILL_IDS;
		for (uint32_t i = 0; i < n; i++)
			world->ids[i] = u + i;
		status = run_step(world, n, err);
	}
	return status;
}

static enum status open_world(struct world *world, const char *listen_url, struct error *err)
{
	const uint32_t dim = model_table(world->model, 0)->dim;
	enum status status = memory_alloc(&world->ids, FILL_IDS, sizeof(*world->ids), "ids", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&world->rows, (size_t)FILL_IDS * dim, sizeof(*world->rows), "rows", err);
	if (status == STATUS_OK)
		status = connect(world, listen_url, err);
	if (status == STATUS_OK)
		status = fill(world, err);
	const struct saver_options options = {.root = world->root,
		.params = world->params,
		.model = world->model,
		.catalog = &world->catalog,
		.dense_table = UINT32_MAX};
	if (status == STATUS_OK)
		status = saver_new(&world->saver, &options, err);
	return status;
}

static void close_world(struct world *world)
{
	saver_free(world->saver);
	if (world->params)
		(void)!world->params->operations->leave(world->params, false, NULL);
	params_free(world->params);
	ps_server_close(world->server);
	free(world->ids);
	free(world->rows);
	world->saver = NULL;
	world->params = NULL;
	world->server = NULL;
	world->ids = NULL;
	world->rows = NULL;
	world->step = 0;
}

/* ---- what is timed ---- */

static enum status directory_bytes(const char *path, uint64_t *ret, struct error *err)
{
	uint64_t bytes = 0;
	DIR *directory = opendir(path);
	if (!directory)
		return error_set_errno(err, errno, "%s", path);
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		struct stat info;
		if (fstatat(dirfd(directory), entry->d_name, &info, 0) == 0 &&
			S_ISREG(info.st_mode))
			bytes += (uint64_t)info.st_size;
	}
	closedir(directory);
	*ret = bytes;
	return STATUS_OK;
}

/* What was written and removed before is not the next one's: the disk comes to rest. */
static enum status settle(const struct world *world, struct error *err)
{
	int descriptor = open(world->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", world->root);
	enum status status = STATUS_OK;
	if (syncfs(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: syncfs", world->root);
	close(descriptor);
	return status;
}

/* Bytes a second of plain writes. */
static enum status write_plain(
	const struct world *world, uint64_t bytes, double *ret_rate, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, world->root, "plain", err);
	if (status == STATUS_OK)
		status = settle(world, err);
	if (status != STATUS_OK)
		return status;
	const uint64_t start = clock_now_ns(world->bench->clock);
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	for (uint64_t done = 0; done < bytes && status == STATUS_OK;) {
		const uint64_t left = bytes - done;
		const size_t n = left < PLAIN_PIECE ? (size_t)left : PLAIN_PIECE;
		status = file_write_at(descriptor, world->piece, n, done, path, err);
		done += n;
	}
	if (status == STATUS_OK && fsync(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", path);
	close(descriptor);
	*ret_rate = (double)bytes / clock_seconds_since(world->bench->clock, start);
	unlink(path);
	return status;
}

/* What the trainer waits for: everything up to the start of the saver's thread. */
static enum status begin(struct world *world, double *ret_seconds, struct error *err)
{
	struct saver_job job = {.manifest = {.step = world->step,
					.seed = 1,
					.test_rmse = NAN,
					.model = json_incref(world->model_json),
					.training = json_object()}};
	const uint64_t start = clock_now_ns(world->bench->clock);
	enum status status = data_source_init(&job.manifest.data, world->root, NULL, 0, 0, err);
	if (status == STATUS_OK)
		status = dense_copy(&job.dense, &world->dense, err);
	if (status == STATUS_OK)
		status = world->params->operations->cut(world->params, world->step, err);
	if (status != STATUS_OK) {
		saver_job_fini(&job);
		return status;
	}
	status = saver_start(world->saver, &job, err);
	*ret_seconds = clock_seconds_since(world->bench->clock, start);
	return status;
}

static enum status checkpoint(struct world *world, double *ret_rate, double *ret_blocked,
	uint64_t *ret_bytes, struct error *err)
{
	char path[PATH_SIZE];
	const uint64_t start = clock_now_ns(world->bench->clock);
	enum status status = begin(world, ret_blocked, err);
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

static enum status export(
	const struct world *world, double *ret_rate, uint64_t *ret_bytes, struct error *err) {
	char out[PATH_SIZE]; struct export_report report;
	enum status status = path_join(out, world->root, "model", err);
	const struct export_options options = {.checkpoint = world->root, .out = out};
	if (status == STATUS_OK) status = settle(world, err);
	const uint64_t start = clock_now_ns(world->bench->clock);
	if (status == STATUS_OK) status = export_model(&options, &report, err);
	const double seconds = clock_seconds_since(world->bench->clock, start);
	if (status == STATUS_OK) status = directory_bytes(out, ret_bytes, err);
	*ret_rate = (double)*ret_bytes / seconds;
	if (status == STATUS_OK) status = directory_remove(out, err);
	return status;
}

/* ---- cases ---- */

enum { PLAIN, CHECKPOINT, EXPORT, BLOCKED, STEP, STEP_BESIDE, SAMPLES };

static enum status add_steps(
	struct world *world, struct bench_samples *samples, bool beside, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t s = 0; status == STATUS_OK; s++) {
		if (beside ? saver_state(world->saver) != SAVER_WRITING : s == STEPS_BETWEEN)
			break;
		for (uint32_t i = 0; i < STEP_IDS; i++)
			world->ids[i] = 1 + random_next(&world->random) % world->users;
		const uint64_t start = clock_now_ns(world->bench->clock);
		status = run_step(world, STEP_IDS, err);
		bench_samples_add(
			samples, 1e-6 * (double)(clock_now_ns(world->bench->clock) - start));
	}
	return status;
}

static enum status time_checkpoint(
	struct world *world, struct bench_samples *samples, uint64_t *ret_bytes, struct error *err)
{
	double rate = 0, blocked = 0;
	enum status status = settle(world, err);
	if (status == STATUS_OK)
		status = checkpoint(world, &rate, &blocked, ret_bytes, err);
	bench_samples_add(&samples[CHECKPOINT], 1e-6 * rate);
	bench_samples_add(&samples[BLOCKED], 1e3 * blocked);
	return status;
}

static enum status time_plain(
	struct world *world, struct bench_samples *samples, uint64_t bytes, struct error *err)
{
	double rate = 0;
	enum status status = write_plain(world, bytes, &rate, err);
	bench_samples_add(&samples[PLAIN], 1e-6 * rate);
	return status;
}

static enum status time_export(
	struct world *world, struct bench_samples *samples, uint64_t *ret_bytes, struct error *err)
{
	double rate = 0;
	enum status status = export(world, &rate, ret_bytes, err);
	bench_samples_add(&samples[EXPORT], 1e-6 * rate);
	return status;
}

/* One turn of everything. A disk is busy for a while with what was removed, so removals do not
 * stand before the same one each time. */
static enum status run_round(struct world *world, uint64_t round, struct bench_samples *samples,
	uint64_t bytes[2], struct error *err)
{
	double blocked = 0;
	enum status status = checkpoint_discard(world->root, err);
	if (status == STATUS_OK)
		status = add_steps(world, &samples[STEP], false, err);
	if (status == STATUS_OK && round % 2 && bytes[0] > 0)
		status = time_plain(world, samples, bytes[0], err);
	if (status == STATUS_OK)
		status = time_checkpoint(world, samples, &bytes[0], err);
	if (status == STATUS_OK && !world->server)
		status = time_export(world, samples, &bytes[1], err);
	if (status == STATUS_OK && round % 2 == 0)
		status = time_plain(world, samples, bytes[0], err);
	if (status == STATUS_OK)
		status = begin(world, &blocked, err);
	bench_samples_add(&samples[BLOCKED], 1e3 * blocked);
	if (status == STATUS_OK)
		status = add_steps(world, &samples[STEP_BESIDE], true, err);
	if (status == STATUS_OK)
		status = saver_wait(world->saver, err);
	return status;
}

static enum status report_one(const struct world *world, struct bench_samples *samples,
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
static enum status report_longest(const struct world *world, const struct bench_samples *samples,
	const char *name, struct error *err)
{
	const struct bench_case one = {.name = name, .unit = "ms"};
	if (samples->count == 0)
		return STATUS_OK;
	return bench_report_value(world->bench, &one, samples->values[samples->count - 1],
		json_pack("{s:I, s:s}", "users", (json_int_t)world->users, "tables",
			world->server ? "tcp" : "embedded"),
		err);
}

static enum status report(const struct world *world, struct bench_samples *samples,
	const uint64_t bytes[2], struct error *err)
{
	static const char same_bytes[] = "70% of plain writes of the same bytes";
	const double step = bench_samples_median(&samples[STEP]);
	enum status status =
		report_one(world, &samples[PLAIN], "plain", "MB/s", true, NULL, 0, bytes[0], err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[CHECKPOINT], "checkpoint", "MB/s", true,
			same_bytes, SHARE * bench_samples_median(&samples[PLAIN]), bytes[0], err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[EXPORT], "export", "MB/s", true, same_bytes,
			SHARE * bench_samples_median(&samples[PLAIN]), bytes[1], err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[BLOCKED], "blocked", "ms", false, "a step",
			step, bytes[0], err);
	if (status == STATUS_OK)
		status = report_one(
			world, &samples[STEP], "step", "ms", false, NULL, 0, bytes[0], err);
	if (status == STATUS_OK)
		status = report_one(world, &samples[STEP_BESIDE], "step_beside", "ms", false, NULL,
			0, bytes[0], err);
	if (status == STATUS_OK)
		status = report_longest(world, &samples[STEP], "longest_step", err);
	if (status == STATUS_OK)
		status = report_longest(world, &samples[STEP_BESIDE], "longest_step_beside", err);
	return status;
}

/* All of one kind of tables. */
static enum status run_world(struct world *world, const char *listen_url, struct error *err)
{
	const uint64_t rounds = bench_size(world->bench, ROUNDS_FULL, 3, 3) + 1;
	struct bench_samples samples[SAMPLES] = {0};
	uint64_t bytes[2] = {0};
	enum status status = open_world(world, listen_url, err);
	for (int i = 0; i < SAMPLES && status == STATUS_OK; i++) {
		status = bench_samples_init(&samples[i], err);
		if (status == STATUS_OK)
			bench_samples_start(&samples[i], world->bench);
	}
	for (uint64_t r = 0; r < rounds && status == STATUS_OK; r++)
		status = run_round(world, r, samples, bytes, err);
	if (status == STATUS_OK)
		status = report(world, samples, bytes, err);
	for (int i = 0; i < SAMPLES; i++)
		bench_samples_fini(&samples[i]);
	close_world(world);
	return status;
}

static enum status run_in(struct world *world, struct error *err)
{
	enum status status = write_data(world->root, world->users, err);
	if (status == STATUS_OK)
		status = catalog_load(
			&world->catalog, world->root, &(struct data_options){0}, NULL, err);
	if (status == STATUS_OK)
		status = open_model(world, err);
	if (status == STATUS_OK)
		status = memory_alloc(&world->piece, PLAIN_PIECE, 1, "bytes", err);
	if (status != STATUS_OK)
		return status;
	memset(world->piece, 'x', PLAIN_PIECE);
	if (bench_wants(world->bench, "embedded"))
		status = run_world(world, NULL, err);
	if (status == STATUS_OK && bench_wants(world->bench, "tcp"))
		status = run_world(world, "tcp://127.0.0.1:0", err);
	return status;
}

int main(int argc, char **argv)
{
	const char *directory = getenv("TMPDIR");
	const struct flag flags[] = {{.name = "directory",
		.kind = FLAG_STRING,
		.target = &directory,
		.value_name = "DIR",
		.help = "where to write (TMPDIR, or /tmp)"}};
	const struct flag_group group = {.title = "Options", .flags = flags, .count = 1};
	const struct command_line line = {.program = "bench_checkpoint",
		.summary = "Measures checkpoints and exports beside plain writes, and training "
			   "beside a checkpoint. Cases: embedded, tcp.",
		.groups = &group,
		.group_count = 1};
	struct error err = {0};
	struct bench bench;
	static struct world world;
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	world.bench = &bench;
	world.users = bench_size(&bench, USERS_FULL, USERS_QUICK, USERS_SMOKE);
	random_sequence_init(&world.random, 1, random_stream("steps"));
	snprintf(world.root, sizeof(world.root), "%.1000s/bench-checkpoint-XXXXXX",
		directory ? directory : "/tmp");
	if (!mkdtemp(world.root)) {
		status = error_set_errno(&err, errno, "%s", world.root);
		return flags_exit(line.program, status, &err);
	}
	status = run_in(&world, &err);
	if (directory_remove(world.root, NULL) != STATUS_OK)
		fprintf(stderr, "bench_checkpoint: %s: cannot be removed\n", world.root);
	free(world.piece);
	json_decref(world.model_json);
	dense_fini(&world.dense);
	model_free(world.model);
	catalog_fini(&world.catalog);
	return flags_exit(line.program, status, &err);
}
