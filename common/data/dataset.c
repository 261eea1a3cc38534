/*
 * Design notes. No process keeps more than its own lanes' examples, yet where a lane begins is only
 * known when the whole file was read. So a ratings file is read twice: a survey counts the examples
 * of either set and leaves a mark every megabyte; the collection starts at the mark before the
 * first example wanted and stops behind the last.
 */
#include "common/data/dataset.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define MARK_DISTANCE_BYTES ((size_t)1 << 20)

/* The two sets of examples, as indexes of arrays. */
enum { TRAIN, TEST, SETS };

/* How one file's ratings fall into the sets. */
struct source {
	const char *path;
	enum { ALL_TRAIN, ALL_TEST, BY_HASH } rule;
	uint64_t seed;
	double holdout;
};

/* A place between two lines, and how many examples of each set stand before it. */
struct mark {
	const unsigned char *place;
	uint64_t before[SETS];
};

struct survey {
	uint64_t counts[SETS];
	struct mark *marks; /* ascending, the first at the start of the file */
	size_t mark_count, mark_capacity;
};

/* Examples [first, first + count) of a set, of which `filled` have been found. */
struct block {
	uint64_t first, count, filled;
	struct rating *examples;
};

static int set_of(
	const struct source *source, const struct catalog *catalog, const struct rating *rating)
{
	if (source->rule == ALL_TRAIN)
		return TRAIN;
	if (source->rule == ALL_TEST)
		return TEST;
	return split_is_held_out(source->seed, catalog->user_ids[rating->user],
		       catalog->movie_ids[rating->movie], source->holdout)
		       ? TEST
		       : TRAIN;
}

static enum status take_survey(struct survey *survey, const struct source *source,
	struct ratings_reader *reader, struct error *err)
{
	const unsigned char *next_mark = reader->lines.cursor;
	for (;;) {
		if (reader->lines.cursor >= next_mark) {
			enum status status = memory_grow(&survey->marks, &survey->mark_capacity,
				survey->mark_count + 1, sizeof(*survey->marks), "survey", err);
			if (status != STATUS_OK)
				return status;
			struct mark *mark = &survey->marks[survey->mark_count++];
			mark->place = reader->lines.cursor;
			memcpy(mark->before, survey->counts, sizeof(mark->before));
			size_t left = (size_t)(reader->lines.end - reader->lines.cursor);
			next_mark = reader->lines.cursor +
				    (left < MARK_DISTANCE_BYTES ? left : MARK_DISTANCE_BYTES);
		}
		struct rating rating;
		bool done;
		enum status status = ratings_reader_next(reader, &rating, &done, err);
		if (status != STATUS_OK || done)
			return status;
		survey->counts[set_of(source, reader->catalog, &rating)]++;
	}
}

/* The last mark that no wanted example stands before. */
static const struct mark *first_mark(const struct survey *survey, const struct block blocks[SETS])
{
	size_t chosen = survey->mark_count - 1;
	for (int set = 0; set < SETS; set++) {
		if (blocks[set].count == 0)
			continue;
		while (chosen > 0 && survey->marks[chosen].before[set] > blocks[set].first)
			chosen--;
	}
	return &survey->marks[chosen];
}

static enum status collect(const struct survey *survey, const struct source *source,
	struct ratings_reader *reader, struct block blocks[SETS], struct error *err)
{
	const struct mark *mark = first_mark(survey, blocks);
	uint64_t position[SETS];
	memcpy(position, mark->before, sizeof(position));
	reader->lines.cursor = mark->place;
	while (blocks[TRAIN].filled < blocks[TRAIN].count ||
		blocks[TEST].filled < blocks[TEST].count) {
		struct rating rating;
		bool done;
		enum status status = ratings_reader_next(reader, &rating, &done, err);
		if (status != STATUS_OK)
			return status;
		if (done)
			return error_set(
				err, STATUS_ABORTED, "%s: changed while it was read", source->path);
		int set = set_of(source, reader->catalog, &rating);
		struct block *block = &blocks[set];
		uint64_t at = position[set]++;
		if (at >= block->first && block->filled < block->count)
			block->examples[block->filled++] = rating;
	}
	return STATUS_OK;
}

