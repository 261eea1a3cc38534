#include "inference/movie_index.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "common/checkpoint/sealed_json.h"
#include "inference/ann.h"
#include "inference/model_changes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_FORMAT	     "marquee-index"
#define INDEX_FORMAT_VERSION 1u

/*
 * What the first try asks for at least, and by how much the next is larger. Beyond an eighth of the
 * movies of a graph, or all lists, exact search is as fast.
 */
#define LISTS_FOUND	256u
#define MORE		4u
#define EXACT_BEYOND	8u
#define PER_RESULT	2u /* candidates at least, for one result */
#define QUERIES_AT_ONCE ((size_t)256)

struct movie_index {
	enum ann_kind kind;
	struct ann *ann; /* owned; positions are the exported movies' numbers */
	size_t dim;
	const struct model_changes *changes;
};

enum index_choice index_choice_of(const char *name)
{
	if (strcmp(name, "hnsw") == 0)
		return INDEX_HNSW;
	if (strcmp(name, "ivf") == 0)
		return INDEX_IVF;
	return strcmp(name, "flat") == 0 ? INDEX_FLAT : INDEX_AUTO;
}

enum index_choice index_choice_by_size(enum index_choice choice, uint32_t movies)
{
	if (choice != INDEX_AUTO && choice != INDEX_THERE)
		return choice;
	if (movies < INDEX_GRAPH_FROM || !ann_is_built_in())
		return INDEX_FLAT;
	return movies < INDEX_LISTS_FROM ? INDEX_HNSW : INDEX_IVF;
}

static const char *kind_name(enum ann_kind kind)
{
	return kind == ANN_HNSW ? "hnsw" : "ivf";
}

static enum status file_path(char path[PATH_SIZE], const struct scorer *scorer, enum ann_kind kind,
	const char *ending, struct error *err)
{
	char name[40];
	snprintf(name, sizeof(name), "movies.%s.%s", kind_name(kind), ending);
	return path_join(path, scorer_directory(scorer)->path, name, err);
}

static json_t *stamp_of(const struct manifest *about, const char *name)
{
	return json_from_hash(manifest_find_file(about, name)->stamp.xxh3);
}

/* Movies of the model as it was exported. */
static uint32_t exported_count(const struct scorer *scorer)
{
	struct model_directory exported;
	model_directory_as_exported(scorer_directory(scorer), &exported);
	return exported.catalog.movie_count;
}

/* What the index is of: everything the vectors come from. */
static json_t *model_to_json(const struct scorer *scorer, enum ann_kind kind)
{
	const struct model_directory *directory = scorer_directory(scorer);
	return json_pack("{s:s, s:i, s:s, s:o, s:s, s:o, s:o, s:I, s:I}", "format", INDEX_FORMAT,
		"format_version", (int)INDEX_FORMAT_VERSION, "kind", kind_name(kind), "step",
		json_from_u64(directory->about.step), "digest", directory->about.digest, "weights",
		stamp_of(&directory->about, MODEL_WEIGHTS_NAME), "catalog",
		stamp_of(&directory->about, MODEL_CATALOG_NAME), "movies",
		(json_int_t)exported_count(scorer), "dim", (json_int_t)scorer_vector_dim(scorer));
}

static enum status check_about(const struct scorer *scorer, enum ann_kind kind, const json_t *about,
	const char *index_path, struct error *err)
{
	uint64_t hash, size, found_hash, found_size;
	json_t *wanted = model_to_json(scorer, kind);
	const char *name;
	json_t *value;
	bool same = wanted != NULL;
	json_object_foreach(wanted, name, value) same =
		same && json_equal(value, json_object_get(about, name));
	json_decref(wanted);
	if (!same)
		return error_set(err, STATUS_FAILED_PRECONDITION, "is of another model");
	enum status status = json_field_hash(about, "xxh3", &hash, err);
	if (status == STATUS_OK)
		status = json_field_u64(about, "size", &size, err);
	if (status == STATUS_OK)
		status = file_digest(index_path, &found_hash, &found_size, err);
	if (status == STATUS_OK && (hash != found_hash || size != found_size))
		status = error_set(err, STATUS_DATA_LOSS, "damaged");
	return status;
}

