#include "common/data/synth.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/data/alias.h"
#include "common/data/synth_world.h"
#include "common/data/text_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ratings that every user gets, where there are enough for everyone. */
#define RATINGS_PER_USER_MIN 20u
/* Share of the entities that flattens the head of the long tail. */
#define USER_TAIL      0.03
#define MOVIE_TAIL     0.05
#define PROGRESS_EVERY (UINT64_C(1) << 18)

static const char readme_title[] = "Generated ratings (Marquee)\n";

/* What is known of everyone while ratings stream by: O(users + movies). */
struct synth {
	const struct synth_options *options;
	struct synth_world world;
	uint32_t *user_ratings;	     /* [users] how many each gives */
	struct synth_latent *movies; /* [movies] */
	struct alias popularity;     /* over movies */
	uint32_t *seen;		     /* [movies] last user who rated it, plus one */
	double squares_best, squares_bias;
	uint64_t star_sum, star_squares;
};

enum { USERS_FILE, MOVIES_FILE, RATINGS_FILE, README_FILE, FILES };
static const char *const file_names[FILES] = {"users.dat", "movies.dat", "ratings.dat", "README"};

static enum status check_options(const struct synth_options *options, struct error *err)
{
	if (options->users < 1 || options->users > SYNTH_USERS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%llu users: expected 1 to %llu",
			(unsigned long long)options->users, (unsigned long long)SYNTH_USERS_MAX);
	if (options->movies < 2 || options->movies > SYNTH_MOVIES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%llu movies: expected 2 to %llu",
			(unsigned long long)options->movies, (unsigned long long)SYNTH_MOVIES_MAX);
	uint64_t most = options->users * (options->movies / 2);
	if (options->ratings < 1 || options->ratings > most)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"%llu ratings: expected 1 to %llu, half of all pairs of %llu users and "
			"%llu movies",
			(unsigned long long)options->ratings, (unsigned long long)most,
			(unsigned long long)options->users, (unsigned long long)options->movies);
	return STATUS_OK;
}

/* Data that we did not make is not ours to replace. */
static enum status check_directory(const char *directory, struct error *err)
{
	char path[PATH_SIZE], *readme = NULL;
	size_t size = 0;
	enum status status = path_join(path, directory, file_names[README_FILE], err);
	if (status != STATUS_OK)
		return status;
	bool ours = file_exists(path) &&
		    file_read_all(path, (size_t)1 << 20, &readme, &size, NULL) == STATUS_OK &&
		    strncmp(readme, readme_title, strlen(readme_title)) == 0;
	free(readme);
	for (int i = 0; i < FILES && !ours; i++) {
		status = path_join(path, directory, file_names[i], err);
		if (status != STATUS_OK)
			return status;
		if (file_exists(path))
			return error_set(err, STATUS_ALREADY_EXISTS,
				"%s: is there and was not generated: choose another directory",
				path);
	}
	return STATUS_OK;
}

/* A long tail over ranks 0..count-1: (rank + tail*count + 1)^-1.5, as sqrt rounds exactly. */
static double tail_weight(uint32_t rank, uint32_t count, double tail)
{
	double x = (double)rank + tail * (double)count + 1.0;
	return 1.0 / (x * sqrt(x));
}

/* ranks[count]: a random permutation. */
static enum status draw_ranks(
	uint32_t **ret, uint32_t count, uint64_t seed, const char *stream, struct error *err)
{
	uint32_t *ranks;
	struct random_sequence sequence;
	enum status status = memory_alloc(&ranks, count, sizeof(*ranks), "ranks", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < count; i++)
		ranks[i] = i;
	random_sequence_init(&sequence, seed, random_stream(stream));
	random_shuffle(&sequence, ranks, count);
	*ret = ranks;
	return STATUS_OK;
}

