#include "worker/lane.h"

#include "common/base/memory.h"
#include "common/base/random.h"

#include <stdlib.h>

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
		.epoch = UINT64_MAX,
		.capacity = capacity,
	};
	enum status status = id_set_init(&lane->user_set, capacity, err);
	if (status == STATUS_OK)
		status = id_set_init(&lane->movie_set, capacity, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&lane->order, lane->train.count, sizeof(*lane->order), "lane order", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&lane->users, capacity, sizeof(*lane->users), "lane batch", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&lane->movies, capacity, sizeof(*lane->movies), "lane batch", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->example_user, capacity, sizeof(*lane->example_user),
			"lane batch", err);
	if (status == STATUS_OK)
		status = memory_alloc(&lane->example_movie, capacity, sizeof(*lane->example_movie),
			"lane batch", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&lane->labels, capacity, sizeof(*lane->labels), "lane batch", err);
	if (status == STATUS_OK)
		status = model_workspace_new(&lane->workspace, model, err);
	if (status != STATUS_OK) {
		lane_fini(lane);
		return error_wrap(err, status, "lane %u", index);
	}
	return STATUS_OK;
}

void lane_fini(struct lane *lane)
{
	model_workspace_free(lane->workspace);
	free(lane->labels);
	free(lane->example_movie);
	free(lane->example_user);
	free(lane->movies);
	free(lane->users);
	free(lane->order);
	id_set_fini(&lane->movie_set);
	id_set_fini(&lane->user_set);
	*lane = (struct lane){0};
}

static void set_order(struct lane *lane, uint64_t epoch)
{
	uint32_t count = (uint32_t)lane->train.count;
	for (uint32_t i = 0; i < count; i++)
		lane->order[i] = i;
	if (lane->options.shuffle) {
		struct random_sequence sequence;
		uint64_t stream = random_substream(random_stream("shuffle"), epoch);
		random_sequence_init(
			&sequence, lane->options.seed, random_substream(stream, lane->index));
		random_shuffle(&sequence, lane->order, count);
	}
	lane->epoch = epoch;
}

static enum status add_user(
	struct lane *lane, uint32_t index, bool unknown, uint32_t *ret, struct error *err)
{
	uint32_t known = lane->user_set.count;
	enum status status = id_set_add(&lane->user_set, (uint64_t)index * 2 + unknown, ret, err);
	if (status == STATUS_OK && lane->user_set.count > known) {
		const struct catalog *catalog = lane->catalog;
		lane->users[*ret] = (struct user_entity){
			.id = unknown ? UNKNOWN_ID : catalog->user_ids[index],
			.gender = catalog->genders[index],
			.age = catalog->ages[index],
			.occupation = catalog->occupations[index],
		};
	}
	return status;
}

static enum status add_movie(
	struct lane *lane, uint32_t index, bool unknown, uint32_t *ret, struct error *err)
{
	uint32_t known = lane->movie_set.count;
	enum status status = id_set_add(&lane->movie_set, (uint64_t)index * 2 + unknown, ret, err);
	if (status == STATUS_OK && lane->movie_set.count > known) {
		const struct catalog *catalog = lane->catalog;
		uint32_t genre = catalog->genre_offsets[index], word = catalog->word_offsets[index];
		lane->movies[*ret] = (struct movie_entity){
			.id = unknown ? UNKNOWN_ID : catalog->movie_ids[index],
			.genres = catalog->genre_values + genre,
			.genre_count = catalog->genre_offsets[index + 1] - genre,
			.words = catalog->word_values + word,
			.word_count = catalog->word_offsets[index + 1] - word,
		};
	}
	return status;
}

static void begin_batch(struct lane *lane)
{
	id_set_clear(&lane->user_set);
	id_set_clear(&lane->movie_set);
	lane->batch.example_count = 0;
}

static enum status add_example(struct lane *lane, const struct rating *rating, bool unknown_user,
	bool unknown_movie, struct error *err)
{
	uint32_t at = lane->batch.example_count++;
	lane->labels[at] = label_of_stars(rating->stars);
	enum status status =
		add_user(lane, rating->user, unknown_user, &lane->example_user[at], err);
	if (status == STATUS_OK)
		status = add_movie(
			lane, rating->movie, unknown_movie, &lane->example_movie[at], err);
	return status;
}

static enum status finish_batch(struct lane *lane, float scale, struct error *err)
{
	lane->batch = (struct model_batch){
		.user_count = lane->user_set.count,
		.users = lane->users,
		.movie_count = lane->movie_set.count,
		.movies = lane->movies,
		.example_count = lane->batch.example_count,
		.example_user = lane->example_user,
		.example_movie = lane->example_movie,
		.labels = lane->labels,
		.scale = scale,
	};
	return model_plan(lane->workspace, &lane->batch, err);
}

/* How many of [begin, begin + count) the shard has, at most the lane's capacity. */
static uint32_t available(const struct lane *lane, uint64_t shard, uint64_t begin, uint32_t count)
{
	uint64_t left = begin < shard ? shard - begin : 0;
	uint32_t most = count < lane->capacity ? count : lane->capacity;
	return left < most ? (uint32_t)left : most;
}

enum status lane_load_train(struct lane *lane, uint64_t epoch, uint64_t begin, uint32_t count,
	float scale, struct error *err)
{
	if (lane->epoch != epoch)
		set_order(lane, epoch);
	begin_batch(lane);
	const uint64_t stream = random_substream(random_stream("unknown"), epoch);
	const double rate = lane->options.unknown_rate;
	uint32_t n = available(lane, lane->train.count, begin, count);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t position = lane->order[begin + i];
		bool unknown_user = false, unknown_movie = false;
		if (rate > 0) {
			uint32_t words[4];
			random_block(
				lane->options.seed, stream, lane->train.first + position, words);
			unknown_user = random_unit_double(words[0]) < rate;
			unknown_movie = random_unit_double(words[1]) < rate;
		}
		enum status status = add_example(
			lane, &lane->train.examples[position], unknown_user, unknown_movie, err);
		if (status != STATUS_OK)
			return status;
	}
	return finish_batch(lane, scale, err);
}

enum status lane_load_test(struct lane *lane, uint64_t begin, uint32_t count, struct error *err)
{
	begin_batch(lane);
	uint32_t n = available(lane, lane->test.count, begin, count);
	for (uint32_t i = 0; i < n; i++) {
		enum status status =
			add_example(lane, &lane->test.examples[begin + i], false, false, err);
		if (status != STATUS_OK)
			return status;
	}
	return finish_batch(lane, 0.0f, err);
}
