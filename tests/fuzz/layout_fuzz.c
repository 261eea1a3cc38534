#include "tests/fuzz/layout_fuzz.h"

#include "common/data/ratings.h"
#include "tests/fuzz/fuzz.h"

static void read_ratings(
	const struct catalog *catalog, const struct data_options *options, const char *name)
{
	struct ratings_reader reader;
	struct data_report report = {0};
	struct error err;
	char path[PATH_SIZE];
	FUZZ_CHECK(path_join(path, fuzz_directory(), name, NULL) == STATUS_OK);
	if (ratings_reader_open(&reader, catalog, path, options, &report, &err) != STATUS_OK)
		return;
	for (bool done = false; !done;) {
		struct rating rating;
		if (ratings_reader_next(&reader, &rating, &done, &err) != STATUS_OK)
			break;
		if (done)
			break;
		FUZZ_CHECK(rating.user < catalog->user_count);
		FUZZ_CHECK(rating.movie < catalog->movie_count);
		FUZZ_CHECK(rating.stars >= STARS_MIN && rating.stars <= STARS_MAX);
	}
	ratings_reader_close(&reader);
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
