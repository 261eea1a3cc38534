/*
 * Design notes. One table says which member of struct catalog is which tensor. Arrays whose length
 * is a count set that count when they are read (`sets_count`); they stand before every array whose
 * length follows from it, and offsets stand before the values they point into.
 */
#include "common/checkpoint/catalog_file.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum extent {
	USERS,
	MOVIES,
	MOVIE_OFFSETS,
	TITLE_BYTES,
	MOVIE_GENRES,
	MOVIE_WORDS,
	GENRE_OFFSETS,
	GENRE_BYTES,
	WORD_OFFSETS,
	WORD_BYTES,
	OCCUPATION_OFFSETS,
	OCCUPATION_BYTES,
};

static const struct field {
	const char *name;
	enum tensor_type type;
	enum extent extent;
	size_t member; /* of the pointer in struct catalog */
	bool sets_count;
} fields[] = {
	{"users.ids", TENSOR_U64, USERS, offsetof(struct catalog, user_ids), true},
	{"users.genders", TENSOR_U8, USERS, offsetof(struct catalog, genders), false},
	{"users.ages", TENSOR_U8, USERS, offsetof(struct catalog, ages), false},
	{"users.occupations", TENSOR_U16, USERS, offsetof(struct catalog, occupations), false},
	{"movies.ids", TENSOR_U64, MOVIES, offsetof(struct catalog, movie_ids), true},
	{"movies.title_offsets", TENSOR_U32, MOVIE_OFFSETS, offsetof(struct catalog, title_offsets),
		false},
	{"movies.titles", TENSOR_U8, TITLE_BYTES, offsetof(struct catalog, titles), false},
	{"movies.genre_offsets", TENSOR_U32, MOVIE_OFFSETS, offsetof(struct catalog, genre_offsets),
		false},
	{"movies.genres", TENSOR_U32, MOVIE_GENRES, offsetof(struct catalog, genre_values), false},
	{"movies.word_offsets", TENSOR_U32, MOVIE_OFFSETS, offsetof(struct catalog, word_offsets),
		false},
	{"movies.words", TENSOR_U32, MOVIE_WORDS, offsetof(struct catalog, word_values), false},
	{"genres.offsets", TENSOR_U32, GENRE_OFFSETS, offsetof(struct catalog, genres.offsets),
		true},
	{"genres.text", TENSOR_U8, GENRE_BYTES, offsetof(struct catalog, genres.text), false},
	{"words.offsets", TENSOR_U32, WORD_OFFSETS, offsetof(struct catalog, words.offsets), true},
	{"words.text", TENSOR_U8, WORD_BYTES, offsetof(struct catalog, words.text), false},
	{"occupations.offsets", TENSOR_U32, OCCUPATION_OFFSETS,
		offsetof(struct catalog, occupation_names.offsets), true},
	{"occupations.text", TENSOR_U8, OCCUPATION_BYTES,
		offsetof(struct catalog, occupation_names.text), false},
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static const char users_trained[] = "users.trained";
static const char movies_trained[] = "movies.trained";

/* Elements of an array, from the counts and offsets that stand before it in the table. */
static uint64_t extent_of(const struct catalog *catalog, enum extent extent)
{
	switch (extent) {
	case USERS:
		return catalog->user_count;
	case MOVIES:
		return catalog->movie_count;
	case MOVIE_OFFSETS:
		return (uint64_t)catalog->movie_count + 1;
	case TITLE_BYTES:
		return catalog->title_offsets[catalog->movie_count];
	case MOVIE_GENRES:
		return catalog->genre_offsets[catalog->movie_count];
	case MOVIE_WORDS:
		return catalog->word_offsets[catalog->movie_count];
	case GENRE_OFFSETS:
		return (uint64_t)catalog->genres.count + 1;
	case GENRE_BYTES:
		return catalog->genres.offsets[catalog->genres.count];
	case WORD_OFFSETS:
		return (uint64_t)catalog->words.count + 1;
	case WORD_BYTES:
		return catalog->words.offsets[catalog->words.count];
	case OCCUPATION_OFFSETS:
		return (uint64_t)catalog->occupation_names.count + 1;
	case OCCUPATION_BYTES:
		return catalog->occupation_names.offsets[catalog->occupation_names.count];
	}
	return 0;
}

static void set_count(struct catalog *catalog, enum extent extent, uint32_t elements)
{
	if (extent == USERS)
		catalog->user_count = elements;
	else if (extent == MOVIES)
		catalog->movie_count = elements;
	else if (extent == GENRE_OFFSETS)
		catalog->genres.count = elements - 1;
	else if (extent == WORD_OFFSETS)
		catalog->words.count = elements - 1;
	else
		catalog->occupation_names.count = elements - 1;
}

/* The member pointers have different types: they are copied, not aliased. */
static const void *get_array(const struct catalog *catalog, const struct field *field)
{
	const void *array;
	memcpy(&array, (const char *)catalog + field->member, sizeof(array));
	return array;
}

static void set_array(struct catalog *catalog, const struct field *field, void *array)
{
	memcpy((char *)catalog + field->member, &array, sizeof(array));
}

enum status catalog_trained_init(
	struct catalog_trained *ret, const struct catalog *catalog, struct error *err)
{
	struct catalog_trained trained = {0};
	enum status status =
		memory_zalloc(&trained.users, catalog->user_count, 1, "trained users", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&trained.movies, catalog->movie_count, 1, "trained movies", err);
	if (status != STATUS_OK)
		catalog_trained_fini(&trained);
	else
		*ret = trained;
	return status;
}

void catalog_trained_fini(struct catalog_trained *trained)
{
	free(trained->users);
	free(trained->movies);
	*trained = (struct catalog_trained){0};
}

static void plan_vector(
	struct tensor_plan *plan, const char *name, enum tensor_type type, uint64_t elements)
{
	*plan = (struct tensor_plan){.type = type, .rank = 1, .shape = {elements}};
	memcpy(plan->name, name, strlen(name) + 1);
}

enum status catalog_file_write(const char *path, const struct catalog *catalog,
	const struct catalog_trained *trained, struct file_stamp *ret_stamp, struct error *err)
{
	struct tensor_plan plan[FIELD_COUNT + 2];
	const void *arrays[FIELD_COUNT + 2];
	size_t count = 0;
	for (; count < FIELD_COUNT; count++) {
		const struct field *field = &fields[count];
		plan_vector(
			&plan[count], field->name, field->type, extent_of(catalog, field->extent));
		arrays[count] = get_array(catalog, field);
	}
	if (trained) {
		plan_vector(&plan[count], users_trained, TENSOR_U8, catalog->user_count);
		arrays[count++] = trained->users;
		plan_vector(&plan[count], movies_trained, TENSOR_U8, catalog->movie_count);
		arrays[count++] = trained->movies;
	}
	const struct tensor_metadata metadata[] = {{"format", "marquee-catalog"}, {"version", "1"},
		{"layout", layout_name(catalog->layout)}};
	struct safetensors_writer *writer;
	enum status status = safetensors_writer_open(&writer, path, plan, count, metadata, 3, err);
	if (status != STATUS_OK)
		return status;
	/* In the order of the file, so that it is hashed on its way. */
	for (size_t size = 8; size > 0; size /= 2)
		for (size_t i = 0; status == STATUS_OK && i < count; i++)
			if (tensor_type_size(plan[i].type) == size)
				status = safetensors_writer_put(
					writer, i, 0, arrays[i], plan[i].shape[0] * size, err);
	if (status != STATUS_OK) {
		safetensors_writer_abandon(writer);
		return status;
	}
	return safetensors_writer_close(writer, ret_stamp, err);
}

/* A copy of a vector in memory of its own. */
static enum status copy_vector(const struct safetensors *file, const char *name,
	enum tensor_type type, uint64_t elements, void *ret, uint64_t *ret_elements,
	struct error *err)
{
	const struct tensor *tensor;
	enum status status = safetensors_expect(file, name, type, 1, &elements, &tensor, err);
	if (status != STATUS_OK)
		return status;
	void *copy;
	status = memory_alloc(&copy, (size_t)tensor->size, 1, name, err);
	if (status != STATUS_OK)
		return status;
	memcpy(copy, tensor->bytes, (size_t)tensor->size);
	memcpy(ret, &copy, sizeof(copy));
	*ret_elements = tensor->shape[0];
	return STATUS_OK;
}

static enum status read_field(struct catalog *catalog, const struct safetensors *file,
	const struct field *field, struct error *err)
{
	void *array;
	uint64_t elements;
	enum status status = copy_vector(file, field->name, field->type,
		field->sets_count ? TENSOR_ANY : extent_of(catalog, field->extent), &array,
		&elements, err);
	if (status != STATUS_OK)
		return status;
	set_array(catalog, field, array);
	if (!field->sets_count)
		return STATUS_OK;
	if (elements == 0 || elements >= UINT32_MAX)
		return error_set(err, STATUS_DATA_LOSS,
			"%s: tensor '%s': %llu elements, expected 1 to 2^32 - 2", file->path,
			field->name, (unsigned long long)elements);
	set_count(catalog, field->extent, (uint32_t)elements);
	return STATUS_OK;
}

static enum status read_layout(
	struct catalog *catalog, const struct safetensors *file, struct error *err)
{
	const char *text = safetensors_metadata(file, "layout");
	for (int layout = LAYOUT_ML_1M; text && layout <= LAYOUT_ML_100K; layout++) {
		if (strcmp(text, layout_name((enum data_layout)layout)) == 0) {
			catalog->layout = (enum data_layout)layout;
			return STATUS_OK;
		}
	}
	return error_set(
		err, STATUS_DATA_LOSS, "%s: metadata 'layout' is none that is known", file->path);
}

static enum status read_trained(struct catalog_trained *trained, const struct catalog *catalog,
	const struct safetensors *file, struct error *err)
{
	uint64_t elements;
	enum status status = copy_vector(file, users_trained, TENSOR_U8, catalog->user_count,
		&trained->users, &elements, err);
	if (status == STATUS_OK)
		status = copy_vector(file, movies_trained, TENSOR_U8, catalog->movie_count,
			&trained->movies, &elements, err);
	return status;
}

enum status catalog_file_read(struct catalog *ret, struct catalog_trained *ret_trained,
	const char *path, struct error *err)
{
	struct safetensors file;
	struct catalog catalog = {0};
	struct catalog_trained trained = {0};
	enum status status = safetensors_open(&file, path, err);
	if (status != STATUS_OK)
		return status;
	status = read_layout(&catalog, &file, err);
	for (size_t i = 0; status == STATUS_OK && i < FIELD_COUNT; i++)
		status = read_field(&catalog, &file, &fields[i], err);
	if (status == STATUS_OK) {
		status = catalog_index(&catalog, err);
		if (status != STATUS_OK)
			status = error_wrap(err, status, "%s", path);
	}
	if (status == STATUS_OK && ret_trained)
		status = read_trained(&trained, &catalog, &file, err);
	safetensors_close(&file);
	if (status != STATUS_OK) {
		catalog_fini(&catalog);
		catalog_trained_fini(&trained);
		return status;
	}
	*ret = catalog;
	if (ret_trained)
		*ret_trained = trained;
	return STATUS_OK;
}
