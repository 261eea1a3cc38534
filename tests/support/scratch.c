#include "tests/support/scratch.h"

#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>

void scratch_open(char path[PATH_SIZE])
{
	const char *base = getenv("TMPDIR");
	int length =
		snprintf(path, PATH_SIZE, "%s/marquee-test-XXXXXX", base && *base ? base : "/tmp");
	ck_assert(length > 0 && (size_t)length < PATH_SIZE);
	ck_assert_msg(mkdtemp(path) != NULL, "cannot make %s", path);
}

void scratch_close(const char *path)
{
	struct error err;
	assert_ok(directory_remove(path, &err), &err);
}

const char *scratch_path(char path[PATH_SIZE], const char *directory, const char *name)
{
	struct error err;
	assert_ok(path_join(path, directory, name, &err), &err);
	return path;
}

void scratch_write(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");
	ck_assert_msg(file != NULL, "cannot write %s", path);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

char *scratch_read(const char *path, size_t *ret_size)
{
	struct error err;
	char *bytes;
	assert_ok(file_read_all(path, SIZE_MAX / 4, &bytes, ret_size, &err), &err);
	return bytes;
}

void scratch_flip(const char *path, size_t offset, unsigned char mask)
{
	size_t size;
	char *bytes = scratch_read(path, &size);
	ck_assert_uint_lt(offset, size);
	bytes[offset] = (char)(bytes[offset] ^ mask);
	scratch_write(path, bytes, size);
	free(bytes);
}
