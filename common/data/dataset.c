#include "common/data/dataset.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Counts a file's examples while it is checked. */
static enum status begin_counting(void *context, const struct ratings_file *file, struct error *err)
{
	struct dataset *dataset = context;
	struct example_set *set = file == &dataset->files[DATASET_TEST_RATINGS]
					  ? &dataset->test_set
					  : &dataset->train_set;
	return example_set_begin(set, file, &dataset->catalog, err);
}

static void count_train(void *context, uint64_t block, const struct rating *ratings, size_t count)
{
	struct dataset *dataset = context;
	example_set_count(&dataset->train_set, block, ratings, count);
}

static void count_test(void *context, uint64_t block, const struct rating *ratings, size_t count)
{
	struct dataset *dataset = context;
	example_set_count(&dataset->test_set, block, ratings, count);
}

static enum status read_file(struct dataset *dataset, int file, const char *path,
	ratings_visitor *visit, const struct dataset_options *options, struct error *err)
{
	const struct data_options lines = {.skip_bad_lines = options->skip_bad_lines};
	const struct ratings_cache cache = {
		.path = path,
		.catalog = &dataset->catalog,
		.lines = &lines,
		.options = &options->cache,
		.begin = begin_counting,
		.visit = visit,
		.context = dataset,
	};
	return ratings_cache_open(
		&dataset->files[file], &cache, &dataset->report, dataset->notes[file], err);
}

static void cut_lanes(struct lane_shard shards[LANES_MAX], uint64_t n, uint64_t lanes)
{
	/* l*n/L without overflow: l*(n/L) + l*(n%L)/L. */
	for (uint64_t l = 0; l < lanes; l++) {
		uint64_t first = l * (n / lanes) + l * (n % lanes) / lanes;
		uint64_t end = (l + 1) * (n / lanes) + (l + 1) * (n % lanes) / lanes;
		shards[l] = (struct lane_shard){.first = first, .count = end - first};
	}
}

static enum status check_options(const struct dataset_options *options, struct error *err)
{
	if (!(options->holdout >= 0.0 && options->holdout < 1.0))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"holdout %g: expected a share from 0 up to, but not, 1", options->holdout);
	if (options->lanes < 1 || options->lanes > LANES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u lanes: expected 1 to %u",
			options->lanes, LANES_MAX);
	return STATUS_OK;
}

static enum status read_ratings(
	struct dataset *dataset, const struct dataset_options *options, struct error *err)
{
	const bool by_hash = !options->test_ratings && options->holdout > 0.0;
	const struct split split = split_make(options->seed, options->holdout);
	dataset->train_set.split = split;
	dataset->train_set.rule = by_hash ? EXAMPLES_NOT_HELD_OUT : EXAMPLES_ALL;
	enum status status = read_file(
		dataset, DATASET_RATINGS, dataset->ratings_path, count_train, options, err);
	if (status != STATUS_OK)
		return status;
	example_set_end(&dataset->train_set);
	if (by_hash)
		status = example_set_complement(&dataset->test_set, &dataset->train_set, err);
	dataset->train_count = example_set_size(&dataset->train_set);
	if (status == STATUS_OK && dataset->train_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: all %llu ratings are held out: lower the holdout",
			dataset->ratings_path,
			(unsigned long long)dataset->files[DATASET_RATINGS].count);
	if (status == STATUS_OK && options->test_ratings) {
		status = read_file(dataset, DATASET_TEST_RATINGS, options->test_ratings, count_test,
			options, err);
		if (status == STATUS_OK)
			example_set_end(&dataset->test_set);
	}
	dataset->test_count = example_set_size(&dataset->test_set);
	return status;
}

enum status dataset_open(
	struct dataset *ret, const struct dataset_options *options, struct error *err)
{
	const struct data_options lines = {.skip_bad_lines = options->skip_bad_lines};
	char path[PATH_SIZE];
	struct dataset made = {0};
	enum status status = check_options(options, err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(
		&made.files, DATASET_FILES, sizeof(*made.files), "ratings files", err);
	if (status == STATUS_OK)
		status = catalog_load(&made.catalog, options->directory, &lines, &made.report, err);
	if (status == STATUS_OK)
		status = path_join(
			path, options->directory, layout_ratings_file(made.catalog.layout), err);
	if (status == STATUS_OK && !(made.ratings_path = strdup(path)))
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a path");
	if (status == STATUS_OK)
		status = read_ratings(&made, options, err);
	if (status != STATUS_OK) {
		dataset_fini(&made);
		return status;
	}
	cut_lanes(made.train, made.train_count, options->lanes);
	cut_lanes(made.test, made.test_count, options->lanes);
	*ret = made;
	return STATUS_OK;
}

void dataset_fini(struct dataset *dataset)
{
	example_set_fini(&dataset->train_set);
	example_set_fini(&dataset->test_set);
	for (int i = 0; dataset->files && i < DATASET_FILES; i++)
		ratings_file_close(&dataset->files[i]);
	free(dataset->files);
	catalog_fini(&dataset->catalog);
	free(dataset->ratings_path);
	*dataset = (struct dataset){0};
}
