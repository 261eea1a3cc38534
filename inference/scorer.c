#include "inference/scorer.h"

#include "common/base/memory.h"
#include "inference/model_changes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Entities in one pass of a tower: the workspace's memory is bounded by it. */
#define PASS SCORER_ENTITIES_MAX

/* A square of a length never counts for less in a cosine. */
#define SQUARE_FLOOR 1e-8

/* More than any model has. */
#define TABLES_MAX 32u

struct scorer {
	const struct model_directory *directory;
	struct model_workspace *workspace;
	bool is_clone;		     /* packed, all_movies and factors are the original's */
	float *packed;		     /* the directory's dense parameters, see model_pack() */
	struct user_entity *users;   /* [PASS] */
	struct movie_entity *movies; /* [PASS] */
	float *rows[TABLES_MAX];     /* of the pass, gathered */
	size_t row_capacity[TABLES_MAX];
	uint32_t entity_tables[3]; /* by enum table_entity: whose ids it is indexed by */
	float *all_movies;	   /* [movie_count x dim] or NULL */
	float *factors[MEASURES];  /* [movie_count] or NULL */
	struct search_items items[MEASURES];
	struct movie_index *index; /* borrowed, or NULL */
};

/* All but what a clone borrows. */
static enum status new_bare(
	struct scorer **ret, const struct model_directory *directory, struct error *err)
{
	struct scorer *scorer;
	const uint32_t tables = model_table_count(directory->model);
	if (tables > TABLES_MAX)
		return error_set(err, STATUS_UNIMPLEMENTED, "%s: a model of %u tables",
			directory->path, tables);
	enum status status = memory_zalloc(&scorer, 1, sizeof(*scorer), "scorer", err);
	if (status != STATUS_OK)
		return status;
	scorer->directory = directory;
	for (uint32_t t = 0; t < tables; t++)
		scorer->entity_tables[table_entity_of(model_table(directory->model, t))] = t;
	status = model_workspace_new(&scorer->workspace, directory->model, NULL, err);
	if (status == STATUS_OK)
		status = memory_alloc(&scorer->users, PASS, sizeof(*scorer->users), "users", err);
	if (status == STATUS_OK)
		status =
			memory_alloc(&scorer->movies, PASS, sizeof(*scorer->movies), "movies", err);
	if (status != STATUS_OK)
		scorer_free(scorer);
	else
		*ret = scorer;
	return status;
}

