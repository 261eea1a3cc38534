/* Checkpoints whose files were damaged, exchanged, edited or lost. */
#include "common/base/random.h"
#include "common/checkpoint/directory.h"
#include "common/checkpoint/sealed_json.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"
#include "tests/support/written.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[PATH_SIZE];

START_TEST(any_flipped_byte_of_any_file_is_found_and_the_file_is_named)
{
	static const char *const names[] = {
		"manifest.json", "dense.safetensors", "shard-00000.safetensors"};
	struct error err;
	struct random_sequence random;
	char path[PATH_SIZE], directory[PATH_SIZE];
	scratch_open(root);
	written_step(root, 10, 1, 0.9);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	random_sequence_init(&random, 11, random_stream("flips"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t size;
		written_file(path, root, 10, names[i]);
		char *bytes = scratch_read(path, &size);
		for (int round = 0; round < 300; round++) {
			size_t offset = random_below(&random, (uint32_t)size);
			unsigned char mask = (unsigned char)(1 + random_below(&random, 255));
			scratch_flip(path, offset, mask);
			enum status status = checkpoint_verify(directory, NULL, &err);
			/* A digit of format_version makes it another version. */
			ck_assert_msg(
				status == STATUS_DATA_LOSS || status == STATUS_FAILED_PRECONDITION,
				"%s byte %zu mask %u: %s", names[i], offset, mask,
				status_name(status));
			ck_assert_msg(strstr(err.message, names[i]) != NULL, "'%s'", err.message);
			scratch_write(path, bytes, size);
		}
		for (size_t cut = 0; cut < size; cut += 1 + size / 50) {
			scratch_write(path, bytes, cut);
			assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS,
				&err, names[i]);
		}
		scratch_write(path, bytes, size);
		free(bytes);
		assert_ok(checkpoint_verify(directory, NULL, &err), &err);
	}
	scratch_close(root);
}
END_TEST