/* Cuts n examples over the lanes; *ret_block is what the own lanes cover. */
static enum status cut_lanes(struct lane_shard shards[LANES_MAX], uint64_t n,
	const struct dataset_options *options, struct block *ret_block, struct error *err)
{
	const uint64_t lanes = options->lanes;
	/* l*n/L without overflow: l*(n/L) + l*(n%L)/L. */
	for (uint64_t l = 0; l < lanes; l++) {
		uint64_t first = l * (n / lanes) + l * (n % lanes) / lanes;
		uint64_t end = (l + 1) * (n / lanes) + (l + 1) * (n % lanes) / lanes;
		if (end - first > UINT32_MAX)
			return error_set(err, STATUS_RESOURCE_EXHAUSTED,
				"%llu examples are too many for %u lanes: use more lanes",
				(unsigned long long)n, options->lanes);
		shards[l] = (struct lane_shard){.first = first, .count = end - first};
	}
	struct block block = {0};
	if (options->own.count > 0) {
		const struct lane_shard *last =
			&shards[options->own.first + options->own.count - 1];
		block.first = shards[options->own.first].first;
		block.count = last->first + last->count - block.first;
	}
	*ret_block = block;
	return memory_alloc(&ret_block->examples, (size_t)block.count, sizeof(*block.examples),
		"examples", err);
}

static void point_lanes(
	struct lane_shard shards[LANES_MAX], struct lane_span own, const struct rating *examples)
{
	for (uint32_t l = own.first; l < own.first + own.count; l++)
		shards[l].examples = examples + (shards[l].first - shards[own.first].first);
}

/* Reads one file and keeps the own lanes' examples of the sets that it feeds. */
static enum status read_source(struct dataset *dataset, const struct source *source,
	const struct dataset_options *options, struct error *err)
{
	const struct data_options lines = {.skip_bad_lines = options->skip_bad_lines};
	struct ratings_reader reader;
	struct survey survey = {0};
	struct block blocks[SETS] = {0};
	enum status status = ratings_reader_open(
		&reader, &dataset->catalog, source->path, &lines, &dataset->report, err);
	if (status != STATUS_OK)
		return status;
	status = take_survey(&survey, source, &reader, err);
	if (status == STATUS_OK && survey.counts[TRAIN] + survey.counts[TEST] == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s: no ratings", source->path);
	if (status == STATUS_OK && source->rule != ALL_TEST) {
		dataset->train_count = survey.counts[TRAIN];
		status = cut_lanes(
			dataset->train, dataset->train_count, options, &blocks[TRAIN], err);
		dataset->train_block = blocks[TRAIN].examples;
	}
	if (status == STATUS_OK && source->rule != ALL_TRAIN) {
		dataset->test_count = survey.counts[TEST];
		status = cut_lanes(dataset->test, dataset->test_count, options, &blocks[TEST], err);
		dataset->test_block = blocks[TEST].examples;
	}
	/* The survey has counted the bad lines already. */
	reader.report = NULL;
	if (status == STATUS_OK)
		status = collect(&survey, source, &reader, blocks, err);
	free(survey.marks);
	ratings_reader_close(&reader);
	return status;
}

static enum status check_options(const struct dataset_options *options, struct error *err)
{
	if (!(options->holdout >= 0.0 && options->holdout < 1.0))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"holdout %g: expected a share from 0 up to, but not, 1", options->holdout);
	if (options->lanes < 1 || options->lanes > LANES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u lanes: expected 1 to %u",
			options->lanes, LANES_MAX);
	if (options->own.first > options->lanes ||
		options->own.count > options->lanes - options->own.first)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"lanes %u to %u are not among the %u lanes", options->own.first,
			options->own.first + options->own.count, options->lanes);
	return STATUS_OK;
}

static enum status read_ratings(
	struct dataset *dataset, const struct dataset_options *options, struct error *err)
{
	struct source source = {.path = dataset->ratings_path,
		.rule = !options->test_ratings && options->holdout > 0.0 ? BY_HASH : ALL_TRAIN,
		.seed = options->seed,
		.holdout = options->holdout};
	enum status status = read_source(dataset, &source, options, err);
	if (status == STATUS_OK && dataset->train_count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION,
			"%s: all %llu ratings are held out: lower the holdout",
			dataset->ratings_path, (unsigned long long)dataset->test_count);
	if (status != STATUS_OK || !options->test_ratings)
		return status;
	source = (struct source){.path = options->test_ratings, .rule = ALL_TEST};
	return read_source(dataset, &source, options, err);
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
	point_lanes(made.train, options->own, made.train_block);
	point_lanes(made.test, options->own, made.test_block);
	*ret = made;
	return STATUS_OK;
}

void dataset_fini(struct dataset *dataset)
{
	catalog_fini(&dataset->catalog);
	free(dataset->ratings_path);
	free(dataset->train_block);
	free(dataset->test_block);
	*dataset = (struct dataset){0};
}
