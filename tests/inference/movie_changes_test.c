/* The file of changed movies: what is in it, damage, and memory that runs out. */
#include "inference/movie_changes.h"

#include "inference/movie_edit.h"
#include "tests/inference/sample.h"
#include "tests/support/failing_memory.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(struct movie_changes *changes, uint64_t id, const char *title, const char *genres)
{
	struct error err;
	assert_ok(movie_changes_add(changes, id, title, genres, &err), &err);
}

/* Three changes, out of their order. */
static void make_changes(struct movie_changes *changes)
{
	*changes = (struct movie_changes){0};
	add(changes, 77, "Caf\xc3\xa9 \"Story\" (2001)", "Drama|Comedy");
	add(changes, UINT64_MAX - 1, "No genres", "");
	add(changes, 5, NULL, NULL);
}

START_TEST(what_was_written_is_read_in_the_order_of_ids)
{
	struct error err;
	char root[PATH_SIZE], path[PATH_SIZE];
	struct movie_changes changes, found;
	scratch_open(root);
	scratch_path(path, root, MOVIE_CHANGES_NAME);
	assert_ok(movie_changes_read(&found, root, &err), &err);
	ck_assert_uint_eq(found.count, 0);
	make_changes(&changes);
	assert_ok(movie_changes_write(&changes, root, &err), &err);
	assert_ok(movie_changes_read(&found, root, &err), &err);
	ck_assert_uint_eq(found.count, 3);
	ck_assert_uint_eq(found.changes[0].id, 5);
	ck_assert_ptr_null(found.changes[0].title);
	ck_assert_uint_eq(found.changes[1].id, 77);
	ck_assert_str_eq(found.changes[1].title, "Caf\xc3\xa9 \"Story\" (2001)");
	ck_assert_str_eq(found.changes[1].genres, "Drama|Comedy");
	ck_assert_uint_eq(found.changes[2].id, UINT64_MAX - 1);
	ck_assert_str_eq(found.changes[2].genres, "");
	movie_changes_fini(&found);
	/* Without any there is no file. */
	movie_changes_fini(&changes);
	assert_ok(movie_changes_write(&changes, root, &err), &err);
	ck_assert(!file_exists(path));
	assert_ok(movie_changes_write(&changes, root, &err), &err);
	/* Text that JSON cannot hold is told before anything is written. */
	add(&changes, 1, "\xff\xfe", "");
	assert_fails(movie_changes_write(&changes, root, &err), STATUS_INVALID_ARGUMENT, &err,
		"not UTF-8");
	ck_assert(!file_exists(path));
	movie_changes_fini(&changes);
	scratch_close(root);
}
END_TEST

START_TEST(any_damage_to_the_file_is_found)
{
	struct error err;
	char root[PATH_SIZE], path[PATH_SIZE];
	struct movie_changes changes, found;
	size_t size;
	scratch_open(root);
	scratch_path(path, root, MOVIE_CHANGES_NAME);
	make_changes(&changes);
	assert_ok(movie_changes_write(&changes, root, &err), &err);
	char *whole = scratch_read(path, &size);
	for (size_t at = 0; at < size; at++) {
		scratch_flip(path, at, 0x04);
		enum status status = movie_changes_read(&found, root, &err);
		ck_assert_msg(status == STATUS_DATA_LOSS || status == STATUS_FAILED_PRECONDITION,
			"byte %zu: %s", at, status_name(status));
		ck_assert_ptr_nonnull(strstr(err.message, MOVIE_CHANGES_NAME));
		scratch_flip(path, at, 0x04);
	}
	for (size_t length = 0; length < size; length++) {
		scratch_write(path, whole, length);
		ck_assert_int_eq(movie_changes_read(&found, root, &err), STATUS_DATA_LOSS);
	}
	free(whole);
	movie_changes_fini(&changes);
	scratch_close(root);
}
END_TEST

static void refuses(const char *movies, const char *says)
{
	struct error err;
	struct movie_changes changes = {0};
	json_t *list = json_loads(movies, 0, NULL);
	ck_assert_ptr_nonnull(list);
	json_t *json = json_pack("{s:s, s:i, s:o}", "format", MOVIE_CHANGES_FORMAT,
		"format_version", (int)MOVIE_CHANGES_FORMAT_VERSION, "movies", list);
	assert_fails(movie_changes_from_json(&changes, json, &err), STATUS_DATA_LOSS, &err, says);
	ck_assert_ptr_null(changes.changes);
	json_decref(json);
}

