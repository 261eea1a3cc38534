#include "launcher/answer.h"

#include "common/base/text_table.h"
#include "inference/movie_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum status answer_open(struct answer *answer, const char *path, struct error *err)
{
	enum status status = model_directory_open(&answer->directory, path, err);
	if (status == STATUS_OK)
		status = scorer_new(&answer->scorer, &answer->directory, err);
	return status;
}

enum status answer_use_index(
	struct answer *answer, const char *program, const char *choice, struct error *err)
{
	char made[ERROR_MESSAGE_SIZE];
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	/* Making an index takes longer than many searches without one. */
	const enum index_choice given = index_choice_of(choice);
	enum status status = movie_index_open(&answer->index, answer->scorer,
		given == INDEX_AUTO ? INDEX_THERE : given, cores > 0 ? (uint32_t)cores : 1, made,
		err);
	if (status != STATUS_OK)
		return status;
	if (made[0])
		fprintf(stderr, "%s: %s\n", program, made);
	scorer_use_index(answer->scorer, answer->index);
	return STATUS_OK;
}

void answer_close(struct answer *answer)
{
	scorer_free(answer->scorer);
	movie_index_free(answer->index);
	model_directory_close(&answer->directory);
	answer->scorer = NULL;
	answer->index = NULL;
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
		genres_format(catalog, movie, genres, sizeof(genres));
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
