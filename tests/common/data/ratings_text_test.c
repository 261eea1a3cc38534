/* Text in pieces and by several threads, against the reader that takes a file line by line. */
#include "common/data/ratings_text.h"

#include "common/base/memory.h"
#include "common/base/random.h"
#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS  300u
#define MOVIES 200u
/* Some pieces of RATINGS_LINE_MAX bytes. */
#define LINES 60000u

static char directory[PATH_SIZE], path[PATH_SIZE];
static struct catalog catalog;
static const struct data_options strict = {0};
static const struct data_options lenient = {.skip_bad_lines = true};

struct collected {
	struct rating *examples;
	size_t count, capacity;
	size_t refuse_after; /* 0: never */
};

static enum status collect(
	void *context, const struct rating *ratings, size_t count, struct error *err)
{
	struct collected *collected = context;
	if (collected->refuse_after && collected->count >= collected->refuse_after)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the sink is full");
	enum status status = memory_grow(&collected->examples, &collected->capacity,
		collected->count + count, sizeof(*ratings), "test", err);
	ck_assert_int_eq(status, STATUS_OK);
	memcpy(collected->examples + collected->count, ratings, count * sizeof(*ratings));
	collected->count += count;
	return STATUS_OK;
}

static enum status read_text(struct collected *collected, const struct data_options *options,
	uint32_t threads, struct data_report *report, struct error *err)
{
	struct file_identity identity;
	collected->count = 0;
	return ratings_text_read(
		path, &catalog, options, threads, collect, collected, report, &identity, err);
}

/* Both readers must agree on examples, skipped lines, and errors word for word. */
static void compare_with_the_reader(const struct data_options *options)
{
	static const uint32_t threads[] = {1, 2, 5};
	struct ratings expected = {0};
	struct collected found = {0};
	struct data_report expected_report = {0};
	struct error expected_error = {0}, error = {0};
	enum status expected_status =
		ratings_load(&expected, &catalog, path, options, &expected_report, &expected_error);
	if (expected_status == STATUS_FAILED_PRECONDITION)
		expected_status = STATUS_OK; /* no ratings, which the caller finds out here */
	for (size_t i = 0; i < 3; i++) {
		struct data_report report = {0};
		enum status status = read_text(&found, options, threads[i], &report, &error);
		ck_assert_int_eq(status, expected_status);
		if (status != STATUS_OK) {
			ck_assert_str_eq(error.message, expected_error.message);
			continue;
		}
		ck_assert_uint_eq(found.count, expected.count);
		if (found.count > 0)
			ck_assert_mem_eq(found.examples, expected.examples,
				found.count * sizeof(struct rating));
		ck_assert_uint_eq(report.skipped_lines, expected_report.skipped_lines);
		ck_assert_str_eq(report.first_bad_line, expected_report.first_bad_line);
	}
	free(found.examples);
	ratings_fini(&expected);
}

