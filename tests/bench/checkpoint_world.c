#include "tests/bench/checkpoint_world.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/model_record.h"
#include "worker/params_remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN_PIECE ((size_t)1 << 20)
#define FILL_IDS    65536u
#define USERS_FULL  2000000u
#define USERS_QUICK 500000u
#define USERS_SMOKE 2000u

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

static enum status open_model(struct checkpoint_world *world, struct error *err)
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

static enum status connect(
	struct checkpoint_world *world, const char *listen_url, struct error *err)
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
		.job = "bench",
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
enum status world_step(struct checkpoint_world *world, uint32_t n, struct error *err)
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

static enum status fill(struct checkpoint_world *world, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint64_t u = 1; u <= world->users && status == STATUS_OK; u += FILL_IDS) {
		uint64_t left = world->users - u + 1;
		uint32_t n = left < FILL_IDS ? (uint32_t)left : FILL_IDS;
		for (uint32_t i = 0; i < n; i++)
			world->ids[i] = u + i;
		status = world_step(world, n, err);
	}
	return status;
}

enum status world_open_tables(
	struct checkpoint_world *world, const char *listen_url, struct error *err)
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

void world_close_tables(struct checkpoint_world *world)
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

enum status directory_bytes(const char *path, uint64_t *ret, struct error *err)
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
enum status world_settle(const struct checkpoint_world *world, struct error *err)
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
enum status world_write_plain(
	const struct checkpoint_world *world, uint64_t bytes, double *ret_rate, struct error *err)
{
	char path[PATH_SIZE];
	enum status status = path_join(path, world->root, "plain", err);
	if (status == STATUS_OK)
		status = world_settle(world, err);
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
enum status world_begin(struct checkpoint_world *world, double *ret_seconds, struct error *err)
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

/* The model of the world's data, in its directory. */
static enum status open_world(struct checkpoint_world *world, struct error *err)
{
	enum status status = write_data(world->root, world->users, err);
	if (status == STATUS_OK)
		status = catalog_load(
			&world->catalog, world->root, &(struct data_options){0}, NULL, err);
	if (status == STATUS_OK)
		status = open_model(world, err);
	if (status == STATUS_OK)
		status = memory_alloc(&world->piece, PLAIN_PIECE, 1, "bytes", err);
	if (status == STATUS_OK)
		memset(world->piece, 'x', PLAIN_PIECE);
	return status;
}

static void close_world(struct checkpoint_world *world)
{
	world_close_tables(world);
	free(world->piece);
	json_decref(world->model_json);
	dense_fini(&world->dense);
	model_free(world->model);
	catalog_fini(&world->catalog);
}

int world_main(const char *program, const char *summary, world_work *work, int argc, char **argv)
{
	const char *directory = getenv("TMPDIR");
	const struct flag flags[] = {{.name = "directory",
		.kind = FLAG_STRING,
		.target = &directory,
		.value_name = "DIR",
		.help = "where to write (TMPDIR, or /tmp)"}};
	const struct flag_group group = {.title = "Options", .flags = flags, .count = 1};
	const struct command_line line = {
		.program = program, .summary = summary, .groups = &group, .group_count = 1};
	struct error err = {0};
	struct bench bench;
	struct checkpoint_world world = {.bench = &bench};
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status != STATUS_OK)
		return flags_exit(program, status, &err);
	world.users = bench_size(&bench, USERS_FULL, USERS_QUICK, USERS_SMOKE);
	snprintf(world.root, sizeof(world.root), "%.1000s/%s-XXXXXX",
		directory ? directory : "/tmp", program);
	if (!mkdtemp(world.root)) {
		status = error_set_errno(&err, errno, "%s", world.root);
		return flags_exit(program, status, &err);
	}
	status = open_world(&world, &err);
	if (status == STATUS_OK)
		status = work(&world, &err);
	if (directory_remove(world.root, NULL) != STATUS_OK)
		fprintf(stderr, "%s: %s: cannot be removed\n", program, world.root);
	close_world(&world);
	return flags_exit(program, status, &err);
}