START_TEST(a_sealed_file_is_not_believed_either)
{
	struct error err;
	struct movie_changes changes = {0};
	refuses("[{\"id\":2,\"removed\":true},{\"id\":1,\"removed\":true}]", "do not ascend at 1");
	refuses("[{\"id\":2,\"removed\":true},{\"id\":2,\"removed\":true}]", "do not ascend at 2");
	refuses("[{\"id\":-1,\"removed\":true}]", "'id'");
	refuses("[{\"id\":\"18446744073709551615\",\"removed\":true}]", "reserved");
	refuses("[7]", "'id'");
	refuses("[{\"id\":1}]", "'title'");
	refuses("[{\"id\":1,\"title\":\"a\"}]", "'genres'");
	refuses("[{\"id\":1,\"title\":\"\",\"genres\":[]}]", "its title has 0 bytes");
	refuses("[{\"id\":1,\"title\":\"a\",\"genres\":[1]}]", "entry 0 is not a name");
	refuses("[{\"id\":1,\"title\":\"a\",\"genres\":[\"a|b\"]}]", "entry 0 is not a name");
	refuses("[{\"id\":1,\"title\":\"a\",\"genres\":[\"a\",\"\"]}]", "genres 'a|'");
	json_t *other = json_pack("{s:s, s:[]}", "format", "marquee-model", "movies");
	assert_fails(movie_changes_from_json(&changes, other, &err), STATUS_DATA_LOSS, &err,
		"'format' is 'marquee-model'");
	json_decref(other);
}
END_TEST

static struct sample sample;

/* Adds one, updates one, removes one. *ret_refused: whether there was an allocation of the number.
 */
static enum status edit(uint64_t refuse, bool *ret_refused, struct error *err)
{
	const struct movie_edit_options options = {0};
	struct movie_edit *edit = NULL;
	failing_memory_arm(refuse);
	enum status status = movie_edit_open(&edit, sample.model, &options, err);
	if (status == STATUS_OK)
		status = movie_edit_add(edit, 77, "New Story (2001)", "Drama", err);
	if (status == STATUS_OK)
		status = movie_edit_update(edit, 1, "Other (1990)", NULL, err);
	if (status == STATUS_OK)
		status = movie_edit_remove(edit, 5, err);
	if (status == STATUS_OK)
		status = movie_edit_commit(edit, err);
	movie_edit_close(edit);
	*ret_refused = failing_memory_disarm();
	return status;
}

START_TEST(an_edit_without_memory_is_done_or_not_done_at_all)
{
	struct error err;
	char path[PATH_SIZE];
	bool refused = true;
	uint64_t number = 0;
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	scratch_path(path, sample.model, MOVIE_CHANGES_NAME);
	for (; refused; number++) {
		struct movie_changes found;
		unlink(path);
		enum status status = edit(number, &refused, &err);
		ck_assert_msg(status == STATUS_OK || (refused && err.message[0]), "allocation %llu",
			(unsigned long long)number);
		assert_ok(movie_changes_read(&found, sample.model, &err), &err);
		ck_assert_uint_eq(found.count, status == STATUS_OK ? 3 : 0);
		movie_changes_fini(&found);
	}
	ck_assert_uint_gt(number, 30);
	sample_close(&sample);
}
END_TEST

START_TEST(a_changed_model_opens_whole_or_not_at_all_without_memory)
{
	struct error err;
	bool refused = true;
	uint64_t number = 0;
	sample_open(&sample, &(struct sample_options){0});
	sample_export(&sample);
	assert_ok(edit(UINT64_MAX, &refused, &err), &err);
	for (refused = true; refused; number++) {
		struct model_directory directory;
		failing_memory_arm(number);
		enum status status = model_directory_open(&directory, sample.model, &err);
		refused = failing_memory_disarm();
		if (status == STATUS_OK) {
			ck_assert_uint_eq(directory.catalog.movie_count, SAMPLE_MOVIES);
			ck_assert_uint_eq(directory.changes.added, 1);
			ck_assert_uint_eq(directory.changes.removed, 1);
			ck_assert_uint_eq(directory.changes.count, 2);
			model_directory_close(&directory);
		} else {
			ck_assert_msg(refused && err.message[0], "allocation %llu",
				(unsigned long long)number);
		}
	}
	ck_assert_uint_gt(number, 30);
	sample_close(&sample);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {what_was_written_is_read_in_the_order_of_ids,
		any_damage_to_the_file_is_found, a_sealed_file_is_not_believed_either,
		an_edit_without_memory_is_done_or_not_done_at_all,
		a_changed_model_opens_whole_or_not_at_all_without_memory, NULL};
	return run_cases("movie_changes", cases);
}
