/*
 * Files: whole reads with a limit, maps, directories, and writes that are complete or absent.
 *
 * Errors name the path. Threads: no shared state.
 */
#ifndef MARQUEE_BASE_FILE_H
#define MARQUEE_BASE_FILE_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_SIZE ((size_t)4096)

/* directory/name into path[PATH_SIZE]; INVALID_ARGUMENT when it does not fit. */
MUST_CHECK enum status path_join(
	char path[PATH_SIZE], const char *directory, const char *name, struct error *err);

bool file_exists(const char *path);
bool directory_exists(const char *path);

/* mkdir -p. An existing directory is fine. */
MUST_CHECK enum status directory_create(const char *path, struct error *err);

/* Makes the directory's entries durable (fsync on it). */
MUST_CHECK enum status directory_sync(const char *path, struct error *err);

/*
 * Locks the directory against other callers of this function, in any process. One that has it is
 * waited for, up to wait_s, then FAILED_PRECONDITION. Returns a descriptor for close(), which gives
 * the lock back, as does the end of the process.
 */
MUST_CHECK enum status directory_lock(
	const char *path, double wait_s, int *ret_descriptor, struct error *err);

/* rm -r. A missing path is fine. Does not follow links. */
MUST_CHECK enum status directory_remove(const char *path, struct error *err);

/*
 * Reads the whole file; returns owned memory in *ret_bytes (for free()) with one zero byte behind
 * the end. RESOURCE_EXHAUSTED when it is larger than limit_bytes.
 */
MUST_CHECK enum status file_read_all(const char *path, size_t limit_bytes, char **ret_bytes,
	size_t *ret_size, struct error *err);

/* Writes path.tmp, fsyncs it, renames it to path and fsyncs the directory. */
MUST_CHECK enum status file_write_atomic(
	const char *path, const void *bytes, size_t size, struct error *err);

/* Writes all of the bytes at the offset, across short writes and EINTR. `path` is for messages. */
MUST_CHECK enum status file_write_at(int descriptor, const void *bytes, size_t size,
	uint64_t offset, const char *path, struct error *err);

/* Reads up to `size` bytes at the offset, fewer only where the file ends, across EINTR. */
MUST_CHECK enum status file_read_at(int descriptor, void *bytes, size_t size, uint64_t offset,
	const char *path, size_t *ret_size, struct error *err);

/* A read-only map of a whole file. An empty file maps to size 0 and a non-NULL pointer. */
struct file_map {
	const unsigned char *bytes;
	size_t size;
};

MUST_CHECK enum status file_map_open(struct file_map *ret, const char *path, struct error *err);
/* Brings in all pages at once, for reads in no order; a large file then takes as much memory. */
void file_map_fetch(const struct file_map *map);
/* Takes NULL bytes and half-built maps. */
void file_map_close(struct file_map *map);

/* XXH3-64 over the file's bytes, and its size. */
MUST_CHECK enum status file_digest(
	const char *path, uint64_t *ret_hash, uint64_t *ret_size, struct error *err);

#endif
