/* Rows in the order of their tensor, from shards in which they lie in another one. */
#include "inference/export_rows.h"

#include "common/base/random.h"
#include "common/model/model_record.h"
#include "tests/inference/sample.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS	3u
#define DIM_MAX 64u

static char root[PATH_SIZE];
static struct sample sample;

/* What an export reads, with shards of one table. */
struct world {
	struct checkpoint checkpoint;
	struct model *model;
	struct catalog_trained trained;
	struct export_unknown unknown[16];
	struct shard_reader *shards[SHARDS];
	struct export_tables tables;
};

static float value_of(uint64_t id, size_t column)
{
	return (float)(id % 1000003 * DIM_MAX + column);
}

/* Ids in turn to the shards, the last ones first. */
static void write_shards(
	struct world *world, const char *table, uint32_t dim, const uint64_t *ids, size_t count)
{
	struct error err;
	for (size_t s = 0; s < SHARDS; s++) {
		char path[PATH_SIZE], name[MANIFEST_FILE_NAME_SIZE];
		struct file_stamp stamp;
		struct shard_table planned = {.dim = dim};
		uint64_t mine[64];
		float records[64 * DIM_MAX];
		snprintf(planned.name, sizeof(planned.name), "%s", table);
		for (size_t i = count; i-- > 0;) {
			if (i % SHARDS != s)
				continue;
			for (size_t c = 0; c < dim; c++)
				records[planned.count * dim + c] = value_of(ids[i], c);
			mine[planned.count++] = ids[i];
		}
		const struct shard_piece piece = {0, (size_t)planned.count, mine, records};
		checkpoint_shard_name((uint32_t)s, name);
		scratch_path(path, root, name);
		assert_ok(shard_file_write(path, &planned, 1, &piece, 1, &stamp, &err), &err);
		assert_ok(shard_reader_open(&world->shards[s], path, &err), &err);
	}
}

static void world_open(struct world *world, bool far_ids)
{
	struct error err;
	struct model_config config;
	struct model_sizes sizes;
	*world = (struct world){0};
	scratch_open(root);
	sample_open(&sample, &(struct sample_options){.far_ids = far_ids});
	assert_ok(checkpoint_resolve(&world->checkpoint, sample.checkpoints, false, &err), &err);
	assert_ok(model_record_from_json(&config, &sizes, world->checkpoint.manifest.model, &err),
		&err);
	assert_ok(model_new(&world->model, &config, &sizes, &err), &err);
	assert_ok(catalog_trained_init(&world->trained, &sample.catalog, &err), &err);
	world->tables = (struct export_tables){.model = world->model,
		.catalog = &sample.catalog,
		.seed = SAMPLE_SEED,
		.shards = world->shards,
		.shard_count = SHARDS,
		.trained = &world->trained,
		.unknown = world->unknown};
}

static void world_close(struct world *world)
{
	for (size_t s = 0; s < SHARDS; s++)
		shard_reader_close(world->shards[s]);
	catalog_trained_fini(&world->trained);
	model_free(world->model);
	checkpoint_fini(&world->checkpoint);
	sample_close(&sample);
	scratch_close(root);
}

/* Takes all rows of table 0, the users', so many at a time. */
static enum status take_all(struct world *world, size_t piece, float *values, struct error *err)
{
	struct export_rows rows = export_rows_of(&world->tables, 0);
	const size_t dim = rows.table->dim;
	enum status status = export_rows_begin(&rows, err);
	for (uint64_t first = 0; status == STATUS_OK && first < rows.rows; first += piece) {
		const uint64_t left = rows.rows - first;
		status = export_rows_take(&rows, first, left < piece ? (size_t)left : piece,
			values + first * dim, err);
	}
	export_rows_end(&rows);
	free(world->unknown[0].row);
	world->unknown[0].row = NULL;
	return status;
}

/* Users 1, 7 and 40 were sent, 3 was not. */
static void check_rows(struct world *world, size_t window, size_t piece)
{
	struct error err;
	float values[41 * DIM_MAX];
	const struct export_rows rows = export_rows_of(&world->tables, 0);
	const size_t dim = rows.table->dim;
	world->tables.window_rows = window;
	memset(world->trained.users, 0, SAMPLE_USERS);
	assert_ok(take_all(world, piece, values, &err), &err);
	for (uint64_t row = 0; row < rows.rows; row++) {
		float wanted[DIM_MAX];
		const uint64_t id = rows.compact ? sample.catalog.user_ids[row] : row;
		const bool sent = rows.compact ? row != 1 : row == 1 || row == 7 || row == 40;
		random_uniform_row(SAMPLE_SEED, random_stream("user"), id, rows.table->init_limit,
			wanted, dim);
		for (size_t c = 0; sent && c < dim; c++)
			wanted[c] = value_of(id, c);
		ck_assert_msg(memcmp(values + row * dim, wanted, dim * sizeof(float)) == 0,
			"row %u, window %zu, pieces of %zu", (unsigned int)row, window, piece);
	}
	for (size_t u = 0; u < SAMPLE_USERS; u++)
		ck_assert_uint_eq(world->trained.users[u], u != 1);
	ck_assert(world->unknown[0].trained);
}

static void check_all(bool far_ids)
{
	struct world world;
	world_open(&world, far_ids);
	const uint64_t *users = sample.catalog.user_ids;
	const uint64_t ids[] = {users[0], users[2], users[3], UNKNOWN_ID};
	ck_assert_int_eq(export_rows_of(&world.tables, 0).compact, far_ids);
	write_shards(&world, "user", model_table(world.model, 0)->dim, ids, 4);
	for (size_t window = 1; window <= 42; window += 4)
		for (size_t piece = 1; piece <= 42; piece += 3)
			check_rows(&world, window, piece);
	check_rows(&world, 0, 41);
	world_close(&world);
}

START_TEST(rows_are_the_same_for_every_window_and_piece)
{
	check_all(false);
}
END_TEST

START_TEST(compact_rows_are_the_same_for_every_window_and_piece)
{
	check_all(true);
}
END_TEST

static void check_refused(const uint64_t *ids, size_t count, uint32_t dim, const char *message)
{
	struct error err;
	struct world world;
	float values[41 * DIM_MAX];
	world_open(&world, false);
	world.tables.window_rows = 16;
	write_shards(&world, "user", dim ? dim : model_table(world.model, 0)->dim, ids, count);
	assert_fails(take_all(&world, 5, values, &err), STATUS_DATA_LOSS, &err, message);
	world_close(&world);
}

START_TEST(rows_that_are_not_the_model_s_are_refused)
{
	check_refused((const uint64_t[]){1, 2, 40}, 3, 0, "id 2 is not in the catalog");
	check_refused((const uint64_t[]){1, 41}, 2, 0, "id 41 is not in the catalog");
	check_refused((const uint64_t[]){1, UINT64_MAX - 1}, 2, 0, "is not in the catalog");
	check_refused((const uint64_t[]){40, 1, 7, 40}, 4, 0, "id 40 comes twice");
	check_refused((const uint64_t[]){1}, 1, DIM_MAX, "rows of 64 floats");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {rows_are_the_same_for_every_window_and_piece,
		compact_rows_are_the_same_for_every_window_and_piece,
		rows_that_are_not_the_model_s_are_refused, NULL};
	return run_cases("export_rows", cases);
}
