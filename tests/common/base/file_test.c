#include "common/base/file.h"

#include "common/base/hash.h"

#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[64]; /* a fresh directory for every case */

static void scratch_open(void)
{
	snprintf(scratch, sizeof(scratch), "/tmp/marquee-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void scratch_close(void)
{
	struct error err = {0};
	assert_ok(directory_remove(scratch, &err), &err);
	ck_assert(!directory_exists(scratch));
}

/* scratch/name, in one of a few static buffers. */
static const char *in_scratch(const char *name)
{
	static char paths[4][PATH_SIZE];
	static unsigned int next;
	struct error err = {0};
	char *path = paths[next++ % 4];
	assert_ok(path_join(path, scratch, name, &err), &err);
	return path;
}

START_TEST(a_written_file_is_read_back_and_leaves_nothing_beside_it)
{
	struct error err = {0};
	char *bytes;
	size_t size;
	scratch_open();
	const char *path = in_scratch("file");
	assert_ok(file_write_atomic(path, "first, longer", 13, &err), &err);
	assert_ok(file_write_atomic(path, "a\0b", 3, &err), &err);
	assert_ok(file_read_all(path, 3, &bytes, &size, &err), &err);
	ck_assert_uint_eq(size, 3);
	ck_assert_mem_eq(bytes, "a\0b\0", 4);
	free(bytes);
	ck_assert(!file_exists(in_scratch("file.tmp")));
	scratch_close();
}
END_TEST

START_TEST(a_write_that_fails_leaves_the_old_file)
{
	struct error err = {0};
	char *bytes;
	size_t size;
	scratch_open();
	const char *path = in_scratch("file");
	assert_ok(file_write_atomic(path, "old", 3, &err), &err);
	assert_ok(directory_create(in_scratch("file.tmp"), &err), &err);
	assert_fails(file_write_atomic(path, "new", 3, &err), STATUS_INVALID_ARGUMENT, &err, path);
	assert_ok(file_read_all(path, 100, &bytes, &size, &err), &err);
	ck_assert_str_eq(bytes, "old");
	free(bytes);
	scratch_close();
}
END_TEST

START_TEST(what_cannot_be_read_is_named)
{
	struct error err = {0};
	char *bytes;
	size_t size;
	struct file_map map;
	scratch_open();
	const char *path = in_scratch("file");
	assert_fails(file_read_all(path, 10, &bytes, &size, &err), STATUS_NOT_FOUND, &err, path);
	assert_fails(file_map_open(&map, path, &err), STATUS_NOT_FOUND, &err, path);
	assert_fails(file_read_all(scratch, 10, &bytes, &size, &err), STATUS_INVALID_ARGUMENT, &err,
		"not a regular file");
	assert_ok(file_write_atomic(path, "01234567890", 11, &err), &err);
	assert_fails(file_read_all(path, 10, &bytes, &size, &err), STATUS_RESOURCE_EXHAUSTED, &err,
		"11 bytes, more than the 10 allowed");
	scratch_close();
}
END_TEST

START_TEST(a_map_shows_the_file_and_an_empty_one_is_empty)
{
	struct error err = {0};
	struct file_map map;
	scratch_open();
	assert_ok(file_write_atomic(in_scratch("full"), "bytes", 5, &err), &err);
	assert_ok(file_write_atomic(in_scratch("empty"), "", 0, &err), &err);
	assert_ok(file_map_open(&map, in_scratch("full"), &err), &err);
	ck_assert_uint_eq(map.size, 5);
	file_map_fetch(&map);
	ck_assert_mem_eq(map.bytes, "bytes", 5);
	file_map_close(&map);
	file_map_close(&map);
	assert_ok(file_map_open(&map, in_scratch("empty"), &err), &err);
	ck_assert_uint_eq(map.size, 0);
	ck_assert_ptr_nonnull(map.bytes);
	file_map_fetch(&map);
	file_map_close(&map);
	scratch_close();
}
END_TEST

START_TEST(the_digest_of_a_file_is_that_of_its_bytes)
{
	struct error err = {0};
	uint64_t hash, size;
	scratch_open();
	assert_ok(file_write_atomic(in_scratch("file"), "", 0, &err), &err);
	assert_ok(file_digest(in_scratch("file"), &hash, &size, &err), &err);
	ck_assert_uint_eq(size, 0);
	ck_assert_uint_eq(hash, UINT64_C(0x2D06800538D394C2)); /* XXH3 of nothing */
	/* Files are read in pieces; sizes around whole ones. */
	const size_t piece = (size_t)256 << 10, sizes[] = {1, piece - 1, piece, 2 * piece + 7};
	char *bytes = malloc(3 * piece);
	for (size_t i = 0; i < 3 * piece; i++)
		bytes[i] = (char)(i * i >> 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_ok(file_write_atomic(in_scratch("file"), bytes, sizes[i], &err), &err);
		assert_ok(file_digest(in_scratch("file"), &hash, &size, &err), &err);
		ck_assert_uint_eq(size, sizes[i]);
		ck_assert_uint_eq(hash, hash_bytes(bytes, sizes[i], 0));
	}
	free(bytes);
	assert_fails(file_digest(scratch, &hash, &size, &err), STATUS_INVALID_ARGUMENT, &err,
		"not a regular file");
	scratch_close();
}
END_TEST

START_TEST(directories_are_created_with_their_parents)
{
	struct error err = {0};
	scratch_open();
	assert_ok(directory_create(in_scratch("a/b/c"), &err), &err);
	assert_ok(directory_create(in_scratch("a/b/c/"), &err), &err);
	ck_assert(directory_exists(in_scratch("a/b/c")));
	assert_ok(file_write_atomic(in_scratch("file"), "x", 1, &err), &err);
	ck_assert(directory_create(in_scratch("file"), &err) != STATUS_OK);
	ck_assert(directory_create(in_scratch("file/below"), &err) != STATUS_OK);
	ck_assert(directory_create("", &err) != STATUS_OK);
	scratch_close();
}
END_TEST

START_TEST(removing_does_not_follow_links_and_takes_a_missing_path)
{
	struct error err = {0};
	scratch_open();
	assert_ok(directory_create(in_scratch("kept"), &err), &err);
	assert_ok(file_write_atomic(in_scratch("kept/file"), "x", 1, &err), &err);
	assert_ok(directory_create(in_scratch("gone/deep"), &err), &err);
	assert_ok(file_write_atomic(in_scratch("gone/deep/file"), "x", 1, &err), &err);
	ck_assert_int_eq(symlink(in_scratch("kept"), in_scratch("gone/link")), 0);
	assert_ok(directory_remove(in_scratch("gone"), &err), &err);
	assert_ok(directory_remove(in_scratch("gone"), &err), &err);
	ck_assert(!directory_exists(in_scratch("gone")));
	ck_assert(file_exists(in_scratch("kept/file")));
	scratch_close();
}
END_TEST

START_TEST(a_write_at_an_offset_lands_there)
{
	struct error err = {0};
	char *bytes;
	size_t size;
	scratch_open();
	const char *path = in_scratch("file");
	int descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(descriptor, 0);
	assert_ok(file_write_at(descriptor, "end", 3, 5, path, &err), &err);
	assert_ok(file_write_at(descriptor, "start", 5, 0, path, &err), &err);
	close(descriptor);
	assert_ok(file_read_all(path, 100, &bytes, &size, &err), &err);
	ck_assert_str_eq(bytes, "startend");
	free(bytes);
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(file_write_at(descriptor, "x", 1, 7, path, &err) != STATUS_OK);
	ck_assert_ptr_nonnull(strstr(err.message, "write at byte 7"));
	close(descriptor);
	scratch_close();
}
END_TEST

START_TEST(a_path_that_does_not_fit_is_refused)
{
	struct error err = {0};
	char path[PATH_SIZE];
	static char longest[PATH_SIZE];
	memset(longest, 'x', sizeof(longest) - 1);
	assert_fails(
		path_join(path, longest, "name", &err), STATUS_INVALID_ARGUMENT, &err, "too long");
	assert_ok(path_join(path, "a", "b", &err), &err);
	ck_assert_str_eq(path, "a/b");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_written_file_is_read_back_and_leaves_nothing_beside_it,
		a_write_that_fails_leaves_the_old_file, what_cannot_be_read_is_named,
		a_map_shows_the_file_and_an_empty_one_is_empty,
		the_digest_of_a_file_is_that_of_its_bytes,
		directories_are_created_with_their_parents,
		removing_does_not_follow_links_and_takes_a_missing_path,
		a_write_at_an_offset_lands_there, a_path_that_does_not_fit_is_refused, NULL};
	return run_cases("file", cases);
}
