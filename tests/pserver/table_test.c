#include "pserver/table.h"

#include "common/base/random.h"
#include "pserver/placement.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

/* A ck_assert() for inner loops: Check writes to a file for every one that it is asked. */
#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

static struct table_schema schema_of(uint32_t dim, enum optimizer_kind kind)
{
	struct table_spec spec = {.name = "word",
		.dim = dim,
		.init_limit = 0.25f,
		.optimizer = optimizer_defaults(kind)};
	struct error err;
	assert_ok(table_spec_validate(&spec, &err), &err);
	return table_schema_of(&spec, 11);
}

/* The inverse of hash_u64(): ids that fall wherever a test wants them. */
static uint64_t id_of_hash(uint64_t hash)
{
	uint64_t x = hash;
	x ^= x >> 31 ^ x >> 62;
	x *= UINT64_C(0x319642B2D24D8EC3);
	x ^= x >> 27 ^ x >> 54;
	x *= UINT64_C(0x96DE1B173F119089);
	x ^= x >> 30 ^ x >> 60;
	return x - UINT64_C(0x9E3779B97F4A7C15);
}

/* A table of one partition: its ids must have a hash below 2^(64 - VIRTUAL_SHARD_BITS). */
static struct table one_partition(
	const struct table_schema *schema, struct table_partition *partition)
{
	*partition = (struct table_partition){0};
	return (struct table){.schema = *schema, .partitions = partition};
}

/*
 * A plain map as the table's model: the ids are known beforehand, so it is two arrays. It applies
 * SGD as written in the book.
 */
struct model {
	const struct table_schema *schema;
	uint32_t universe, buckets;
	uint64_t *ids;	/* [universe] */
	float *rows;	/* [universe x dim] */
	bool *created;	/* [universe] */
	uint32_t count; /* created ones */
};

/*
 * buckets: 0, or hashes differ only far above and in their lowest bits, so that whatever the size
 * of the index all ids belong to so many neighbouring buckets, and as many have the same tag.
 */
static void model_init(struct model *model, const struct table_schema *schema, uint32_t universe,
	uint32_t buckets, struct random_sequence *random)
{
	const size_t dim = schema->spec.dim;
	*model = (struct model){.schema = schema, .universe = universe, .buckets = buckets};
	model->ids = malloc(universe * sizeof(*model->ids));
	model->rows = malloc(universe * dim * sizeof(*model->rows));
	model->created = calloc(universe, sizeof(*model->created));
	for (uint32_t u = 0; u < universe; u++) {
		uint64_t hash = buckets ? (uint64_t)(u / buckets) << 32 | u % buckets
					: (uint64_t)u << 32 | (uint32_t)random_next(random);
		model->ids[u] = id_of_hash(hash);
		check(hash_u64(model->ids[u]) == hash && virtual_shard_of_hash(hash) == 0);
		random_uniform_row(schema->seed, random_stream(schema->spec.name), model->ids[u],
			schema->spec.init_limit, model->rows + u * dim, dim);
	}
}

static void model_fini(struct model *model)
{
	free(model->ids);
	free(model->rows);
	free(model->created);
}

static void model_create(struct model *model, uint32_t u)
{
	model->count += !model->created[u];
	model->created[u] = true;
}

#define BATCH_MAX 300u

struct batch {
	uint32_t n;
	uint32_t chosen[BATCH_MAX];
	uint64_t ids[BATCH_MAX];
	uint16_t where[BATCH_MAX]; /* reversed, so that it is not the identity */
};

static void choose(struct batch *batch, const struct model *model, struct random_sequence *random)
{
	batch->n = 1 + random_below(random, BATCH_MAX);
	for (uint32_t i = 0; i < batch->n; i++) {
		batch->chosen[i] = random_below(random, model->universe);
		batch->ids[i] = model->ids[batch->chosen[i]];
		batch->where[i] = (uint16_t)(batch->n - 1 - i);
	}
}