/* Lines of all forms that are right, separated by "::" or tabs; the end of the file varies. */
static void write_lines(bool tabs, uint32_t bad_every, const char *ending)
{
	static const char *const stars[] = {"1", "2", "3", "4", "5", "0.5", "3.75", "4.000000001"};
	static const char *const bad[] = {"rubbish", "", "1::2::6::1", "1::2::3::", "9999::1::3::1",
		"1::9999::3::1", "::::::", "1\t2\t3", "1:2:3:4", "1::2::3::1 ",
		"123456789::1::3::1"};
	struct random_sequence sequence;
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	random_sequence_init(&sequence, 1, 2);
	for (uint32_t i = 0; i < LINES; i++) {
		const char *gap = tabs ? "\t" : "::";
		if (bad_every && i % bad_every == bad_every - 1) {
			fprintf(file, "%s\n", bad[random_below(&sequence, 11)]);
			continue;
		}
		/* Zeros in front make ids of 8, 9 and more digits that are still right. */
		fprintf(file, "%0*u%s%0*u%s%s%s%s%u%s\n",
			(int)random_below(&sequence, 40) == 0 ? 8 + (int)(i % 4) : 1,
			1 + random_below(&sequence, USERS), gap,
			(int)random_below(&sequence, 40) == 0 ? 12 : 1,
			1 + random_below(&sequence, MOVIES), gap, stars[random_below(&sequence, 8)],
			gap, random_below(&sequence, 50) == 0 ? "-1234567890123456789" : "",
			random_next(&sequence) >> random_below(&sequence, 31),
			random_below(&sequence, 30) == 0 ? "\r" : "");
	}
	fputs(ending, file);
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(pieces_and_threads_give_what_the_reader_gives)
{
	static const char *const endings[] = {"", "1::1::5::1", "\n\r\n\n", "1::1::5::1\r"};
	for (size_t i = 0; i < 4; i++) {
		write_lines(false, 0, endings[i]);
		compare_with_the_reader(&strict);
	}
	write_lines(true, 0, "");
	compare_with_the_reader(&strict);
}
END_TEST

START_TEST(bad_lines_have_their_numbers_wherever_they_are)
{
	static const uint32_t distances[] = {3, 1000, 40000, LINES};
	for (size_t i = 0; i < 4; i++) {
		write_lines(false, distances[i], "");
		compare_with_the_reader(&strict);
		compare_with_the_reader(&lenient);
	}
}
END_TEST

START_TEST(files_with_little_in_them_are_read)
{
	static const char *const texts[] = {"", "\n", "\r\n\r\n", "1", "1::1::5::1", "1::1::5::1\n",
		"\n1::1::5::1\n", "1::1::5::1\n\n1::2::5::1\n\n\n", "\r\r\n1::1::5::1",
		"::", "\n\n\nx"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		scratch_write(path, texts[i], strlen(texts[i]));
		compare_with_the_reader(&strict);
		compare_with_the_reader(&lenient);
	}
}
END_TEST

/* A line feed at every place around the border of two pieces. */
START_TEST(a_line_belongs_to_the_piece_it_begins_in)
{
	static char text[RATINGS_LINE_MAX + 200];
	for (size_t end = RATINGS_LINE_MAX - 40; end < RATINGS_LINE_MAX + 5; end++) {
		size_t used = 0;
		while (used < end)
			used += (size_t)sprintf(text + used, "7::%zu::4::1\n", 1 + used % MOVIES);
		/* The time of the last line fills it up to the place that is tested. */
		used += (size_t)sprintf(
			text + used, "1::1::5::%0*u\n2::2::1::2\n", (int)(end % 50) + 1, 1u);
		scratch_write(path, text, used);
		compare_with_the_reader(&strict);
	}
}
END_TEST

START_TEST(a_line_without_end_is_bad_and_the_next_one_is_not)
{
	const size_t sizes[] = {RATINGS_LINE_MAX, RATINGS_LINE_MAX + 1, 2 * RATINGS_LINE_MAX + 7,
		5 * RATINGS_LINE_MAX};
	struct collected found = {0};
	for (size_t i = 0; i < 4; i++)
		for (uint32_t threads = 1; threads <= 3; threads++) {
			char message[PATH_SIZE + 100];
			struct error err;
			struct data_report report = {0};
			FILE *file = fopen(path, "w");
			ck_assert_ptr_nonnull(file);
			fprintf(file, "1::1::5::1\n2::2::4::%0*u\n3::3::3::1\n", (int)sizes[i] - 9,
				1u);
			ck_assert_int_eq(fclose(file), 0);
			enum status status = read_text(&found, &strict, threads, NULL, &err);
			snprintf(message, sizeof(message), "%s:2: the line is too long: ", path);
			if (i == 0)
				assert_ok(status, &err);
			else
				assert_fails(status, STATUS_DATA_LOSS, &err, message);
			assert_ok(read_text(&found, &lenient, threads, &report, &err), &err);
			ck_assert_uint_eq(found.count, i == 0 ? 3 : 2);
			ck_assert_uint_eq(found.examples[found.count - 1].user, 2);
			ck_assert_uint_eq(report.skipped_lines, i == 0 ? 0 : 1);
		}
	free(found.examples);
}
END_TEST

/* Bytes changed at random, in a text of a few pieces and in a short one. */
START_TEST(damaged_texts_give_what_the_reader_gives)
{
	struct random_sequence sequence;
	random_sequence_init(&sequence, 5, 6);
	for (uint32_t round = 0; round < 60; round++) {
		static const char alphabet[] = "0123456789:\t\r\n.- x\0";
		size_t size;
		write_lines(round % 2, 0, "");
		char *text = scratch_read(path, &size);
		size = round % 3 ? 1000 + round : size;
		for (uint32_t i = 0; i < 1 + round / 3; i++)
			text[random_below(&sequence, (uint32_t)size)] =
				alphabet[random_below(&sequence, sizeof(alphabet))];
		scratch_write(path, text, size);
		compare_with_the_reader(&strict);
		compare_with_the_reader(&lenient);
		free(text);
	}
}
END_TEST

START_TEST(what_the_sink_says_ends_the_reading)
{
	struct collected found = {.refuse_after = 20000};
	struct error err;
	write_lines(false, 0, "");
	for (uint32_t threads = 1; threads <= 3; threads++)
		assert_fails(read_text(&found, &strict, threads, NULL, &err),
			STATUS_RESOURCE_EXHAUSTED, &err, "the sink is full");
	free(found.examples);
}
END_TEST

START_TEST(a_file_that_is_none_is_refused)
{
	struct collected found = {0};
	struct error err;
	ck_assert_int_eq(remove(path), 0);
	assert_fails(read_text(&found, &strict, 1, NULL, &err), STATUS_NOT_FOUND, &err,
		"some.txt: No such");
	assert_ok(directory_create(path, &err), &err);
	assert_fails(read_text(&found, &strict, 1, NULL, &err), STATUS_INVALID_ARGUMENT, &err,
		"some.txt: not a regular file");
	assert_ok(directory_remove(path, &err), &err);
}
END_TEST

static void open_all(void)
{
	struct error err;
	fixture_grid(directory, USERS, MOVIES);
	scratch_path(path, directory, "some.txt");
	fixture_put(directory, "ratings.dat", "1::1::1::1\n");
	assert_ok(catalog_load(&catalog, directory, &strict, NULL, &err), &err);
}

static void close_all(void)
{
	catalog_fini(&catalog);
	scratch_close(directory);
}

int main(void)
{
	const TTest *const cases[] = {pieces_and_threads_give_what_the_reader_gives,
		bad_lines_have_their_numbers_wherever_they_are, files_with_little_in_them_are_read,
		a_line_belongs_to_the_piece_it_begins_in,
		a_line_without_end_is_bad_and_the_next_one_is_not,
		damaged_texts_give_what_the_reader_gives, what_the_sink_says_ends_the_reading,
		a_file_that_is_none_is_refused, NULL};
	return run_cases_around("ratings text", cases, open_all, close_all);
}