enum status scorer_new(
	struct scorer **ret, const struct model_directory *directory, struct error *err)
{
	struct scorer *scorer;
	enum status status = new_bare(&scorer, directory, err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(&scorer->packed, model_packed_size(directory->model),
		sizeof(*scorer->packed), "scorer", err);
	if (status != STATUS_OK) {
		scorer_free(scorer);
		return status;
	}
	model_pack(directory->model, scorer->packed, directory->dense, 0,
		model_dense_size(directory->model));
	*ret = scorer;
	return STATUS_OK;
}

enum status scorer_clone(struct scorer **ret, const struct scorer *original, struct error *err)
{
	struct scorer *scorer;
	enum status status = new_bare(&scorer, original->directory, err);
	if (status != STATUS_OK)
		return status;
	scorer->is_clone = true;
	scorer->packed = original->packed;
	scorer->all_movies = original->all_movies;
	memcpy(scorer->factors, original->factors, sizeof(scorer->factors));
	memcpy(scorer->items, original->items, sizeof(scorer->items));
	scorer->index = original->index;
	*ret = scorer;
	return STATUS_OK;
}

void scorer_free(struct scorer *scorer)
{
	if (!scorer)
		return;
	model_workspace_free(scorer->workspace);
	for (uint32_t t = 0; t < TABLES_MAX; t++)
		free(scorer->rows[t]);
	free(scorer->users);
	free(scorer->movies);
	if (!scorer->is_clone) {
		free(scorer->packed);
		free(scorer->all_movies);
		for (int m = 0; m < MEASURES; m++)
			free(scorer->factors[m]);
	}
	free(scorer);
}

const struct model_directory *scorer_directory(const struct scorer *scorer)
{
	return scorer->directory;
}

uint32_t scorer_vector_dim(const struct scorer *scorer)
{
	return model_vector_dim(scorer->directory->model);
}

static bool unknown_trained(const struct scorer *scorer, enum table_entity entity)
{
	return scorer->directory->tables[scorer->entity_tables[entity]].unknown_trained;
}

bool scorer_knows_unknown_users(const struct scorer *scorer)
{
	return unknown_trained(scorer, ENTITY_USER);
}

bool scorer_knows_unknown_movies(const struct scorer *scorer)
{
	return unknown_trained(scorer, ENTITY_MOVIE);
}

bool scorer_user_is_unknown(const struct scorer *scorer, uint32_t user)
{
	return !scorer->directory->trained.users[user] && unknown_trained(scorer, ENTITY_USER);
}

bool scorer_movie_is_unknown(const struct scorer *scorer, uint32_t movie)
{
	return model_movie_is_added(scorer->directory, movie) ||
	       (!scorer->directory->trained.movies[movie] && unknown_trained(scorer, ENTITY_MOVIE));
}

/* Copies the planned rows of every table together, the unknown row not lying with the others. */
static enum status gather_rows(
	struct scorer *scorer, struct model_rows ret_rows[TABLES_MAX], struct error *err)
{
	const struct model *model = scorer->directory->model;
	for (uint32_t t = 0; t < model_table_count(model); t++) {
		const size_t dim = model_table(model, t)->dim;
		uint32_t count;
		const uint64_t *ids = model_plan_ids(scorer->workspace, t, &count);
		enum status status = memory_grow(&scorer->rows[t], &scorer->row_capacity[t],
			count * dim, sizeof(float), "rows", err);
		if (status != STATUS_OK)
			return status;
		for (uint32_t i = 0; i < count; i++)
			model_directory_row(
				scorer->directory, t, ids[i], scorer->rows[t] + i * dim);
		ret_rows[t] = (struct model_rows){.base = scorer->rows[t]};
	}
	return STATUS_OK;
}

typedef enum status tower_fn(struct model_workspace *workspace, const struct model_weights *weights,
	const struct model_rows *rows, float *vectors, struct error *err);

/* One pass of a tower over the users, or the movies, of a batch without examples. */
static enum status pass(struct scorer *scorer, const struct model_batch *batch, tower_fn *tower,
	float *vectors, struct error *err)
{
	struct model_rows rows[TABLES_MAX];
	const struct model_weights weights = {scorer->directory->dense, scorer->packed};
	enum status status = model_plan(scorer->workspace, batch, err);
	if (status == STATUS_OK)
		status = gather_rows(scorer, rows, err);
	if (status == STATUS_OK)
		status = tower(scorer->workspace, &weights, rows, vectors, err);
	return status;
}

enum status scorer_user_entity_vectors(struct scorer *scorer, const struct user_entity *users,
	uint32_t count, float *vectors, struct error *err)
{
	const struct model_batch batch = {.user_count = count, .users = users};
	return pass(scorer, &batch, model_user_vectors, vectors, err);
}

enum status scorer_movie_entity_vectors(struct scorer *scorer, const struct movie_entity *movies,
	uint32_t count, float *vectors, struct error *err)
{
	const struct model_batch batch = {.movie_count = count, .movies = movies};
	return pass(scorer, &batch, model_movie_vectors, vectors, err);
}

struct user_entity scorer_user_entity(const struct scorer *scorer, uint32_t user)
{
	const struct catalog *catalog = &scorer->directory->catalog;
	return (struct user_entity){
		.id = scorer_user_is_unknown(scorer, user) ? UNKNOWN_ID : catalog->user_ids[user],
		.gender = catalog->genders[user],
		.age = catalog->ages[user],
		.occupation = catalog->occupations[user]};
}

struct movie_entity scorer_movie_entity(const struct scorer *scorer, uint32_t movie)
{
	const struct catalog *catalog = &scorer->directory->catalog;
	const uint32_t genre = catalog->genre_offsets[movie], word = catalog->word_offsets[movie];
	return (struct movie_entity){.id = scorer_movie_is_unknown(scorer, movie)
						   ? UNKNOWN_ID
						   : catalog->movie_ids[movie],
		.genres = catalog->genre_values + genre,
		.genre_count = catalog->genre_offsets[movie + 1] - genre,
		.words = catalog->word_values + word,
		.word_count = catalog->word_offsets[movie + 1] - word};
}

enum status scorer_user_vectors(struct scorer *scorer, const uint32_t *users, uint32_t count,
	float *vectors, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	enum status status = STATUS_OK;
	for (uint32_t done = 0, n; status == STATUS_OK && done < count; done += n) {
		n = count - done < PASS ? count - done : PASS;
		for (uint32_t i = 0; i < n; i++)
			scorer->users[i] = scorer_user_entity(scorer, users[done + i]);
		status = scorer_user_entity_vectors(
			scorer, scorer->users, n, vectors + done * dim, err);
	}
	return status;
}

enum status scorer_movie_vectors(struct scorer *scorer, const uint32_t *movies, uint32_t count,
	float *vectors, struct error *err)
{
	const size_t dim = scorer_vector_dim(scorer);
	enum status status = STATUS_OK;
	for (uint32_t done = 0, n; status == STATUS_OK && done < count; done += n) {
		n = count - done < PASS ? count - done : PASS;
		for (uint32_t i = 0; i < n; i++)
			scorer->movies[i] = scorer_movie_entity(scorer, movies[done + i]);
		status = scorer_movie_entity_vectors(
			scorer, scorer->movies, n, vectors + done * dim, err);
	}
	return status;
}

enum status scorer_person_vector(
	struct scorer *scorer, const struct person *person, float *vector, struct error *err)
{
	scorer->users[0] = (struct user_entity){.id = UNKNOWN_ID,
		.gender = person->gender,
		.age = person->age,
		.occupation = person->occupation};
	return scorer_user_entity_vectors(scorer, scorer->users, 1, vector, err);
}

enum status scorer_all_movies(struct scorer *scorer, const float **ret_vectors, struct error *err)
{
	const uint32_t count = scorer->directory->catalog.movie_count;
	const size_t dim = scorer_vector_dim(scorer);
	uint32_t movies[PASS];
	float *vectors = NULL;
	enum status status = STATUS_OK;
	if (!scorer->all_movies) {
		status = memory_alloc(&vectors, count, dim * sizeof(float), "movies", err);
		for (uint32_t done = 0, n; status == STATUS_OK && done < count; done += n) {
			n = count - done < PASS ? count - done : PASS;
			for (uint32_t i = 0; i < n; i++)
				movies[i] = done + i;
			status = scorer_movie_vectors(scorer, movies, n, vectors + done * dim, err);
		}
		if (status != STATUS_OK) {
			free(vectors);
			return status;
		}
		scorer->all_movies = vectors;
	}
	*ret_vectors = scorer->all_movies;
	return STATUS_OK;
}

double scorer_inverse_length(const struct scorer *scorer, const float *vector)
{
	const size_t dim = scorer_vector_dim(scorer);
	double square = 0;
	for (size_t i = 0; i < dim; i++)
		square += (double)vector[i] * (double)vector[i];
	return 1 / sqrt(square < SQUARE_FLOOR ? SQUARE_FLOOR : square);
}

enum status scorer_search_items(struct scorer *scorer, enum measure measure,
	const struct search_items **ret, struct error *err)
{
	const struct model *model = scorer->directory->model;
	const uint32_t count = scorer->directory->catalog.movie_count;
	const size_t dim = scorer_vector_dim(scorer);
	const float *movies;
	enum status status = scorer_all_movies(scorer, &movies, err);
	if (status == STATUS_OK && !scorer->factors[measure]) {
		float *factors;
		status = memory_alloc(&factors, count, sizeof(*factors), "movies", err);
		if (status != STATUS_OK)
			return status;
		for (uint32_t m = 0; m < count; m++) {
			const float *movie = movies + m * dim;
			factors[m] = measure == MEASURE_SCORE
					     ? model_movie_factor(model, movie)
					     : (float)scorer_inverse_length(scorer, movie);
		}
		search_items_init(&scorer->items[measure], movies, factors, count, dim);
		scorer->factors[measure] = factors;
	}
	if (status == STATUS_OK)
		*ret = &scorer->items[measure];
	return status;
}

enum status scorer_prepare(struct scorer *scorer, struct error *err)
{
	enum status status = STATUS_OK;
	for (int m = 0; m < MEASURES && status == STATUS_OK; m++) {
		const struct search_items *items;
		status = scorer_search_items(scorer, (enum measure)m, &items, err);
	}
	return status;
}

void scorer_use_index(struct scorer *scorer, struct movie_index *index)
{
	scorer->index = index;
}

struct movie_index *scorer_index(const struct scorer *scorer)
{
	return scorer->index;
}

enum status scorer_diverged(const struct scorer *scorer, struct error *err)
{
	return error_set(err, STATUS_FAILED_PRECONDITION,
		"%s: its scores are not numbers: the training diverged, try a lower "
		"--learning-rate",
		scorer->directory->path);
}

enum status scorer_score(const struct scorer *scorer, const float *user, const float *movie,
	float *ret_score, struct error *err)
{
	const float score = model_pair_score(scorer->directory->model, user, movie);
	if (!isfinite(score))
		return scorer_diverged(scorer, err);
	*ret_score = score;
	return STATUS_OK;
}
