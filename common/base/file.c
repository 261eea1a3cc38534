#include "common/base/file.h"

#include "common/base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_PAUSE_S 0.05

/* What is hashed at a time: it stays in the cache. */
#define DIGEST_PIECE ((size_t)256 << 10)

enum status path_join(
	char path[PATH_SIZE], const char *directory, const char *name, struct error *err)
{
	int length = snprintf(path, PATH_SIZE, "%s/%s", directory, name);
	if (length < 0 || (size_t)length >= PATH_SIZE)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", directory);
	return STATUS_OK;
}

bool file_exists(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool directory_exists(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status directory_create(const char *path, struct error *err)
{
	char partial[PATH_SIZE];
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof(partial))
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "'%.80s': not a usable directory name", path);
	memcpy(partial, path, length + 1);
	for (size_t i = 1; i <= length; i++) {
		if (partial[i] != '/' && partial[i] != '\0')
			continue;
		char kept = partial[i];
		partial[i] = '\0';
		if (mkdir(partial, 0777) != 0 && errno != EEXIST)
			return error_set_errno(err, errno, "%s: cannot create directory", partial);
		partial[i] = kept;
	}
	if (!directory_exists(path))
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "%s: exists and is not a directory", path);
	return STATUS_OK;
}

enum status directory_sync(const char *path, struct error *err)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	enum status status = STATUS_OK;
	if (fsync(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", path);
	close(descriptor);
	return status;
}

enum status directory_lock(const char *path, double wait_s, int *ret_descriptor, struct error *err)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	const struct timespec pause = {.tv_nsec = (long)(LOCK_PAUSE_S * 1e9)};
	/* A file system without locks has none to give: then nobody is kept out. */
	while (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		if (wait_s <= 0) {
			close(descriptor);
			return error_set(err, STATUS_FAILED_PRECONDITION, "%s: in use", path);
		}
		wait_s -= LOCK_PAUSE_S;
		nanosleep(&pause, NULL);
	}
	*ret_descriptor = descriptor;
	return STATUS_OK;
}

static int is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of names: that of a file system is another on another disk, and so is what a failure
 * leaves. */
enum status directory_remove(const char *path, struct error *err)
{
	struct stat info;
	if (lstat(path, &info) != 0)
		return errno == ENOENT ? STATUS_OK : error_set_errno(err, errno, "%s", path);
	if (!S_ISDIR(info.st_mode))
		return unlink(path) == 0 ? STATUS_OK : error_set_errno(err, errno, "%s", path);
	struct dirent **entries;
	const int count = scandir(path, &entries, is_entry, by_name);
	if (count < 0)
		return error_set_errno(err, errno, "%s", path);
	enum status status = STATUS_OK;
	for (int i = 0; i < count; i++) {
		char child[PATH_SIZE];
		if (status == STATUS_OK)
			status = path_join(child, path, entries[i]->d_name, err);
		if (status == STATUS_OK)
			status = directory_remove(child, err);
		free(entries[i]);
	}
	free(entries);
	if (status == STATUS_OK && rmdir(path) != 0)
		status = error_set_errno(err, errno, "%s", path);
	return status;
}

static enum status read_fully(
	int descriptor, char *bytes, size_t size, const char *path, struct error *err)
{
	size_t done = 0;
	while (done < size) {
		ssize_t got = read(descriptor, bytes + done, size - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "%s", path);
		if (got == 0)
			return error_set(err, STATUS_DATA_LOSS, "%s: ends at byte %zu of %zu", path,
				done, size);
		done += (size_t)got;
	}
	return STATUS_OK;
}

static enum status open_regular(
	const char *path, int *ret_descriptor, uint64_t *ret_size, struct error *err)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	struct stat info;
	if (fstat(descriptor, &info) != 0) {
		enum status status = error_set_errno(err, errno, "%s", path);
		close(descriptor);
		return status;
	}
	if (!S_ISREG(info.st_mode)) {
		close(descriptor);
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not a regular file", path);
	}
	*ret_descriptor = descriptor;
	*ret_size = (uint64_t)info.st_size;
	return STATUS_OK;
}

enum status file_read_all(
	const char *path, size_t limit_bytes, char **ret_bytes, size_t *ret_size, struct error *err)
{
	int descriptor;
	uint64_t size;
	enum status status = open_regular(path, &descriptor, &size, err);
	if (status != STATUS_OK)
		return status;
	char *bytes = NULL;
	if (size > limit_bytes) {
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"%s: %llu bytes, more than the %zu allowed", path, (unsigned long long)size,
			limit_bytes);
		goto cleanup;
	}
	bytes = malloc((size_t)size + 1);
	if (!bytes) {
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %llu bytes",
			path, (unsigned long long)size);
		goto cleanup;
	}
	status = read_fully(descriptor, bytes, (size_t)size, path, err);
	if (status != STATUS_OK)
		goto cleanup;
	bytes[size] = '\0';
	*ret_bytes = bytes;
	*ret_size = (size_t)size;
	bytes = NULL;
