#include "common/data/catalog_builder.h"

#include "common/base/memory.h"
#include "common/data/title.h"

#include <stdlib.h>
#include <string.h>

/* The occupations of ml-1m, by number, as its README names them. */
static const char *const occupations_ml_1m[OCCUPATIONS_ML_1M] = {"other", "academic/educator",
	"artist", "clerical/admin", "college/grad student", "customer service",
	"doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student",
	"lawyer", "programmer", "retired", "sales/marketing", "scientist", "self-employed",
	"technician/engineer", "tradesman/craftsman", "unemployed", "writer"};

enum status catalog_builder_init(
	struct catalog_builder *builder, enum data_layout layout, struct error *err)
{
	*builder = (struct catalog_builder){.layout = layout};
	enum status status = id_set_init(&builder->user_ids, 1024, err);
	if (status == STATUS_OK)
		status = id_set_init(&builder->movie_ids, 1024, err);
	if (status == STATUS_OK)
		status = vocabulary_builder_init(&builder->genres, err);
	if (status == STATUS_OK)
		status = vocabulary_builder_init(&builder->words, err);
	if (status == STATUS_OK)
		status = vocabulary_builder_init(&builder->occupations, err);
	return status;
}

void catalog_builder_fini(struct catalog_builder *builder)
{
	id_set_fini(&builder->user_ids);
	id_set_fini(&builder->movie_ids);
	free(builder->users);
	free(builder->movies);
	free(builder->titles);
	free(builder->genre_values);
	free(builder->word_values);
	free(builder->scratch);
	vocabulary_builder_fini(&builder->genres);
	vocabulary_builder_fini(&builder->words);
	vocabulary_builder_fini(&builder->occupations);
	*builder = (struct catalog_builder){0};
}

enum status catalog_parse_id(struct text text, const char *what, uint64_t *ret, struct error *err)
{
	uint64_t id = 0;
	switch (text_to_u64(text, &id)) {
	case NUMBER_MALFORMED:
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s id is not a number", what);
	case NUMBER_TOO_LARGE:
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s id does not fit 64 bits", what);
	case NUMBER_OK:
		break;
	}
	if (id == UINT64_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s id %llu is reserved", what,
			(unsigned long long)id);
	*ret = id;
	return STATUS_OK;
}

/* Adds a new id; a known one is a bad line. */
static enum status claim_id(struct id_set *ids, uint64_t id, const char *what, struct error *err)
{
	uint32_t position;
	if (id_set_find(ids, id) != UINT32_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s %llu came before", what,
			(unsigned long long)id);
	return id_set_add(ids, id, &position, err);
}

enum status catalog_builder_user(
	struct catalog_builder *builder, const struct user_record *user, struct error *err)
{
	enum status status = memory_grow(&builder->users, &builder->user_capacity,
		(size_t)builder->user_count + 1, sizeof(*builder->users), "users", err);
	if (status == STATUS_OK)
		status = claim_id(&builder->user_ids, user->id, "user", err);
	if (status == STATUS_OK)
		builder->users[builder->user_count++] = *user;
	return status;
}

enum status catalog_builder_name(struct catalog_builder *builder, struct vocabulary_builder *names,
	struct text name, uint32_t *ret_number, struct error *err)
{
	enum status status = memory_grow(
		&builder->scratch, &builder->scratch_capacity, name.size * 2 + 1, 1, "name", err);
	if (status != STATUS_OK)
		return status;
	size_t size = latin1_to_utf8(name, builder->scratch);
	return vocabulary_builder_add(names, builder->scratch, size, ret_number, err);
}

static enum status append_words(
	struct catalog_builder *builder, struct text title, struct error *err)
{
	struct text rest = title_without_year(title), word;
	while (title_next_word(&rest, &word)) {
		uint32_t number;
		size_t size = latin1_to_utf8_lower(word, builder->scratch);
		enum status status = vocabulary_builder_add(
			&builder->words, builder->scratch, size, &number, err);
		if (status == STATUS_OK)
			status = memory_grow(&builder->word_values, &builder->word_capacity,
				builder->word_count + 1, sizeof(*builder->word_values),
				"title words", err);
		if (status != STATUS_OK)
			return status;
		builder->word_values[builder->word_count++] = number;
	}
	return STATUS_OK;
}

