#include "launcher/answer.h"

#include "common/base/flags.h"
#include "common/base/memory.h"
#include "common/base/text_table.h"
#include "common/checkpoint/json_field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status answer_open(struct answer *answer, const char *path, struct error *err)
{
	enum status status = model_directory_open(&answer->directory, path, err);
	if (status == STATUS_OK)
		status = scorer_new(&answer->scorer, &answer->directory, err);
	return status;
}

void answer_close(struct answer *answer)
{
	scorer_free(answer->scorer);
	model_directory_close(&answer->directory);
	answer->scorer = NULL;
}

enum status who_check(const struct who *who, struct error *err)
{
	const bool any = who->has_age || who->gender || who->occupation;
	const bool all = who->has_age && who->gender && who->occupation;
	if (who->has_user && any)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--user knows age, gender and occupation: give it alone");
	if (!who->has_user && !any)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"for whom: give --user, or --age, --gender and --occupation");
	if (any && !all)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a new person needs all three of --age, --gender and --occupation");
	return STATUS_OK;
}

enum status subject_find(
	struct answer *answer, const struct who *who, struct subject *ret, struct error *err)
{
	const struct catalog *catalog = &answer->directory.catalog;
	struct subject subject = {.known = who->has_user};
	enum status status = STATUS_OK;
	if (who->has_user)
		status = lookup_user(catalog, who->user_id, &subject.user, err);
	else
		status = lookup_person(catalog, who->age_years, who->gender, who->occupation,
			&subject.person, err);
	if (status == STATUS_OK)
		status = memory_alloc(&subject.vector, scorer_vector_dim(answer->scorer),
			sizeof(float), "user vector", err);
	if (status != STATUS_OK)
		return status;
	if (subject.known) {
		const uint32_t u = subject.user;
		subject.person = (struct person){.gender = catalog->genders[u],
			.age = catalog->ages[u],
			.occupation = catalog->occupations[u]};
		subject.stands_in = scorer_user_is_unknown(answer->scorer, u);
		status = scorer_user_vectors(answer->scorer, &u, 1, subject.vector, err);
	} else {
		subject.stands_in = true;
		status = scorer_person_vector(answer->scorer, &subject.person, subject.vector, err);
	}
	if (status != STATUS_OK)
		free(subject.vector);
	else
		*ret = subject;
	return status;
}

void subject_print(const struct answer *answer, const struct subject *subject)
{
	const struct catalog *catalog = &answer->directory.catalog;
	const struct person *person = &subject->person;
	if (subject->known)
		printf("user %" PRIu64, catalog->user_ids[subject->user]);
	else
		printf("someone new");
	printf(" (%c, %s, %s)%s\n", person->gender ? 'F' : 'M', age_bucket_name(person->age),
		vocabulary_entry(&catalog->occupation_names, person->occupation),
		subject->known && subject->stands_in ? ": never trained, scored as an unknown user"
						     : "");
}

void subject_add_json(const struct answer *answer, const struct subject *subject, json_t *object)
{
	const struct catalog *catalog = &answer->directory.catalog;
	const struct person *person = &subject->person;
	json_object_set_new(object, "user",
		subject->known ? json_from_u64(catalog->user_ids[subject->user]) : json_null());
	json_object_set_new(object, "gender", json_string(person->gender ? "F" : "M"));
	json_object_set_new(object, "age", json_integer(age_buckets[person->age]));
	json_object_set_new(object, "occupation", json_integer(person->occupation));
	json_object_set_new(object, "unknown_user", json_boolean(subject->stands_in));
}

void genres_format(const struct catalog *catalog, uint32_t movie, char text[GENRES_TEXT_SIZE])
{
	size_t used = 0;
	text[0] = '\0';
	const uint32_t first = catalog->genre_offsets[movie];
	for (uint32_t i = first; i < catalog->genre_offsets[movie + 1] && used < GENRES_TEXT_SIZE;
		i++)
		used += (size_t)snprintf(text + used, GENRES_TEXT_SIZE - used, "%s%s",
			i > first ? "|" : "",
			vocabulary_entry(&catalog->genres, catalog->genre_values[i]));
}

void movie_add_json(const struct catalog *catalog, uint32_t movie, const char *key, json_t *object)
{
	json_t *genres = json_array();
	for (uint32_t i = catalog->genre_offsets[movie]; i < catalog->genre_offsets[movie + 1]; i++)
		json_array_append_new(genres,
			json_string(vocabulary_entry(&catalog->genres, catalog->genre_values[i])));
	json_object_set_new(object, key, json_from_u64(catalog->movie_ids[movie]));
	json_object_set_new(object, "title", json_string(catalog_title(catalog, movie)));
	json_object_set_new(object, "genres", genres);
}

json_t *ranked_to_json(const struct catalog *catalog, const struct top_k *top, size_t position)
{
	json_t *object = json_object();
	json_object_set_new(object, "rank", json_integer((json_int_t)position + 1));
	movie_add_json(catalog, top->entries[position].item, "id", object);
	return object;
}

enum status ranking_print(const struct catalog *catalog, const struct top_k *top,
	const char *heading, double (*value)(float score), struct error *err)
{
	const struct text_column columns[] = {{.heading = "rank", .right = true},
		{.heading = heading, .right = true}, {.heading = "id", .right = true},
		{.heading = "title", .width_max = 60}, {.heading = "genres"}};
	struct text_table table;
	text_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < top->count; i++) {
		const uint32_t movie = top->entries[i].item;
		char genres[GENRES_TEXT_SIZE];
		genres_format(catalog, movie, genres);
		text_table_cell(&table, "%zu", i + 1);
		text_table_cell(&table, "%.3f", value(top->entries[i].score));
		text_table_cell(&table, "%" PRIu64, catalog->movie_ids[movie]);
		text_table_cell(&table, "%s", catalog_title(catalog, movie));
		text_table_cell(&table, "%s", genres);
	}
	enum status status = text_table_print(&table, stdout, err);
	text_table_fini(&table);
	return status;
}

enum status json_print(json_t *object, struct error *err)
{
	const int failed = json_dumpf(object, stdout, 0);
	json_decref(object);
	if (failed != 0)
		return error_set(err, STATUS_INTERNAL, "the result cannot be written as JSON");
	putchar('\n');
	return STATUS_OK;
}
