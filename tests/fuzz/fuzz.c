#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void write_all(int descriptor, const void *bytes, size_t size)
{
	FUZZ_CHECK(size == 0 || write(descriptor, bytes, size) == (ssize_t)size);
}

void fuzz_file_open(struct fuzz_file *ret, const void *bytes, size_t size)
{
	ret->descriptor = memfd_create("input", MFD_CLOEXEC);
	FUZZ_CHECK(ret->descriptor >= 0);
	write_all(ret->descriptor, bytes, size);
	snprintf(ret->path, sizeof(ret->path), "/proc/self/fd/%d", ret->descriptor);
}

void fuzz_file_close(struct fuzz_file *file)
{
	close(file->descriptor);
}

static char directory[PATH_SIZE];

static void remove_directory(void)
{
	(void)!directory_remove(directory, NULL);
}

const char *fuzz_directory(void)
{
	if (directory[0])
		return directory;
	snprintf(directory, sizeof(directory), "%s/marquee-fuzz-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(directory) != NULL);
	atexit(remove_directory);
	return directory;
}

void fuzz_directory_write(const char *name, const void *bytes, size_t size)
{
	char path[PATH_SIZE];
	FUZZ_CHECK(path_join(path, fuzz_directory(), name, NULL) == STATUS_OK);
	int descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FUZZ_CHECK(descriptor >= 0);
	write_all(descriptor, bytes, size);
	close(descriptor);
}

struct fuzz_input fuzz_section(struct fuzz_input *rest)
{
	static const char mark[] = "%%\n";
	const size_t length = sizeof(mark) - 1;
	for (size_t i = 0; i + length <= rest->size; i++) {
		if (memcmp(rest->bytes + i, mark, length) != 0 ||
			(i > 0 && rest->bytes[i - 1] != '\n'))
			continue;
		struct fuzz_input section = {rest->bytes, i};
		*rest = (struct fuzz_input){rest->bytes + i + length, rest->size - i - length};
		return section;
	}
	struct fuzz_input section = *rest;
	*rest = (struct fuzz_input){rest->bytes + rest->size, 0};
	return section;
}