enum status catalog_builder_movie(
	struct catalog_builder *builder, uint64_t id, struct text title, struct error *err)
{
	title = title_trim(title);
	if (builder->titles_size + title.size * 2 + 1 > UINT32_MAX ||
		builder->word_count + title.size > UINT32_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "titles: more than 4 GiB");
	enum status status = memory_grow(&builder->movies, &builder->movie_capacity,
		(size_t)builder->movie_count + 1, sizeof(*builder->movies), "movies", err);
	if (status == STATUS_OK)
		status = memory_grow(&builder->titles, &builder->titles_capacity,
			builder->titles_size + title.size * 2 + 1, 1, "titles", err);
	if (status == STATUS_OK)
		status = memory_grow(&builder->scratch, &builder->scratch_capacity,
			title.size * 2 + 1, 1, "title", err);
	if (status == STATUS_OK)
		status = claim_id(&builder->movie_ids, id, "movie", err);
	if (status != STATUS_OK)
		return status;
	struct movie_record movie = {.id = id,
		.title = (uint32_t)builder->titles_size,
		.genre_first = (uint32_t)builder->genre_count,
		.word_first = (uint32_t)builder->word_count};
	status = append_words(builder, title, err);
	if (status != STATUS_OK)
		return status;
	builder->titles_size += latin1_to_utf8(title, builder->titles + builder->titles_size);
	builder->titles[builder->titles_size++] = '\0';
	builder->movies[builder->movie_count++] = movie;
	return STATUS_OK;
}

enum status catalog_builder_movie_genre(
	struct catalog_builder *builder, uint32_t genre, struct error *err)
{
	const struct movie_record *movie = &builder->movies[builder->movie_count - 1];
	for (size_t i = movie->genre_first; i < builder->genre_count; i++)
		if (builder->genre_values[i] == genre)
			return STATUS_OK;
	if (builder->genre_count == UINT32_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "genres: too many");
	enum status status = memory_grow(&builder->genre_values, &builder->genre_capacity,
		builder->genre_count + 1, sizeof(*builder->genre_values), "genres", err);
	if (status == STATUS_OK)
		builder->genre_values[builder->genre_count++] = genre;
	return status;
}

static int compare_users(const void *left, const void *right)
{
	uint64_t a = ((const struct user_record *)left)->id;
	uint64_t b = ((const struct user_record *)right)->id;
	return (a > b) - (a < b);
}

static enum status finish_users(
	struct catalog_builder *builder, struct catalog *made, struct error *err)
{
	const uint32_t count = builder->user_count;
	uint32_t *ranks = NULL;
	enum status status;
	if (builder->layout == LAYOUT_ML_1M)
		status = vocabulary_from_words(
			&made->occupation_names, occupations_ml_1m, OCCUPATIONS_ML_1M, err);
	else
		status = vocabulary_builder_sort(
			&builder->occupations, &made->occupation_names, &ranks, err);
	if (status == STATUS_OK)
		status =
			memory_alloc(&made->user_ids, count, sizeof(*made->user_ids), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->genders, count, sizeof(*made->genders), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->ages, count, sizeof(*made->ages), "users", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&made->occupations, count, sizeof(*made->occupations), "users", err);
	if (status != STATUS_OK)
		goto cleanup;
	made->user_count = count;
	qsort(builder->users, count, sizeof(*builder->users), compare_users);
	for (uint32_t i = 0; i < count; i++) {
		const struct user_record *user = &builder->users[i];
		made->user_ids[i] = user->id;
		made->genders[i] = user->gender;
		made->ages[i] = user->age;
		made->occupations[i] = ranks ? (uint16_t)ranks[user->occupation] : user->occupation;
	}
cleanup:
	free(ranks);
	return status;
}

struct movie_order {
	uint64_t id;
	uint32_t number;
};

static int compare_movies(const void *left, const void *right)
{
	uint64_t a = ((const struct movie_order *)left)->id;
	uint64_t b = ((const struct movie_order *)right)->id;
	return (a > b) - (a < b);
}