static void check_pull(const struct table *table, const struct model *model,
	const struct batch *batch, uint64_t seed)
{
	const size_t dim = model->schema->spec.dim;
	float *rows = malloc(batch->n * dim * sizeof(*rows));
	const struct table_batch all = {.ids = batch->ids, .where = batch->where, .n = batch->n};
	table_pull(table, &all, rows);
	for (uint32_t i = 0; i < batch->n; i++)
		ck_assert_msg(
			memcmp(rows + batch->where[i] * dim, model->rows + batch->chosen[i] * dim,
				dim * sizeof(*rows)) == 0,
			"seed %llu: another row for id %llu", (unsigned long long)seed,
			(unsigned long long)batch->ids[i]);
	free(rows);
}

static void check_apply(struct table *table, struct model *model, const struct batch *batch,
	struct random_sequence *random)
{
	struct error err;
	const size_t dim = model->schema->spec.dim;
	const float rate = model->schema->spec.optimizer.learning_rate;
	float *gradients = malloc(batch->n * dim * sizeof(*gradients));
	for (size_t i = 0; i < batch->n * dim; i++)
		gradients[i] = (float)random_double(random) - 0.5f;
	struct optimizer_step step = optimizer_prepare(&model->schema->spec.optimizer, 1);
	const struct table_batch all = {.ids = batch->ids, .where = batch->where, .n = batch->n};
	assert_ok(table_apply(table, &step, &all, gradients, &err), &err);
	for (uint32_t i = 0; i < batch->n; i++) {
		float *row = model->rows + batch->chosen[i] * dim;
		for (size_t j = 0; j < dim; j++)
			row[j] -= rate * gradients[batch->where[i] * dim + j];
		model_create(model, batch->chosen[i]);
	}
	free(gradients);
}

static void check_restore(struct table *table, struct model *model, const struct batch *batch,
	struct random_sequence *random)
{
	struct error err;
	const size_t dim = model->schema->spec.dim;
	float *records = malloc(batch->n * dim * sizeof(*records));
	for (size_t i = 0; i < batch->n * dim; i++)
		records[i] = (float)random_double(random);
	const struct table_batch all = {.ids = batch->ids, .where = batch->where, .n = batch->n};
	assert_ok(table_restore(table, &all, records, &err), &err);
	for (uint32_t i = 0; i < batch->n; i++) {
		memcpy(model->rows + batch->chosen[i] * dim, records + batch->where[i] * dim,
			dim * sizeof(*records));
		model_create(model, batch->chosen[i]);
	}
	free(records);
}

/* Reading it all, in uneven parts, gives every created row once. */
static void check_read(const struct table_partition *table, const struct model *model,
	struct random_sequence *random, uint64_t seed)
{
	const size_t dim = model->schema->spec.dim;
	uint64_t ids[64];
	float *records = malloc(64 * dim * sizeof(*records));
	bool *seen = calloc(model->universe, sizeof(*seen));
	uint32_t n, position = 0;
	while ((n = table_read(table, model->schema, position, 1 + random_below(random, 64), ids,
			records)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			const uint64_t hash = hash_u64(ids[i]);
			uint32_t u = (uint32_t)(hash >> 32);
			if (model->buckets)
				u = u * model->buckets + (uint32_t)hash;
			check(u < model->universe && model->ids[u] == ids[i]);
			check(model->created[u] && !seen[u]);
			seen[u] = true;
			check(memcmp(records + i * dim, model->rows + u * dim,
				      dim * sizeof(*records)) == 0);
		}
		position += n;
	}
	ck_assert_msg(position == model->count, "seed %llu: %u of %u rows read",
		(unsigned long long)seed, position, model->count);
	free(records);
	free(seen);
}

