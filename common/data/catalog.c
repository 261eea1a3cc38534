#include "common/data/catalog.h"

#include "common/base/hash.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Ids count as dense when a direct table has at most this many slots per entry, or is small. */
#define DIRECT_SLOTS_PER_ENTRY 8u
#define DIRECT_SLOTS_FREE      ((uint64_t)1 << 16)
#define ENTRIES_MAX	       (UINT32_MAX / 4)

const uint8_t age_buckets[AGE_BUCKET_COUNT] = {1, 18, 25, 35, 45, 50, 56};

uint8_t age_bucket_of(uint64_t years)
{
	uint8_t bucket = AGE_BUCKET_COUNT - 1;
	while (bucket > 0 && age_buckets[bucket] > years)
		bucket--;
	return bucket;
}

const char *age_bucket_name(uint8_t bucket)
{
	static const char *const names[AGE_BUCKET_COUNT] = {
		"Under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+"};
	return names[bucket];
}

void catalog_fini(struct catalog *catalog)
{
	free(catalog->user_ids);
	free(catalog->genders);
	free(catalog->ages);
	free(catalog->occupations);
	free(catalog->movie_ids);
	free(catalog->title_offsets);
	free(catalog->titles);
	free(catalog->genre_offsets);
	free(catalog->genre_values);
	free(catalog->word_offsets);
	free(catalog->word_values);
	vocabulary_fini(&catalog->genres);
	vocabulary_fini(&catalog->words);
	vocabulary_fini(&catalog->occupation_names);
	free(catalog->user_index.slots);
	free(catalog->movie_index.slots);
	*catalog = (struct catalog){0};
}

static enum status check_ids(
	const uint64_t *ids, uint32_t count, const char *what, struct error *err)
{
	if (count == 0)
		return error_set(err, STATUS_DATA_LOSS, "catalog: no %ss", what);
	if (count > ENTRIES_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "catalog: %u %ss are too many",
			count, what);
	for (uint32_t i = 1; i < count; i++)
		if (ids[i] <= ids[i - 1])
			return error_set(err, STATUS_DATA_LOSS,
				"catalog: %s ids do not ascend at %s %u", what, what, i);
	if (ids[count - 1] == UINT64_MAX)
		return error_set(
			err, STATUS_DATA_LOSS, "catalog: %s id %llu is reserved", what, ~0ULL);
	return STATUS_OK;
}

/* Entries [offsets[i], offsets[i+1]) of NUL-terminated texts, none of them with a NUL inside. */
static enum status check_texts(const char *text, const uint32_t *offsets, uint32_t count,
	const char *what, struct error *err)
{
	if (offsets[0] != 0)
		return error_set(err, STATUS_DATA_LOSS, "catalog: %s do not start at 0", what);
	for (uint32_t i = 0; i < count; i++)
		if (offsets[i + 1] <= offsets[i])
			return error_set(err, STATUS_DATA_LOSS, "catalog: %s: offset %u descends",
				what, i + 1);
	for (uint32_t i = 0; i < count; i++)
		if (memchr(text + offsets[i], '\0', offsets[i + 1] - offsets[i]) !=
			text + offsets[i + 1] - 1)
			return error_set(err, STATUS_DATA_LOSS,
				"catalog: %s: entry %u does not end where it should", what, i);
	return STATUS_OK;
}

static enum status check_lists(const uint32_t *values, const uint32_t *offsets, uint32_t count,
	uint32_t bound, const char *what, struct error *err)
{
	if (offsets[0] != 0)
		return error_set(err, STATUS_DATA_LOSS, "catalog: %s do not start at 0", what);
	for (uint32_t i = 0; i < count; i++)
		if (offsets[i + 1] < offsets[i])
			return error_set(err, STATUS_DATA_LOSS, "catalog: %s: offset %u descends",
				what, i + 1);
	for (uint32_t i = 0; i < offsets[count]; i++)
		if (values[i] >= bound)
			return error_set(err, STATUS_DATA_LOSS, "catalog: %s: %u is not below %u",
				what, values[i], bound);
	return STATUS_OK;
}

static enum status check_users(const struct catalog *catalog, struct error *err)
{
	for (uint32_t i = 0; i < catalog->user_count; i++)
		if (catalog->genders[i] >= GENDER_COUNT || catalog->ages[i] >= AGE_BUCKET_COUNT ||
			catalog->occupations[i] >= catalog->occupation_names.count)
			return error_set(err, STATUS_DATA_LOSS,
				"catalog: user %llu: a feature is out of range",
				(unsigned long long)catalog->user_ids[i]);
	return STATUS_OK;
}

