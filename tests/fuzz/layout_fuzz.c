#include "tests/fuzz/layout_fuzz.h"

#include "common/data/ratings_text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* More than there are in the longest input: a line has at least nine bytes. */
#define EXAMPLES_MAX 8192u

/* The examples of a file as the line by line reader has them. */
struct expected {
	struct rating examples[EXAMPLES_MAX];
	size_t count, seen;
};

/* The reader in pieces must find the same. */
static enum status compare(
	void *context, const struct rating *ratings, size_t count, struct error *err)
{
	struct expected *expected = context;
	(void)err;
	FUZZ_CHECK(count <= expected->count - expected->seen);
	FUZZ_CHECK(memcmp(expected->examples + expected->seen, ratings, count * sizeof(*ratings)) ==
		   0);
	expected->seen += count;
	return STATUS_OK;
}

static enum status read_lines(struct expected *ret, const struct catalog *catalog, const char *path,
	const struct data_options *options, struct error *err)
{
	struct ratings_reader reader;
	struct data_report report = {0};
	enum status status = ratings_reader_open(&reader, catalog, path, options, &report, err);
	if (status != STATUS_OK)
		return status;
	for (bool done = false; status == STATUS_OK && !done;) {
		struct rating rating;
		status = ratings_reader_next(&reader, &rating, &done, err);
		if (status != STATUS_OK || done)
			break;
		FUZZ_CHECK(rating.user < catalog->user_count);
		FUZZ_CHECK(rating.movie < catalog->movie_count);
		FUZZ_CHECK(rating.stars >= STARS_MIN && rating.stars <= STARS_MAX);
		FUZZ_CHECK(ret->count < EXAMPLES_MAX);
		ret->examples[ret->count++] = rating;
	}
	ratings_reader_close(&reader);
	return status;
}

static void read_ratings(
	const struct catalog *catalog, const struct data_options *options, const char *name)
{
	static struct expected expected;
	struct file_identity identity;
	struct data_report report = {0};
	struct error lines_error, text_error;
	char path[PATH_SIZE];
	FUZZ_CHECK(path_join(path, fuzz_directory(), name, NULL) == STATUS_OK);
	expected.count = expected.seen = 0;
	enum status by_lines = read_lines(&expected, catalog, path, options, &lines_error);
	enum status by_text = ratings_text_read(
		path, catalog, options, 1, compare, &expected, &report, &identity, &text_error);
	FUZZ_CHECK(by_lines == by_text);
	FUZZ_CHECK(by_lines != STATUS_OK || expected.seen == expected.count);
	FUZZ_CHECK(by_lines == STATUS_OK || strcmp(lines_error.message, text_error.message) == 0);
}

void layout_fuzz(const uint8_t *data, size_t size, const char *const *names, size_t count)
{
	struct fuzz_input rest = {data, size};
	for (size_t i = 0; i < count; i++) {
		struct fuzz_input file = i + 1 < count ? fuzz_section(&rest) : rest;
		fuzz_directory_write(names[i], file.bytes, file.size);
	}
	for (int skip = 0; skip < 2; skip++) {
		const struct data_options options = {.skip_bad_lines = skip != 0};
		struct data_report report = {0};
		struct catalog catalog;
		struct error err;
		if (catalog_load(&catalog, fuzz_directory(), &options, &report, &err) != STATUS_OK)
			continue;
		read_ratings(&catalog, &options, names[count - 1]);
		catalog_fini(&catalog);
	}
}