/* Random calls on a table and on its model, with many seeds and sizes; they must not differ. */
static void run_against_model(
	uint64_t seed, uint32_t dim, uint32_t universe, uint32_t buckets, uint32_t calls)
{
	struct table_schema schema = schema_of(dim, OPTIMIZER_SGD);
	struct table_partition partition;
	struct table table = one_partition(&schema, &partition);
	struct random_sequence random;
	struct model model;
	struct batch batch;
	random_sequence_init(&random, seed, random_stream("table test"));
	model_init(&model, &schema, universe, buckets, &random);
	bool moving = false;
	for (uint32_t call = 0; call < calls; call++) {
		choose(&batch, &model, &random);
		switch (random_below(&random, 4)) {
		case 0:
			check_pull(&table, &model, &batch, seed);
			break;
		case 1:
			check_restore(&table, &model, &batch, &random);
			break;
		default:
			check_apply(&table, &model, &batch, &random);
		}
		ck_assert_uint_eq(table_count(&partition), model.count);
		moving |= partition.index.previous.entries != NULL;
	}
	check_read(&partition, &model, &random, seed);
	ck_assert_msg(moving || universe < 100000, "no call ever met two generations of the index");
	table_partition_fini(&partition, &schema);
	model_fini(&model);
}

START_TEST(random_calls_agree_with_a_plain_map)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		run_against_model(seed, 1 + (uint32_t)seed % 5, 40u << seed, 0, 60);
}
END_TEST

START_TEST(random_calls_agree_while_the_index_grows_through_many_generations)
{
	run_against_model(101, 3, 150000, 0, 2000);
}
END_TEST

START_TEST(ids_of_one_bucket_and_ids_of_one_tag_are_told_apart)
{
	/* As many as fit the next buckets, and more. */
	run_against_model(201, 2, 40, 1, 40);
	run_against_model(202, 2, 1500, 1, 40);
	run_against_model(203, 2, 60, 4, 40);
	run_against_model(204, 2, 1500, 4, 40);
	run_against_model(205, 2, 1500, 64, 40);
}
END_TEST

START_TEST(large_records_cross_from_doubling_pieces_into_whole_chunks)
{
	run_against_model(301, 20000, 130, 0, 4);
}
END_TEST

START_TEST(every_position_has_a_place_of_its_own)
{
	/* 2 records a chunk; 3 floats; a chunk that is no multiple of a cache line. */
	const uint32_t values[] = {3 * TABLE_DIM_MAX, 3, 32767};
	for (size_t v = 0; v < 3; v++) {
		struct error err;
		struct slab_layout layout = slab_layout_of(values[v]);
		struct row_slab slab = {0};
		uint32_t rows = slab_chunk_rows(&layout) * 2 + slab_chunk_rows(&layout) / 2;
		for (uint32_t i = 0; i < rows; i++) {
			check(row_slab_reserve(&slab, &layout, &err) == STATUS_OK);
			float *record = row_slab_append(&slab, &layout, i + 1);
			check(record[0] == 0.0f && record[values[v] - 1] == 0.0f);
			record[values[v] - 1] = (float)i;
		}
		for (uint32_t i = 0; i < rows; i++) {
			check(*row_slab_ids(&slab, &layout, i) == i + 1);
			check(row_slab_at(&slab, &layout, i)[values[v] - 1] == (float)i);
		}
		row_slab_fini(&slab, &layout);
	}
}
END_TEST

START_TEST(an_id_that_comes_twice_is_updated_twice_in_order)
{
	struct error err;
	struct table_schema schema = schema_of(1, OPTIMIZER_MOMENTUM);
	struct table_partition partition;
	struct table table = one_partition(&schema, &partition);
	struct optimizer_step step = optimizer_prepare(&schema.spec.optimizer, 1);
	const uint64_t ids[3] = {id_of_hash(9), id_of_hash(8), id_of_hash(9)};
	const struct table_batch batch = {.ids = ids, .n = 3};
	const float gradients[3] = {1.0f, 2.0f, 4.0f};
	assert_ok(table_apply(&table, &step, &batch, gradients, &err), &err);
	ck_assert_uint_eq(table_count(&partition), 2);
	uint64_t id;
	float record[2], first;
	ck_assert_uint_eq(table_read(&partition, &schema, 0, 1, &id, record), 1);
	random_uniform_row(11, schema.stream, ids[0], 0.25f, &first, 1);
	const float m = schema.spec.optimizer.momentum, rate = schema.spec.optimizer.learning_rate;
	ck_assert_uint_eq(id, ids[0]);
	ck_assert(record[1] == m * 1.0f + 4.0f);
	ck_assert(record[0] == (first - rate * 1.0f) - rate * (m * 1.0f + 4.0f));
	table_partition_fini(&partition, &schema);
}
END_TEST

