#include "worker/lane.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <stdlib.h>

static void batch_fini(struct lane_batch *batch)
{
	model_workspace_free(batch->workspace);
	free(batch->labels);
	free(batch->example_movie);
	free(batch->example_user);
	free(batch->movies);
	free(batch->users);
	id_set_fini(&batch->movie_set);
	id_set_fini(&batch->user_set);
}

static enum status batch_init(struct lane_batch *batch, const struct model *model,
	struct model_scratch *scratch, uint32_t capacity, struct error *err)
{
	static const char what[] = "lane batch";
	batch->capacity = capacity;
	enum status status = id_set_init(&batch->user_set, capacity, err);
	if (status == STATUS_OK)
		status = id_set_init(&batch->movie_set, capacity, err);
	if (status == STATUS_OK)
		status = memory_alloc(&batch->users, capacity, sizeof(*batch->users), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(&batch->movies, capacity, sizeof(*batch->movies), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&batch->example_user, capacity, sizeof(*batch->example_user), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&batch->example_movie, capacity, sizeof(*batch->example_movie), what, err);
	if (status == STATUS_OK)
		status = memory_alloc(&batch->labels, capacity, sizeof(*batch->labels), what, err);
	if (status == STATUS_OK)
		status = model_workspace_new(&batch->workspace, model, scratch, err);
	return status;
}

enum status lane_init(struct lane *lane, uint32_t index, const struct lane_options *options,
	const struct dataset *dataset, const struct model *model, uint32_t capacity,
	struct error *err)
{
	*lane = (struct lane){
		.index = index,
		.options = *options,
		.catalog = &dataset->catalog,
		.train = dataset->train[index],
		.test = dataset->test[index],
	};
	const struct shard_options shard = {
		.seed = options->seed, .lane = index, .shuffle = options->shuffle};
	const struct shard_options in_order = {.lane = index};
	shard_init(&lane->train_shard, &dataset->train_set, &lane->train, &shard);
	shard_init(&lane->test_shard, &dataset->test_set, &lane->test, &in_order);
	enum status status = model_scratch_new(&lane->scratch, model, err);
	for (int i = 0; i < 2 && status == STATUS_OK; i++)
		status = batch_init(&lane->batches[i], model, lane->scratch, capacity, err);
	if (status != STATUS_OK) {
		lane_fini(lane);
		return error_wrap(err, status, "lane %u", index);
	}
	return STATUS_OK;
}

void lane_fini(struct lane *lane)
{
	batch_fini(&lane->batches[0]);
	batch_fini(&lane->batches[1]);
	model_scratch_free(lane->scratch);
	shard_fini(&lane->train_shard);
	shard_fini(&lane->test_shard);
	*lane = (struct lane){0};
}

static enum status add_user(struct lane_batch *batch, const struct catalog *catalog, uint32_t index,
	bool unknown, uint32_t *ret, struct error *err)
{
	uint32_t known = batch->user_set.count;
	enum status status = id_set_add(&batch->user_set, (uint64_t)index * 2 + unknown, ret, err);
	if (status == STATUS_OK && batch->user_set.count > known) {
		batch->users[*ret] = (struct user_entity){
			.id = unknown ? UNKNOWN_ID : catalog->user_ids[index],
			.gender = catalog->genders[index],
			.age = catalog->ages[index],
			.occupation = catalog->occupations[index],
		};
	}
	return status;
}

static enum status add_movie(struct lane_batch *batch, const struct catalog *catalog,
	uint32_t index, bool unknown, uint32_t *ret, struct error *err)
{
	uint32_t known = batch->movie_set.count;
	enum status status = id_set_add(&batch->movie_set, (uint64_t)index * 2 + unknown, ret, err);
	if (status == STATUS_OK && batch->movie_set.count > known) {
		uint32_t genre = catalog->genre_offsets[index], word = catalog->word_offsets[index];
		batch->movies[*ret] = (struct movie_entity){
			.id = unknown ? UNKNOWN_ID : catalog->movie_ids[index],
			.genres = catalog->genre_values + genre,
			.genre_count = catalog->genre_offsets[index + 1] - genre,
			.words = catalog->word_values + word,
			.word_count = catalog->word_offsets[index + 1] - word,
		};
	}
	return status;
}

static void begin_batch(struct lane_batch *batch)
{
	id_set_clear(&batch->user_set);
	id_set_clear(&batch->movie_set);
	batch->examples.example_count = 0;
}

static enum status add_example(struct lane_batch *batch, const struct catalog *catalog,
	const struct rating *rating, bool unknown_user, bool unknown_movie, struct error *err)
{
	uint32_t at = batch->examples.example_count++;
	batch->labels[at] = label_of_stars(rating->stars);
	enum status status =
		add_user(batch, catalog, rating->user, unknown_user, &batch->example_user[at], err);
	if (status == STATUS_OK)
		status = add_movie(batch, catalog, rating->movie, unknown_movie,
			&batch->example_movie[at], err);
	return status;
}

static enum status finish_batch(struct lane_batch *batch, float scale, struct error *err)
{
	batch->examples = (struct model_batch){
		.user_count = batch->user_set.count,
		.users = batch->users,
		.movie_count = batch->movie_set.count,
		.movies = batch->movies,
		.example_count = batch->examples.example_count,
		.example_user = batch->example_user,
		.example_movie = batch->example_movie,
		.labels = batch->labels,
		.scale = scale,
	};
	return model_plan(batch->workspace, &batch->examples, err);
}

/* How many of [begin, begin + count) the shard has, at most the batch's capacity. */
static uint32_t available(
	const struct lane_batch *batch, uint64_t shard, uint64_t begin, uint32_t count)
{
	uint64_t left = begin < shard ? shard - begin : 0;
	uint32_t most = count < batch->capacity ? count : batch->capacity;
	return left < most ? (uint32_t)left : most;
}

/* Whom the mask of the epoch makes unknown. */
struct unknown {
	bool user, movie;
};

static struct unknown draw_unknown(const struct lane *lane, uint64_t stream, uint64_t position)
{
	const double rate = lane->options.unknown_rate;
	uint32_t words[4];
	if (rate <= 0)
		return (struct unknown){false, false};
	random_block(lane->options.seed, stream, lane->train.first + position, words);
	return (struct unknown){
		random_unit_double(words[0]) < rate, random_unit_double(words[1]) < rate};
}

/* Shuffled examples lie anywhere in a shard that no cache holds: their misses overlap. */
static void prefetch(const struct shard_run *run)
{
	for (uint32_t i = 0; i < run->count; i++)
		__builtin_prefetch(&run->loaded[run->order[i]]);
}

enum status lane_load_train(struct lane *lane, uint32_t turn, uint64_t epoch, uint64_t begin,
	uint32_t count, float scale, struct error *err)
{
	struct lane_batch *batch = &lane->batches[turn];
	const struct shard *shard = &lane->train_shard;
	const uint64_t stream = random_substream(random_stream("unknown"), epoch);
	begin_batch(batch);
	uint32_t left = available(batch, lane->train.count, begin, count);
	while (left > 0) {
		struct shard_run run;
		enum status status = shard_read(&lane->train_shard, epoch, begin, left, &run, err);
		if (status == STATUS_OK)
			prefetch(&run);
		for (uint32_t i = 0; status == STATUS_OK && i < run.count; i++) {
			struct unknown unknown =
				draw_unknown(lane, stream, shard_position(shard, run.order[i]));
			status = add_example(batch, lane->catalog, &run.loaded[run.order[i]],
				unknown.user, unknown.movie, err);
		}
		if (status != STATUS_OK)
			return status;
		begin += run.count;
		left -= run.count;
	}
	return finish_batch(batch, scale, err);
}

enum status lane_load_test(
	struct lane *lane, uint32_t turn, uint64_t begin, uint32_t count, struct error *err)
{
	struct lane_batch *batch = &lane->batches[turn];
	begin_batch(batch);
	uint32_t left = available(batch, lane->test.count, begin, count);
	while (left > 0) {
		struct shard_run run;
		enum status status = shard_read(&lane->test_shard, 0, begin, left, &run, err);
		for (uint32_t i = 0; status == STATUS_OK && i < run.count; i++)
			status = add_example(
				batch, lane->catalog, &run.loaded[run.order[i]], false, false, err);
		if (status != STATUS_OK)
			return status;
		begin += run.count;
		left -= run.count;
	}
	return finish_batch(batch, 0.0f, err);
}