static enum status allocate_movies(
	const struct catalog_builder *builder, struct catalog *made, struct error *err)
{
	const size_t count = builder->movie_count;
	enum status status =
		memory_alloc(&made->movie_ids, count, sizeof(*made->movie_ids), "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->title_offsets, count + 1, sizeof(*made->title_offsets),
			"movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->genre_offsets, count + 1, sizeof(*made->genre_offsets),
			"movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&made->word_offsets, count + 1, sizeof(*made->word_offsets), "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->titles, builder->titles_size, 1, "titles", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->genre_values, builder->genre_count,
			sizeof(*made->genre_values), "genres", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->word_values, builder->word_count,
			sizeof(*made->word_values), "title words", err);
	return status;
}

/* Copies the movies in the order given; movies[count] is a sentinel with the ends. */
static void arrange_movies(const struct catalog_builder *builder, const struct movie_order *order,
	const uint32_t *genre_ranks, const uint32_t *word_ranks, struct catalog *made)
{
	uint32_t title = 0, genre = 0, word = 0;
	for (uint32_t i = 0; i < builder->movie_count; i++) {
		const struct movie_record *movie = &builder->movies[order[i].number];
		made->movie_ids[i] = movie->id;
		made->title_offsets[i] = title;
		made->genre_offsets[i] = genre;
		made->word_offsets[i] = word;
		uint32_t size = movie[1].title - movie->title;
		memcpy(made->titles + title, builder->titles + movie->title, size);
		title += size;
		for (uint32_t j = movie->genre_first; j < movie[1].genre_first; j++)
			made->genre_values[genre++] = genre_ranks[builder->genre_values[j]];
		for (uint32_t j = movie->word_first; j < movie[1].word_first; j++)
			made->word_values[word++] = word_ranks[builder->word_values[j]];
	}
	made->title_offsets[builder->movie_count] = title;
	made->genre_offsets[builder->movie_count] = genre;
	made->word_offsets[builder->movie_count] = word;
	made->movie_count = builder->movie_count;
}

static enum status finish_movies(
	struct catalog_builder *builder, struct catalog *made, struct error *err)
{
	const uint32_t count = builder->movie_count;
	struct movie_order *order = NULL;
	uint32_t *genre_ranks = NULL, *word_ranks = NULL;
	enum status status =
		vocabulary_builder_sort(&builder->genres, &made->genres, &genre_ranks, err);
	if (status == STATUS_OK)
		status = vocabulary_builder_sort(&builder->words, &made->words, &word_ranks, err);
	if (status == STATUS_OK)
		status = memory_alloc(&order, count, sizeof(*order), "movies", err);
	if (status == STATUS_OK)
		status = memory_grow(&builder->movies, &builder->movie_capacity, (size_t)count + 1,
			sizeof(*builder->movies), "movies", err);
	if (status == STATUS_OK)
		status = allocate_movies(builder, made, err);
	if (status != STATUS_OK)
		goto cleanup;
	builder->movies[count] = (struct movie_record){.title = (uint32_t)builder->titles_size,
		.genre_first = (uint32_t)builder->genre_count,
		.word_first = (uint32_t)builder->word_count};
	for (uint32_t i = 0; i < count; i++)
		order[i] = (struct movie_order){.id = builder->movies[i].id, .number = i};
	qsort(order, count, sizeof(*order), compare_movies);
	arrange_movies(builder, order, genre_ranks, word_ranks, made);
cleanup:
	free(order);
	free(genre_ranks);
	free(word_ranks);
	return status;
}

enum status catalog_builder_finish(
	struct catalog_builder *builder, struct catalog *ret, struct error *err)
{
	struct catalog made = {.layout = builder->layout};
	enum status status = finish_users(builder, &made, err);
	if (status == STATUS_OK)
		status = finish_movies(builder, &made, err);
	if (status == STATUS_OK)
		status = catalog_index(&made, err);
	if (status != STATUS_OK) {
		catalog_fini(&made);
		return status;
	}
	*ret = made;
	return STATUS_OK;
}

enum status catalog_builder_finish_movies(
	struct catalog_builder *builder, struct catalog *ret, struct error *err)
{
	struct catalog made = {.layout = builder->layout};
	enum status status = finish_movies(builder, &made, err);
	if (status == STATUS_OK)
		status = catalog_index_movies(&made, err);
	if (status != STATUS_OK) {
		catalog_fini(&made);
		return status;
	}
	*ret = made;
	return STATUS_OK;
}
