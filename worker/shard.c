#include "worker/shard.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <stdlib.h>

void shard_init(struct shard *shard, const struct example_set *set,
	const struct lane_shard *examples, const struct shard_options *options)
{
	*shard = (struct shard){
		.set = set,
		.examples = *examples,
		.options = *options,
		.whole = examples->count <= SHARD_WINDOW,
		.window_count = 1,
		.epoch = UINT64_MAX,
		.window = UINT32_MAX,
	};
	if (shard->whole)
		return;
	shard->first_block = example_set_block(set, examples->first);
	uint64_t last = example_set_block(set, examples->first + examples->count - 1);
	shard->block_count = (uint32_t)(last - shard->first_block + 1);
	shard->window_count = (shard->block_count + SHARD_WINDOW_BLOCKS - 1) / SHARD_WINDOW_BLOCKS;
}

void shard_fini(struct shard *shard)
{
	free(shard->blocks);
	free(shard->starts);
	free(shard->loaded);
	free(shard->order);
	free(shard->scratch);
	*shard = (struct shard){0};
}

static enum status allocate(struct shard *shard, struct error *err)
{
	static const char what[] = "lane window";
	const size_t places = shard->whole ? (size_t)shard->examples.count : SHARD_WINDOW;
	enum status status =
		memory_alloc(&shard->loaded, places, sizeof(*shard->loaded), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(&shard->order, places, sizeof(*shard->order), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&shard->scratch, RATINGS_BLOCK, sizeof(*shard->scratch), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(&shard->starts, (size_t)shard->window_count + 1,
			sizeof(*shard->starts), what, err);
	if (status == STATUS_OK && !shard->whole)
		status = memory_alloc(
			&shard->blocks, shard->block_count, sizeof(*shard->blocks), what, err);
	return status;
}

/* Which of the set's examples the shard has in its block number `block`. */
static struct lane_shard block_examples(const struct shard *shard, uint32_t block)
{
	const uint64_t *before = shard->set->before + shard->first_block + block;
	uint64_t first = before[0], end = before[1];
	uint64_t shard_end = shard->examples.first + shard->examples.count;
	first = first > shard->examples.first ? first : shard->examples.first;
	end = end < shard_end ? end : shard_end;
	return (struct lane_shard){.first = first, .count = end > first ? end - first : 0};
}

/* Shuffles by a stream of the name, the epoch, the lane and, in a part of it, the part. */
static void shuffle(const struct shard *shard, const char *name, const uint32_t *part,
	uint32_t *values, uint32_t count)
{
	struct random_sequence sequence;
	uint64_t stream = random_substream(random_stream(name), shard->epoch);
	stream = random_substream(stream, shard->options.lane);
	if (part)
		stream = random_substream(stream, *part);
	random_sequence_init(&sequence, shard->options.seed, stream);
	random_shuffle(&sequence, values, count);
}

static void set_epoch(struct shard *shard, uint64_t epoch)
{
	shard->epoch = epoch;
	shard->window = UINT32_MAX;
	shard->starts[0] = 0;
	shard->starts[shard->window_count] = shard->examples.count;
	if (shard->whole)
		return;
	for (uint32_t i = 0; i < shard->block_count; i++)
		shard->blocks[i] = i;
	if (shard->options.shuffle)
		shuffle(shard, "shuffle.blocks", NULL, shard->blocks, shard->block_count);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < shard->block_count; i++) {
		if (i % SHARD_WINDOW_BLOCKS == 0)
			shard->starts[i / SHARD_WINDOW_BLOCKS] = sum;
		sum += block_examples(shard, shard->blocks[i]).count;
	}
}

static enum status load_whole(struct shard *shard, struct error *err)
{
	const uint32_t count = (uint32_t)shard->examples.count;
	if (!shard->is_loaded) {
		enum status status = example_set_read(shard->set, shard->examples.first, count,
			shard->loaded, shard->scratch, err);
		if (status != STATUS_OK)
			return status;
		shard->is_loaded = true;
	}
	for (uint32_t i = 0; i < count; i++)
		shard->order[i] = i;
	if (shard->options.shuffle)
		shuffle(shard, "shuffle", NULL, shard->order, count);
	return STATUS_OK;
}

/* Block i of the window's goes to the places from i * RATINGS_BLOCK on. */
static enum status load_window(struct shard *shard, uint32_t window, struct error *err)
{
	const uint32_t first = window * SHARD_WINDOW_BLOCKS;
	uint32_t count = 0;
	for (uint32_t i = 0; i < SHARD_WINDOW_BLOCKS && first + i < shard->block_count; i++) {
		struct lane_shard part = block_examples(shard, shard->blocks[first + i]);
		enum status status = example_set_read(shard->set, part.first, part.count,
			shard->loaded + (size_t)i * RATINGS_BLOCK, shard->scratch, err);
		if (status != STATUS_OK)
			return status;
		shard->block_firsts[i] = part.first - shard->examples.first;
		for (uint32_t j = 0; j < part.count; j++)
			shard->order[count++] = i * RATINGS_BLOCK + j;
	}
	if (shard->options.shuffle)
		shuffle(shard, "shuffle.window", &window, shard->order, count);
	/* The system reads what comes next while this window is trained on. */
	for (uint32_t i = first + SHARD_WINDOW_BLOCKS;
		i < first + 2 * SHARD_WINDOW_BLOCKS && i < shard->block_count; i++)
		ratings_file_prefetch(shard->set->file, shard->first_block + shard->blocks[i], 1);
	return STATUS_OK;
}

static uint32_t window_of(const struct shard *shard, uint64_t begin)
{
	/* starts[low] <= begin < starts[high] */
	uint32_t low = 0, high = shard->window_count;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (shard->starts[middle] <= begin)
			low = middle;
		else
			high = middle;
	}
	return low;
}

enum status shard_read(struct shard *shard, uint64_t epoch, uint64_t begin, uint32_t count,
	struct shard_run *ret, struct error *err)
{
	enum status status = STATUS_OK;
	if (!shard->starts)
		status = allocate(shard, err);
	if (status != STATUS_OK)
		return status;
	if (shard->epoch != epoch)
		set_epoch(shard, epoch);
	const uint32_t window = window_of(shard, begin);
	if (shard->window != window) {
		shard->window = UINT32_MAX;
		status = shard->whole ? load_whole(shard, err) : load_window(shard, window, err);
		if (status != STATUS_OK)
			return status;
		shard->window = window;
	}
	const uint64_t at = begin - shard->starts[window];
	const uint64_t left = shard->starts[window + 1] - begin;
	*ret = (struct shard_run){
		.loaded = shard->loaded,
		.order = shard->order + at,
		.count = left < count ? (uint32_t)left : count,
	};
	return STATUS_OK;
}