cleanup:
	free(bytes);
	close(descriptor);
	return status;
}

enum status file_write_at(int descriptor, const void *bytes, size_t size, uint64_t offset,
	const char *path, struct error *err)
{
	size_t done = 0;
	while (done < size) {
		ssize_t put = pwrite(descriptor, (const char *)bytes + done, size - done,
			(off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return error_set_errno(err, errno, "%s: write at byte %llu", path,
				(unsigned long long)(offset + done));
		done += (size_t)put;
	}
	return STATUS_OK;
}

enum status file_read_at(int descriptor, void *bytes, size_t size, uint64_t offset,
	const char *path, size_t *ret_size, struct error *err)
{
	size_t done = 0;
	while (done < size) {
		ssize_t got = pread(
			descriptor, (char *)bytes + done, size - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "%s: read at byte %llu", path,
				(unsigned long long)(offset + done));
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*ret_size = done;
	return STATUS_OK;
}

static enum status sync_parent(const char *path, struct error *err)
{
	char parent[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	if (!slash)
		return directory_sync(".", err);
	size_t length = slash == path ? 1 : (size_t)(slash - path);
	memcpy(parent, path, length);
	parent[length] = '\0';
	return directory_sync(parent, err);
}

enum status file_write_atomic(const char *path, const void *bytes, size_t size, struct error *err)
{
	char temporary[PATH_SIZE];
	int length = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	if (length < 0 || (size_t)length >= sizeof(temporary))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", path);
	int descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%s", temporary);
	enum status status = file_write_at(descriptor, bytes, size, 0, temporary, err);
	if (status == STATUS_OK && fsync(descriptor) != 0)
		status = error_set_errno(err, errno, "%s: fsync", temporary);
	if (close(descriptor) != 0 && status == STATUS_OK)
		status = error_set_errno(err, errno, "%s: close", temporary);
	if (status == STATUS_OK && rename(temporary, path) != 0)
		status = error_set_errno(err, errno, "%s: rename to %s", temporary, path);
	if (status != STATUS_OK) {
		unlink(temporary);
		return status;
	}
	return sync_parent(path, err);
}

enum status file_map_open(struct file_map *ret, const char *path, struct error *err)
{
	static const unsigned char nothing[1];
	int descriptor;
	uint64_t size;
	enum status status = open_regular(path, &descriptor, &size, err);
	if (status != STATUS_OK)
		return status;
	if (size == 0) {
		*ret = (struct file_map){.bytes = nothing};
	} else {
		void *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, descriptor, 0);
		if (bytes == MAP_FAILED)
			status = error_set_errno(err, errno, "%s: mmap", path);
		else
			*ret = (struct file_map){.bytes = bytes, .size = (size_t)size};
	}
	close(descriptor);
	return status;
}

void file_map_close(struct file_map *map)
{
	if (map->size)
		munmap((void *)(uintptr_t)map->bytes, map->size);
	*map = (struct file_map){0};
}

void file_map_fetch(const struct file_map *map)
{
	/* Refused by old systems, and then the pages come one after the other. */
	if (map->size)
		(void)madvise((void *)(uintptr_t)map->bytes, map->size, MADV_POPULATE_READ);
}

/* By reading, not by a map: threads that map and unmap wait for each other. */
enum status file_digest(const char *path, uint64_t *ret_hash, uint64_t *ret_size, struct error *err)
{
	int descriptor;
	uint64_t size, done = 0;
	struct hash_stream *hash = NULL;
	enum status status = open_regular(path, &descriptor, &size, err);
	if (status != STATUS_OK)
		return status;
	unsigned char *piece = malloc(DIGEST_PIECE);
	if (!piece)
		status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory to read", path);
	else
		status = hash_stream_new(&hash, err);
	(void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (size_t got = DIGEST_PIECE; status == STATUS_OK && got == DIGEST_PIECE; done += got) {
		status = file_read_at(descriptor, piece, DIGEST_PIECE, done, path, &got, err);
		if (status != STATUS_OK)
			break;
		hash_stream_add(hash, piece, got);
	}
	if (status == STATUS_OK) {
		*ret_hash = hash_stream_value(hash);
		*ret_size = done;
	}
	hash_stream_free(hash);
	free(piece);
	close(descriptor);
	return status;
}