/* Gives each user below the cap its share of what is left; returns how much was given. */
static uint64_t share_out(
	uint32_t *given, const uint32_t *ranks, uint32_t users, uint32_t cap, uint64_t left)
{
	double sum = 0.0;
	uint64_t total = 0;
	for (uint32_t i = 0; i < users; i++)
		if (given[i] < cap)
			sum += tail_weight(ranks[i], users, USER_TAIL);
	for (uint32_t i = 0; i < users && sum > 0.0; i++) {
		if (given[i] == cap)
			continue;
		double share = (double)left * tail_weight(ranks[i], users, USER_TAIL) / sum;
		uint32_t room = cap - given[i];
		uint32_t more = share < (double)room ? (uint32_t)share : room;
		if (more > left - total)
			more = (uint32_t)(left - total);
		given[i] += more;
		total += more;
	}
	return total;
}

/* How many ratings each user gives: a long tail, at most half of the movies, `ratings` in all. */
static enum status draw_activity(struct synth *synth, struct error *err)
{
	const struct synth_options *options = synth->options;
	const uint32_t users = (uint32_t)options->users;
	const uint32_t cap = (uint32_t)(options->movies / 2);
	uint32_t *ranks = NULL;
	uint64_t least = options->ratings / options->users / 2;
	if (least > RATINGS_PER_USER_MIN)
		least = RATINGS_PER_USER_MIN;
	enum status status = draw_ranks(&ranks, users, options->seed, "synth.activity", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&synth->user_ratings, users, sizeof(*synth->user_ratings), "users", err);
	if (status != STATUS_OK)
		goto cleanup;
	uint32_t *given = synth->user_ratings;
	for (uint32_t i = 0; i < users; i++)
		given[i] = (uint32_t)least;
	uint64_t left = options->ratings - least * users;
	for (uint64_t more = 1; left > 0 && more > 0; left -= more)
		more = share_out(given, ranks, users, cap, left);
	/* The remainders that rounding down has left. */
	for (uint32_t i = 0; left > 0; i = i + 1 < users ? i + 1 : 0)
		if (given[i] < cap) {
			given[i]++;
			left--;
		}
cleanup:
	free(ranks);
	return status;
}

static char *put_text(char *at, const char *text)
{
	size_t size = strlen(text);
	memcpy(at, text, size);
	return at + size;
}

static void write_users(const struct synth *synth, struct text_writer *writer)
{
	for (uint32_t i = 0; i < (uint32_t)synth->options->users; i++) {
		struct synth_user user;
		synth_world_user(&synth->world, i, &user);
		char *line = text_writer_room(writer);
		int size = snprintf(line, TEXT_WRITER_ROOM_MAX, "%u::%c::%u::%u::%05u\n", i + 1,
			user.gender ? 'F' : 'M', age_buckets[user.age], user.occupation, user.zip);
		text_writer_advance(writer, (size_t)size);
	}
}

static void write_movie(
	struct text_writer *writer, uint32_t number, const struct synth_movie *movie)
{
	char *line = text_writer_room(writer);
	char *at = put_text(text_put_u64(line, (uint64_t)number + 1), "::");
	for (uint32_t i = 0; i < movie->word_count; i++) {
		char word[SYNTH_WORD_SIZE];
		synth_word(movie->words[i], word);
		word[0] = (char)(word[0] - 'a' + 'A');
		at = put_text(put_text(at, word), " ");
	}
	at = put_text(text_put_u64(put_text(at, "("), movie->year), ")::");
	for (uint32_t i = 0; i < movie->genre_count; i++) {
		at = put_text(at, i ? "|" : "");
		at = put_text(at, synth_genre_name(movie->genres[i]));
	}
	at = put_text(at, "\n");
	text_writer_advance(writer, (size_t)(at - line));
}

