/*
 * For LD_PRELOAD: a disk that fails with EIO, for programs that know nothing of it.
 *
 *     FAILING_DISK_ROOT   the directory below which it is so
 *     FAILING_DISK_CALL   open, mkdir, pwrite, fsync or rename
 *     FAILING_DISK_FIRST  the first call of them that fails, from 1
 *     FAILING_DISK_COUNT  how many fail from there on
 *     FAILING_DISK_TOTAL  a file that gets the number of such calls when the process ends; may be
 * absent
 *
 * Threads: all may call.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

static atomic_uint_fast64_t calls;

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : 0;
}

/* Whether this call, which counts, is one that fails. */
static bool fails(const char *call, const char *path)
{
	const char *root = getenv("FAILING_DISK_ROOT");
	const char *wanted = getenv("FAILING_DISK_CALL");
	if (!root || !wanted || strcmp(call, wanted) != 0 || strncmp(path, root, strlen(root)) != 0)
		return false;
	const uint64_t number = atomic_fetch_add(&calls, 1) + 1;
	const uint64_t first = number_of("FAILING_DISK_FIRST");
	if (number < first || number - first >= number_of("FAILING_DISK_COUNT"))
		return false;
	errno = EIO;
	return true;
}

static bool descriptor_fails(const char *call, int descriptor)
{
	char name[64], path[PATH_BYTES];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", descriptor);
	ssize_t length = readlink(name, path, sizeof(path) - 1);
	if (length < 0)
		return false;
	path[length] = '\0';
	return fails(call, path);
}

__attribute__((destructor)) static void tell_total(void)
{
	const char *name = getenv("FAILING_DISK_TOTAL");
	FILE *file = name && atomic_load(&calls) > 0 ? fopen(name, "we") : NULL;
	if (!file)
		return;
	fprintf(file, "%llu\n", (unsigned long long)atomic_load(&calls));
	fclose(file);
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...);
	*(void **)&real = dlsym(RTLD_NEXT, "open");
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	/* What is only read is not written. */
	if ((flags & O_CREAT) && fails("open", path))
		return -1;
	return real(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t);
	*(void **)&real = dlsym(RTLD_NEXT, "mkdir");
	return fails("mkdir", path) ? -1 : real(path, mode);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off_t);
	*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return descriptor_fails("pwrite", descriptor) ? -1 : real(descriptor, bytes, size, offset);
}

int fsync(int descriptor)
{
	int (*real)(int);
	*(void **)&real = dlsym(RTLD_NEXT, "fsync");
	return descriptor_fails("fsync", descriptor) ? -1 : real(descriptor);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *);
	*(void **)&real = dlsym(RTLD_NEXT, "rename");
	return fails("rename", from) ? -1 : real(from, to);
}
