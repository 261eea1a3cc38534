#include "tests/sim/disk.h"

#include "common/base/hash.h"
#include "tests/sim/power.h"
#include "tests/sim/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_MAX	 1024
#define PATH_BYTES	 512u
#define OPERATION_US_MAX 60u
#define SLOW_MS_MAX	 400u /* some operations take long, and training goes on */
#define SLOW_PERMYRIAD	 150u

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_mkostemp(char *path, int flags);
int __wrap_mkostemp(char *path, int flags);
int __real_close(int descriptor);
int __wrap_close(int descriptor);
ssize_t __real_pwrite(int descriptor, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int descriptor, const void *bytes, size_t size, off_t offset);
ssize_t __real_read(int descriptor, void *bytes, size_t size);
ssize_t __wrap_read(int descriptor, void *bytes, size_t size);
char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
int __real_fallocate(int descriptor, int mode, off_t offset, off_t size);
int __wrap_fallocate(int descriptor, int mode, off_t offset, off_t size);
int __real_fsync(int descriptor);
int __wrap_fsync(int descriptor);
int __real_sync_file_range(int descriptor, off_t offset, off_t size, unsigned int flags);
int __wrap_sync_file_range(int descriptor, off_t offset, off_t size, unsigned int flags);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned int flags);
int __wrap_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned int flags);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

static struct disk {
	const char *root;
	struct descriptor {
		const struct sim_process *process; /* NULL: not open in the world */
		char path[PATH_BYTES];		   /* below the root; "": elsewhere */
	} descriptors[DESCRIPTORS_MAX];
	uint64_t operations, failures;
	bool lies; /* of having synced */
	uint64_t fail_first, fail_for_ns, fail_until_ns;
	int fail_errno;
} disk;

void sim_disk_begin(void)
{
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (disk.descriptors[i].process)
			__real_close(i);
	memset(&disk, 0, sizeof(disk));
}

void sim_disk_watch(const char *root)
{
	disk.root = root;
}

void sim_disk_fail(uint64_t first, uint64_t for_ns, int error_number)
{
	disk.fail_first = first;
	disk.fail_for_ns = for_ns;
	disk.fail_until_ns = 0;
	disk.fail_errno = error_number;
}

uint64_t sim_disk_failures(void)
{
	return disk.failures;
}

void sim_disk_forget(const struct sim_process *process)
{
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (disk.descriptors[i].process == process) {
			disk.descriptors[i].process = NULL;
			__real_close(i);
		}
}