static enum status read_index(
	struct ann **ret, const struct scorer *scorer, enum ann_kind kind, struct error *err)
{
	char json_path[PATH_SIZE], index_path[PATH_SIZE];
	json_t *about;
	enum status status = file_path(json_path, scorer, kind, "json", err);
	if (status == STATUS_OK)
		status = file_path(index_path, scorer, kind, "index", err);
	if (status == STATUS_OK)
		status = sealed_json_read(json_path, INDEX_FORMAT_VERSION, &about, err);
	if (status != STATUS_OK)
		return status;
	status = check_about(scorer, kind, about, index_path, err);
	json_decref(about);
	if (status != STATUS_OK)
		return error_wrap(err, status, "%s", index_path);
	return ann_read(
		ret, kind, index_path, exported_count(scorer), scorer_vector_dim(scorer), err);
}

static enum status write_index(
	const struct ann *ann, const struct scorer *scorer, enum ann_kind kind, struct error *err)
{
	char json_path[PATH_SIZE], index_path[PATH_SIZE], new_path[PATH_SIZE];
	uint64_t hash, size;
	enum status status = file_path(json_path, scorer, kind, "json", err);
	if (status == STATUS_OK)
		status = file_path(index_path, scorer, kind, "index", err);
	if (status == STATUS_OK)
		status = file_path(new_path, scorer, kind, "index.tmp", err);
	if (status == STATUS_OK)
		status = ann_write(ann, new_path, err);
	if (status == STATUS_OK)
		status = file_digest(new_path, &hash, &size, err);
	if (status == STATUS_OK && rename(new_path, index_path) != 0)
		status = error_set(err, STATUS_UNAVAILABLE, "%s: cannot be replaced", index_path);
	if (status != STATUS_OK)
		return status;
	json_t *about = model_to_json(scorer, kind);
	json_object_set_new(about, "xxh3", json_from_hash(hash));
	json_object_set_new(about, "size", json_from_u64(size));
	status = sealed_json_write(json_path, about, err);
	json_decref(about);
	return status;
}

static enum status build_of(struct ann **ret, struct scorer *scorer, enum ann_kind kind,
	uint32_t threads, struct error *err)
{
	const struct search_items *items;
	float *vectors;
	enum status status = scorer_search_items(scorer, MEASURE_SCORE, &items, err);
	if (status == STATUS_OK)
		status = memory_alloc(&vectors, items->count, items->dim * sizeof(float),
			"vectors of an index", err);
	if (status != STATUS_OK)
		return status;
	/* Distances between what is not a number would lead nowhere. */
	bool good = isfinite(items->longest);
	for (size_t i = 0; i < items->count; i++)
		for (size_t d = 0; d < items->dim; d++)
			vectors[i * items->dim + d] =
				items->vectors[i * items->dim + d] * items->factors[i];
	status = good ? ann_build(ret, kind, vectors, items->count, items->dim, threads, err)
		      : scorer_diverged(scorer, err);
	free(vectors);
	return status;
}

/* Of the movies as they were exported, so that it stays good when they change again. */
static enum status build(struct ann **ret, struct scorer *scorer, enum ann_kind kind,
	uint32_t threads, struct error *err)
{
	struct model_directory exported;
	struct scorer *other;
	if (!scorer_directory(scorer)->changes.changed)
		return build_of(ret, scorer, kind, threads, err);
	model_directory_as_exported(scorer_directory(scorer), &exported);
	enum status status = scorer_new(&other, &exported, err);
	if (status != STATUS_OK)
		return status;
	status = build_of(ret, other, kind, threads, err);
	scorer_free(other);
	return status;
}