START_TEST(rows_and_their_state_lie_in_one_record)
{
	struct error err;
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		struct table_schema schema = schema_of(7, (enum optimizer_kind)kind);
		struct table_partition partition;
		struct table table = one_partition(&schema, &partition);
		const size_t slots = optimizer_slot_floats(&schema.spec.optimizer, 7);
		ck_assert_uint_eq(schema.record_floats, 7 + slots);
		struct optimizer_step step = optimizer_prepare(&schema.spec.optimizer, 3);
		const uint64_t id = id_of_hash(77);
		const struct table_batch batch = {.ids = &id, .n = 1};
		const float gradient[7] = {1, -2, 3, -4, 5, -6, 7};
		float expected[21], record[21];
		random_uniform_row(11, schema.stream, id, 0.25f, expected, 7);
		optimizer_init_slots(&schema.spec.optimizer, expected, expected + 7, 7, 7);
		for (int i = 0; i < 2; i++) {
			assert_ok(table_apply(&table, &step, &batch, gradient, &err), &err);
			optimizer_apply(&step, expected, expected + 7, 7, gradient, 7);
		}
		uint64_t read;
		ck_assert_uint_eq(table_read(&partition, &schema, 0, 9, &read, record), 1);
		ck_assert_mem_eq(record, expected, (7 + slots) * sizeof(float));
		table_partition_fini(&partition, &schema);
	}
}
END_TEST

START_TEST(a_small_table_is_small_and_a_large_one_has_little_overhead)
{
	struct error err;
	struct table_schema schema = schema_of(32, OPTIMIZER_SGD);
	struct table_partition partition;
	struct table table = one_partition(&schema, &partition);
	ck_assert_uint_eq(table_bytes(&partition, &schema), 0);
	struct optimizer_step step = optimizer_prepare(&schema.spec.optimizer, 1);
	const float gradient[32] = {0};
	size_t worst = 0;
	for (uint64_t row = 0; row < 200000; row++) {
		const uint64_t id = id_of_hash(hash_u64(row) >> VIRTUAL_SHARD_BITS);
		const struct table_batch batch = {.ids = &id, .n = 1};
		assert_ok(table_apply(&table, &step, &batch, gradient, &err), &err);
		if (row == 1)
			ck_assert_uint_le(table_bytes(&partition, &schema), 1024);
		size_t index = row_index_bytes(&partition.index);
		if (row >= 1000 && index * 1000 / (row + 1) > worst)
			worst = index * 1000 / (row + 1);
	}
	/* The figure in row_index.h: at most 30 bytes a row, while two generations are there. */
	ck_assert_msg(worst <= 30200, "the index took %zu/1000 bytes a row", worst);
	table_partition_fini(&partition, &schema);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {random_calls_agree_with_a_plain_map,
		random_calls_agree_while_the_index_grows_through_many_generations,
		ids_of_one_bucket_and_ids_of_one_tag_are_told_apart,
		large_records_cross_from_doubling_pieces_into_whole_chunks,
		every_position_has_a_place_of_its_own,
		an_id_that_comes_twice_is_updated_twice_in_order,
		rows_and_their_state_lie_in_one_record,
		a_small_table_is_small_and_a_large_one_has_little_overhead, NULL};
	return run_cases("table", cases);
}