START_TEST(missing_and_swapped_files_are_refused)
{
	struct error err;
	char a[PATH_SIZE], b[PATH_SIZE], away[PATH_SIZE], directory[PATH_SIZE];
	scratch_open(root);
	written_step(root, 10, 2, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	written_file(a, root, 10, "shard-00000.safetensors");
	written_file(b, root, 10, "shard-00001.safetensors");
	scratch_path(away, root, "away");
	ck_assert_int_eq(rename(a, away), 0);
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: is missing");
	ck_assert_int_eq(rename(b, a), 0);
	ck_assert_int_eq(rename(away, b), 0);
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: ");

	written_step(root, 11, 1, NAN);
	char other[PATH_SIZE];
	assert_ok(checkpoint_path(root, 11, directory, &err), &err);
	assert_ok(checkpoint_path(root, 12, other, &err), &err);
	ck_assert_int_eq(rename(directory, other), 0);
	assert_fails(checkpoint_verify(other, NULL, &err), STATUS_DATA_LOSS, &err,
		"its manifest is of step 11");
	scratch_close(root);
}
END_TEST

/* Files are checked side by side. */
START_TEST(of_several_damaged_files_the_first_is_named)
{
	struct error err;
	char path[PATH_SIZE], directory[PATH_SIZE];
	struct manifest manifest;
	scratch_open(root);
	written_step(root, 10, 8, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	assert_ok(manifest_read(&manifest, directory, &err), &err);
	for (size_t i = manifest.file_count; i-- > 0;) {
		written_file(path, root, 10, manifest.files[i].name);
		scratch_flip(path, manifest.files[i].stamp.size / 2, 1);
		for (int round = 0; round < 20; round++)
			assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS,
				&err, manifest.files[i].name);
	}
	manifest_fini(&manifest);
	scratch_close(root);
}
END_TEST

/* The manifest's text with one part replaced by another; its checksum is not. */
static void edit_manifest(uint64_t step, const char *from, const char *to)
{
	char path[PATH_SIZE];
	size_t size;
	written_file(path, root, step, MANIFEST_NAME);
	char *text = scratch_read(path, &size);
	char *at = strstr(text, from);
	ck_assert_ptr_nonnull(at);
	char *edited = malloc(size + strlen(to) + 1);
	int length = sprintf(edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	scratch_write(path, edited, (size_t)length);
	free(edited);
	free(text);
}

START_TEST(a_manifest_that_leads_outside_is_refused)
{
	static const char *const outside[] = {"../dense.safetensors", "/etc/passwd", "..", "",
		".hidden", "a/b", "manifest.json", "shard-00000.safetensors"};
	struct error err;
	struct manifest manifest;
	char directory[PATH_SIZE], path[PATH_SIZE];
	scratch_open(root);
	written_step(root, 10, 1, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	written_file(path, root, 10, MANIFEST_NAME);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		json_t *json;
		assert_ok(sealed_json_read(path, MANIFEST_FORMAT_VERSION, &json, &err), &err);
		json_object_del(json, "checksum");
		json_object_set_new(json_array_get(json_object_get(json, "files"), 1), "name",
			json_string(outside[i]));
		assert_ok(sealed_json_write(path, json, &err), &err);
		json_decref(json);
		assert_fails(manifest_read(&manifest, directory, &err), STATUS_DATA_LOSS, &err,
			outside[i]);
		ck_assert_msg(
			strstr(err.message, "manifest.json: file") != NULL, "%s", err.message);
	}
	scratch_close(root);
}
END_TEST

START_TEST(a_manifest_of_another_version_or_edited_is_refused)
{
	struct error err;
	char directory[PATH_SIZE];
	scratch_open(root);
	written_step(root, 10, 1, NAN);
	assert_ok(checkpoint_path(root, 10, directory, &err), &err);
	edit_manifest(10, "\"format_version\": 1", "\"format_version\": 23");
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_FAILED_PRECONDITION, &err,
		"format version 23, this program reads version 1");
	written_step(root, 10, 1, NAN);
	edit_manifest(10, "\"epoch\": 1", "\"epoch\": 2");
	assert_fails(checkpoint_verify(directory, NULL, &err), STATUS_DATA_LOSS, &err,
		"its checksum does not match");
	scratch_close(root);
}
END_TEST

START_TEST(the_newest_falls_back_to_one_that_verifies_and_says_so)
{
	struct error err;
	struct checkpoint found = {0};
	char path[PATH_SIZE];
	scratch_open(root);
	written_step(root, 10, 1, NAN);
	written_step(root, 20, 1, NAN);
	written_step(root, 30, 1, NAN);
	scratch_flip(written_file(path, root, 30, "dense.safetensors"), 9, 1);
	scratch_flip(written_file(path, root, 20, "shard-00000.safetensors"), 90, 1);
	assert_ok(checkpoint_resolve(&found, root, false, &err), &err);
	ck_assert_uint_eq(found.manifest.step, 10);
	ck_assert(strstr(found.notes, "step-00000000000000000030/dense.safetensors: damaged"));
	ck_assert(strstr(found.notes, "step-00000000000000000020/shard-00000.safetensors: dam"));
	checkpoint_fini(&found);
	scratch_flip(written_file(path, root, 10, "manifest.json"), 9, 1);
	assert_fails(checkpoint_resolve(&found, root, false, &err), STATUS_DATA_LOSS, &err,
		"none of the 3 checkpoints can be used");
	ck_assert(strstr(err.message, "step-00000000000000000030/dense.safetensors: damaged"));
	assert_ok(checkpoint_path(root, 20, path, &err), &err);
	assert_fails(checkpoint_resolve(&found, path, false, &err), STATUS_DATA_LOSS, &err,
		"shard-00000.safetensors: damaged");
	assert_fails(checkpoint_resolve(&found, "/nonexistent/x", false, &err), STATUS_NOT_FOUND,
		&err, "no such directory");
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {any_flipped_byte_of_any_file_is_found_and_the_file_is_named,
		missing_and_swapped_files_are_refused, of_several_damaged_files_the_first_is_named,
		a_manifest_that_leads_outside_is_refused,
		a_manifest_of_another_version_or_edited_is_refused,
		the_newest_falls_back_to_one_that_verifies_and_says_so, NULL};
	return run_cases("checkpoint damage", cases);
}