static enum status open_kind(struct ann **ret, struct scorer *scorer, enum ann_kind kind,
	uint32_t threads, char ret_made[ERROR_MESSAGE_SIZE], struct error *err)
{
	struct error why = {0}, failed;
	enum status status = read_index(ret, scorer, kind, &why);
	if (status == STATUS_OK || status == STATUS_UNIMPLEMENTED)
		return status == STATUS_OK ? status : error_set(err, status, "%s", why.message);
	status = build(ret, scorer, kind, threads, err);
	if (status != STATUS_OK)
		return status;
	if (write_index(*ret, scorer, kind, &failed) != STATUS_OK)
		snprintf(ret_made, ERROR_MESSAGE_SIZE, "made an index that cannot be kept: %.400s",
			failed.message);
	else if (why.status == STATUS_NOT_FOUND)
		snprintf(ret_made, ERROR_MESSAGE_SIZE, "made an index of %u movies, %s",
			ann_count(*ret), kind_name(kind));
	else
		snprintf(ret_made, ERROR_MESSAGE_SIZE, "made an index (%.400s)", why.message);
	return STATUS_OK;
}

/* Of the kind that fits the size, or of the other one. */
static bool read_any(struct movie_index *index, const struct scorer *scorer)
{
	const enum ann_kind wanted = index->kind;
	if (read_index(&index->ann, scorer, index->kind, NULL) == STATUS_OK)
		return true;
	index->kind = wanted == ANN_HNSW ? ANN_IVF : ANN_HNSW;
	if (read_index(&index->ann, scorer, index->kind, NULL) == STATUS_OK)
		return true;
	index->kind = wanted;
	return false;
}

enum status movie_index_open(struct movie_index **ret, struct scorer *scorer,
	enum index_choice choice, uint32_t threads, char ret_made[ERROR_MESSAGE_SIZE],
	struct error *err)
{
	const uint32_t movies = scorer_directory(scorer)->catalog.movie_count;
	const enum index_choice wanted = index_choice_by_size(choice, movies);
	struct movie_index index = {.kind = wanted == INDEX_IVF ? ANN_IVF : ANN_HNSW,
		.dim = scorer_vector_dim(scorer),
		.changes = &scorer_directory(scorer)->changes};
	ret_made[0] = '\0';
	*ret = NULL;
	if (wanted == INDEX_FLAT)
		return STATUS_OK;
	const bool found = wanted != choice && read_any(&index, scorer);
	if (!found && choice == INDEX_THERE)
		return STATUS_OK;
	enum status status = STATUS_OK;
	if (!found)
		status = open_kind(&index.ann, scorer, index.kind, threads, ret_made, err);
	if (status == STATUS_OK)
		status = memory_alloc(ret, 1, sizeof(index), "index", err);
	if (status != STATUS_OK) {
		ann_free(index.ann);
		return status;
	}
	**ret = index;
	return STATUS_OK;
}

void movie_index_free(struct movie_index *index)
{
	if (!index)
		return;
	ann_free(index->ann);
	free(index);
}

/* Adds a movie that passes the rule. */
static enum status offer(const struct search_rule *rule, size_t query, uint32_t movie,
	struct top_k *top, struct error *err)
{
	if (rule->allowed && !rule->allowed(rule->context, query, movie))
		return STATUS_OK;
	const float score = rule->score(rule->context, query, movie);
	if (!isfinite(score))
		return error_set(err, STATUS_FAILED_PRECONDITION,
			"the score of item %u is not a number", movie);
	top_k_add(top, score, movie);
	return STATUS_OK;
}

/* Changed movies compete with what the index led to, all of them. */
static enum status take_changed(const struct movie_index *index, const struct search_rule *rule,
	size_t query, struct top_k *top, struct error *err)
{
	enum status status = STATUS_OK;
	for (uint32_t i = 0; status == STATUS_OK && i < index->changes->count; i++)
		status = offer(rule, query, index->changes->list[i], top, err);
	return status;
}

/* Filters and scores what was proposed, as far as it is still what the index knows. Where that
 * leads to enough, *top is done, else empty. */
static enum status take(const struct movie_index *index, const struct search_rule *rule,
	size_t query, const uint32_t *found, uint32_t count, struct top_k *top, bool *ret_complete,
	struct error *err)
{
	const struct model_changes *changes = index->changes;
	enum status status = STATUS_OK;
	for (uint32_t i = 0; status == STATUS_OK && i < count && found[i] != ANN_NONE; i++) {
		const uint32_t movie = changes->changed ? changes->numbers.now[found[i]] : found[i];
		if (movie == MOVIE_NOT_THERE || (changes->changed && changes->changed[movie]))
			continue;
		status = offer(rule, query, movie, top, err);
	}
	*ret_complete = status == STATUS_OK && top->count == top->capacity;
	if (*ret_complete)
		status = take_changed(index, rule, query, top, err);
	if (*ret_complete && status == STATUS_OK)
		top_k_sort(top);
	else
		top->count = 0;
	return status;
}