static enum status make_movies(struct synth *synth, struct text_writer *writer, struct error *err)
{
	const uint32_t count = (uint32_t)synth->options->movies;
	uint32_t *ranks = NULL;
	double *weights = NULL;
	enum status status =
		draw_ranks(&ranks, count, synth->options->seed, "synth.popularity", err);
	if (status == STATUS_OK)
		status = memory_alloc(&weights, count, sizeof(*weights), "movies", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&synth->seen, count, sizeof(*synth->seen), "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&synth->movies, count, sizeof(*synth->movies), "movies", err);
	if (status != STATUS_OK)
		goto cleanup;
	for (uint32_t i = 0; i < count; i++) {
		struct synth_movie movie;
		double popularity = 1.0 - (double)ranks[i] / (double)count;
		synth_world_movie(&synth->world, i, popularity, &movie);
		synth->movies[i] = movie.latent;
		weights[i] = tail_weight(ranks[i], count, MOVIE_TAIL);
		write_movie(writer, i, &movie);
	}
	status = alias_init(&synth->popularity, weights, count, err);
cleanup:
	free(ranks);
	free(weights);
	return status;
}

/*
 * One user's ratings. A draw is one Philox block: two words choose the movie, two are the noise; a
 * movie seen before is drawn again. At most half of the movies are wanted and the unpopular half
 * has a tenth of the weight, so some ten draws are the worst on average.
 */
static void write_user_ratings(struct synth *synth, uint32_t number, struct text_writer *writer)
{
	const struct synth_world *world = &synth->world;
	const uint64_t stream = random_substream(random_stream("synth.rating"), number);
	struct synth_user user;
	char prefix[24];
	synth_world_user(world, number, &user);
	size_t prefix_size =
		(size_t)(put_text(text_put_u64(prefix, (uint64_t)number + 1), "::") - prefix);
	uint64_t counter = 0;
	for (uint32_t order = 1; order <= synth->user_ratings[number]; order++) {
		uint32_t words[4], movie;
		do {
			random_block(world->seed, stream, counter++, words);
			movie = alias_draw(&synth->popularity, words[0], words[1]);
		} while (synth->seen[movie] == number + 1);
		synth->seen[movie] = number + 1;
		const struct synth_latent *latent = &synth->movies[movie];
		double score = synth_score(world, &user.latent, latent);
		uint32_t stars = synth_round(score + SYNTH_NOISE * synth_noise(words[2], words[3]));
		double best = (double)stars - synth_expected(world->expected, score);
		double bias = (double)stars - synth_expected(world->expected_bias,
						      synth_bias_score(&user.latent, latent));
		synth->squares_best += best * best;
		synth->squares_bias += bias * bias;
		synth->star_sum += stars;
		synth->star_squares += (uint64_t)stars * stars;
		char *line = text_writer_room(writer);
		memcpy(line, prefix, prefix_size);
		char *at = text_put_u64(line + prefix_size, (uint64_t)movie + 1);
		memcpy(at, "::0::", 5);
		at[2] = (char)('0' + stars);
		at = text_put_u64(at + 5, order);
		*at++ = '\n';
		text_writer_advance(writer, (size_t)(at - line));
	}
}

static void write_ratings(struct synth *synth, struct text_writer *writer)
{
	const struct synth_options *options = synth->options;
	uint64_t done = 0, next_progress = PROGRESS_EVERY;
	for (uint32_t i = 0; i < (uint32_t)options->users; i++) {
		if (writer->error.status != STATUS_OK)
			return;
		write_user_ratings(synth, i, writer);
		done += synth->user_ratings[i];
		if (options->progress && done >= next_progress) {
			options->progress(options->progress_context, done, options->ratings);
			next_progress = done + PROGRESS_EVERY;
		}
	}
}

static struct synth_report report_of(const struct synth *synth, uint64_t bytes)
{
	const double n = (double)synth->options->ratings;
	const double mean = (double)synth->star_sum / n;
	const double variance = (double)synth->star_squares / n - mean * mean;
	return (struct synth_report){.ratings = synth->options->ratings,
		.bytes = bytes,
		.mean = mean,
		.mean_rmse = sqrt(variance > 0.0 ? variance : 0.0),
		.bias_rmse = sqrt(synth->squares_bias / n),
		.best_rmse = sqrt(synth->squares_best / n)};
}

static void write_readme(const struct synth_options *options, const struct synth_report *report,
	struct text_writer *writer)
{
	char *text = text_writer_room(writer);
	int size = snprintf(text, TEXT_WRITER_ROOM_MAX,
		"%s\n"
		"%llu ratings of %llu movies by %llu users, seed %llu, in the layout of MovieLens "
		"1M\n"
		"(ISO-8859-1, fields split by '::'). Nobody and nothing in it is real.\n\n"
		"  users.dat    UserID::Gender::Age::Occupation::Zip-code\n"
		"  movies.dat   MovieID::Title::Genres\n"
		"  ratings.dat  UserID::MovieID::Rating::Timestamp\n\n"
		"The fourth column of ratings.dat counts each user's ratings from 1. The stars "
		"come\n"
		"from hidden biases and vectors of users and movies, which depend on age, gender,\n"
		"occupation, genres, title words and the ids, plus noise, rounded to 1..5.\n\n"
		"RMSE in stars over all ratings, of predicting\n"
		"  the mean, %.4f                       %.4f\n"
		"  by the true user and movie biases      %.4f\n"
		"  by the truth without the noise         %.4f  (no model can do better)\n",
		readme_title, (unsigned long long)options->ratings,
		(unsigned long long)options->movies, (unsigned long long)options->users,
		(unsigned long long)options->seed, report->mean, report->mean_rmse,
		report->bias_rmse, report->best_rmse);
	text_writer_advance(writer, (size_t)size);
}

static enum status write_files(struct synth *synth, struct text_writer files[FILES],
	struct synth_report *ret, struct error *err)
{
	const struct synth_options *options = synth->options;
	enum status status = STATUS_OK;
	for (int i = 0; status == STATUS_OK && i < FILES; i++)
		status = text_writer_open(&files[i], options->out, file_names[i], err);
	if (status != STATUS_OK)
		return status;
	write_users(synth, &files[USERS_FILE]);
	status = text_writer_complete(&files[USERS_FILE], err);
	if (status == STATUS_OK)
		status = make_movies(synth, &files[MOVIES_FILE], err);
	if (status == STATUS_OK)
		status = text_writer_complete(&files[MOVIES_FILE], err);
	if (status != STATUS_OK)
		return status;
	write_ratings(synth, &files[RATINGS_FILE]);
	status = text_writer_complete(&files[RATINGS_FILE], err);
	if (status != STATUS_OK)
		return status;
	struct synth_report report = report_of(synth, files[RATINGS_FILE].written);
	write_readme(options, &report, &files[README_FILE]);
	status = text_writer_complete(&files[README_FILE], err);
	/* The README first: it says that the rest may be replaced, should we stop in between. */
	for (int i = FILES - 1; status == STATUS_OK && i >= 0; i--)
		status = text_writer_publish(&files[i], err);
	if (status == STATUS_OK)
		status = directory_sync(options->out, err);
	if (status == STATUS_OK)
		*ret = report;
	return status;
}

enum status synth_generate(
	const struct synth_options *options, struct synth_report *ret, struct error *err)
{
	struct synth synth = {.options = options};
	struct text_writer *files = NULL;
	enum status status = check_options(options, err);
	if (status == STATUS_OK)
		status = directory_create(options->out, err);
	if (status == STATUS_OK)
		status = check_directory(options->out, err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(&files, FILES, sizeof(*files), "files", err);
	if (status == STATUS_OK)
		status = synth_world_init(
			&synth.world, options->seed, (uint32_t)options->movies, err);
	if (status == STATUS_OK)
		status = draw_activity(&synth, err);
	if (status == STATUS_OK)
		status = write_files(&synth, files, ret, err);
	for (int i = 0; files && i < FILES; i++)
		text_writer_fini(&files[i]);
	free(files);
	free(synth.user_ratings);
	free(synth.movies);
	free(synth.seen);
	alias_fini(&synth.popularity);
	synth_world_fini(&synth.world);
	return status;
}
