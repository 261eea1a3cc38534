#include "common/data/catalog_revise.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* The sizes of the arrays to come. */
struct sizes {
	uint64_t movies, titles, genres, words;
};

/* A movie of the new catalog: `before` in the old one, or a revision. */
typedef void visit_fn(void *context, uint32_t before, const struct movie_revision *revision);

void catalog_numbers_fini(struct catalog_numbers *numbers)
{
	free(numbers->before);
	free(numbers->now);
	*numbers = (struct catalog_numbers){0};
}

void catalog_take_movies(struct catalog *to, const struct catalog *from)
{
	to->movie_count = from->movie_count;
	to->movie_ids = from->movie_ids;
	to->title_offsets = from->title_offsets;
	to->titles = from->titles;
	to->genre_offsets = from->genre_offsets;
	to->genre_values = from->genre_values;
	to->word_offsets = from->word_offsets;
	to->word_values = from->word_values;
	to->movie_index = from->movie_index;
}

/* Visits the movies of the new catalog in the order of their ids. */
static void walk(const struct catalog *catalog, const struct movie_revision *revisions,
	size_t count, visit_fn *visit, void *context)
{
	size_t r = 0;
	for (uint32_t m = 0; m < catalog->movie_count || r < count;) {
		const bool left = m < catalog->movie_count;
		if (r == count || (left && catalog->movie_ids[m] < revisions[r].id)) {
			visit(context, m++, NULL);
			continue;
		}
		const bool same = left && catalog->movie_ids[m] == revisions[r].id;
		if (revisions[r].title)
			visit(context, same ? m : MOVIE_NOT_THERE, &revisions[r]);
		m += same;
		r++;
	}
}

struct counting {
	const struct catalog *catalog;
	struct sizes sizes;
};

static void count_movie(void *context, uint32_t before, const struct movie_revision *revision)
{
	struct counting *counting = context;
	const struct catalog *catalog = counting->catalog;
	struct sizes *sizes = &counting->sizes;
	sizes->movies++;
	if (revision) {
		sizes->titles += strlen(revision->title) + 1;
		sizes->genres += revision->genre_count;
		sizes->words += revision->word_count;
	} else {
		sizes->titles +=
			catalog->title_offsets[before + 1] - catalog->title_offsets[before];
		sizes->genres +=
			catalog->genre_offsets[before + 1] - catalog->genre_offsets[before];
		sizes->words += catalog->word_offsets[before + 1] - catalog->word_offsets[before];
	}
}

struct filling {
	const struct catalog *from;
	struct catalog *to;
	struct catalog_numbers *numbers;
};

static void fill_movie(void *context, uint32_t before, const struct movie_revision *revision)
{
	const struct filling *filling = context;
	const struct catalog *from = filling->from;
	struct catalog *to = filling->to;
	const uint32_t m = to->movie_count++;
	struct movie_revision movie;
	if (revision) {
		movie = *revision;
	} else {
		movie = (struct movie_revision){.id = from->movie_ids[before],
			.title = catalog_title(from, before),
			.genres = from->genre_values + from->genre_offsets[before],
			.words = from->word_values + from->word_offsets[before],
			.genre_count =
				from->genre_offsets[before + 1] - from->genre_offsets[before],
			.word_count = from->word_offsets[before + 1] - from->word_offsets[before]};
	}
	const size_t title_size = strlen(movie.title) + 1;
	to->movie_ids[m] = movie.id;
	memcpy(to->titles + to->title_offsets[m], movie.title, title_size);
	if (movie.genre_count)
		memcpy(to->genre_values + to->genre_offsets[m], movie.genres,
			movie.genre_count * sizeof(*movie.genres));
	if (movie.word_count)
		memcpy(to->word_values + to->word_offsets[m], movie.words,
			movie.word_count * sizeof(*movie.words));
	to->title_offsets[m + 1] = to->title_offsets[m] + (uint32_t)title_size;
	to->genre_offsets[m + 1] = to->genre_offsets[m] + movie.genre_count;
	to->word_offsets[m + 1] = to->word_offsets[m] + movie.word_count;
	filling->numbers->before[m] = before;
	if (before != MOVIE_NOT_THERE)
		filling->numbers->now[before] = m;
}

static enum status check(const struct sizes *sizes, const struct movie_revision *revisions,
	size_t count, struct error *err)
{
	for (size_t r = 1; r < count; r++)
		if (revisions[r].id <= revisions[r - 1].id)
			return error_set(err, STATUS_DATA_LOSS,
				"changed movies: ids do not ascend at entry %zu", r);
	if (sizes->movies == 0)
		return error_set(err, STATUS_FAILED_PRECONDITION, "no movie would be left");
	if (sizes->movies >= MOVIE_NOT_THERE || sizes->titles > UINT32_MAX ||
		sizes->genres > UINT32_MAX || sizes->words > UINT32_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "changed movies: more than 4 GiB");
	return STATUS_OK;
}

static enum status allocate(struct catalog *made, struct catalog_numbers *numbers,
	const struct sizes *sizes, uint32_t before_count, struct error *err)
{
	const size_t count = (size_t)sizes->movies, size = sizeof(uint32_t);
	enum status status =
		memory_alloc(&made->movie_ids, count, sizeof(*made->movie_ids), "movies", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&made->title_offsets, count + 1, size, "movies", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&made->genre_offsets, count + 1, size, "movies", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&made->word_offsets, count + 1, size, "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->titles, (size_t)sizes->titles, 1, "titles", err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&made->genre_values, (size_t)sizes->genres, size, "genres", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made->word_values, (size_t)sizes->words, size, "words", err);
	if (status == STATUS_OK)
		status = memory_alloc(&numbers->before, count, size, "movies", err);
	if (status == STATUS_OK)
		status = memory_alloc(&numbers->now, before_count, size, "movies", err);
	for (uint32_t m = 0; status == STATUS_OK && m < before_count; m++)
		numbers->now[m] = MOVIE_NOT_THERE;
	return status;
}

enum status catalog_revise(struct catalog *catalog, const struct movie_revision *revisions,
	size_t count, struct catalog *ret_before, struct catalog_numbers *ret_numbers,
	struct error *err)
{
	/* What it is made of is its own; users and vocabularies are lent for the check. */
	struct catalog movies = {0}, made = *catalog;
	struct catalog_numbers numbers = {0};
	struct counting counting = {.catalog = catalog};
	walk(catalog, revisions, count, count_movie, &counting);
	enum status status = check(&counting.sizes, revisions, count, err);
	if (status == STATUS_OK)
		status = allocate(&movies, &numbers, &counting.sizes, catalog->movie_count, err);
	if (status == STATUS_OK) {
		struct filling filling = {.from = catalog, .to = &movies, .numbers = &numbers};
		walk(catalog, revisions, count, fill_movie, &filling);
		catalog_take_movies(&made, &movies);
		status = catalog_index_movies(&made, err);
	}
	if (status != STATUS_OK) {
		catalog_fini(&movies);
		catalog_numbers_fini(&numbers);
		return status;
	}
	*ret_before = (struct catalog){.layout = catalog->layout};
	catalog_take_movies(ret_before, catalog);
	*catalog = made;
	*ret_numbers = numbers;
	return STATUS_OK;
}
