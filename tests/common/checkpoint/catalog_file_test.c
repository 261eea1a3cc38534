#include "common/checkpoint/catalog_file.h"

#include "common/base/random.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

static char directory[PATH_SIZE], path[PATH_SIZE];

static void write_text(const char *name, const char *text)
{
	char file[PATH_SIZE];
	scratch_write(scratch_path(file, directory, name), text, strlen(text));
}

static void open_sample(struct catalog *catalog)
{
	struct error err;
	scratch_open(directory);
	write_text("users.dat", "3::F::1::10::1\n1::M::56::16::70072\n40::M::25::0::55117\n");
	write_text("movies.dat", "5::Father of the Bride (1995)::Comedy\n"
				 "1::Toy Story (1995)::Animation|Children's|Comedy\n"
				 "9::Caf\xe9 Story (1999)::Drama\n");
	write_text("ratings.dat", "1::1::5::9\n");
	const struct data_options options = {0};
	assert_ok(catalog_load(catalog, directory, &options, NULL, &err), &err);
	scratch_path(path, directory, "catalog.safetensors");
}

START_TEST(a_catalog_comes_back_as_it_was)
{
	struct error err;
	struct catalog catalog, read;
	struct catalog_trained trained, marks;
	open_sample(&catalog);
	assert_ok(catalog_trained_init(&trained, &catalog, &err), &err);
	trained.users[1] = trained.movies[2] = 1;
	assert_ok(catalog_file_write(path, &catalog, &trained, NULL, &err), &err);
	assert_ok(catalog_file_read(&read, &marks, path, &err), &err);
	ck_assert_uint_eq(read.layout, catalog.layout);
	ck_assert_uint_eq(read.user_count, 3);
	ck_assert_uint_eq(read.movie_count, 3);
	ck_assert_mem_eq(read.user_ids, catalog.user_ids, 3 * sizeof(*read.user_ids));
	ck_assert_mem_eq(read.genders, catalog.genders, 3);
	ck_assert_mem_eq(read.ages, catalog.ages, 3);
	ck_assert_mem_eq(read.occupations, catalog.occupations, 3 * sizeof(*read.occupations));
	for (uint32_t m = 0; m < 3; m++)
		ck_assert_str_eq(catalog_title(&read, m), catalog_title(&catalog, m));
	ck_assert_mem_eq(read.genre_values, catalog.genre_values,
		catalog.genre_offsets[3] * sizeof(uint32_t));
	ck_assert_mem_eq(
		read.word_values, catalog.word_values, catalog.word_offsets[3] * sizeof(uint32_t));
	ck_assert_uint_eq(read.words.count, catalog.words.count);
	for (uint32_t w = 0; w < catalog.words.count; w++)
		ck_assert_str_eq(
			vocabulary_entry(&read.words, w), vocabulary_entry(&catalog.words, w));
	ck_assert_uint_eq(read.occupation_names.count, catalog.occupation_names.count);
	ck_assert_uint_eq(catalog_find_user(&read, 40), 2);
	ck_assert_uint_eq(catalog_find_movie(&read, 2), UINT32_MAX);
	ck_assert(marks.users[1] == 1 && marks.movies[2] == 1);
	ck_assert(!marks.users[0] && !marks.users[2] && !marks.movies[0]);
	catalog_trained_fini(&trained);
	catalog_trained_fini(&marks);
	catalog_fini(&catalog);
	catalog_fini(&read);
	scratch_close(directory);
}
END_TEST

START_TEST(marks_that_are_wanted_must_be_there)
{
	struct error err;
	struct catalog catalog, read;
	struct catalog_trained marks;
	open_sample(&catalog);
	assert_ok(catalog_file_write(path, &catalog, NULL, NULL, &err), &err);
	assert_fails(catalog_file_read(&read, &marks, path, &err), STATUS_DATA_LOSS, &err,
		"tensor 'users.trained': is missing");
	assert_ok(catalog_file_read(&read, NULL, path, &err), &err);
	catalog_fini(&catalog);
	catalog_fini(&read);
	scratch_close(directory);
}
END_TEST

/* Whatever a flipped byte makes of it, the catalog is refused or safe to walk. */
START_TEST(a_damaged_catalog_is_refused_or_safe)
{
	struct error err;
	struct catalog catalog, read;
	struct random_sequence random;
	size_t size;
	open_sample(&catalog);
	assert_ok(catalog_file_write(path, &catalog, NULL, NULL, &err), &err);
	char *bytes = scratch_read(path, &size);
	random_sequence_init(&random, 8, random_stream("flips"));
	for (int round = 0; round < 3000; round++) {
		size_t offset = random_below(&random, (uint32_t)size);
		char kept = bytes[offset];
		bytes[offset] = (char)random_next(&random);
		scratch_write(path, bytes, size);
		bytes[offset] = kept;
		if (catalog_file_read(&read, NULL, path, &err) != STATUS_OK) {
			ck_assert_msg(strstr(err.message, path) != NULL, "%s", err.message);
			continue;
		}
		size_t length = 0;
		for (uint32_t m = 0; m < read.movie_count; m++) {
			length += strlen(catalog_title(&read, m));
			for (uint32_t i = read.word_offsets[m]; i < read.word_offsets[m + 1]; i++)
				length +=
					strlen(vocabulary_entry(&read.words, read.word_values[i]));
		}
		ck_assert_uint_gt(length, 0);
		catalog_fini(&read);
	}
	free(bytes);
	catalog_fini(&catalog);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_catalog_comes_back_as_it_was,
		marks_that_are_wanted_must_be_there, a_damaged_catalog_is_refused_or_safe, NULL};
	return run_cases("catalog_file", cases);
}
