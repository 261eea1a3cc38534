/* JSON that is taken for the changed movies of a model, applied to a catalog, and the file with its
 * seal. */
#include "common/checkpoint/catalog_file.h"
#include "inference/model_changes.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char users[] = "1::F::1::10::1\n";
static const char movies[] =
	"1::Toy Story (1995)::Animation|Comedy\n5::Bride (1995)::Comedy\n9::(1999)::\n";

/* A model directory as far as changes of movies are concerned. */
static void open_directory(struct model_directory *ret)
{
	struct error err;
	const struct data_options options = {0};
	fuzz_directory_write("users.dat", users, sizeof(users) - 1);
	fuzz_directory_write("movies.dat", movies, sizeof(movies) - 1);
	fuzz_directory_write("ratings.dat", "", 0);
	*ret = (struct model_directory){0};
	FUZZ_CHECK(
		catalog_load(&ret->catalog, fuzz_directory(), &options, NULL, &err) == STATUS_OK);
	FUZZ_CHECK(catalog_trained_init(&ret->trained, &ret->catalog, &err) == STATUS_OK);
}

/* Every movie is what the changes say, or what it was. */
static void apply(const struct movie_changes *changes)
{
	struct model_directory directory;
	struct error err;
	open_directory(&directory);
	if (model_changes_use(&directory, changes, &err) == STATUS_OK) {
		const struct catalog *catalog = &directory.catalog;
		for (size_t i = 0; i < changes->count; i++) {
			const struct movie_change *change = &changes->changes[i];
			const uint32_t m = catalog_find_movie(catalog, change->id);
			FUZZ_CHECK((m != UINT32_MAX) == (change->title != NULL));
			FUZZ_CHECK(!change->title ||
				   strcmp(catalog_title(catalog, m), change->title) == 0);
		}
		FUZZ_CHECK(catalog->movie_count ==
			   3 + directory.changes.added - directory.changes.removed);
	}
	model_changes_fini(&directory.changes);
	catalog_trained_fini(&directory.trained);
	catalog_fini(&directory.catalog);
}

/* What was read can be written, and reads the same. */
static void read_again(const struct movie_changes *changes)
{
	struct movie_changes again;
	struct error err;
	json_t *json = movie_changes_to_json(changes);
	FUZZ_CHECK(json != NULL);
	FUZZ_CHECK(movie_changes_from_json(&again, json, &err) == STATUS_OK);
	FUZZ_CHECK(again.count == changes->count);
	movie_changes_fini(&again);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct movie_changes changes;
	struct error err;
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json && movie_changes_from_json(&changes, json, &err) == STATUS_OK) {
		read_again(&changes);
		apply(&changes);
		movie_changes_fini(&changes);
	}
	json_decref(json);
	fuzz_directory_write(MOVIE_CHANGES_NAME, data, size);
	if (movie_changes_read(&changes, fuzz_directory(), &err) == STATUS_OK)
		movie_changes_fini(&changes);
	return 0;
}