static enum status check_vocabularies(const struct catalog *catalog, struct error *err)
{
	const struct vocabulary *const vocabularies[] = {
		&catalog->genres, &catalog->words, &catalog->occupation_names};
	static const char *const names[] = {"genres", "words", "occupation names"};
	enum status status = STATUS_OK;
	for (size_t i = 0; status == STATUS_OK && i < 3; i++)
		status = check_texts(vocabularies[i]->text, vocabularies[i]->offsets,
			vocabularies[i]->count, names[i], err);
	return status;
}

static enum status check_movies(const struct catalog *catalog, struct error *err)
{
	enum status status = check_ids(catalog->movie_ids, catalog->movie_count, "movie", err);
	if (status == STATUS_OK)
		status = check_texts(catalog->titles, catalog->title_offsets, catalog->movie_count,
			"titles", err);
	if (status == STATUS_OK)
		status = check_lists(catalog->genre_values, catalog->genre_offsets,
			catalog->movie_count, catalog->genres.count, "movies' genres", err);
	if (status == STATUS_OK)
		status = check_lists(catalog->word_values, catalog->word_offsets,
			catalog->movie_count, catalog->words.count, "movies' words", err);
	return status;
}

static enum status make_index(
	struct id_index *ret, const uint64_t *ids, uint32_t count, struct error *err)
{
	struct id_index index = {0};
	uint64_t largest = ids[count - 1];
	index.direct =
		largest < DIRECT_SLOTS_FREE || largest / DIRECT_SLOTS_PER_ENTRY < (uint64_t)count;
	if (index.direct) {
		index.size = largest + 1;
	} else {
		index.size = 64;
		while (index.size < (uint64_t)count * 2)
			index.size *= 2;
	}
	enum status status = memory_zalloc(
		&index.slots, (size_t)index.size, sizeof(*index.slots), "id index", err);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t slot = ids[i];
		if (!index.direct) {
			slot = hash_u64(slot) & (index.size - 1);
			while (index.slots[slot])
				slot = (slot + 1) & (index.size - 1);
		}
		index.slots[slot] = i + 1;
	}
	free(ret->slots);
	*ret = index;
	return STATUS_OK;
}

enum status catalog_index_movies(struct catalog *catalog, struct error *err)
{
	enum status status = check_movies(catalog, err);
	if (status == STATUS_OK)
		status = make_index(
			&catalog->movie_index, catalog->movie_ids, catalog->movie_count, err);
	return status;
}

enum status catalog_index(struct catalog *catalog, struct error *err)
{
	enum status status = check_ids(catalog->user_ids, catalog->user_count, "user", err);
	if (status == STATUS_OK)
		status = check_vocabularies(catalog, err);
	if (status == STATUS_OK)
		status = check_users(catalog, err);
	if (status == STATUS_OK)
		status = catalog_index_movies(catalog, err);
	if (status == STATUS_OK)
		status = make_index(
			&catalog->user_index, catalog->user_ids, catalog->user_count, err);
	return status;
}

/* Slots hold number plus one, so an empty one wraps to UINT32_MAX, which is "absent". */
static uint32_t find(const struct id_index *index, const uint64_t *ids, uint64_t id)
{
	if (index->direct)
		return id < index->size ? index->slots[id] - 1 : UINT32_MAX;
	if (index->size == 0)
		return UINT32_MAX;
	uint64_t slot = hash_u64(id) & (index->size - 1);
	while (index->slots[slot] && ids[index->slots[slot] - 1] != id)
		slot = (slot + 1) & (index->size - 1);
	return index->slots[slot] - 1;
}

uint32_t catalog_find_user(const struct catalog *catalog, uint64_t id)
{
	return find(&catalog->user_index, catalog->user_ids, id);
}

uint32_t catalog_find_movie(const struct catalog *catalog, uint64_t id)
{
	return find(&catalog->movie_index, catalog->movie_ids, id);
}

static uint64_t rows(const uint64_t *ids, uint32_t count)
{
	return count ? ids[count - 1] + 1 : 0;
}

uint64_t catalog_user_rows(const struct catalog *catalog)
{
	return rows(catalog->user_ids, catalog->user_count);
}

uint64_t catalog_movie_rows(const struct catalog *catalog)
{
	return rows(catalog->movie_ids, catalog->movie_count);
}

uint64_t catalog_occupation_rows(const struct catalog *catalog)
{
	return catalog->occupation_names.count;
}