/* How much is asked of the index. */
struct effort {
	uint64_t effort, found_max;
};

static struct effort first_effort(const struct movie_index *index, uint64_t wanted)
{
	const bool graph = index->kind == ANN_HNSW;
	struct effort effort = {.effort = ann_effort_default(index->ann)};
	effort.found_max = graph ? effort.effort : LISTS_FOUND;
	if (graph && effort.effort < wanted)
		effort.effort = wanted;
	if (effort.found_max < wanted)
		effort.found_max = wanted;
	return effort;
}

/* Whether it is worth it: else exact search is as fast. */
static bool is_worth(const struct movie_index *index, const struct effort *effort)
{
	const uint32_t movies = ann_count(index->ann);
	const uint64_t most =
		index->kind == ANN_HNSW ? movies / EXACT_BEYOND : ann_effort_max(index->ann);
	return effort->effort <= most && effort->found_max <= movies;
}

/* Up to QUERIES_AT_ONCE queries, with one effort; found has room for what they find. */
static enum status search_block(struct movie_index *index, const float *queries, size_t first,
	size_t query_count, const struct search_rule *rule, uint32_t threads,
	const struct effort *effort, uint32_t *found, struct top_k *tops, bool *complete,
	struct error *err)
{
	const uint32_t count = (uint32_t)effort->found_max;
	enum status status = ann_search(index->ann, queries, query_count, (uint32_t)effort->effort,
		count, threads, found, err);
	for (size_t q = 0; status == STATUS_OK && q < query_count; q++)
		status = take(index, rule, first + q, found + q * count, count, &tops[q],
			&complete[q], err);
	return status;
}

/* One query that a first effort was not enough for. */
static enum status search_harder(struct movie_index *index, const float *query, size_t number,
	const struct search_rule *rule, struct effort effort, struct top_k *top, bool *complete,
	struct error *err)
{
	uint32_t *found = NULL;
	size_t capacity = 0;
	enum status status = STATUS_OK;
	while (status == STATUS_OK && !*complete) {
		effort.effort *= MORE;
		effort.found_max *= MORE;
		if (!is_worth(index, &effort))
			break;
		status = memory_grow(
			&found, &capacity, effort.found_max, sizeof(*found), "candidates", err);
		if (status == STATUS_OK)
			status = search_block(index, query, number, 1, rule, 1, &effort, found, top,
				complete, err);
	}
	free(found);
	return status;
}

enum status movie_index_search(struct movie_index *index, const float *queries, size_t query_count,
	const struct search_rule *rule, uint32_t threads, struct top_k *tops, bool *complete,
	struct error *err)
{
	uint64_t wanted = 0;
	for (size_t q = 0; q < query_count; q++) {
		complete[q] = false;
		if (tops[q].capacity > wanted)
			wanted = tops[q].capacity;
	}
	const struct effort effort = first_effort(index, wanted * PER_RESULT);
	const size_t at_once = query_count < QUERIES_AT_ONCE ? query_count : QUERIES_AT_ONCE;
	uint32_t *found;
	if (query_count == 0 || !is_worth(index, &effort) ||
		index->changes->count > ann_count(index->ann) / EXACT_BEYOND)
		return STATUS_OK;
	enum status status =
		memory_alloc(&found, at_once * effort.found_max, sizeof(*found), "candidates", err);
	if (status != STATUS_OK)
		return status;
	const size_t dim = index->dim;
	for (size_t q = 0, n; status == STATUS_OK && q < query_count; q += n) {
		n = query_count - q < at_once ? query_count - q : at_once;
		status = search_block(index, queries + q * dim, q, n, rule, threads, &effort, found,
			tops + q, complete + q, err);
	}
	for (size_t q = 0; status == STATUS_OK && q < query_count; q++)
		if (!complete[q])
			status = search_harder(index, queries + q * dim, q, rule, effort, &tops[q],
				&complete[q], err);
	free(found);
	return status;
}