/* The part of the path below the root; NULL: it is elsewhere. */
static const char *below_root(const char *path)
{
	size_t length = disk.root ? strlen(disk.root) : 0;
	if (!length || strncmp(path, disk.root, length) != 0 ||
		(path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path + length;
}

/*
 * An operation that changes the path: takes its time, during which its process may die. False: it
 * fails, with errno.
 */
static bool changes(const char *what, const char *path)
{
	if (!path)
		return true;
	sim_trace(what, hash_bytes(path, strlen(path), 0), disk.operations);
	sim_note("disk: %s %s", what, path);
	if (sim_chance(SIM_DISK, SLOW_PERMYRIAD))
		sim_sleep(SIM_MS * (1 + sim_draw(SIM_DISK, SLOW_MS_MAX)));
	else
		sim_sleep(SIM_US * (1 + sim_draw(SIM_DISK, OPERATION_US_MAX)));
	if (disk.operations++ == disk.fail_first && disk.fail_for_ns)
		disk.fail_until_ns = sim_now_ns() + disk.fail_for_ns;
	if (sim_now_ns() >= disk.fail_until_ns)
		return true;
	disk.failures++;
	sim_note("disk: %s %s fails: %s", what, path, strerror(disk.fail_errno));
	errno = disk.fail_errno;
	return false;
}

void sim_disk_lie(void)
{
	disk.lies = true;
}

static const char *path_of(int descriptor)
{
	if (!sim_inside() || descriptor < 0 || descriptor >= DESCRIPTORS_MAX ||
		!disk.descriptors[descriptor].process || !disk.descriptors[descriptor].path[0])
		return NULL;
	return disk.descriptors[descriptor].path;
}

static int take_note(int descriptor, const char *below)
{
	if (descriptor < 0)
		return descriptor;
	if (descriptor >= DESCRIPTORS_MAX)
		abort();
	disk.descriptors[descriptor].process = sim_self();
	snprintf(disk.descriptors[descriptor].path, PATH_BYTES, "%s",
		!below	   ? ""
		: below[0] ? below
			   : "/");
	return descriptor;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (!sim_inside())
		return __real_open(path, flags, mode);
	const char *below = below_root(path);
	const bool creates = (flags & O_CREAT) && below;
	if (creates && !changes("create", below))
		return -1;
	const bool there = access(path, F_OK) == 0;
	int descriptor = take_note(__real_open(path, flags, mode), below);
	if (creates && descriptor >= 0 && !there)
		sim_power_created(path);
	if (creates && descriptor >= 0)
		sim_power_wrote(descriptor);
	return descriptor;
}

int __wrap_mkostemp(char *path, int flags)
{
	int descriptor = __real_mkostemp(path, flags);
	return sim_inside() ? take_note(descriptor, NULL) : descriptor;
}

int __wrap_close(int descriptor)
{
	if (sim_inside() && descriptor >= 0 && descriptor < DESCRIPTORS_MAX)
		disk.descriptors[descriptor].process = NULL;
	return __real_close(descriptor);
}

/* A write that fails may have written a part. */
ssize_t __wrap_pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
	if (path_of(descriptor))
		sim_power_wrote(descriptor);
	if (!changes("write", path_of(descriptor))) {
		int reason = errno;
		(void)!__real_pwrite(descriptor, bytes, size / 2, offset);
		errno = reason;
		return -1;
	}
	return __real_pwrite(descriptor, bytes, size, offset);
}

/* A disk that fails, fails to read, too. */
ssize_t __wrap_read(int descriptor, void *bytes, size_t size)
{
	const char *path = path_of(descriptor);
	if (!path || sim_now_ns() >= disk.fail_until_ns || disk.fail_errno != EIO)
		return __real_read(descriptor, bytes, size);
	disk.failures++;
	sim_note("disk: read %s fails", path);
	errno = EIO;
	return -1;
}

/* Not every real disk can. */
int __wrap_fallocate(int descriptor, int mode, off_t offset, off_t size)
{
	struct stat info;
	if (!path_of(descriptor))
		return __real_fallocate(descriptor, mode, offset, size);
	if (!changes("allocate", path_of(descriptor)) || fstat(descriptor, &info) != 0)
		return -1;
	return offset + size > info.st_size ? ftruncate(descriptor, offset + size) : 0;
}

/* Files end up with what it returns in them, and the world's do not depend on where it stands. */
char *__wrap_realpath(const char *path, char *resolved)
{
	return sim_inside() && !resolved ? strdup(path) : __real_realpath(path, resolved);
}

int __wrap_fsync(int descriptor)
{
	const char *path = path_of(descriptor);
	if (!sim_inside())
		return __real_fsync(descriptor);
	if (!changes("sync", path))
		return -1;
	if (path && !disk.lies)
		sim_power_synced(descriptor);
	return 0;
}

int __wrap_sync_file_range(int descriptor, off_t offset, off_t size, unsigned int flags)
{
	return sim_inside() ? 0 : __real_sync_file_range(descriptor, offset, size, flags);
}

int __wrap_rename(const char *from, const char *to)
{
	const char *below = sim_inside() ? below_root(to) : NULL;
	if (!changes("rename", below))
		return -1;
	if (below)
		sim_power_will_rename(from, to);
	return __real_rename(from, to);
}

int __wrap_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned int flags)
{
	const char *below = sim_inside() ? below_root(to) : NULL;
	if (!changes("exchange", below))
		return -1;
	int result = __real_renameat2(from_at, from, to_at, to, flags);
	if (below && result == 0)
		sim_power_exchanged(from, to);
	return result;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	struct stat info;
	const char *below = sim_inside() ? below_root(path) : NULL;
	if (below && stat(path, &info) == 0)
		below = NULL; /* changes nothing */
	if (!changes("mkdir", below))
		return -1;
	int result = __real_mkdir(path, mode);
	if (below && result == 0)
		sim_power_made_directory(path);
	return result;
}

int __wrap_rmdir(const char *path)
{
	const char *below = sim_inside() ? below_root(path) : NULL;
	if (!changes("rmdir", below))
		return -1;
	if (below)
		sim_power_will_remove_directory(path);
	return __real_rmdir(path);
}

int __wrap_unlink(const char *path)
{
	const char *below = sim_inside() ? below_root(path) : NULL;
	if (!changes("unlink", below))
		return -1;
	if (below)
		sim_power_will_unlink(path);
	return __real_unlink(path);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */
